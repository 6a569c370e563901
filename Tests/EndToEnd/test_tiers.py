"""Swapping sequences out to the host tier and back in, as copy orders."""

from grpc import StatusCode
import pytest

from quire_client import PATIENCE, check_partition, decode, q, refused, refused_for, untouched


def swap_out(pool, *ids):
    request = q.SwapRequest(call=pool.call(), swap=q.SwapSequences(sequence_ids=ids))
    return pool.Sequences.SwapOut(request, timeout=PATIENCE)


def swap_in(pool, *ids):
    request = q.SwapRequest(call=pool.call(), swap=q.SwapSequences(sequence_ids=ids))
    return pool.Sequences.SwapIn(request, timeout=PATIENCE)


def orders(reply):
    return [(c.copy_id, c.source_block, c.target_block, c.tokens, c.table_index)
            for c in reply.copies]


@pytest.fixture
def tiered(client):
    """10 blocks of 16 tokens, 4 on the host; copies wait to be acknowledged."""
    client.create_pool("tiered", 10, 16, host_blocks=4, copy_ack=q.COPY_ACK_EXPLICIT)
    yield client.on("tiered")
    client.on("tiered").delete_pool(force=True)


def test_a_sequence_goes_out_and_comes_back(tiered):
    tiered.add_and_admit(1, 40)
    out = swap_out(tiered, 1)
    assert orders(out) == [(1, 3, 3, 8, 2), (2, 2, 2, 16, 1), (3, 1, 1, 16, 0)]
    assert {(c.sequence_id, c.source_tier, c.target_tier) for c in out.copies} == {
        (1, q.TIER_DEVICE, q.TIER_HOST)}
    assert (out.freed_blocks, out.available_blocks, out.available_host_blocks) == (3, 7, 1)

    seen = tiered.get(1)
    assert seen.state == q.SEQUENCE_STATE_SWAPPED
    assert (list(seen.block_ids), seen.computed_tokens) == ([1, 2, 3], 40)
    stats = tiered.stats()
    check_partition(stats)
    assert (stats.swapped_sequences, stats.running_sequences, stats.pinned_blocks) == (1, 0, 3)
    assert (stats.host_capacity_blocks, stats.host_free_blocks, stats.host_active_blocks) == (4, 1, 3)
    assert stats.swapped_out_blocks == 3

    # Until the copies are done, nobody gets the blocks.
    assert list(tiered.allocate(2).block_ids) == [4, 5]
    assert tiered.ack_copies(up_to=3).acknowledged == 3
    assert tiered.stats().pinned_blocks == 0

    back = swap_in(tiered, 1)
    assert orders(back) == [(4, 1, 3, 16, 0), (5, 2, 2, 16, 1), (6, 3, 1, 8, 2)]
    assert (back.copies[0].source_tier, back.copies[0].target_tier) == (q.TIER_HOST, q.TIER_DEVICE)
    assert (back.freed_blocks, back.available_host_blocks) == (3, 1)
    assert tiered.stats().host_pinned_blocks == 3
    tiered.ack_copies(up_to=6)
    assert tiered.stats().host_free_blocks == 4
    assert list(tiered.extend(1, append=9).new_block_ids) == [6]


def test_what_sequences_share_stays_shared_and_is_copied_once(tiered):
    tiered.add_and_admit(1, 32)
    tiered.fork(1, [2, 3])
    out = swap_out(tiered, 1, 2)
    assert [c.source_block for c in out.copies] == [2, 1]
    # The third one still holds the device blocks.
    assert out.freed_blocks == 0
    stats = tiered.stats()
    assert (stats.host_shared_blocks, stats.active_blocks) == (2, 2)
    assert list(tiered.get(1).block_ids) == list(tiered.get(2).block_ids)


