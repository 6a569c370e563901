"""The out-of-memory ladder. The pool has 16 blocks of 4 tokens."""

from grpc import StatusCode

from quire_client import add, allocate, op_reason, q, refused_for, untouched

EVICT, DEFRAGMENT, PREEMPT = (
    q.RECOVER_RUNG_EVICT, q.RECOVER_RUNG_DEFRAGMENT, q.RECOVER_RUNG_PREEMPT)


def admit(pool, sequence_id, tokens, priority=0):
    request = q.AdmitRequest(
        call=pool.call(), admit=q.Admit(add=add(sequence_id, tokens, priority=priority)))
    pool.Sequences.Admit(request)


def rungs(reply):
    return [(r.rung, r.freed_blocks, r.evicted_blocks, r.sufficient, r.skipped)
            for r in reply.reports]


def test_content_goes_first_then_the_lowest_priorities(pool):
    pool.allocate(4)
    pool.cache_blocks([1, 2, 3, 4], b"".join(bytes([mark]) * 32 for mark in b"ABCD"))
    pool.free([4, 3, 2, 1])
    admit(pool, 1, 20, priority=0)
    admit(pool, 2, 24, priority=3)
    # 1 block that holds nothing and 4 that are cached are left of 16.
    before = pool.get_pool().revision
    reply = pool.recover(3)
    assert rungs(reply) == [
        (EVICT, 0, 2, True, False), (DEFRAGMENT, 0, 0, True, True), (PREEMPT, 0, 0, True, True)]
    assert reply.reports[0].detail == "took the content off 2 cached blocks"
    assert reply.revision == before + 1
    stats = pool.stats()
    assert (stats.cached_blocks, stats.evictions, stats.evictions_ahead) == (2, 2, 2)

    reply = pool.recover(8)
    assert rungs(reply) == [
        (EVICT, 0, 2, False, False), (DEFRAGMENT, 0, 0, False, True), (PREEMPT, 6, 0, True, False)]
    assert list(reply.preempted_sequence_ids) == [2]
    assert reply.available_blocks == 11
    assert pool.get(2).state == q.SEQUENCE_STATE_PREEMPTED
    assert pool.stats().preemptions == 1
    assert len(pool.allocate(8).block_ids) == 8


def test_nobody_is_preempted_in_vain(pool):
    pool.allocate(8)
    admit(pool, 1, 16)
    admit(pool, 2, 16)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.recover(9)
    assert (told.refusal.needed, told.refusal.available) == (9, 0)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.recover(5, keep_sequence_ids=[1])
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.recover(1, rungs=[EVICT])
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER"):
        pool.recover(17)


def test_in_a_step_a_refusal_comes_with_what_would_have_been(pool):
    pool.allocate(8)
    admit(pool, 1, 16)
    admit(pool, 2, 16)
    reply = pool.step(
        q.Op(recover=q.Recover(blocks_needed=9)), q.Op(recover=q.Recover(blocks_needed=4)),
        allocate(4))
    vain, done, given = reply.results
    assert op_reason(vain) == "LATER"
    assert rungs(vain.recover) == [
        (EVICT, 0, 0, False, True), (DEFRAGMENT, 0, 0, False, True), (PREEMPT, 8, 0, False, False)]
    assert list(vain.recover.preempted_sequence_ids) == []
    assert list(done.recover.preempted_sequence_ids) == [2]
    assert len(given.allocate.block_ids) == 4


def test_a_dry_run_tells_who_would_go(pool):
    admit(pool, 1, 64)
    with untouched(pool):
        reply = pool.recover(5, call=pool.call(dry_run=True))
    assert list(reply.preempted_sequence_ids) == [1]


def test_a_need_of_nothing_and_a_rung_twice_are_refused_and_named(pool):
    with untouched(pool), refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "recover.blocks_needed"):
        pool.recover(0)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "recover.rungs"):
        pool.recover(1, rungs=[PREEMPT, PREEMPT])


