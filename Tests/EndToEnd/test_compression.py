"""gzip and deflate, as stock grpcio speaks them."""

import gzip
import zlib

import grpc
import pytest

from quire_client import PATIENCE, Client, q
from raw_http2 import RawConnection, grpc_message
from running_server import RunningServer

ALGORITHMS = {
    "gzip": (grpc.Compression.Gzip, 31),
    "deflate": (grpc.Compression.Deflate, 15),
}
ALLOCATE = "/quire.v1.BlockPool/Allocate"


def request(pool, count):
    return q.AllocateRequest(call=pool.call(), allocate=q.Allocate(count=count)).SerializeToString()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stock_client_that_compresses_is_served(server, new_pool, algorithm):
    pool = new_pool(blocks=3000)
    with grpc.insecure_channel(server.tcp, compression=ALGORITHMS[algorithm][0]) as channel:
        compressed = Client(channel, pool.pool)
        ids = compressed.allocate(2000).block_ids
        assert sorted(ids) == list(range(1, 2001))
        assert compressed.free(ids).freed_blocks == 2000
        # A stream of messages, both ways.
        steps = iter([compressed.step_request() for _ in range(3)])
        assert len(list(compressed.Scheduler.Run(steps, timeout=PATIENCE))) == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_replies_are_compressed_as_the_request_is(server, new_pool, algorithm):
    pool = new_pool(blocks=3000)
    body = request(pool, 2000)
    pack = gzip.compress if algorithm == "gzip" else zlib.compress
    with RawConnection(server.port) as connection:
        answer = connection.unary(
            ALLOCATE, grpc_message(pack(body), flag=1), grpc_encoding=algorithm,
            grpc_accept_encoding=f"identity,{algorithm}")
    assert answer.grpc_status == 0 and answer.headers["grpc-encoding"] == algorithm
    assert answer.headers["grpc-accept-encoding"] == "identity,deflate,gzip"
    assert answer.data[0] == 1 and int.from_bytes(answer.data[1:5], "big") == len(answer.data) - 5
    plain = zlib.decompress(answer.data[5:], ALGORITHMS[algorithm][1])
    assert len(q.AllocateReply.FromString(plain).block_ids) == 2000
    assert len(answer.data) < len(plain)


def test_a_client_that_says_nothing_of_encodings_is_told_nothing(server, new_pool):
    with RawConnection(server.port) as connection:
        answer = connection.unary(ALLOCATE, grpc_message(request(new_pool(), 1)))
    assert answer.grpc_status == 0 and answer.data[0] == 0
    assert not [name for name in answer.headers if "encoding" in name]


@pytest.mark.parametrize(
    "body, status",
    [
        (gzip.compress(bytes(5 << 20)), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (gzip.compress(b"")[:-1], grpc.StatusCode.INTERNAL),
        (gzip.compress(b"") + b"x", grpc.StatusCode.INTERNAL),
        (zlib.compress(b""), grpc.StatusCode.INTERNAL),
        (b"", grpc.StatusCode.INTERNAL),
    ],
    ids=["bomb", "cut short", "junk behind", "the other format", "nothing"],
)
def test_messages_that_do_not_unpack_are_refused(server, client, body, status):
    with RawConnection(server.port) as connection:
        answer = connection.unary(ALLOCATE, grpc_message(body, flag=1), grpc_encoding="gzip")
        assert answer.grpc_status == status.value[0] and not answer.data
    client.stats()


def test_bombs_leave_no_memory_behind(tmp_path):
    bomb = gzip.compress(bytes(15 << 20))
    # Thirty-five bombs come to the limit of 4 MiB each, and no budget is to stop them.
    with RunningServer(str(tmp_path), more=["--unpack-burst", "1GiB"]) as server:
        def blow(count):
            for _ in range(count):
                with RawConnection(server.port) as connection:
                    answer = connection.unary(
                        ALLOCATE, grpc_message(bomb, flag=1), grpc_encoding="gzip")
                    assert answer.grpc_status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]

        blow(5)
        before = server.resident_bytes()
        blow(30)
        assert server.resident_bytes() - before < 8 << 20


def test_past_its_budget_a_connection_has_nothing_unpacked(tmp_path):
    bomb = gzip.compress(bytes(15 << 20))
    budget = ["--unpack-burst", "64KiB", "--unpack-bytes-per-second", "64KiB"]
    with RunningServer(str(tmp_path), more=budget) as server:
        with RawConnection(server.port) as connection:
            def call(stream, message, **fields):
                connection.open(ALLOCATE, stream=stream, **fields)
                connection.data(message, stream=stream, end=True)
                return connection.answer(stream).grpc_status

            packed = grpc_message(bomb, flag=1)
            assert call(1, packed, grpc_encoding="gzip") == 8
            assert call(3, packed, grpc_encoding="gzip") == 14
            # What is not packed is read: it is no request.
            assert call(5, grpc_message(b"\xff")) == 13


def test_an_option_has_replies_compressed_for_all_who_read_them(tmp_path):
    more = ["--compress-replies", "deflate"]
    with RunningServer(str(tmp_path), ["default:blocks=3000"], more) as server:
        body = q.AllocateRequest(allocate=q.Allocate(count=2000)).SerializeToString()
        with RawConnection(server.port) as connection:
            answer = connection.unary(
                ALLOCATE, grpc_message(body), grpc_accept_encoding="identity,deflate,gzip")
        assert answer.headers["grpc-encoding"] == "deflate" and answer.data[0] == 1
        assert len(q.AllocateReply.FromString(zlib.decompress(answer.data[5:])).block_ids) == 2000
