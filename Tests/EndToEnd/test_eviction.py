"""Who is evicted, by each policy, and retention ranges."""

from grpc import StatusCode
import pytest

from quire_client import add, check_partition, q, refused_for, untouched

LRU, LFU, S3_FIFO, PRIORITY = (
    q.EVICTION_POLICY_LRU, q.EVICTION_POLICY_LFU, q.EVICTION_POLICY_S3_FIFO,
    q.EVICTION_POLICY_PRIORITY)
BLOCKS = 6


def content(number):
    return bytes([number]) * 32


def full(new_pool, policy):
    """All blocks are cached, each with the content of its id, and were given back in that order."""
    pool = new_pool(blocks=BLOCKS, eviction=policy)
    assert pool.get_pool().config.eviction == policy
    ids = range(1, BLOCKS + 1)
    pool.allocate(BLOCKS)
    pool.cache_blocks(ids, b"".join(map(content, ids)))
    pool.free(ids)
    return pool


def hit(pool, number, times=1):
    for _ in range(times):
        pool.free(pool.acquire(content(number)).cached_block_ids)


def victims(pool):
    order = []
    for _ in range(BLOCKS):
        taken = pool.allocate(1)
        assert taken.evicted_blocks == 1
        order += taken.block_ids
    return order


@pytest.mark.parametrize(
    "policy, order",
    [
        # 1 was hit once, 2 twice, 3 once after them.
        (LRU, [4, 5, 6, 1, 2, 3]),
        (LFU, [4, 5, 6, 1, 3, 2]),
        # One hit moves nothing, two move a block to the main queue when its turn comes.
        (S3_FIFO, [1, 3, 4, 5, 6, 2]),
        (PRIORITY, [4, 5, 6, 1, 2, 3]),
    ],
    ids=["lru", "lfu", "s3-fifo", "priority"],
)
def test_each_policy_names_its_victims_and_counts_them(new_pool, policy, order):
    pool = full(new_pool, policy)
    hit(pool, 1)
    hit(pool, 2, times=2)
    hit(pool, 3)
    assert victims(pool) == order
    stats = pool.stats()
    check_partition(stats)
    assert stats.evictions == BLOCKS
    assert [(entry.policy, entry.count) for entry in stats.evictions_by_policy] == [
        (policy, BLOCKS)]


def test_a_switch_begins_anew_from_the_order_of_last_use(new_pool):
    pool = full(new_pool, LFU)
    hit(pool, 1, times=3)
    hit(pool, 2)
    assert pool.allocate(1).block_ids == [3]
    pool.update_pool(eviction=LRU)
    assert pool.allocate(1).block_ids == [4]
    pool.update_pool(eviction=S3_FIFO)
    # The hits of before count no more: 1 was last used before 2.
    assert [pool.allocate(1).block_ids[0] for _ in range(4)] == [5, 6, 1, 2]
    counts = {entry.policy: entry.count for entry in pool.stats().evictions_by_policy}
    assert counts == {LFU: 1, LRU: 1, S3_FIFO: 4}


def kept(pool, sequence_id, now, **retention):
    """A sequence of one full block with the content of its id, freed at once."""
    new = q.Add(
        sequence_id=sequence_id,
        content=q.Content(token_count=4, block_hashes=content(sequence_id)),
        options=q.SequenceOptions(retention=[q.Retention(**retention)] if retention else []))
    call = pool.call(now_ms=now)
    pool.Sequences.Admit(q.AdmitRequest(call=call, admit=q.Admit(add=new)))
    pool.Sequences.Free(
        q.FreeSequencesRequest(call=call, free_sequences=q.FreeSequences(sequence_ids=[sequence_id])))


def test_priorities_decide_and_run_out_by_the_clock_of_the_calls(new_pool):
    pool = new_pool(blocks=BLOCKS, eviction=PRIORITY)
    kept(pool, 1, 1_000, priority=90, ttl_ms=100)
    kept(pool, 2, 1_010)
    kept(pool, 3, 1_020, priority=5)
    kept(pool, 4, 1_030, priority=60)
    kept(pool, 5, 1_040, priority=35)
    kept(pool, 6, 1_050, priority=0)
    # At 1,099 block 1 is worth 90, at 1,100 it has the default of 35 and was used before 2 and 5.
    for now, order in ((1_099, [6, 3, 2, 5, 4, 1]), (1_100, [6, 3, 1, 2, 5, 4])):
        with untouched(pool):
            for count in range(1, BLOCKS + 1):
                call = pool.call(now_ms=now, dry_run=True)
                assert pool.allocate(count, call).block_ids == order[:count]


def test_ranges_go_by_the_first_token_of_a_block(new_pool):
    pool = new_pool(blocks=3, eviction=PRIORITY)
    new = add(
        1, 12, retention=[
            q.Retention(first_token=0, last_token=7, priority=80),
            q.Retention(first_token=4, last_token=4, priority=10),
            q.Retention(first_token=9, priority=0),
        ])
    new.content.block_hashes = content(1) + content(2) + content(3)
    pool.step(
        q.Op(admit=q.Admit(add=new)), q.Op(free_sequences=q.FreeSequences(sequence_ids=[1])))
    # Block 1 has 80, block 2 has 10, and block 3 begins at token 8: nobody said what it is worth.
    assert [pool.allocate(1).block_ids[0] for _ in range(3)] == [2, 3, 1]


@pytest.mark.parametrize(
    "ranges",
    [
        [q.Retention(priority=101)],
        [q.Retention(first_token=5, last_token=4)],
        [q.Retention()] * 17,
    ],
    ids=["over 100", "backwards", "too many"],
)
def test_ranges_that_make_no_sense_are_refused_and_named(new_pool, ranges):
    pool = new_pool(eviction=PRIORITY)
    field = "add.options.retention"
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
        pool.add(1, 4, retention=ranges)


@pytest.mark.parametrize("policy", [LRU, LFU, S3_FIFO, PRIORITY])
def test_a_policy_goes_along_with_a_dump(client, new_pool, policy):
    pool = full(new_pool, policy)
    hit(pool, 3, times=2)
    hit(pool, 1)
    copy = client.on(pool.pool + "-copy")
    client.load_pool(copy.pool, pool.dump())
    try:
        assert copy.digest().state_digest == pool.digest().state_digest
        assert victims(copy) == victims(pool)
    finally:
        copy.delete_pool(force=True)
