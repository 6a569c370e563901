"""Many calls at once, many connections."""

import asyncio
import socket
import struct

import grpc

from quire_client import PATIENCE, Client, allocate, check_partition, eventually, q
from raw_http2 import PREFACE, SETTINGS, frame


def test_a_thousand_unary_calls_at_once(server, new_pool):
    pool = new_pool(blocks=1000)
    request = q.AllocateRequest(call=pool.call(), allocate=q.Allocate(count=1))
    calls = [pool.BlockPool.Allocate.future(request, timeout=PATIENCE) for _ in range(1000)]
    replies = [call.result() for call in calls]
    # Each has a block of its own, each a revision of its own.
    assert sorted(reply.block_ids[0] for reply in replies) == list(range(1, 1001))
    assert sorted(reply.revision for reply in replies) == list(range(1, 1001))
    assert pool.stats().free_blocks == 0


def test_a_thousand_streams_open_at_once(server, new_pool):
    pool = new_pool(blocks=1000)

    async def run():
        # Ten connections of a hundred streams; the limit of one connection is the server's to set.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(server.tcp, options) for _ in range(10)]
        streams = [Client(channels[i % 10], pool.pool).Scheduler.Run() for i in range(1000)]
        request = pool.step_request(allocate(1))

        async def step(stream):
            await stream.write(request)
            return await stream.read()

        replies = await asyncio.gather(*(step(stream) for stream in streams))
        # All of them have answered and none has ended.
        more = await asyncio.gather(*(step(stream) for stream in streams))
        for stream in streams:
            await stream.done_writing()
        codes = await asyncio.gather(*(stream.code() for stream in streams))
        for channel in channels:
            await channel.close()
        return replies, more, codes

    replies, more, codes = asyncio.run(asyncio.wait_for(run(), 60))
    blocks = sorted(reply.results[0].allocate.block_ids[0] for reply in replies)
    assert blocks == list(range(1, 1001))
    assert all(r.results[0].refusal.reason == q.REFUSAL_REASON_LATER for r in more)
    assert set(codes) == {grpc.StatusCode.OK}


def test_concurrent_clients_end_where_they_began(server, new_pool):
    pool = new_pool(blocks=64)

    async def take_and_give(channel, turns):
        client = Client(channel, pool.pool)
        request = q.AllocateRequest(call=pool.call(), allocate=q.Allocate(count=1))
        for _ in range(turns):
            reply = await client.BlockPool.Allocate(request)
            blocks = q.FreeBlocks(block_ids=reply.block_ids, generations=[reply.revision])
            await client.BlockPool.Free(q.FreeRequest(call=pool.call(), free_blocks=blocks))

    async def run():
        channels = [grpc.aio.insecure_channel(server.tcp) for _ in range(8)]
        await asyncio.gather(*(take_and_give(channels[i % 8], 25) for i in range(64)))
        for channel in channels:
            await channel.close()

    asyncio.run(asyncio.wait_for(run(), 60))
    stats = pool.stats()
    check_partition(stats)
    assert (stats.free_blocks, stats.allocate_calls, stats.free_calls) == (64, 1600, 1600)
    assert stats.revision == 3200


def open_and_close(server, how_many, batch=100):
    """Silent, after the preface, in half a frame; closed properly or by reset: each in turn.

    A whole batch is open at once, and never more: else what the server keeps for the next
    connections, as much as its fullest moment needed, would depend on who is quicker.
    """
    before = server.open_descriptors()
    said = [b"", PREFACE + frame(SETTINGS), PREFACE + frame(SETTINGS) + b"\x00\x00\x40\x01\x04"]
    for start in range(0, how_many, batch):
        sockets = []
        for index in range(start, min(start + batch, how_many)):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
            connection.sendall(said[index % 3])
            if index % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sockets.append(connection)
        eventually(lambda: server.open_descriptors() == before + len(sockets))
        for connection in sockets:
            connection.close()
        eventually(lambda: server.open_descriptors() == before)


def test_ten_thousand_connections_come_and_go(server, client, pool):
    pool.add_and_admit(1, 30)
    stats = pool.stats()
    open_and_close(server, 1000)  # fills what the server keeps for the next connections
    resident = server.resident_bytes()
    open_and_close(server, 10_000)
    assert server.resident_bytes() - resident < 1 << 20
    assert pool.stats() == stats
