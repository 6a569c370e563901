"""Blocks held back for sequences to come, and refusals that say what was missing."""

from grpc import StatusCode

from quire_client import admit_new, decode, op_reason, q, refused_for, untouched

A, B, C, D = (bytes([mark]) * 32 for mark in b"ABCD")


def numbers(refusal):
    return (
        refusal.needed, refusal.available, refusal.evictable_within_available, refusal.reserved,
        refusal.watermark)


def test_a_promise_is_kept_from_others_and_ends_with_its_admission(pool):
    given = pool.reserve(1, blocks=12)
    assert (given.reserved_blocks, given.available_blocks) == (12, 16)
    assert pool.stats().reserved_blocks == 12

    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.allocate(5)
    assert numbers(told.refusal) == (5, 16, 0, 12, 0)
    assert told.trailers["quire-reserved"] == "12"
    assert "quire-watermark" not in told.trailers
    assert told.message == "needs 5 blocks beside 12 reserved, 16 are available now"

    assert len(pool.add_and_admit(1, 48).new_block_ids) == 12
    assert pool.stats().reserved_blocks == 0
    assert len(pool.allocate(4).block_ids) == 4


def test_promises_are_never_more_than_what_is_available(pool):
    pool.allocate(4)
    pool.reserve(1, blocks=8)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.reserve(2, blocks=5)
    assert numbers(told.refusal) == (5, 12, 0, 8, 0)
    assert pool.reserve(1, blocks=6).reserved_blocks == 6
    assert pool.reserve(2, blocks=5).reserved_blocks == 11
    assert pool.reserve(2, release=True).reserved_blocks == 6
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER"):
        pool.reserve(3, blocks=17)


def test_a_promise_of_nothing_is_refused_and_named(pool):
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "reserve.blocks"):
        pool.reserve(1)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "reserve.blocks"):
        pool.reserve(1, blocks=3, release=True)
    pool.add_and_admit(1, 4)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE") as told:
        pool.reserve(1, blocks=1)
    assert told.message == "sequence 1 is running and takes what it needs itself"


def test_a_step_promises_and_every_refusal_in_it_has_its_numbers(new_pool):
    # int(0.125 x 17) = 2 blocks are kept from admissions while anything runs.
    pool = new_pool(watermark=0.125)
    reply = pool.step(
        admit_new(1, 8),
        q.Op(reserve=q.Reserve(sequence_id=2, blocks=10)),
        admit_new(3, 12),
        q.Op(allocate=q.Allocate(count=5)),
        q.Op(acquire=q.Acquire(allocate_count=5)),
        decode(1, schedule_counts=[17], append_counts=[17]),
        admit_new(4, 80),
        with_stats=True,
    )
    results = reply.results
    assert results[1].reserve.reserved_blocks == 10
    # 14 available, 10 promised, 2 for the watermark: 2 are left.
    assert op_reason(results[2]) == "LATER"
    assert numbers(results[2].refusal) == (3, 14, 0, 10, 2)
    assert numbers(results[3].refusal) == (5, 14, 0, 10, 0)
    assert numbers(results[4].refusal) == (5, 14, 0, 10, 0)
    assert numbers(results[5].decode.first_refusal) == (5, 14, 0, 10, 0)
    assert op_reason(results[6]) == "NEVER"
    assert numbers(results[6].refusal) == (20, 14, 0, 10, 2)
    assert reply.stats.reserved_blocks == 10


def test_a_copy_and_an_extension_leave_promised_blocks_alone(pool):
    pool.allocate(1)
    pool.fork_blocks([1])
    pool.add_and_admit(1, 4)
    pool.reserve(2, blocks=14)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.copy_on_write(1)
    assert numbers(told.refusal) == (1, 14, 0, 14, 0)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.extend(1, append=1)
    assert numbers(told.refusal) == (1, 14, 0, 14, 0)
    # A fork takes no block.
    pool.fork_blocks([1])


def test_four_available_of_which_two_are_hit_are_too_few_for_three_more(new_pool):
    pool = new_pool(blocks=6)
    pool.allocate(4)
    pool.cache_blocks([1, 2], A + B)
    pool.free([2, 1])
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.acquire(A + B + C + D, allocate_count=3)
    assert numbers(told.refusal) == (5, 4, 2, 0, 0)
    assert told.trailers["quire-evictable"] == "2"
