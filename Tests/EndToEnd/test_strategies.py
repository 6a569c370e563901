"""Where blocks are placed: strategies by CreatePool, adjacent and preferred blocks, runs in Stats."""

import os
import subprocess

import grpc
import pytest
from grpc import StatusCode

from quire_client import (
    PATIENCE, Client, add, check_partition, op_reason, q, refused_for, untouched,
)
from running_server import RunningServer

A, B, C, D = (bytes([mark]) * 32 for mark in b"ABCD")


@pytest.fixture
def placed(new_pool):
    """Makes a pool with a strategy by its short name."""

    def make(strategy, **config):
        value = q.Strategy.Value("STRATEGY_" + strategy)
        if value >= q.STRATEGY_BUDDY:
            config.setdefault("disable_prefix_caching", True)
        return new_pool(strategy=value, **config)

    return make


def keep_free(pool, *ids):
    """Holds all blocks but these."""
    pool.allocate(pool.get_pool().blocks)
    pool.free(ids)


def expecting(sequence_id, tokens, expected_tokens):
    return q.Admit(add=add(sequence_id, tokens, expected_tokens=expected_tokens))


def admit_expecting(pool, *args):
    request = q.AdmitRequest(call=pool.call(), admit=expecting(*args))
    return pool.Sequences.Admit(request, timeout=PATIENCE)


@pytest.mark.parametrize("strategy", q.Strategy.keys()[1:])
def test_a_pool_tells_its_strategy(placed, strategy):
    pool = placed(strategy.removeprefix("STRATEGY_"), max_model_tokens=64)
    assert pool.get_pool().config.strategy == q.Strategy.Value(strategy)
    assert list(pool.allocate(2).block_ids) == [1, 2]


def test_lowest_ids_smallest_run_and_the_queue(placed):
    takes = {}
    for strategy in ("FREE_QUEUE", "FIRST_FIT", "BEST_FIT"):
        pool = placed(strategy)
        keep_free(pool, 16, 10, 9, 3, 2, 1)
        takes[strategy] = list(pool.allocate(2).block_ids)
    assert takes == {"FREE_QUEUE": [16, 10], "FIRST_FIT": [1, 2], "BEST_FIT": [9, 10]}


def test_the_checkerboard_serves_half_of_the_pool_and_not_two_adjacent_blocks(new_pool):
    pool = new_pool(blocks=4096)
    keep_free(pool, *range(2, 4097, 2))
    stats = pool.stats(q.STATS_INCLUDE_RUNS)
    assert (stats.free_blocks, stats.free_runs.count, stats.free_runs.largest) == (2048, 2048, 1)
    assert stats.external_fragmentation == 1 - 1 / 2048
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN") as told:
        pool.allocate(2, contiguous=True)
    refusal = told.refusal
    assert (refusal.needed, refusal.available, refusal.largest_run) == (2, 2048, 1)
    assert told.trailers["quire-largest-run"] == "1"
    assert told.message == (
        "needs 2 adjacent blocks: 2048 are available, at most 1 of them in one run")
    assert len(pool.allocate(2048).block_ids) == 2048
    assert pool.stats().refusals_by_fragmentation == 1


@pytest.mark.parametrize("strategy", ["FREE_QUEUE", "FIRST_FIT", "BEST_FIT"])
def test_cached_blocks_are_evicted_until_there_is_a_run(placed, strategy):
    pool = placed(strategy, blocks=4)
    pool.allocate(4)
    pool.cache_blocks([1, 2, 3, 4], A + B + C + D)
    pool.free([3, 1, 2, 4])
    assert pool.stats(q.STATS_INCLUDE_RUNS).available_runs.largest == 4
    # 3 and 1 are no run; 2 makes one of all three.
    reply = pool.allocate(2, contiguous=True)
    assert (list(reply.block_ids), reply.evicted_blocks) == ([1, 2], 3)
    assert list(pool.lookup_blocks(D).block_ids) == [4]
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.allocate(3, contiguous=True)


def test_a_run_that_cannot_be_made_evicts_nothing(pool):
    pool.allocate(16)
    pool.cache_blocks([2, 5], A + B)
    pool.free([2, 5])
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN") as told:
        pool.allocate(2, contiguous=True)
    assert told.refusal.evictable_within_available == 2
    assert told.trailers["quire-evictable"] == "2"


