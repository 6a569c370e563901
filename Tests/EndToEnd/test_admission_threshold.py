"""Memory-aware admission: a share of the pool that admissions may fill. Pools of 10 blocks of 4."""

from grpc import StatusCode
import pytest

from quire_client import admit_new, decode, op_reason, q, refused, refused_for, untouched


@pytest.fixture
def aware(new_pool):
    return new_pool(blocks=10, admission_threshold=0.6)


def test_what_was_just_let_in_counts(aware):
    # 15 % of the pool would be 1.5 blocks; 2 blocks are 20 %: three of five get in, in one step.
    reply = aware.step(*(admit_new(i, 8) for i in range(5)))
    assert [op_reason(r) for r in reply.results] == ["UNSPECIFIED"] * 3 + ["LATER"] * 2
    refusal = reply.results[3].refusal
    assert refusal.field == "config.admission_threshold"
    # 2 beside the 4 that are kept empty of 10, where 4 are available.
    assert (refusal.needed, refusal.available, refusal.watermark) == (2, 4, 4)
    stats = aware.stats()
    assert (stats.admission_limit_blocks, stats.owed_blocks) == (6, 0)


def test_tokens_that_have_no_slots_yet_count(aware):
    aware.add_and_admit(1, 16, max_tokens_now=4)
    assert aware.stats().owed_blocks == 3
    with untouched(aware), refused_for(
            StatusCode.RESOURCE_EXHAUSTED, "LATER", "config.admission_threshold") as told:
        aware.add_and_admit(2, 12)
    assert (told.refusal.needed, told.refusal.available, told.refusal.watermark) == (3, 9, 7)
    assert told.message == (
        "needs 3 blocks: config.admission_threshold 0.6 lets admissions fill 6 of 10 blocks, "
        "1 are used, 3 more are owed to sequences that run and 0 reserved")
    aware.add_and_admit(2, 8)
    # What runs may grow past it.
    aware.extend(1, append=16)
    assert aware.stats().active_blocks == 10


def test_more_than_the_share_never_gets_in(aware):
    with untouched(aware), refused_for(
            StatusCode.FAILED_PRECONDITION, "NEVER", "config.admission_threshold"):
        aware.add_and_admit(1, 25)
    assert len(aware.add_and_admit(1, 24).new_block_ids) == 6


def test_a_promise_passes_it_once(aware):
    aware.reserve(1, blocks=6)
    with untouched(aware), refused_for(
            StatusCode.RESOURCE_EXHAUSTED, "LATER", "config.admission_threshold"):
        aware.reserve(2, blocks=1)
    assert len(aware.add_and_admit(1, 24).new_block_ids) == 6


def test_the_default_is_nine_tenths_and_off_unless_it_is_set(new_pool):
    pool = new_pool(blocks=10, admission_threshold=0)
    assert pool.get_pool().config.admission_threshold == 0.9
    assert not new_pool(blocks=10).get_pool().config.HasField("admission_threshold")
    pool.add_and_admit(1, 36)
    with refused(StatusCode.RESOURCE_EXHAUSTED):
        pool.add_and_admit(2, 4)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan")])
def test_a_share_outside_its_limits_is_refused_and_named(client, share):
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        client.create_pool("share", 8, 8, admission_threshold=share)
    assert "config.admission_threshold" in told.message
