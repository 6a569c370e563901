"""Frees that wait for their batch. Pools of 16 blocks of 4 tokens."""

from grpc import StatusCode
import pytest

from quire_client import free_blocks, op_reason, q, refused, refused_for, untouched


@pytest.fixture
def lazy(new_pool):
    return new_pool(lazy_free_batch=4)


def identity(stats):
    return (
        stats.free_blocks + stats.cached_blocks + stats.active_blocks + stats.shared_blocks
        + stats.pinned_blocks + stats.lazy_pending_blocks)


def test_pending_blocks_are_available_and_told(lazy):
    lazy.allocate(6)
    reply = lazy.free([2, 1])
    assert (reply.freed_blocks, reply.available_blocks) == (2, 12)
    stats = lazy.stats()
    assert (stats.lazy_pending_blocks, stats.free_blocks, stats.available_blocks) == (2, 10, 12)
    assert identity(stats) == stats.capacity_blocks
    assert lazy.get_pool().available_blocks == 12
    assert lazy.get_pool().config.lazy_free_batch == 4


def test_an_allocation_is_never_refused_for_want_of_them(lazy):
    lazy.allocate(16)
    lazy.free([2, 1])
    lazy.free([3])
    with untouched(lazy), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        lazy.allocate(4)
    assert (told.refusal.needed, told.refusal.available) == (4, 3)
    assert list(lazy.allocate(3).block_ids) == [3, 2, 1]


def test_a_bad_free_is_refused_at_once(lazy):
    lazy.allocate(3)
    lazy.free([1])
    with untouched(lazy), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        lazy.free([1])
    reply = lazy.step(free_blocks(2, 2), free_blocks(2), q.Op(flush=q.Flush()), with_stats=True)
    assert op_reason(reply.results[0]) == "NOT_HELD"
    assert reply.results[2].flush.freed_blocks == 2
    assert reply.stats.lazy_pending_blocks == 0


def test_a_full_batch_and_a_flush_give_them_back(lazy):
    lazy.allocate(6)
    lazy.free([1, 2, 3])
    assert lazy.stats().lazy_pending_blocks == 3
    lazy.free([4])
    assert lazy.stats().lazy_pending_blocks == 0
    lazy.free([5])
    reply = lazy.flush()
    assert (reply.freed_blocks, reply.evicted_blocks, reply.available_blocks) == (1, 0, 15)
    with untouched(lazy):
        assert lazy.flush().freed_blocks == 0


def test_the_batch_is_changed_while_the_pool_is_used(pool):
    pool.allocate(4)
    assert pool.update_pool(lazy_free_batch=9).config.lazy_free_batch == 9
    pool.free([1, 2])
    assert pool.stats().lazy_pending_blocks == 2
    assert pool.update_pool(lazy_free_batch=0).config.lazy_free_batch == 0
    assert pool.stats().lazy_pending_blocks == 0
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "lazy_free_batch"):
        pool.update_pool(lazy_free_batch=65_537)


def test_a_batch_past_its_limit_is_refused_and_named(client):
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        client.create_pool("lazy", 8, 8, lazy_free_batch=65_537)
    assert "config.lazy_free_batch" in told.message


def test_pending_frees_survive_a_dump(client, lazy):
    lazy.allocate(6)
    lazy.free([2, 1])
    loaded = client.on("loaded-lazy")
    client.load_pool("loaded-lazy", lazy.dump())
    try:
        assert loaded.stats().lazy_pending_blocks == 2
        assert loaded.digest().state_digest == lazy.digest().state_digest
    finally:
        loaded.delete_pool(force=True)