def test_preferred_blocks_come_first_where_they_are_free(pool):
    pool.allocate(4)
    reply = pool.allocate(4, preferred_block_ids=[9, 2, 7, 9])
    assert list(reply.block_ids) == [9, 7, 5, 6]
    run = pool.allocate(3, contiguous=True, preferred_block_ids=[14, 13])
    assert list(run.block_ids) == [14, 15, 16]
    with untouched(pool), refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "allocate.preferred_block_ids") as told:
        pool.allocate(1, preferred_block_ids=[17])
    assert told.message == "allocate.preferred_block_ids names block 17, outside 1...16"


def test_steps_place_blocks_too_and_refuse_in_their_turn(pool):
    keep_free(pool, 2, 3, 5, 7)
    reply = pool.step(
        q.Op(allocate=q.Allocate(count=2, contiguous=True)),
        q.Op(allocate=q.Allocate(count=2, contiguous=True)),
        q.Op(allocate=q.Allocate(count=1, preferred_block_ids=[7])),
        with_stats=True,
    )
    results = reply.results
    assert list(results[0].allocate.block_ids) == [2, 3]
    assert op_reason(results[1]) == "NO_RUN"
    assert results[1].refusal.largest_run == 1
    assert list(results[2].allocate.block_ids) == [7]
    assert reply.stats.refusals_by_fragmentation == 1
    with untouched(pool):
        pool.allocate(1, contiguous=True, call=pool.call(dry_run=True))


def test_buddy_takes_powers_of_two_and_counts_what_it_takes_beside(placed):
    pool = placed("BUDDY", blocks=8)
    assert list(pool.allocate(3).block_ids) == [1, 2, 3]
    stats = pool.stats()
    check_partition(stats)
    assert (stats.active_blocks, stats.rounding_blocks, stats.free_blocks) == (4, 1, 4)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NOT_HELD"):
        pool.free([4])
    assert pool.free([2]).freed_blocks == 1
    assert pool.free([3, 1]).freed_blocks == 3
    assert pool.stats().rounding_blocks == 0
    assert list(pool.allocate(8).block_ids) == list(range(1, 9))
    pool.free([2, 3, 4, 5])
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN") as told:
        pool.allocate(4)
    assert (told.refusal.needed, told.refusal.available, told.refusal.largest_run) == (4, 4, 2)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER"):
        pool.allocate(9)


def test_sequences_of_a_buddy_pool_grow_by_runs(placed):
    pool = placed("BUDDY", blocks=16)
    assert list(pool.add_and_admit(1, 10).new_block_ids) == [1, 2, 3]
    assert list(pool.extend(1, append=3).new_block_ids) == [5]
    pool.fork(1, [2])
    extended = pool.extend(2, append=1)
    assert [copy.target_block for copy in extended.copies] == [6]
    pool.preempt(1)
    assert list(pool.get(2).block_ids) == [1, 2, 3, 6]
    pool.free_sequences(1, 2)


def test_eight_of_512_tokens_are_all_that_4096_reserved_slots_hold(placed):
    pool = placed("CONTIGUOUS_MAX", blocks=256, block_size=16, max_model_tokens=512)
    for sequence_id in range(1, 9):
        assert len(pool.add_and_admit(sequence_id, 33).new_block_ids) == 32
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.add_and_admit(9, 33)
    assert (told.refusal.needed, told.refusal.available) == (32, 0)
    stats = pool.stats(q.STATS_INCLUDE_SLOTS)
    assert (stats.sequence_slots_held, stats.sequence_slots_used) == (4096, 264)
    assert stats.internal_fragmentation == 1 - 264 / 4096
    assert pool.get(1).runs == 1
    # Half of them go: 2,048 tokens are free, in runs of 512.
    pool.free_sequences(1, 3, 5, 7)
    stats = pool.stats(q.STATS_INCLUDE_RUNS)
    assert (stats.free_blocks * 16, stats.free_runs.largest * 16) == (2048, 512)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "NO_RUN") as told:
        pool.allocate(64)
    assert told.refusal.largest_run == 32


