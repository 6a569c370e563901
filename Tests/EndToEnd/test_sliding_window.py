"""Sliding windows: tables keep their length, what a window is past becomes block 0."""

import pytest
from grpc import StatusCode

from quire_client import check_partition, decode, q, refused_for, untouched


@pytest.fixture
def window(new_pool):
    """10 blocks of 16 tokens, a window of 32, 16 tokens in flight."""
    return new_pool(10, 16, sliding_window=32, max_in_flight_tokens=16)


def test_a_pool_tells_its_window(window):
    config = window.get_pool().config
    assert (config.sliding_window, config.max_in_flight_tokens) == (32, 16)


def test_of_100_computed_tokens_4_blocks_are_dropped_at_the_next_call(window):
    admitted = window.add_and_admit(1, 100)
    assert (list(admitted.new_block_ids), admitted.null_prefix_blocks) == ([1, 2, 3, 4, 5, 6, 7], 0)
    extended = window.extend(1, append=1)
    assert (list(extended.new_block_ids), extended.null_prefix_blocks) == ([], 4)
    assert extended.available_blocks == 7
    sequence = window.get(1)
    assert list(sequence.block_ids) == [0, 0, 0, 0, 5, 6, 7]
    assert (sequence.exclusive_blocks, sequence.shared_blocks, sequence.runs) == (3, 0, 1)
    assert list(window.list(with_block_ids=True).sequences[0].block_ids) == [0, 0, 0, 0, 5, 6, 7]
    check_partition(window.stats())
    assert window.free_sequences(1).freed_blocks == 3


def test_tokens_in_flight_hold_the_window_back(window):
    window.add_and_admit(1, 100)
    assert window.extend(1, append=1, in_flight_tokens=6).null_prefix_blocks == 3
    reply = window.step(decode(1, in_flight_tokens=[0])).results[0].decode
    assert list(reply.null_prefix_blocks) == [4]


def test_a_step_tells_of_each_sequence_of_a_decode_what_is_dropped(window):
    window.add_and_admit(1, 60)
    window.add_and_admit(2, 20)
    first = window.step(decode(1, 2)).results[0].decode
    assert list(first.null_prefix_blocks) == [1, 0]
    assert list(window.step(decode(1, 2)).results[0].decode.null_prefix_blocks) == []


def test_a_refused_extension_drops_all_the_same(window):
    window.add_and_admit(1, 100)
    window.allocate(3)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        window.extend(1, append=77)
    assert (told.refusal.needed, told.refusal.available) == (5, 4)
    assert list(window.get(1).block_ids) == [0, 0, 0, 0, 5, 6, 7]


def test_admission_counts_a_window_and_not_the_whole_sequence(window):
    # ceil((31 + 16) / 16) + 1 = 4 blocks, of a sequence of 63.
    assert len(window.add_and_admit(1, 1_000, max_tokens_now=16).new_block_ids) == 1
    window.allocate(6)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told, untouched(window):
        window.add_and_admit(2, 1_000, max_tokens_now=16)
    assert (told.refusal.needed, told.refusal.available) == (4, 3)


def test_a_sequence_far_longer_than_the_pool_runs(window):
    window.add_and_admit(1, 16)
    for _ in range(40):
        window.extend(1, append=16)
    sequence = window.get(1)
    assert sequence.tokens == 656
    assert len(sequence.block_ids) == 41
    assert sum(1 for block in sequence.block_ids if block) <= 4


def test_a_rewind_into_what_was_dropped_is_refused(window):
    window.add_and_admit(1, 100)
    window.extend(1, append=1)
    for field in ("uncompute_tokens", "drop_tokens"):
        with untouched(window), refused_for(
                StatusCode.INVALID_ARGUMENT, "INVALID", field) as told:
            window.rewind(1, **{field: 7})
        assert "at most 6" in told.message
    assert window.rewind(1, drop_tokens=6).computed_tokens == 95


def test_a_bound_for_what_is_in_flight_needs_a_window(client):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "config.max_in_flight_tokens") as told:
        client.create_pool("wrong", 8, 8, max_in_flight_tokens=8)
    assert "config.sliding_window" in told.message
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "config.sliding_window"):
        client.create_pool("wrong", 8, 8, sliding_window=1 << 31)


def test_columns_of_another_length_are_refused(window):
    window.add_and_admit(1, 100)
    reply = window.step(decode(1, in_flight_tokens=[1, 2]))
    assert reply.results[0].refusal.field == "decode.in_flight_tokens"
    assert list(window.get(1).block_ids) == [1, 2, 3, 4, 5, 6, 7]


def test_a_lookup_tells_what_the_window_is_past(window):
    ids = list(range(100))
    new = q.Add(sequence_id=1, content=q.Content(token_ids=ids))
    window.Sequences.Admit(q.AdmitRequest(call=window.call(), admit=q.Admit(add=new)))
    lookup = q.Lookup(content=q.Content(token_ids=ids))
    found = window.Sequences.Lookup(q.LookupRequest(call=window.call(), lookup=lookup))
    # Six full blocks, of which a window of 32 reaches into the last two.
    assert (found.cached_tokens, found.null_prefix_blocks) == (96, 4)
    assert list(found.block_ids) == [5, 6]
