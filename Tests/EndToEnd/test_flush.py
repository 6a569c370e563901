"""Evicting ahead of need. Pools of 16 blocks of 4 tokens."""

from grpc import StatusCode
import pytest

from quire_client import eventually, q, refused, refused_for, untouched

HASHES = b"".join(bytes([mark]) * 32 for mark in range(1, 17))


def fill(pool):
    """All 16 blocks cached, none held."""
    pool.allocate(16)
    pool.cache_blocks(list(range(1, 17)), HASHES)
    pool.free(list(range(16, 0, -1)))


def test_the_server_evicts_by_itself_what_is_missing(new_pool):
    pool = new_pool(proactive_free_blocks=6)
    assert pool.get_pool().config.proactive_free_blocks == 6
    fill(pool)
    eventually(lambda: pool.stats().free_blocks == 6)
    stats = pool.stats()
    assert (stats.cached_blocks, stats.evictions, stats.evictions_ahead) == (10, 6, 6)
    # Each eviction ahead was a command: allocate, cache, free and it.
    assert stats.revision == 4
    # Six more are taken, without an eviction, and then six others are evicted.
    assert pool.allocate(6).evicted_blocks == 0
    eventually(lambda: pool.stats().free_blocks == 6)


def test_a_large_deficit_is_evicted_in_slices(new_pool):
    blocks = 100_000
    pool = new_pool(blocks=blocks, block_size=1)
    pool.allocate(blocks)
    pool.cache_blocks(
        list(range(1, blocks + 1)), b"".join(i.to_bytes(32, "big") for i in range(blocks)))
    pool.free(list(range(blocks, 0, -1)))
    revision = pool.stats().revision
    pool.update_pool(proactive_free_blocks=90_000)
    # No flush evicts more than 65,536, and nobody calls: the server goes on by itself.
    eventually(lambda: pool.stats().free_blocks == 90_000)
    assert pool.stats().evictions_ahead == 90_000
    assert pool.stats().revision == revision + 3


def test_flush_does_it_now(new_pool):
    pool = new_pool()
    fill(pool)
    assert pool.flush().evicted_blocks == 0
    with untouched(pool):
        info = pool.update_pool(pool.call(dry_run=True), proactive_free_blocks=4)
    assert info.config.proactive_free_blocks == 4
    # Whoever is first, the server or the step, there are 4 and not 8.
    pool.step(q.Op(flush=q.Flush()))
    pool.update_pool(proactive_free_blocks=4)
    reply = pool.step(q.Op(flush=q.Flush()), with_stats=True)
    assert reply.results[0].flush.available_blocks == 16
    assert (reply.stats.free_blocks, reply.stats.evictions_ahead) == (4, 4)


def test_a_number_that_makes_no_sense_is_refused_and_named(client, pool):
    with untouched(pool), refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "proactive_free_blocks"):
        pool.update_pool(proactive_free_blocks=17)
    for config in [dict(), dict(disable_prefix_caching=True)]:
        with refused(StatusCode.INVALID_ARGUMENT) as told:
            client.create_pool(
                "ahead", 8, 8, proactive_free_blocks=8 if config else 9, **config)
        assert "config.proactive_free_blocks" in told.message
