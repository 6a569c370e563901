from grpc import StatusCode
import pytest

from quire_client import check_partition, q, refused_for, untouched


def ids(reply):
    return list(reply.block_ids)


def test_blocks_are_handed_out_in_order(new_pool, any_client):
    pool = new_pool(on=any_client)
    first = pool.allocate(3)
    assert (first.revision, ids(first), first.available_blocks, first.evicted_blocks) == (
        1, [1, 2, 3], 13, 0)
    second = pool.allocate(2)
    assert (second.revision, ids(second), second.available_blocks) == (2, [4, 5], 11)


def test_freed_blocks_are_the_next_ones_in_the_order_given(pool):
    pool.allocate(4)
    freed = pool.free([3, 1, 2])
    assert (freed.freed_blocks, freed.available_blocks) == (3, 15)
    assert ids(pool.allocate(4)) == [3, 1, 2, 5]


def test_a_whole_pool_can_be_taken_and_given_back(pool):
    assert ids(pool.allocate(16)) == list(range(1, 17))
    assert pool.free(range(1, 17)).available_blocks == 16


def test_a_full_pool_says_how_much_there_is(pool):
    pool.allocate(10)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.allocate(7)
    assert (told.refusal.needed, told.refusal.available) == (7, 6)
    assert (told.trailers["quire-needed"], told.trailers["quire-available"]) == ("7", "6")
    assert ids(pool.allocate(6)) == [11, 12, 13, 14, 15, 16]


def test_more_than_the_pool_has_can_never_fit(pool):
    for count in (17, 4294967295):
        with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER"):
            pool.allocate(count)


def test_count_zero_is_refused(pool):
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "count"):
        pool.allocate(0)


@pytest.mark.parametrize("block_id", [0, 17, 4294967295])
def test_an_id_out_of_range_is_refused(pool, block_id):
    pool.allocate(2)
    for call in (pool.free, pool.fork_blocks):
        with untouched(pool):
            with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "block_ids"):
                call([1, block_id])
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "block_id"):
        pool.copy_on_write(block_id)


def test_what_is_not_held_cannot_be_freed_forked_or_written(pool):
    pool.allocate(2)
    for call in (pool.free, pool.fork_blocks):
        with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
            call([1, 3])
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        pool.copy_on_write(3)


def test_a_double_free_is_refused(pool):
    pool.allocate(3)
    pool.free([2])
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        pool.free([2])
    # Twice in one list, with one reference: as a whole.
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        pool.free([1, 1])
    assert pool.stats().active_blocks == 2


def test_blocks_of_a_sequence_are_not_the_raw_layers_to_free(pool):
    pool.add_and_admit(1, 4)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        pool.free([1])


def test_a_fork_is_one_more_reference(pool):
    pool.allocate(2)
    assert list(pool.fork_blocks([1, 2]).ref_counts) == [2, 2]
    assert list(pool.fork_blocks([1]).ref_counts) == [3]
    stats = pool.stats()
    check_partition(stats)
    assert (stats.shared_blocks, stats.active_blocks) == (2, 0)
    assert pool.free([1, 2]).freed_blocks == 0
    assert pool.free([2, 1]).freed_blocks == 1
    assert pool.free([1]).freed_blocks == 1
    assert pool.stats().free_blocks == 16


def test_a_stale_generation_is_refused(pool):
    old = pool.allocate(2).revision
    pool.free([2, 1])
    new = pool.allocate(2)
    assert ids(new) == [2, 1]
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "STALE_GENERATION"):
        pool.free([1], [old])
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "STALE_GENERATION"):
        pool.fork_blocks([1, 2], [new.revision, old])
    assert list(pool.fork_blocks([1], [new.revision]).ref_counts) == [2]
    # One for all, or one each.
    assert pool.free([1, 1], [new.revision]).freed_blocks == 1
    assert pool.free([2], [new.revision]).freed_blocks == 1


def test_generations_are_none_one_or_one_each(pool):
    revision = pool.allocate(3).revision
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "generations"):
        pool.free([1, 2, 3], [revision, revision])


