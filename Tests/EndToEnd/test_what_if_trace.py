"""What a trace would have made of a pool: played by the server, and sent by `quire what-if --trace`."""

import csv
import io
import json
import os
import subprocess
import time

import grpc
import pytest
from grpc import StatusCode

from quire_client import PATIENCE, Client, q, refused, untouched
from running_server import RunningServer

POLICY = q.EvictionPolicy


def scan(documents, rounds):
    """Documents of 16 stretches of 16 tokens, one after the other, again and again."""
    count = documents * rounds
    return q.WhatIfTrace(
        arrival_us=[i * 1_000_000 for i in range(count)], input_tokens=[256] * count,
        output_tokens=[1] * count, content_counts=[16] * count, content_tokens=16,
        content_ids=[d * 16 + i for _ in range(rounds) for d in range(documents) for i in range(16)])


def what_if(pool, timeout=PATIENCE, **asked):
    return pool.Analyzer.WhatIf(q.WhatIfRequest(call=pool.call(), **asked), timeout=timeout)


def test_a_scan_falls_off_the_cliff_where_the_pool_ends(new_pool):
    pool = new_pool(160, 16)
    pool.add(1, 40)
    trace = scan(11, 3)
    trace.prompts_only = True
    with untouched(pool):
        told = what_if(pool, trace=trace, pool_blocks=[160, 176], evictions=[
            POLICY.EVICTION_POLICY_LRU, POLICY.EVICTION_POLICY_S3_FIFO])
    assert (told.sequences, told.mean_length) == (33, 257)
    assert [(row.pool_blocks, row.eviction, row.replay.prompt_tokens) for row in told.rows] == [
        (160, 1, 8448), (176, 1, 8448), (160, 1, 8448), (160, 3, 8448)]
    # Eleven documents do not fit in room for ten, under LRU; they do in room for eleven.
    assert [row.replay.hit_tokens for row in told.rows][:3] == [0, 2 * 11 * 256, 0]
    assert [row.replay.evictions for row in told.rows][:3] == [528 - 160, 0, 528 - 160]


def test_two_requests_of_80_tokens_in_ten_blocks_of_16(new_pool):
    pool = new_pool(10, 16, disable_prefix_caching=True)
    trace = q.WhatIfTrace(arrival_us=[0, 0], input_tokens=[80, 80], output_tokens=[3, 3])
    [row] = what_if(pool, trace=trace).rows
    told = row.replay
    assert (told.requests, told.never_fit, told.preemptions, told.refusals) == (2, 0, 1, 1)
    assert (told.peak_blocks, told.peak_running, told.duration_us) == (10, 2, 120_000)
    assert (row.blocks, row.wasted_slots, row.effective_batch) == (7, 10, 4 / 3)
    # Eleven blocks are not enough either, twelve are.
    rows = what_if(pool, trace=trace, pool_blocks=[11, 12]).rows
    assert [row.replay.preemptions for row in rows] == [1, 0]


def test_what_is_wrong_with_a_trace_is_named_with_its_limit(new_pool):
    pool = new_pool(10, 16)

    def trace(**more):
        return {"trace": q.WhatIfTrace(**{
            "arrival_us": [0, 1], "input_tokens": [8, 8], "output_tokens": [1, 1], **more})}

    for asked, words in (
            ({"trace": q.WhatIfTrace()}, "trace.arrival_us is empty"),
            (trace(arrival_us=[2, 1]), "trace.arrival_us[1] is less than the one before it"),
            (trace(input_tokens=[8]),
             "trace.input_tokens has 1 elements, not 2 as trace.arrival_us has"),
            (trace(output_tokens=[1, 0]), "trace.output_tokens[1] must be at least 1"),
            (trace(content_counts=[1, 2]),
             "trace.content_counts[1] is 2, more than the 1 stretches of 512 tokens that 8 tokens begin"),
            (trace(content_counts=[1, 1], content_ids=[1]),
             "trace.content_ids has 1 elements, not the 2 that trace.content_counts names"),
            (trace(input_tokens=[8, 3_000_000]),
             "trace.input_tokens[1] and the answer take 187521 blocks of 16 tokens, more than 16384"),
            (trace(input_tokens=[8, 65_537], content_tokens=1, content_counts=[0, 65_537]),
             "trace.content_counts[1] is 65537, more than 65536"),
            ({"lengths": [1] * 100_000, "pool_blocks": [1] * 64},
             "lengths has 100000 elements, more than 32768 for 64 pools"),
            # 16,312.5 blocks of each prompt and one more, 2,000 times in nine pools.
            ({"pool_blocks": [10] * 9, "trace": q.WhatIfTrace(
                arrival_us=[0] * 2_000, input_tokens=[261_000] * 2_000, output_tokens=[1] * 2_000)},
             "trace.input_tokens take 293643000 blocks and ids of content in 9 pools, more than "
             "268435456: try fewer pools, larger blocks or fewer requests at once"),
            (trace() | {"lengths": [1]}, "lengths must be empty beside a trace, which has its own"),
            (trace() | {"pool_blocks": [1 << 20]},
             "pool_blocks[0] is a pool of 1048576 blocks; traces are played into 1 to 262144 "
             "(--what-if-blocks)"),
            ({"evictions": [1]}, "evictions needs a trace: arithmetic on lengths evicts nothing"),
            ({"watermarks": [1]}, "watermarks[0] is 1.0, not 0 to less than 1"),
            ({"pool_blocks": [1] * 40, "watermarks": [0] * 40},
             "configs and the other lists name 80 pools, more than 64"),
            (trace() | {"strategies": [q.STRATEGY_CONTIGUOUS_MAX]},
             "strategies[0] needs a pool with max_model_tokens, which it reserves")):
        with refused(StatusCode.INVALID_ARGUMENT) as told:
            what_if(pool, **asked)
        assert told.message == words
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        what_if(pool, block_sizes=[64], pool_blocks=[10] * 63, trace=q.WhatIfTrace(
            arrival_us=[0] * 25, input_tokens=[1] * 25, output_tokens=[200_000] * 25))
    assert told.message.startswith("trace.output_tokens are 5000000 for each of 64 pools")


