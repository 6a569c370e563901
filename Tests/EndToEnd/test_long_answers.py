"""Answers that take longer than a request may take to come, by stock grpcio: the limit is none of theirs."""

import time

import grpc
import pytest

from quire_client import PATIENCE, Client, q
from raw_http2 import RawConnection, grpc_message
from running_server import RunningServer

STALL = 0.2


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """A server that does not wait long for what a client has to say."""
    with RunningServer(
            str(tmp_path_factory.mktemp("hasty")), ["default:blocks=64,block-size=16"],
            more=["--request-stall", f"{STALL * 1000:.0f}ms", "--kv-events-heartbeat",
                  "600ms"]) as server:
        yield server


@pytest.fixture
def client(hasty):
    with grpc.insecure_channel(hasty.tcp) as channel:
        yield Client(channel)


def test_what_says_something_three_times_in_as_long_as_that_goes_on(client):
    stats = client.Analyzer.WatchStats(
        q.WatchStatsRequest(call=client.call(), interval_ms=600), timeout=PATIENCE)
    events = client.Events.SubscribeKvEvents(
        q.SubscribeKvEventsRequest(call=client.call()), timeout=PATIENCE)
    # Each begins at once, and has nothing to say for a while.
    for stream in (stats, events):
        next(stream)
        next(stream)
    ids = client.allocate(3).block_ids
    assert next(s for s in stats if s.active_blocks == 3)
    client.cache_blocks(ids[:1], bytes(32))
    assert next(batch for batch in events if batch.events)
    stats.cancel()
    events.cancel()
    client.free(ids)


def test_a_trace_that_takes_longer_to_play_is_played_to_its_end(client):
    requests = 100
    took = 0
    # However fast the machine is.
    while took < 4 * STALL:
        requests *= 2
        trace = q.WhatIfTrace(
            arrival_us=[i * 1_000 for i in range(requests)], input_tokens=[200] * requests,
            output_tokens=[200] * requests)
        began = time.monotonic()
        [row] = client.Analyzer.WhatIf(
            q.WhatIfRequest(call=client.call(), trace=trace, pool_blocks=[5_000]),
            timeout=PATIENCE).rows
        took = time.monotonic() - began
        assert row.replay.requests == requests


def test_a_request_whose_end_does_not_come_is_not_waited_for(hasty):
    with RawConnection(hasty.port) as raw:
        raw.open("/quire.v1.Analyzer/WatchStats")
        raw.data(grpc_message(b""))
        assert raw.answer().grpc_status == 4