def test_a_block_held_alone_is_written_in_place(pool):
    pool.allocate(1)
    reply = pool.copy_on_write(1)
    assert (reply.block_id, reply.HasField("copy"), reply.available_blocks) == (1, False, 15)


def test_a_shared_block_is_copied_before_it_is_written(pool):
    pool.allocate(1)
    pool.fork_blocks([1])
    reply = pool.copy_on_write(1, filled_tokens=3)
    assert (reply.block_id, reply.available_blocks) == (2, 14)
    copy = reply.copy
    assert (copy.copy_id, copy.source_block, copy.target_block, copy.tokens) == (1, 1, 2, 3)
    assert pool.stats().pending_copies == 1
    # k sharers make k - 1 copies: the other one is alone now, and writes where no copy reads.
    assert not pool.copy_on_write(1, filled_tokens=3).HasField("copy")
    # Where the copy under way still has to read, nothing may be written in place.
    assert pool.copy_on_write(1).copy.copy_id == 2


def test_both_ends_of_a_copy_stay_until_it_is_acknowledged(pool):
    pool.allocate(1)
    pool.fork_blocks([1])
    pool.copy_on_write(1)
    freed = pool.free([1, 2])
    assert (freed.freed_blocks, freed.available_blocks) == (0, 14)
    stats = pool.stats()
    check_partition(stats)
    assert (stats.pinned_blocks, stats.active_blocks, stats.copies) == (2, 0, 1)
    acked = pool.ack_copies([1])
    assert (acked.acknowledged, acked.pending, acked.available_blocks) == (1, 0, 16)
    assert pool.stats().pinned_blocks == 0


def test_a_copy_is_acknowledged_once(pool):
    pool.allocate(1)
    pool.fork_blocks([1])
    pool.copy_on_write(1)
    with untouched(pool), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_COPY"):
        pool.ack_copies([2])
    pool.ack_copies([1])
    with untouched(pool), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_COPY"):
        pool.ack_copies([1])


def test_copies_are_acknowledged_up_to_an_id(pool):
    pool.allocate(3)
    pool.fork_blocks([1, 2, 3])
    copies = [pool.copy_on_write(block).copy.copy_id for block in (1, 2, 3)]
    assert copies == [1, 2, 3]
    acked = pool.ack_copies(up_to=2)
    assert (acked.acknowledged, acked.pending) == (2, 1)


@pytest.mark.parametrize(
    "copy_ack, pinned_after_a_step", [(q.COPY_ACK_NEXT_STEP, 0), (q.COPY_ACK_EXPLICIT, 2)]
)
def test_the_next_step_acknowledges_where_the_pool_says_so(
    new_pool, copy_ack, pinned_after_a_step
):
    pool = new_pool(copy_ack=copy_ack)
    pool.allocate(1)
    pool.fork_blocks([1])
    pool.copy_on_write(1)
    pool.free([1, 2])
    assert pool.stats().pinned_blocks == 2
    pool.step()
    assert pool.stats().pinned_blocks == pinned_after_a_step


def test_filled_tokens_beyond_the_block_are_refused(pool):
    pool.allocate(1)
    pool.fork_blocks([1])
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "filled_tokens"):
        pool.copy_on_write(1, filled_tokens=5)


def test_a_dry_run_answers_as_if_and_changes_nothing(pool):
    pool.allocate(2)
    with untouched(pool):
        dry = pool.allocate(3, call=pool.call(dry_run=True))
        assert (ids(dry), dry.available_blocks, dry.revision) == ([3, 4, 5], 11, 1)
        assert pool.free([1], call=pool.call(dry_run=True)).freed_blocks == 1
        with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
            pool.allocate(15, call=pool.call(dry_run=True))
    assert ids(pool.allocate(3)) == [3, 4, 5]


def test_a_command_may_depend_on_the_revision(pool):
    pool.allocate(1)
    assert pool.allocate(1, call=pool.call(if_revision=1)).revision == 2
    with untouched(pool), refused_for(StatusCode.ABORTED, "REVISION_MOVED"):
        pool.allocate(1, call=pool.call(if_revision=1))