def test_an_answer_longer_than_a_sequence_may_be_ends_the_request_and_not_the_server(new_pool):
    pool = new_pool(16, 16)
    trace = q.WhatIfTrace(arrival_us=[0], input_tokens=[60], output_tokens=[10])
    [row] = what_if(pool, trace=trace, configs=[
        q.PoolConfig(blocks=16, block_size=16, max_model_tokens=64)]).rows
    assert (row.replay.requests, row.replay.never_fit) == (1, 1)
    assert pool.stats()


def test_calls_beside_a_long_trace_are_answered_and_it_can_be_given_up(server):
    with grpc.insecure_channel(server.tcp) as channel:
        client = Client(channel)
        count = 2_000
        trace = q.WhatIfTrace(
            arrival_us=[i * 1_000 for i in range(count)], input_tokens=[200] * count,
            output_tokens=[2_000] * count)
        call = client.Analyzer.WhatIf.future(
            q.WhatIfRequest(call=client.call(), trace=trace, pool_blocks=[5_000] * 8), timeout=600)
        waited = []
        for _ in range(50):
            began = time.monotonic()
            client.stats()
            waited.append(time.monotonic() - began)
        assert not call.done()
        call.cancel()
        # Bounded by a piece of some milliseconds, here of a debug build on a busy machine.
        assert sorted(waited)[25] < 0.5
        # The next one has its turn: it does not wait for the one that was given up.
        small = q.WhatIfTrace(arrival_us=[0], input_tokens=[1], output_tokens=[1])
        [row] = client.Analyzer.WhatIf(
            q.WhatIfRequest(call=client.call(), trace=small, pool_blocks=[4]),
            timeout=PATIENCE).rows
        assert row.replay.requests == 1


def quire(server, *arguments):
    return subprocess.run(
        [os.environ["QUIRE"], "what-if", "--target", server.unix, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE * 10)


@pytest.fixture
def trace_file(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(
        json.dumps({"timestamp": 1000 * i, "input_length": 1024, "output_length": 1,
                    "hash_ids": [1, 2 + i % 2]}) + "\n" for i in range(4)))
    return path


def test_quire_plays_a_trace_file(server, new_pool, trace_file):
    pool = new_pool(200, 16)
    ended = quire(server, "--pool", pool.pool, "--trace", trace_file, "--block-sizes", "16,512",
                  "--csv")
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    # 32 blocks of the first half, then all but the last block of two; of 512 tokens one block each.
    assert [int(row["replay.hit_tokens"]) for row in rows] == [
        512 + 2 * 63 * 16, 3 * 512]
    ended = quire(server, "--pool", pool.pool, "--trace", trace_file, "--prompts-only", "--json")
    assert json.loads(ended.stdout)["rows"][0]["replay"]["hit_tokens"] == 512 + 2 * 1024
    ended = quire(server, "--pool", pool.pool, "--trace", trace_file, "--limit", "2")
    assert ended.stdout.splitlines()[0] == "2 requests of 1025.0 tokens on average"
    assert " 25.0 % " in ended.stdout


def test_quire_says_what_is_wrong_with_what_is_asked(server, trace_file):
    for arguments, words in (
            (["--evictions", "lru"], "--evictions needs --trace"),
            (["--trace", trace_file, "--evictions", "lfo"],
             "--evictions has 'lfo'; expected lru, lfu, s3-fifo, priority; did you mean lfu?"),
            (["--watermarks", "0.1,1"], "--watermarks has '1'; expected shares"),
            (["--trace", "/nonexistent"], "--trace: /nonexistent")):
        ended = quire(server, *arguments)
        assert ended.returncode == 1
        assert words in ended.stderr


@pytest.mark.skipif(not os.environ.get("QUIRE_TRACES"), reason="QUIRE_TRACES names no folder")
def test_mooncakes_conversations_hit_as_is_published(server, tmp_path):
    with RunningServer(str(tmp_path), ["default:blocks=200000,block-size=512"]) as own:
        path = os.path.join(os.environ["QUIRE_TRACES"], "mooncake_conversation_trace.jsonl")
        ended = quire(own, "--trace", path, "--prompts-only", "--pool-blocks",
                      "1000,10000,50000,200000", "--json")
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
    hits = [row["replay"]["hit_tokens"] // 512 for row in told["rows"]]
    assert told["sequences"] == 12_031
    assert {row["replay"]["prompt_tokens"] // 512 for row in told["rows"]} == {288_500}
    assert hits[3] == 105_710
    assert told["rows"][3]["replay"]["evictions"] == 0
    # LRU by capacity: 4.5, 21.2 and 35.5 %.
    for found, published in zip(hits, (0.045, 0.212, 0.355)):
        assert abs(found / 288_500 - published) < 0.02
