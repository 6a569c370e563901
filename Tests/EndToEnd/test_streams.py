"""Scheduler.Run: the same as Step, as a stream; and clients that go away."""

import os
import queue
import signal
import subprocess
import sys

import grpc
from grpc import StatusCode
import pytest

from quire_client import (
    PATIENCE, Client, admit_new, allocate, check_partition, decode, eventually, op_reason, q,
    refused, untouched,
)


class Stream:
    """Scheduler.Run, one request at a time."""

    def __init__(self, client, **more):
        self.client = client
        self.requests = queue.Queue()
        self.call = client.Scheduler.Run(iter(self.requests.get, None), **more)

    def send(self, *ops, **more):
        self.requests.put(self.client.step_request(*ops, **more))

    def step(self, *ops, **more):
        self.send(*ops, **more)
        return next(self.call)

    def half_close(self):
        self.requests.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.half_close()
        self.call.cancel()


def test_replies_come_in_order_one_per_request(new_pool, any_client):
    pool = new_pool(blocks=1000, on=any_client)
    with Stream(pool, timeout=PATIENCE) as stream:
        for _ in range(1000):
            stream.send(allocate(1))
        stream.half_close()
        replies = list(stream.call)
    assert [reply.revision for reply in replies] == list(range(1, 1001))
    blocks = [reply.results[0].allocate.block_ids[0] for reply in replies]
    assert blocks == list(range(1, 1001))
    assert stream.call.code() == StatusCode.OK


def test_a_reply_comes_before_the_next_request_is_sent(new_pool, any_client):
    pool = new_pool(on=any_client)
    with Stream(pool) as stream:
        assert list(stream.step(admit_new(1, 4)).results[0].admit.new_block_ids) == [1]
        assert list(stream.step(decode(1)).results[0].decode.new_block_ids) == [2]


def test_a_refusal_does_not_end_the_stream(pool):
    with Stream(pool) as stream:
        assert op_reason(stream.step(allocate(17)).results[0]) == "NEVER"
        aborted = stream.step(allocate(1), allocate(17), on_refusal=q.ON_REFUSAL_ABORT)
        assert aborted.refusal.reason == q.REFUSAL_REASON_NEVER
        moved = stream.step(allocate(1), call=pool.call(if_revision=9))
        assert moved.refusal.reason == q.REFUSAL_REASON_REVISION_MOVED
        nowhere = stream.step(allocate(1), call=q.Call(pool="nowhere"))
        assert "nowhere" in nowhere.refusal.detail
        reply = stream.step(allocate(1))
        assert (reply.revision, list(reply.results[0].allocate.block_ids)) == (1, [1])


def test_an_empty_stream_ends_well(pool):
    with Stream(pool, timeout=PATIENCE) as stream:
        stream.half_close()
        assert list(stream.call) == []
        assert stream.call.code() == StatusCode.OK


def test_streams_and_unary_calls_share_the_pool(pool):
    with Stream(pool) as one, Stream(pool) as two:
        assert list(one.step(allocate(1)).results[0].allocate.block_ids) == [1]
        assert list(pool.allocate(1).block_ids) == [2]
        assert list(two.step(allocate(1)).results[0].allocate.block_ids) == [3]


def test_a_large_reply_passes_flow_control(new_pool):
    pool = new_pool(blocks=300_000)
    with Stream(pool, timeout=PATIENCE) as stream:
        reply = stream.step(allocate(300_000))
        assert list(reply.results[0].allocate.block_ids) == list(range(1, 300_001))


def test_a_large_request_passes_flow_control(new_pool):
    pool = new_pool(blocks=300_000)
    pool.allocate(300_000)
    assert pool.free(range(1, 300_001)).freed_blocks == 300_000


def test_a_message_over_four_mebibytes_is_refused(server, pool):
    with untouched(pool), refused(StatusCode.RESOURCE_EXHAUSTED):
        pool.free([4294967295] * 900_000)


def test_a_cancelled_stream_keeps_what_it_did(pool):
    with Stream(pool) as stream:
        stream.step(allocate(3))
        stream.call.cancel()
        assert stream.call.code() == StatusCode.CANCELLED
    assert pool.stats().active_blocks == 3
    with Stream(pool) as stream:
        assert list(stream.step(allocate(1)).results[0].allocate.block_ids) == [4]


def test_a_stream_past_its_deadline_ends(pool):
    with Stream(pool, timeout=0.2) as stream:
        stream.step(allocate(1))
        with refused(StatusCode.DEADLINE_EXCEEDED):
            next(stream.call)
    assert pool.stats().active_blocks == 1


HOLDER = """
import sys, grpc
sys.path[:0] = sys.argv[3:5]
from quire_client import Client, allocate, q
pool = Client(grpc.insecure_channel(sys.argv[1])).on(sys.argv[2])
requests = iter([pool.step_request(allocate(5))])
def forever():
    yield next(requests)
    sys.stdin.read()
for reply in pool.Scheduler.Run(forever()):
    print(*reply.results[0].allocate.block_ids, flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_killed_in_mid_stream_leaves_its_blocks_held(server, pool, end):
    before = server.open_descriptors()
    here = os.path.dirname(os.path.abspath(__file__))
    with Stream(pool) as other:
        other.step(allocate(1))
        holder = subprocess.Popen(
            [sys.executable, "-B", "-c", HOLDER, server.tcp, pool.pool, here, os.environ["STUBS"]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout.readline().split() == ["2", "3", "4", "5", "6"]
        assert server.open_descriptors() == before + 1
        holder.send_signal(end)
        holder.wait()
        eventually(lambda: server.open_descriptors() == before)
        # Other clients notice nothing.
        assert list(other.step(allocate(1)).results[0].allocate.block_ids) == [7]
    stats = pool.stats()
    check_partition(stats)
    assert stats.active_blocks == 7
    # Visible, and there to be freed by whoever takes over.
    assert pool.free(range(1, 8)).available_blocks == 16


def test_a_reader_that_reads_nothing_holds_up_no_one(server, new_pool):
    pool = new_pool(blocks=200_000)
    with grpc.insecure_channel(server.tcp, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        lazy = Client(channel).on(pool.pool)
        with Stream(lazy) as stream:
            for _ in range(20):
                stream.send(allocate(10_000))
            eventually(lambda: pool.stats().active_blocks >= 100_000)
            assert pool.list().sequences == []
