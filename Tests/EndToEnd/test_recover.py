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
