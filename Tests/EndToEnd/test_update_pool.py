"""Pools.UpdatePool: options that change while a pool is used."""

from grpc import StatusCode
import pytest

from quire_client import q, refused, refused_for, untouched


def test_a_watermark_is_changed_and_shown(pool):
    before = pool.get_pool()
    after = pool.update_pool(watermark=0.25)
    assert after.config.watermark == 0.25
    assert after.revision == before.revision + 1
    assert pool.get_pool() == after
    # What is so already is no change; 0 is a value, not an absence.
    assert pool.update_pool(watermark=0.25).revision == after.revision
    assert pool.update_pool().revision == after.revision
    assert pool.update_pool(watermark=0).config.watermark == 0


def test_the_eviction_policy_is_changed_and_shown(pool):
    assert pool.get_pool().config.eviction == q.EVICTION_POLICY_LRU
    revision = pool.get_pool().revision
    for policy in (
        q.EVICTION_POLICY_S3_FIFO, q.EVICTION_POLICY_LFU, q.EVICTION_POLICY_PRIORITY,
        q.EVICTION_POLICY_LRU):
        with untouched(pool):
            as_if = pool.update_pool(pool.call(dry_run=True), eviction=policy)
            assert as_if.config.eviction == policy
        after = pool.update_pool(eviction=policy)
        revision += 1
        assert (after.config.eviction, after.revision) == (policy, revision)
        # The same again, or nothing, is no change.
        assert pool.update_pool(eviction=policy).revision == revision
        assert pool.update_pool().config.eviction == policy


def test_a_pool_that_caches_nothing_has_nothing_to_evict_by(client, new_pool):
    pool = new_pool(disable_prefix_caching=True)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "eviction"):
        pool.update_pool(eviction=q.EVICTION_POLICY_LFU)
    pool.update_pool(eviction=q.EVICTION_POLICY_LRU)
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "config.eviction"):
        client.create_pool(
            "contradiction", 8, 8, disable_prefix_caching=True, eviction=q.EVICTION_POLICY_LFU)


def test_a_policy_that_no_one_knows_is_refused_and_named(pool):
    with untouched(pool), refused(StatusCode.INVALID_ARGUMENT) as told:
        pool.update_pool(eviction=9)
    assert "eviction" in told.message


def test_a_dry_run_answers_as_if(pool):
    with untouched(pool):
        assert pool.update_pool(pool.call(dry_run=True), watermark=0.5).config.watermark == 0.5
    assert pool.get_pool().config.watermark == 0


def test_another_revision_is_refused(pool):
    pool.allocate(1)
    with untouched(pool), refused_for(StatusCode.ABORTED, "REVISION_MOVED"):
        pool.update_pool(pool.call(if_revision=7), watermark=0.5)


@pytest.mark.parametrize("share", [1, -0.5, float("nan")])
def test_a_share_outside_its_limits_is_refused_and_named(pool, share):
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "watermark"):
        pool.update_pool(watermark=share)