def test_a_sequence_grows_into_what_was_reserved_and_not_past_it(placed):
    pool = placed("CONTIGUOUS_EXACT", blocks=8)
    assert list(admit_expecting(pool, 1, 3, 9).new_block_ids) == [1, 2, 3]
    assert list(pool.extend(1, append=9).new_block_ids) == []
    with refused_for(StatusCode.FAILED_PRECONDITION, "QUOTA") as told:
        pool.extend(1, append=1)
    assert told.message == (
        "needs 4 blocks, and 3 were reserved for the sequence when it was admitted")
    assert (told.trailers["quire-needed"], told.trailers["quire-available"]) == ("4", "5")
    assert told.refusal.sequence_id == 1
    # Its children wait; nobody else takes a reference to its blocks.
    pool.fork(1, [2])
    assert pool.get(2).state == q.SEQUENCE_STATE_WAITING
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE") as told:
        pool.fork_blocks([1])
    assert told.message == "block 1 is part of a sequence's reserved run"
    pool.preempt(1)
    assert list(pool.admit(1).new_block_ids) == [1, 2, 3, 4]


def test_the_next_power_of_two_is_reserved(placed):
    pool = placed("CONTIGUOUS_POWER_OF_TWO", blocks=32)
    assert len(admit_expecting(pool, 1, 3, 17).new_block_ids) == 8
    assert len(admit_expecting(pool, 2, 33, 5).new_block_ids) == 16


@pytest.mark.parametrize(
    "field, strategy, config",
    [
        ("config.disable_prefix_caching", "BUDDY", dict(disable_prefix_caching=False)),
        ("config.disable_prefix_caching", "CONTIGUOUS_EXACT", dict(disable_prefix_caching=False)),
        ("config.max_model_tokens", "CONTIGUOUS_MAX", {}),
        ("config.max_model_tokens", "CONTIGUOUS_MAX", dict(max_model_tokens=65)),
        ("config.host_blocks", "CONTIGUOUS_EXACT", dict(host_blocks=4)),
        ("config.sliding_window", "CONTIGUOUS_POWER_OF_TWO", dict(sliding_window=4)),
    ],
)
def test_a_strategy_that_contradicts_the_rest_is_refused_and_names_the_field(
        placed, field, strategy, config):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field) as told:
        placed(strategy, **config)
    assert "STRATEGY_" + strategy in told.message


@pytest.mark.parametrize("strategy", ["BEST_FIT", "BUDDY", "CONTIGUOUS_EXACT"])
def test_a_dump_brings_the_runs_along(placed, client, strategy):
    pool = placed(strategy)
    pool.allocate(3)
    pool.add_and_admit(1, 9)
    pool.free([2])
    data = pool.dump()
    client.load_pool("reloaded", data)
    loaded = client.on("reloaded")
    try:
        assert loaded.digest().state_digest == pool.digest().state_digest
        assert loaded.free([1, 3]).freed_blocks == pool.free([1, 3]).freed_blocks
        assert list(loaded.allocate(2).block_ids) == list(pool.allocate(2).block_ids)
        assert loaded.digest().state_digest == pool.digest().state_digest
    finally:
        loaded.delete_pool(force=True)


def test_the_command_line_takes_strategies(tmp_path):
    def words(pool):
        run = subprocess.run(
            [os.environ["QUIRED"], "--listen", "127.0.0.1:0", "--pool", pool],
            capture_output=True, text=True, timeout=PATIENCE)
        assert run.returncode != 0
        return run.stderr

    assert "strategy 'worst-fit' is none of free-queue, first-fit" in words(
        "a:blocks=8,strategy=worst-fit")
    assert "prefix-caching must be off with strategy buddy" in words("a:blocks=8,strategy=buddy")
    assert "max-model-tokens must be set with strategy contiguous-max" in words(
        "a:blocks=8,strategy=contiguous-max,prefix-caching=off")
    assert "prefix-caching 'no' is neither on nor off" in words("a:blocks=8,prefix-caching=no")

    given = [
        "a:blocks=8,block-size=4,strategy=buddy,prefix-caching=off",
        "b:blocks=8,block-size=4,strategy=contiguous-max,prefix-caching=off,max-model-tokens=16",
    ]
    with RunningServer(str(tmp_path), given) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            a, b = (Client(channel, name).get_pool().config for name in "ab")
    assert (a.strategy, a.disable_prefix_caching) == (q.STRATEGY_BUDDY, True)
    assert (b.strategy, b.max_model_tokens) == (q.STRATEGY_CONTIGUOUS_MAX, 16)
