"""Limits of the transport as flags set them, and what attackers get, while a proper client goes on."""

import resource
import select
import socket
import struct
import threading
import time

import grpc
from grpc import StatusCode
import pytest

from quire_client import PATIENCE, Client, allocate, eventually, refused
from raw_http2 import (
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    RawConnection, frame, grpc_message, literal,
)
from running_server import RunningServer

ENHANCE_YOUR_CALM = 11
RUN = "/quire.v1.Scheduler/Run"


@pytest.fixture
def start(tmp_path):
    """Starts a server with the flags, and a proper client of it."""
    made = []

    def start(*flags):
        server = RunningServer(str(tmp_path), more=flags)
        made.append(server)
        return server, Client(grpc.insecure_channel(server.tcp))

    yield start
    for server in made:
        assert server.stop() == 0, server.log()


def head(stream, path=RUN):
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test",
              "content-type": "application/grpc", "te": "trailers"}
    return frame(
        HEADERS, END_HEADERS, stream, b"".join(literal(*field) for field in fields.items()))


def repeated(data, count=200):
    return lambda _: data * count


# A connection's worth of bytes for each round of an attack.
ATTACKS = {
    "pings": repeated(frame(PING, 0, 0, b"flooding")),
    "settings": repeated(frame(SETTINGS)),
    "window updates": repeated(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    "empty data": lambda n: (head(1) if n == 0 else b"") + frame(DATA, 0, 1) * 200,
    "continuations": lambda n: (
        frame(HEADERS, 0, 1, literal(":method", "POST")) if n == 0 else b""
    ) + frame(CONTINUATION, 0, 1, literal("x", "y")) * 10,
    "resets": lambda n: b"".join(
        head(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        for stream in range(400 * n + 1, 400 * n + 401, 2)),
    "resets by the server": lambda n: b"".join(
        head(stream) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**31 - 1))
        for stream in range(400 * n + 1, 400 * n + 401, 2)),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_ends_its_own_connection_only(server, client, attack):
    with RawConnection(server.port) as raw:
        raw.socket.setblocking(False)
        ended = False
        for number in range(400):
            # What the server has to say is not read, as an attacker would not.
            try:
                raw.socket.sendall(ATTACKS[attack](number))
            except BlockingIOError:
                select.select([raw.socket], [raw.socket], [], 1)
            except ConnectionError:
                ended = True
                break
            if number % 20 == 0:
                assert client.get_pool().blocks == 64
        raw.socket.setblocking(True)
        assert ended or raw.is_closed_by_peer()
    assert client.get_pool().blocks == 64


def test_the_log_names_who_was_cut_off_and_why(start):
    server, client = start()
    with RawConnection(server.port) as raw:
        raw.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2_000)
        assert raw.is_closed_by_peer()
        port = raw.socket.getsockname()[1]
    eventually(lambda: f'reason="too many control frames" peer=127.0.0.1:{port}' in server.log())
    assert client.get_pool().blocks == 4096


def test_curl_is_told_what_the_port_speaks(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = b""
        while more := plain.recv(4096):
            answer += more
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") and b"gRPC" in answer


def test_a_message_over_the_limit_of_the_flag_is_refused(start):
    _, client = start("--max-message-bytes", "1KiB")
    with refused(StatusCode.RESOURCE_EXHAUSTED):
        client.free([1] * 5_000)
    client.get_pool()


def test_more_calls_than_the_flag_allows_are_unavailable_with_a_pushback(start):
    server, client = start(
        "--max-calls", "2", "--reserved-calls", "0", "--retry-pushback", "1500ms")
    with RawConnection(server.port) as raw:
        raw.send(head(1) + head(3) + head(5))
        answer = raw.answer(stream=5)
        assert answer.grpc_status == 14
        assert answer.headers["grpc-retry-pushback-ms"] == "1500"
        raw.reset(1)
        assert raw.unary(RUN, grpc_message(b""), stream=7).grpc_status == 0
    eventually(lambda: client.get_pool().blocks == 4096)


def test_a_client_that_fills_the_calls_does_not_take_those_of_others(start):
    server, client = start("--max-calls", "100")
    with RawConnection(server.port) as raw:
        raw.send(b"".join(head(stream) for stream in range(1, 401, 2)))
        assert raw.answer(stream=399).grpc_status == 14
        # Stock clients see none of it, with as many streams at once as the least share.
        for _ in range(3):
            assert client.get_pool().blocks == 4096
        run = client.channel.stream_stream(RUN)
        never = threading.Event()
        streams = [run(iter(never.wait, True)) for _ in range(10)]
        assert client.get_pool().blocks == 4096
        for stream in streams:
            stream.cancel()
        never.set()


def test_connections_over_the_flag_are_closed_and_others_served(start):
    server, client = start("--max-connections", "3")
    client.get_pool()
    with RawConnection(server.port) as one, RawConnection(server.port) as two:
        assert not one.answer(stream=None, until_settings_ack=True).closed
        assert not two.answer(stream=None, until_settings_ack=True).closed
        with RawConnection(server.port, b"") as third:
            assert third.is_closed_by_peer()
        assert client.get_pool().blocks == 4096


def test_a_server_out_of_descriptors_goes_on_and_recovers(start):
    server, client = start()
    client.get_pool()
    most = server.open_descriptors() + 20
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
    crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
    for connection in crowd:
        try:
            connection.sendall(PREFACE + frame(SETTINGS))
        except ConnectionError:
            pass  # turned away
    for _ in range(20):
        assert client.get_pool().blocks == 4096
    for connection in crowd:
        connection.close()
    eventually(lambda: server.open_descriptors() < most - 15)
    with grpc.insecure_channel(server.tcp) as channel:
        assert Client(channel).get_pool().blocks == 4096


def test_an_open_stream_with_nothing_under_way_does_not_hold_up_the_stop(start):
    server, client = start("--stop-grace", "1h", "--stop-idle-grace", "200ms")
    has_ended = threading.Event()

    def requests():
        yield client.step_request(allocate(1))
        has_ended.wait(PATIENCE)

    stream = client.Scheduler.Run(requests(), timeout=PATIENCE)
    next(stream)
    assert server.stop() == 0
    with pytest.raises(grpc.RpcError) as raised:
        next(stream)
    has_ended.set()
    assert raised.value.code() == StatusCode.UNAVAILABLE


def test_an_idle_connection_is_ended_and_the_client_connects_again(start):
    server, client = start("--max-connection-idle", "100ms")
    client.get_pool()
    eventually(lambda: "reason=idle" in server.log())
    assert client.get_pool().blocks == 4096


def test_a_client_that_stock_keepalive_finds_alive_is_kept(start):
    server, _ = start("--keepalive-interval", "50ms", "--keepalive-timeout", "5s")
    with RawConnection(server.port) as raw:
        raw.answer(stream=None, until_settings_ack=True)
        pings = 0
        while pings < 3:
            kind, flags, _, payload = raw.frame()
            if kind == PING and not flags & 1:
                pings += 1
                raw.send(frame(PING, 1, 0, payload))


def test_a_socket_that_stops_answering_is_dropped(start):
    server, client = start("--keepalive-interval", "50ms", "--keepalive-timeout", "100ms")
    with RawConnection(server.port) as raw:
        raw.send(frame(SETTINGS, 1))
        started = time.monotonic()
        while raw.socket.recv(65_536):
            assert time.monotonic() - started < PATIENCE
    assert client.get_pool().blocks == 4096
    eventually(lambda: 'reason="keepalive ping not answered"' in server.log())
