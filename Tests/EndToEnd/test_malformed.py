"""Bytes that no proper client sends: each gets its answer, and nobody else notices."""

import random
import struct

import pytest

from quire_client import eventually, q
from raw_http2 import (
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    RawConnection, frame, grpc_message, literal,
)

ALLOCATE = "/quire.v1.BlockPool/Allocate"
RUN = "/quire.v1.Scheduler/Run"
DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 4, 5, 8
INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL = 3, 12, 13


@pytest.fixture
def raw(server):
    with RawConnection(server.port) as connection:
        yield connection


@pytest.fixture(autouse=True)
def nobody_else_notices(server, client):
    """A proper client goes on, the default pool is as it was, no connection stays behind."""
    before = client.digest()
    descriptors = server.open_descriptors()
    yield
    assert server.is_running()
    assert client.digest() == before
    eventually(lambda: server.open_descriptors() <= descriptors)


def allocation(count=1, pool=b"nowhere"):
    """A request for a pool that is not there, so that answering it changes nothing."""
    request = q.AllocateRequest(allocate=q.Allocate(count=count))
    call = b"\x0a" + bytes([len(pool)]) + pool
    return b"\x0a" + bytes([len(call)]) + call + request.SerializeToString()


def test_a_proper_request_by_hand_is_answered(raw):
    answer = raw.unary(ALLOCATE, grpc_message(allocation()))
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"].startswith("application/grpc")
    assert answer.grpc_status == NOT_FOUND


def test_padding_is_taken_off(raw):
    raw.open(ALLOCATE)
    message = grpc_message(allocation())
    padded = 8
    for part in (message[:7], message[7:]):
        payload = bytes([20]) + part + bytes(20)
        raw.send(frame(DATA, padded, 1, payload))
    raw.data(b"", end=True)
    assert raw.answer().grpc_status == NOT_FOUND


def test_settings_of_other_makes_are_ignored(server):
    # gRPC's own clients announce true binary metadata so.
    hello = PREFACE + frame(SETTINGS, payload=struct.pack(">HI", 0xFE03, 1))
    with RawConnection(server.port, hello) as raw:
        assert raw.unary(ALLOCATE, grpc_message(allocation())).grpc_status == NOT_FOUND


def test_a_clients_trailers_end_its_side_and_are_not_read(raw):
    raw.open(ALLOCATE)
    raw.data(grpc_message(allocation()))
    trailers = literal("x-last", "words") + literal("grpc-status", "3")
    raw.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, trailers))
    assert raw.answer().grpc_status == NOT_FOUND


def test_a_message_may_come_a_byte_at_a_time(raw):
    raw.open(ALLOCATE)
    for byte in grpc_message(allocation()):
        raw.data(bytes([byte]))
    raw.data(b"", end=True)
    assert raw.answer().grpc_status == NOT_FOUND


@pytest.mark.parametrize(
    "payload, status",
    [
        (grpc_message(allocation(), flag=2), {INTERNAL}),
        (grpc_message(allocation(), flag=1), {INTERNAL}),  # compressed, by no encoding
        (grpc_message(allocation())[:-1], {INTERNAL}),
        (grpc_message(allocation())[:3], {INTERNAL}),
        (grpc_message(b"", length=1 << 31), {RESOURCE_EXHAUSTED}),
        (grpc_message(b"", length=(4 << 20) + 1), {RESOURCE_EXHAUSTED}),
        (b"", {UNIMPLEMENTED, INTERNAL}),
        (grpc_message(allocation()) * 2, {UNIMPLEMENTED, INTERNAL}),
        (grpc_message(b"\xff\xff\xff\xff"), {INTERNAL}),
        (grpc_message(b"\x0a\x7f"), {INTERNAL}),  # a field longer than the message
        (grpc_message(b"\x12\x02\x08"), {INTERNAL}),
        (grpc_message(allocation(pool=b"\xff\xfe")), {INTERNAL, INVALID_ARGUMENT}),
        (grpc_message(allocation(pool=b"a\x00b")), {INTERNAL, INVALID_ARGUMENT}),
    ],
    ids=lambda value: None if isinstance(value, set) else value[:12].hex() or "empty",
)
def test_a_broken_message_gets_its_status(raw, payload, status):
    assert raw.unary(ALLOCATE, payload).grpc_status in status


def test_a_broken_message_on_a_stream_ends_it(raw):
    answer = raw.unary(RUN, grpc_message(b"\xff\xff\xff\xff"))
    assert answer.grpc_status == INTERNAL


@pytest.mark.parametrize("timeout", ["1", "123456789S", "5x", "S", "-1S", "1.5S"])
def test_a_malformed_timeout_is_refused(raw, timeout):
    assert raw.unary(ALLOCATE, grpc_message(allocation()), grpc_timeout=timeout).grpc_status == (
        INTERNAL)


def test_the_server_itself_ends_a_call_at_its_deadline(raw):
    raw.open(RUN, grpc_timeout="50m")
    assert raw.answer().grpc_status == DEADLINE_EXCEEDED


def test_an_expired_call_is_not_run(raw):
    answer = raw.unary(ALLOCATE, grpc_message(allocation()), grpc_timeout="0n")
    assert answer.grpc_status == DEADLINE_EXCEEDED


def test_the_largest_timeout_is_a_long_time(raw):
    answer = raw.unary(ALLOCATE, grpc_message(allocation()), grpc_timeout="99999999H")
    assert answer.grpc_status == NOT_FOUND


