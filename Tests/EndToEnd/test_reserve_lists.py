"""Promises in sight: who is promised which blocks, sequences and names that are none yet."""

from grpc import StatusCode

from quire_client import q, refused, refused_for, untouched

RESERVED = q.SEQUENCE_STATE_RESERVED
WAITING = q.SEQUENCE_STATE_WAITING


def told(pool, **more):
    return [
        (one.sequence_id, one.state, one.reserved_blocks) for one in pool.list(**more).sequences]


def test_the_promises_of_a_list_are_those_of_the_stats(pool):
    pool.add(3, 12)
    pool.reserve(3, blocks=4)
    pool.reserve(9, blocks=2)
    pool.reserve(8, blocks=5)
    assert told(pool) == [(3, WAITING, 4), (8, RESERVED, 5), (9, RESERVED, 2)]
    stats = pool.stats()
    assert stats.reserved_blocks == 11
    assert (stats.waiting_sequences, stats.running_sequences) == (1, 0)

    assert told(pool, state=RESERVED) == [(8, RESERVED, 5), (9, RESERVED, 2)]
    assert told(pool, state=WAITING) == [(3, WAITING, 4)]
    first = pool.list(page_size=2)
    assert [one.sequence_id for one in first.sequences] == [3, 8]
    assert told(pool, page_token=first.next_page_token) == [(9, RESERVED, 2)]
    # A token of a list of all of them, where only names are asked for.
    one = pool.list(page_size=1)
    assert told(pool, page_token=one.next_page_token, state=RESERVED) == [
        (8, RESERVED, 5), (9, RESERVED, 2)]
    beyond = told(pool, page_token="1", state=RESERVED)
    assert beyond == [(8, RESERVED, 5), (9, RESERVED, 2)]


def test_a_name_with_a_promise_can_be_got_added_and_freed(pool):
    pool.reserve(8, blocks=5)
    got = pool.get(8)
    assert (got.state, got.reserved_blocks, got.tokens) == (RESERVED, 5, 0)
    with untouched(pool), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE") as told_of:
        pool.preempt(8)
    assert told_of.refusal.sequence_id == 8

    pool.add(8, 12)
    got = pool.get(8)
    assert (got.state, got.reserved_blocks, got.tokens) == (WAITING, 5, 12)
    assert pool.admit(8).new_block_ids == [1, 2, 3]
    got = pool.get(8)
    assert (got.state, got.reserved_blocks) == (q.SEQUENCE_STATE_RUNNING, 0)

    pool.reserve(7, blocks=1)
    pool.free_sequences(7, 8)
    assert told(pool) == []
    with refused(StatusCode.NOT_FOUND):
        pool.get(7)


def test_a_token_of_nothing_is_refused(pool):
    for token in ["r", "rx", "r-1", "x7", "18446744073709551616"]:
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "page_token"):
            pool.list(page_token=token)
    assert told(pool, page_token="r18446744073709551615") == []


def test_a_name_tells_whose_blocks_it_is_promised(new_pool):
    classes = [q.SizeClass(block_size=8, blocks=10), q.SizeClass(block_size=32, blocks=6)]
    pool = new_pool(0, 0, size_classes=classes)
    pool.reserve(5, blocks=3, size_class=2)
    pool.reserve(4, blocks=2)
    assert [(one.sequence_id, one.reserved_blocks, one.size_class)
            for one in pool.list().sequences] == [(4, 2, 1), (5, 3, 2)]
    assert pool.get(5).size_class == 2
