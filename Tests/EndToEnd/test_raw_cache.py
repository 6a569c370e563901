"""The prefix cache by hashes, as a scheduler that keeps its own tables uses it."""

from grpc import StatusCode
import pytest

from quire_client import check_partition, q, refused_for, untouched

A, B, C = (bytes([mark]) * 32 for mark in b"ABC")


def cache_two(pool):
    """Blocks 1 and 2 keep the contents A and B, and nobody holds them."""
    pool.allocate(2)
    assert pool.cache_blocks([1, 2], A + B).cached_blocks == 2
    pool.free([1, 2])


def test_two_blocks_are_cached_freed_looked_up_acquired_evicted_and_reset(pool):
    cache_two(pool)
    stats = pool.stats()
    check_partition(stats)
    assert (stats.cached_blocks, stats.free_blocks) == (2, 14)
    with untouched(pool):
        found = pool.lookup_blocks(A + B + C)
    assert (list(found.block_ids), list(found.ref_counts)) == ([1, 2], [0, 0])

    taken = pool.acquire(A + B + C, allocate_count=1)
    assert (list(taken.cached_block_ids), list(taken.new_block_ids)) == ([1, 2], [3])
    assert (taken.available_blocks, taken.evicted_blocks) == (13, 0)
    assert list(pool.lookup_blocks(A + B).ref_counts) == [1, 1]

    evicted = pool.evict_blocks([2, 3])
    assert (evicted.evicted_blocks, evicted.available_blocks) == (1, 13)
    assert list(pool.lookup_blocks(A + B).block_ids) == [1]

    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE") as told:
        pool.reset_prefix_cache()
    assert told.message == "3 blocks are held; free them first"
    assert (told.trailers["quire-needed"], told.trailers["quire-available"]) == ("16", "13")
    pool.free([1, 2, 3])
    assert pool.reset_prefix_cache().cleared_blocks == 1
    assert not pool.lookup_blocks(A).block_ids
    assert pool.stats().free_blocks == 16


def test_allocations_evict_only_when_nothing_is_free(pool):
    cache_two(pool)
    assert pool.allocate(14).evicted_blocks == 0
    last = pool.allocate(1)
    assert (last.evicted_blocks, last.available_blocks) == (1, 1)
    assert pool.stats().evictions == 1


def test_the_head_of_a_prefix_outlives_its_tail_when_freed_from_the_tail(pool):
    pool.allocate(2)
    pool.cache_blocks([1, 2], A + B)
    pool.free([2, 1])
    pool.allocate(15)
    assert list(pool.lookup_blocks(A + B).block_ids) == [1]


def test_hits_count_as_needed_where_blocks_are_short(pool):
    cache_two(pool)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.acquire(A + B, allocate_count=15)
    assert (told.refusal.needed, told.refusal.available) == (17, 16)
    assert told.refusal.evictable_within_available == 2


@pytest.mark.parametrize("size", [1, 31, 33, 63])
def test_hashes_cut_short_are_refused_and_named(pool, size):
    cache_two(pool)
    pool.acquire(A)
    for name, call in {
        "lookup_blocks.block_hashes": lambda: pool.lookup_blocks(b"x" * size),
        "acquire.block_hashes": lambda: pool.acquire(b"x" * size),
        "cache_blocks.block_hashes": lambda: pool.cache_blocks([1], b"x" * size),
    }.items():
        with untouched(pool):
            with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", name):
                call()


def test_a_step_caches_and_acquires(pool):
    reply = pool.step(
        q.Op(allocate=q.Allocate(count=1)),
        q.Op(cache_blocks=q.CacheBlocks(block_ids=[1], block_hashes=A)),
        q.Op(acquire=q.Acquire(block_hashes=A + B, allocate_count=1)),
        q.Op(evict_blocks=q.EvictBlocks(block_ids=[1])),
    )
    assert reply.revision == 1
    assert reply.results[1].cache_blocks.cached_blocks == 1
    assert list(reply.results[2].acquire.cached_block_ids) == [1]
    assert list(reply.results[2].acquire.new_block_ids) == [2]
    assert reply.results[3].evict_blocks.evicted_blocks == 1


def test_a_pool_of_short_hashes_takes_16_bytes(new_pool):
    pool = new_pool(hash=q.HASH_ALGORITHM_XXHASH_CBOR)
    assert pool.get_pool().config.hash == q.HASH_ALGORITHM_XXHASH_CBOR
    pool.allocate(1)
    assert pool.cache_blocks([1], b"h" * 16).cached_blocks == 1
    assert list(pool.acquire(b"h" * 16).cached_block_ids) == [1]


def test_a_pool_that_does_not_cache_says_so(new_pool):
    pool = new_pool(disable_prefix_caching=True)
    assert pool.get_pool().config.disable_prefix_caching
    with untouched(pool):
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "lookup_blocks.block_hashes"):
            pool.lookup_blocks(A)


@pytest.mark.parametrize("watermark", [-0.5, 1.0, float("nan")])
def test_a_watermark_out_of_range_is_refused_and_named(client, watermark):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "config.watermark"):
        client.create_pool("impossible", 8, 8, watermark=watermark)