@pytest.mark.parametrize(
    "path", ["/quire.v1.BlockPool/allocate", "/quire.v1.Nothing/At", "/", "/quire.v1.BlockPool"]
)
def test_an_unknown_path_is_unimplemented(raw, path):
    assert raw.unary(path, grpc_message(b"")).grpc_status == UNIMPLEMENTED


@pytest.mark.parametrize("content_type", ["text/plain", "application/grpc-web", "application/json"])
def test_what_is_not_grpc_is_refused_as_http(raw, content_type):
    answer = raw.unary(ALLOCATE, grpc_message(allocation()), content_type=content_type)
    assert answer.headers[":status"] == "415"


def test_frames_of_unknown_kinds_are_ignored(raw):
    raw.send(frame(0xEE, 0xFF, 0, b"whatever"))
    assert raw.unary(ALLOCATE, grpc_message(allocation())).grpc_status == NOT_FOUND


@pytest.mark.parametrize(
    "sent",
    [
        frame(DATA, 0, 0, b"data of no stream"),
        frame(DATA, 0, 1, b"data of a stream never opened"),
        frame(HEADERS, END_HEADERS, 2, literal(":method", "POST")),  # an even stream
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),  # broken header compression
        frame(SETTINGS, 0, 0, b"12345"),
        frame(SETTINGS, 0, 1),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
        frame(RST_STREAM, 0, 5, struct.pack(">I", 8)),
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # a frame of 16 MiB
    ],
    ids=lambda sent: sent[:10].hex(),
)
def test_a_broken_frame_ends_its_connection(raw, sent):
    raw.send(sent)
    assert raw.is_closed_by_peer()


@pytest.mark.parametrize(
    "hello",
    [
        b"GET / HTTP/1.1\r\nHost: quire\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS
        bytes(range(256)),
        PREFACE[:-1] + b"X" + frame(SETTINGS),
        PREFACE + frame(DATA, 0, 1, b"not settings"),
    ],
    ids=["http1", "tls", "garbage", "wrong-preface", "no-settings"],
)
def test_a_peer_that_does_not_speak_http2_is_sent_away(server, hello):
    with RawConnection(server.port, hello) as connection:
        assert connection.is_closed_by_peer()


def test_peers_that_leave_in_the_middle_are_forgotten(server):
    whole = grpc_message(allocation())
    for end in range(len(whole)):
        with RawConnection(server.port) as connection:
            connection.open(ALLOCATE)
            connection.data(whole[:end])


@pytest.mark.parametrize("seed", range(4))
def test_random_frames_end_no_one_but_their_sender(server, seed):
    generator = random.Random(seed)
    for _ in range(100):
        with RawConnection(server.port) as connection:
            try:
                if generator.random() < 0.7:
                    connection.open(generator.choice([ALLOCATE, RUN]))
                for _ in range(generator.randrange(1, 8)):
                    kind = generator.choice([*range(10), generator.randrange(256)])
                    payload = generator.randbytes(generator.choice([0, 4, 5, 6, 8, 40, 400]))
                    stream = generator.choice([0, 1, 1, 1, 2, 3, 5])
                    connection.send(frame(kind, generator.randrange(256), stream, payload))
            except ConnectionError:
                pass  # the server had enough of it: its right


@pytest.mark.parametrize("seed", range(4))
def test_random_messages_get_a_status(server, seed):
    generator = random.Random(seed)
    paths = [ALLOCATE, "/quire.v1.Scheduler/Step", "/quire.v1.Sequences/Admit",
             "/quire.v1.Pools/GetPool", "/quire.v1.BlockPool/Free"]
    with RawConnection(server.port) as connection:
        for index in range(200):
            stream = 2 * index + 1
            # Whatever else the message says, it is for a pool that is not there.
            body = allocation() + generator.randbytes(generator.randrange(1, 40))
            connection.open(generator.choice(paths), stream)
            connection.data(grpc_message(body), stream, end=True)
            answer = connection.answer(stream)
            assert answer.grpc_status not in (None, 2), answer.__dict__


def test_reset_streams_leave_nothing_behind(server):
    with RawConnection(server.port) as connection:
        for index in range(500):
            stream = 2 * index + 1
            connection.open(RUN, stream)
            connection.reset(stream)
        connection.open(ALLOCATE, 2001)
        connection.data(grpc_message(allocation()), 2001, end=True)
        assert connection.answer(2001).grpc_status == NOT_FOUND


def test_a_client_that_says_goodbye_is_let_go(raw):
    raw.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
    assert raw.is_closed_by_peer()


@pytest.mark.parametrize("cut", [1, 9, 20, 60, 100, 110, 133])
def test_a_header_block_in_two_reads_is_one_request_whatever_ends_between_them(raw, cut):
    """The answer to the first request ends its stream while the block of the second is half read."""
    fields = {
        ":method": "POST", ":scheme": "http", ":path": ALLOCATE, ":authority": "test",
        "te": "trailers", "content-type": "application/grpc"}
    block = b"".join(literal(name, value) for name, value in fields.items())
    # AllocateRequest{call{pool: "x"}}: there is no such pool.
    message = grpc_message(bytes([0x0A, 3, 0x0A, 1, 0x78, 0x12, 2, 8, 1]))
    first, second = (
        frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, message)
        for stream in (1, 3))
    raw.answer(stream=None, until_settings_ack=True)
    raw.send(first + second[:cut])
    assert raw.answer(stream=1).grpc_status == NOT_FOUND
    raw.send(second[cut:])
    answer = raw.answer(stream=3)
    assert answer.headers[":status"] == "200"
    assert answer.grpc_status == NOT_FOUND