# Runs of adjacent blocks.

def checkerboard(pool):
    """Every other block of 16 is held by the sequence of its number."""
    for block in range(1, 17):
        admit(pool, block, 4)
    pool.free_sequences(*range(2, 17, 2))


def allocate_run(pool, count):
    return pool.allocate(count, contiguous=True)


def ends(copies):
    return [(c.source_block, c.target_block) for c in copies]


def longest(reply):
    return [(r.rung, r.largest_run, r.moves, r.sufficient, r.skipped) for r in reply.reports]


def test_a_run_is_made_by_moves_and_nobody_is_preempted(pool):
    checkerboard(pool)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN"):
        allocate_run(pool, 4)
    reply = pool.recover(4, contiguous=True)
    assert ends(reply.copies) == [(15, 2), (13, 4)]
    assert longest(reply) == [
        (EVICT, 1, 0, False, True), (DEFRAGMENT, 5, 2, True, False), (PREEMPT, 5, 0, True, True)]
    assert "once their copies are acknowledged" in reply.reports[1].detail
    assert list(reply.preempted_sequence_ids) == []
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN"):
        allocate_run(pool, 4)
    pool.ack_copies(up_to=2)
    assert list(pool.get(15).block_ids) == [2]
    assert list(allocate_run(pool, 4).block_ids) == [12, 13, 14, 15]


def test_where_moves_are_too_few_somebody_goes_and_then_they_suffice(pool):
    checkerboard(pool)
    reply = pool.recover(4, contiguous=True, max_moves=1)
    assert list(reply.preempted_sequence_ids) == [15]
    assert ends(reply.copies) == [(13, 2)]
    assert [r.rung for r in reply.reports] == [EVICT, DEFRAGMENT, PREEMPT, DEFRAGMENT]
    assert [r.sufficient for r in reply.reports] == [False, False, False, True]


def test_no_run_is_told_with_the_longest_there_is_and_changes_nothing(pool):
    checkerboard(pool)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN") as told:
        pool.recover(4, contiguous=True, rungs=[DEFRAGMENT], max_moves=1)
    refusal = told.refusal
    assert (refusal.needed, refusal.available, refusal.largest_run) == (4, 8, 1)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.recover(9, contiguous=True, rungs=[DEFRAGMENT])
    refusal = told.refusal
    assert (refusal.needed, refusal.available, refusal.largest_run) == (9, 8, 1)
    assert "at most 1 of them in one run" in told.message
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER"):
        pool.recover(17, contiguous=True)
    vain = pool.step(q.Op(recover=q.Recover(
        blocks_needed=9, contiguous=True, rungs=[DEFRAGMENT]))).results[0]
    assert (op_reason(vain), vain.refusal.largest_run) == ("LATER", 1)
    assert longest(vain.recover) == [(DEFRAGMENT, 8, 4, False, False)]


def test_in_a_step_the_run_is_there_in_the_next_one(new_pool):
    pool = new_pool(16, 4)
    checkerboard(pool)
    first = pool.step(q.Op(recover=q.Recover(blocks_needed=6, contiguous=True)))
    assert len(first.results[0].recover.copies) == 3
    run = q.Op(allocate=q.Allocate(count=6, contiguous=True))
    assert len(pool.step(run).results[0].allocate.block_ids) == 6


def test_a_buddy_gets_a_run_that_it_can_hand_out(new_pool):
    pool = new_pool(8, 4, strategy=q.STRATEGY_BUDDY, disable_prefix_caching=True,
                    copy_ack=q.COPY_ACK_EXPLICIT)
    for block in range(1, 9):
        admit(pool, block, 4)
    pool.free_sequences(1, 3, 4, 6, 7, 8)
    reply = pool.recover(3, contiguous=True)
    assert ends(reply.copies) == [(5, 1)]
    pool.ack_copies(up_to=1)
    assert list(pool.allocate(3).block_ids) == [5, 6, 7]