def test_no_room_is_a_refusal_with_the_hosts_numbers(tiered):
    tiered.add_and_admit(1, 48)
    tiered.add_and_admit(2, 32)
    tiered.add_and_admit(3, 80)
    swap_out(tiered, 1)
    with untouched(tiered), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        swap_out(tiered, 2)
    assert (told.refusal.needed, told.refusal.available) == (2, 1)
    assert told.message == "needs 2 host blocks, 1 are available now"
    with untouched(tiered), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER") as told:
        swap_out(tiered, 3)
    assert told.message == "needs 5 host blocks, more than the host tier's 4"


def test_coming_in_needs_a_spare_block_for_each_sequence(tiered):
    tiered.add_and_admit(1, 32)
    swap_out(tiered, 1)
    tiered.ack_copies(up_to=2)
    tiered.allocate(8)
    with untouched(tiered), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        swap_in(tiered, 1)
    assert (told.refusal.needed, told.refusal.available) == (3, 2)


def test_a_swap_without_a_host_tier_names_the_field(pool):
    pool.add_and_admit(1, 16)
    for swap in swap_out, swap_in:
        with untouched(pool), refused_for(
                StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "config.host_blocks"):
            swap(pool, 1)


def test_a_swapped_sequence_takes_tokens_and_goes_but_does_not_grow(tiered):
    tiered.add_and_admit(1, 20)
    swap_out(tiered, 1)
    assert tiered.append(1, 3).tokens == 23
    for attempt in (lambda: tiered.extend(1), lambda: tiered.admit(1), lambda: tiered.preempt(1),
                    lambda: swap_out(tiered, 1), lambda: tiered.rewind(1, drop_tokens=1)):
        with untouched(tiered), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE"):
            attempt()
    listed = tiered.list(state=q.SEQUENCE_STATE_SWAPPED)
    assert [s.sequence_id for s in listed.sequences] == [1]
    with refused(StatusCode.FAILED_PRECONDITION):
        tiered.delete_pool()
    tiered.free_sequences(1)
    tiered.ack_copies(up_to=2)
    stats = tiered.stats()
    assert (stats.host_free_blocks, stats.available_blocks) == (4, 10)


def test_bad_lists_are_refused(tiered):
    tiered.add_and_admit(1, 16)
    with untouched(tiered), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "sequence_ids"):
        swap_out(tiered)
    with untouched(tiered), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "sequence_ids"):
        swap_out(tiered, 1, 1)
    with untouched(tiered), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE"):
        swap_out(tiered, 1, 2)
    with untouched(tiered), refused(StatusCode.INVALID_ARGUMENT):
        tiered.Sequences.SwapOut(q.SwapRequest(call=tiered.call()), timeout=PATIENCE)


def test_steps_swap_and_acknowledge(client):
    info = client.create_pool("stepped", 10, 16, host_blocks=4)
    assert info.config.host_blocks == 4
    pool = client.on("stepped")
    pool.add_and_admit(1, 30)
    step = pool.step(
        q.Op(swap_out=q.SwapSequences(sequence_ids=[1])), decode(1),
        q.Op(swap_in=q.SwapSequences(sequence_ids=[7])))
    assert [c.source_block for c in step.results[0].swap_out.copies] == [2, 1]
    assert step.results[1].decode.first_refusal.reason == q.REFUSAL_REASON_WRONG_STATE
    assert step.results[2].refusal.reason == q.REFUSAL_REASON_UNKNOWN_SEQUENCE
    # The next step ends the copies of this one, and its own go on.
    step = pool.step(q.Op(swap_in=q.SwapSequences(sequence_ids=[1])), decode(1), with_stats=True)
    assert len(step.results[0].swap_in.copies) == 2
    assert not step.results[1].decode.refused
    assert (step.stats.pinned_blocks, step.stats.host_pinned_blocks) == (0, 2)
    assert pool.step(with_stats=True).stats.host_free_blocks == 4
    pool.delete_pool(force=True)


def test_host_blocks_have_limits(client):
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        client.create_pool("large", 8, 8, host_blocks=(1 << 28) + 1)
    assert "config.host_blocks" in told.message
    with refused(StatusCode.FAILED_PRECONDITION):
        client.create_pool("large", 8, 8, host_blocks=1 << 28)
