from quire_client import check_partition, q


def test_the_states_partition_the_pool(new_pool, any_client):
    pool = new_pool(on=any_client)
    pool.allocate(4)
    pool.fork_blocks([1, 2])
    pool.copy_on_write(2)
    pool.free([1, 3])
    pool.add_and_admit(1, 6)
    stats = pool.stats()
    check_partition(stats)
    assert (stats.pool, stats.capacity_blocks, stats.block_size) == (pool.pool, 16, 4)
    # Raw: 1, 2, 4 and the copy 5; 3 was freed and is the first of the sequence's two.
    assert (stats.active_blocks, stats.shared_blocks, stats.pinned_blocks) == (6, 0, 0)
    assert (stats.free_blocks, stats.cached_blocks, stats.available_blocks) == (10, 0, 10)
    assert stats.revision == pool.get_pool().revision == 5


def test_counters_count_what_happened(pool):
    pool.allocate(5)
    pool.free([5, 4])
    pool.fork_blocks([1])
    pool.copy_on_write(1)
    pool.add_and_admit(1, 10)
    pool.fork(1, [2, 3])
    pool.preempt(3)
    stats = pool.stats()
    check_partition(stats)
    assert (stats.running_sequences, stats.preempted_sequences) == (2, 1)
    assert (stats.copies, stats.pending_copies, stats.preemptions) == (1, 1, 1)
    assert stats.forks == 2
    assert (stats.free_calls, stats.freed_blocks) == (2, 2)
    # 5 raw ones, a copy's target, 3 for the sequence.
    assert stats.allocated_blocks == 9
    assert stats.high_watermark_blocks == 7


def test_refusals_are_counted_by_reason(pool):
    pool.step(
        q.Op(allocate=q.Allocate(count=17)),
        q.Op(allocate=q.Allocate(count=16)),
        q.Op(allocate=q.Allocate(count=1)),
        q.Op(allocate=q.Allocate(count=2)),
        q.Op(free_sequences=q.FreeSequences(sequence_ids=[4])),
    )
    counts = {refusal.reason: refusal.count for refusal in pool.stats().refusals}
    assert counts == {
        q.REFUSAL_REASON_NEVER: 1,
        q.REFUSAL_REASON_LATER: 2,
        q.REFUSAL_REASON_UNKNOWN_SEQUENCE: 1,
    }
    assert pool.stats().refusals_by_fragmentation == 0


def test_the_high_watermark_stays_when_blocks_come_back(pool):
    pool.allocate(9)
    pool.free([9, 8, 7])
    assert pool.stats().high_watermark_blocks == 9


def test_free_runs_are_told_when_asked_for(pool):
    pool.allocate(16)
    # Free: 1-3, 6, 9-12.
    pool.free([3, 1, 2, 6, 12, 9, 11, 10])
    stats = pool.stats(q.STATS_INCLUDE_RUNS)
    assert (stats.free_runs.count, stats.free_runs.largest) == (3, 4)
    assert list(stats.free_runs.ten_largest) == [4, 3, 1]
    assert stats.available_runs == stats.free_runs
    assert stats.external_fragmentation == 0.5  # 1 - 4 / 8


def test_slots_used_and_held_are_told_when_asked_for(pool):
    pool.add_and_admit(1, 10)
    pool.add_and_admit(2, 4)
    pool.allocate(3)
    stats = pool.stats(q.STATS_INCLUDE_SLOTS)
    assert (stats.sequence_slots_held, stats.sequence_slots_used, stats.raw_blocks) == (16, 14, 3)
    assert stats.internal_fragmentation == 0.125  # 1 - 14 / 16


def test_pools_know_nothing_of_each_other(new_pool):
    one, two = new_pool(), new_pool()
    one.allocate(5)
    one.add_and_admit(1, 4)
    assert two.stats().free_blocks == 16
    assert list(two.allocate(2).block_ids) == [1, 2]
