"""HTTP/2 frame by frame, as the conformance suite h2spec goes about it: one connection for each case,
and the reactions that RFC 9113 (and RFC 7541 for header compression) allow.

The numbers are those of RFC 7540, by which that suite names its cases. Where an error of the
connection is due, a GOAWAY with the code or the end of the connection will do; where one of the
stream, also a RST_STREAM.
"""

import struct

import pytest

from quire_client import eventually
from raw_http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PRIORITY_FLAG, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, RawConnection, frame, literal,
)

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 1, 3, 5, 6
REFUSED_STREAM, COMPRESSION_ERROR = 7, 9
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5

GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")]
POST = [(":method", "POST")] + GET[1:]


def block(fields=GET, more=()):
    return b"".join(literal(name, value) for name, value in [*fields, *more])


def u32(number):
    return struct.pack(">I", number)


def setting(identifier, value):
    return struct.pack(">HI", identifier, value)


def headers(stream=1, flags=END_STREAM | END_HEADERS, payload=None):
    return frame(HEADERS, flags, stream, block() if payload is None else payload)


def post(stream=1, more=()):
    return headers(stream, END_HEADERS, block(POST, more))


def rst(stream=1, code=8):
    return frame(RST_STREAM, 0, stream, u32(code))


# What may come back.


def answered(connection):
    """A whole response on stream 1, and a connection that goes on."""
    answer = connection.answer()
    assert answer.ended and ":status" in answer.headers, vars(answer)
    # A body: the flow control cases need DATA to be held back.
    assert answer.data
    alive(connection)


def alive(connection):
    connection.send(frame(PING, 0, 0, b"anyone??"))
    assert connection.answer(stream=None, until_ping=b"anyone??").pinged


def greeted(connection):
    """Both sides have acknowledged the other's SETTINGS, or are about to."""
    assert not connection.answer(stream=None, until_settings_ack=True).closed


GREETING = lambda connection: connection.first_frame_is(SETTINGS)  # noqa: E731
SETTINGS_ACK = greeted


def connection_error(*codes):
    def check(connection):
        answer = connection.answer(stream=None)
        assert answer.closed
        assert answer.goaway is None or answer.goaway in codes, vars(answer)
    return check


def stream_error(*codes):
    def check(connection):
        answer = connection.answer(stream=1, until_end=False)
        assert answer.reset in codes or answer.goaway in codes or answer.closed, vars(answer)
    return check


def data_of(*lengths):
    """DATA frames of these lengths on stream 1."""
    def check(connection):
        for length in lengths:
            assert connection.next_data() == length
    return check


CASES = {
    # Generic: what a server has to take.
    "generic/2/1 PRIORITY on an idle stream": (
        frame(PRIORITY, 0, 1, u32(0) + b"\xff") + headers(), answered),
    "generic/2/2 WINDOW_UPDATE on a half-closed stream": (
        headers() + frame(WINDOW_UPDATE, 0, 1, u32(100)), answered),
    "generic/2/3 PRIORITY on a half-closed stream": (
        headers() + frame(PRIORITY, 0, 1, u32(0) + b"\xff"), answered),
    "generic/2/4 RST_STREAM on a half-closed stream": (headers() + rst(), alive),
    "generic/3.1/1 a DATA frame": (post() + frame(DATA, END_STREAM, 1, b"test"), answered),
    "generic/3.1/2 several DATA frames": (
        post() + frame(DATA, 0, 1, b"test") + frame(DATA, END_STREAM, 1, b"test"), answered),
    "generic/3.1/3 a padded DATA frame": (
        post() + frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + b"\0" * 6), answered),
    "generic/3.2/1 a HEADERS frame": (headers(), answered),
    "generic/3.2/2 a padded HEADERS frame": (
        headers(1, END_STREAM | END_HEADERS | PADDED, b"\x06" + block() + b"\0" * 6), answered),
    "generic/3.2/3 a HEADERS frame with priority": (
        headers(1, END_STREAM | END_HEADERS | PRIORITY_FLAG, u32(0) + b"\x0f" + block()), answered),
    "generic/3.3/1 a PRIORITY of 1": (frame(PRIORITY, 0, 1, u32(0) + b"\0") + headers(), answered),
    "generic/3.3/2 a PRIORITY of 256": (
        frame(PRIORITY, 0, 1, u32(0) + b"\xff") + headers(), answered),
    "generic/3.3/3 a PRIORITY with a dependency": (
        frame(PRIORITY, 0, 1, u32(3) + b"\xff") + headers(), answered),
    "generic/3.3/4 an exclusive PRIORITY": (
        frame(PRIORITY, 0, 1, u32(3 | 1 << 31) + b"\xff") + headers(), answered),
    "generic/3.3/5 a PRIORITY for an idle stream, a HEADERS for a lower one": (
        frame(PRIORITY, 0, 3, u32(0) + b"\xff") + headers(), answered),
    "generic/3.4/1 a RST_STREAM frame": (headers() + rst(), alive),
    "generic/3.5/1 a SETTINGS frame": (
        frame(SETTINGS, 0, 0, setting(MAX_STREAMS, 100)) + headers(), answered),
    "generic/3.7/1 a PING frame": (b"", alive),
    "generic/3.8/1 a GOAWAY frame": (
        frame(GOAWAY, 0, 0, u32(0) + u32(0)), connection_error(0)),
    "generic/3.9/1 a WINDOW_UPDATE of the connection": (
        frame(WINDOW_UPDATE, 0, 0, u32(1)) + headers(), answered),
    "generic/3.9/2 a WINDOW_UPDATE of the stream": (
        post() + frame(WINDOW_UPDATE, 0, 1, u32(1)) + frame(DATA, END_STREAM, 1), answered),
    "generic/3.10/1 a CONTINUATION frame": (
        headers(1, END_STREAM, block(GET[:2])) + frame(CONTINUATION, END_HEADERS, 1, block(GET[2:])),
        answered),
    "generic/3.10/2 several CONTINUATION frames": (
        headers(1, END_STREAM, block(GET[:2])) + frame(CONTINUATION, 0, 1, block(GET[2:3]))
        + frame(CONTINUATION, END_HEADERS, 1, block(GET[3:])), answered),
    "generic/4/1 GET": (headers(), answered),
    "generic/4/3 POST": (
        post() + frame(DATA, END_STREAM, 1, b"test"), answered),
    "generic/4/4 POST with trailers": (
        post(more=[("trailer", "x-test")]) + frame(DATA, 0, 1, b"test")
        + headers(1, END_STREAM | END_HEADERS, literal("x-test", "ok")), answered),
    "generic/5/1 an indexed field": (
        headers(payload=b"\x82\x86\x84" + literal(":authority", "localhost")), answered),
    "generic/5/2 a literal with indexing, indexed name": (
        headers(payload=b"\x82\x86\x84\x41\x09localhost\x7a\x04test"), answered),
    "generic/5/3 a literal with indexing, new name": (
        headers(payload=block() + b"\x40\x06x-test\x04test"), answered),
    "generic/5/4 a literal without indexing, indexed name": (
        headers(payload=b"\x82\x86\x84\x01\x09localhost"), answered),
    "generic/5/5 a literal without indexing, new name": (
        headers(payload=block() + b"\x00\x06x-test\x04test"), answered),
    "generic/5/6 a literal never indexed, indexed name": (
        headers(payload=b"\x82\x86\x84\x11\x09localhost"), answered),
    "generic/5/7 a literal never indexed, new name": (
        headers(payload=block() + b"\x10\x06x-test\x04test"), answered),
    "generic/5/8 a table size update": (headers(payload=b"\x21" + block()), answered),
    "generic/5/9 several table size updates": (headers(payload=b"\x20\x21" + block()), answered),
    "generic/5/10 a Huffman-coded literal": (
        headers(payload=b"\x82\x86\x84\x01\x86\xa0\xe4\x1d\x13\x9d\x09"), answered),
    # Section 3: starting.
    "3.5/1 the preface is answered with SETTINGS": (
        b"", GREETING),
    # Section 4: frames.
    "4.1/1 a frame of unknown type is ignored": (frame(0x16, 0, 0, b"\0" * 8), alive),
    "4.1/2 an undefined flag is ignored": (
        frame(PING, 0x16, 0, b"anyone??"), lambda connection: alive(connection)),
    "4.1/3 the reserved bit is ignored": (
        frame(PING, 0, 1 << 31, b"\0" * 8), alive),
    "4.2/1 a DATA frame of 16,384 bytes": (
        post() + frame(DATA, END_STREAM, 1, b"x" * 16_384), answered),
    "4.2/2 a DATA frame longer than SETTINGS_MAX_FRAME_SIZE": (
        post() + frame(DATA, END_STREAM, 1, b"x" * 65_537), stream_error(FRAME_SIZE_ERROR)),
    "4.2/3 a HEADERS frame longer than SETTINGS_MAX_FRAME_SIZE": (
        headers(payload=block() + b"\0" * 65_537), connection_error(FRAME_SIZE_ERROR)),
    "4.3/1 a header block that is none": (
        headers(payload=b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
        connection_error(COMPRESSION_ERROR)),
    "4.3/2 a PRIORITY frame inside a header block": (
        headers(1, END_STREAM) + frame(PRIORITY, 0, 1, u32(0) + b"\xff"),
        connection_error(PROTOCOL_ERROR)),
    "4.3/3 another stream's HEADERS inside a header block": (
        headers(1, END_STREAM) + headers(3), connection_error(PROTOCOL_ERROR)),
    # Section 5: streams.
    "5.1/1 idle: DATA": (frame(DATA, END_STREAM, 1, b"test"), connection_error(PROTOCOL_ERROR)),
    "5.1/2 idle: RST_STREAM": (rst(), connection_error(PROTOCOL_ERROR)),
    "5.1/3 idle: WINDOW_UPDATE": (
        frame(WINDOW_UPDATE, 0, 1, u32(100)), connection_error(PROTOCOL_ERROR)),
    "5.1/4 idle: CONTINUATION": (
        frame(CONTINUATION, END_HEADERS, 1, block()), connection_error(PROTOCOL_ERROR)),
    "5.1/5 half-closed: DATA": (
        headers() + frame(DATA, END_STREAM, 1, b"test"), stream_error(STREAM_CLOSED)),
    "5.1/6 half-closed: HEADERS": (headers() + headers(), stream_error(STREAM_CLOSED)),
    "5.1/7 half-closed: CONTINUATION": (
        headers() + frame(CONTINUATION, END_HEADERS, 1, block()),
        stream_error(STREAM_CLOSED, PROTOCOL_ERROR)),
    "5.1/8 closed by RST_STREAM: DATA": (
        post() + rst() + frame(DATA, END_STREAM, 1, b"test"), stream_error(STREAM_CLOSED)),
    "5.1/9 closed by RST_STREAM: HEADERS": (
        post() + rst() + headers(), stream_error(STREAM_CLOSED)),
    "5.1/10 closed by RST_STREAM: CONTINUATION": (
        post() + rst() + frame(CONTINUATION, END_HEADERS, 1, block()),
        connection_error(STREAM_CLOSED, PROTOCOL_ERROR)),
    "5.1.1/1 an even stream": (headers(2), connection_error(PROTOCOL_ERROR)),
    "5.3.1/1 HEADERS that depend on themselves": (
        headers(1, END_STREAM | END_HEADERS | PRIORITY_FLAG, u32(1) + b"\xff" + block()),
        stream_error(PROTOCOL_ERROR)),
    "5.3.1/2 PRIORITY that depends on itself": (
        frame(PRIORITY, 0, 1, u32(1) + b"\xff"), stream_error(PROTOCOL_ERROR)),
    "5.4.1/1 a broken PING ends the connection": (
        frame(PING, 0, 3, b"\0" * 8), connection_error(PROTOCOL_ERROR)),
    "5.5/1 an unknown frame": (frame(0xFF, 0xFF, 0, b"unknown") + headers(), answered),
    "5.5/2 an unknown frame inside a header block": (
        headers(1, END_STREAM, block(GET[:2])) + frame(0xFF, 0xFF, 0, b"unknown"),
        connection_error(PROTOCOL_ERROR)),
    # Section 6: each type of frame.
    "6.1/1 DATA on stream 0": (frame(DATA, END_STREAM, 0, b"x"), connection_error(PROTOCOL_ERROR)),
    "6.1/2 DATA on a stream that has ended": (
        headers() + frame(DATA, END_STREAM, 1, b"x"), stream_error(STREAM_CLOSED)),
    "6.1/3 DATA with more padding than payload": (
        post() + frame(DATA, END_STREAM | PADDED, 1, b"\x06test"),
        connection_error(PROTOCOL_ERROR)),
    "6.2/1 a PRIORITY before END_HEADERS": (
        headers(1, END_STREAM) + frame(PRIORITY, 0, 1, u32(0) + b"\xff"),
        connection_error(PROTOCOL_ERROR)),
    "6.2/2 a HEADERS of another stream before END_HEADERS": (
        headers(1, END_STREAM) + headers(3), connection_error(PROTOCOL_ERROR)),
    "6.2/3 HEADERS on stream 0": (headers(0), connection_error(PROTOCOL_ERROR)),
    "6.2/4 HEADERS with more padding than payload": (
        headers(1, END_STREAM | END_HEADERS | PADDED, b"\xff" + block()),
        connection_error(PROTOCOL_ERROR)),
    "6.3/1 PRIORITY on stream 0": (
        frame(PRIORITY, 0, 0, u32(0) + b"\xff"), connection_error(PROTOCOL_ERROR)),
    "6.3/2 PRIORITY of another length than 5": (
        headers() + frame(PRIORITY, 0, 1, b"\0" * 4), stream_error(FRAME_SIZE_ERROR)),
    "6.4/1 RST_STREAM on stream 0": (rst(0), connection_error(PROTOCOL_ERROR)),
    "6.4/2 RST_STREAM on an idle stream": (rst(1), connection_error(PROTOCOL_ERROR)),
    "6.4/3 RST_STREAM of another length than 4": (
        post() + frame(RST_STREAM, 0, 1, b"\0" * 3), stream_error(FRAME_SIZE_ERROR)),
    "6.5/1 SETTINGS with ACK and a payload": (
        frame(SETTINGS, ACK, 0, setting(MAX_STREAMS, 1)), connection_error(FRAME_SIZE_ERROR)),
    "6.5/2 SETTINGS on a stream": (
        frame(SETTINGS, 0, 1, setting(MAX_STREAMS, 1)), connection_error(PROTOCOL_ERROR)),
    "6.5/3 SETTINGS of a length that six does not divide": (
        frame(SETTINGS, 0, 0, b"\0\3\0"), connection_error(FRAME_SIZE_ERROR)),
    "6.5.2/1 ENABLE_PUSH neither 0 nor 1": (
        frame(SETTINGS, 0, 0, setting(ENABLE_PUSH, 2)), connection_error(PROTOCOL_ERROR)),
    "6.5.2/2 INITIAL_WINDOW_SIZE over 2^31 - 1": (
        frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1 << 31)),
        connection_error(FLOW_CONTROL_ERROR)),
    "6.5.2/3 MAX_FRAME_SIZE under 16,384": (
        frame(SETTINGS, 0, 0, setting(MAX_FRAME, 16_383)), connection_error(PROTOCOL_ERROR)),
    "6.5.2/4 MAX_FRAME_SIZE over 2^24 - 1": (
        frame(SETTINGS, 0, 0, setting(MAX_FRAME, 1 << 24)), connection_error(PROTOCOL_ERROR)),
    "6.5.2/5 an unknown setting": (frame(SETTINGS, 0, 0, setting(0xFF, 1)), alive),
    "6.5.3/1 the last of several values counts": (
        frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 100) + setting(INITIAL_WINDOW, 1))
        + headers(), data_of(1)),
    "6.5.3/2 SETTINGS are acknowledged": (
        b"", SETTINGS_ACK),
    "6.7/1 PING is answered": (frame(PING, 0, 0, b"h2spec\0\0"), alive),
    "6.7/2 PING with ACK is not": (frame(PING, ACK, 0, b"invalid\0"), alive),
    "6.7/3 PING on a stream": (frame(PING, 0, 1, b"\0" * 8), connection_error(PROTOCOL_ERROR)),
    "6.7/4 PING of another length than 8": (
        frame(PING, 0, 0, b"\0" * 6), connection_error(FRAME_SIZE_ERROR)),
    "6.8/1 GOAWAY on a stream": (
        frame(GOAWAY, 0, 1, u32(0) + u32(0)), connection_error(PROTOCOL_ERROR)),
    "6.9/1 WINDOW_UPDATE of 0": (
        frame(WINDOW_UPDATE, 0, 0, u32(0)), connection_error(PROTOCOL_ERROR)),
    "6.9/2 WINDOW_UPDATE of 0 on a stream": (
        post() + frame(WINDOW_UPDATE, 0, 1, u32(0)), stream_error(PROTOCOL_ERROR)),
    "6.9/3 WINDOW_UPDATE of another length than 4": (
        frame(WINDOW_UPDATE, 0, 0, b"\0" * 3), connection_error(FRAME_SIZE_ERROR)),
    "6.9.1/1 no more DATA than the window": (
        frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1)) + headers(), data_of(1)),
    "6.9.1/2 a connection window over 2^31 - 1": (
        frame(WINDOW_UPDATE, 0, 0, u32(2**31 - 1)) * 2, connection_error(FLOW_CONTROL_ERROR)),
    "6.9.1/3 a stream window over 2^31 - 1": (
        post() + frame(WINDOW_UPDATE, 0, 1, u32(2**31 - 1)) * 2,
        stream_error(FLOW_CONTROL_ERROR)),
    "6.9.2/3 INITIAL_WINDOW_SIZE over 2^31 - 1": (
        frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1 << 31)),
        connection_error(FLOW_CONTROL_ERROR)),
    "6.10/1 several CONTINUATION frames": (
        headers(1, END_STREAM, block(GET[:2])) + frame(CONTINUATION, 0, 1, block(GET[2:3]))
        + frame(CONTINUATION, END_HEADERS, 1, block(GET[3:])), answered),
    "6.10/2 CONTINUATION, then another frame": (
        headers(1, END_STREAM, block(GET[:2])) + frame(CONTINUATION, 0, 1, block(GET[2:3]))
        + frame(DATA, END_STREAM, 1, b"test"), connection_error(PROTOCOL_ERROR)),
    "6.10/3 CONTINUATION on stream 0": (
        headers(1, END_STREAM, block(GET[:2])) + frame(CONTINUATION, END_HEADERS, 0, block(GET[2:])),
        connection_error(PROTOCOL_ERROR)),
    "6.10/4 CONTINUATION after HEADERS with END_HEADERS": (
        post() + frame(CONTINUATION, END_HEADERS, 1, block()), connection_error(PROTOCOL_ERROR)),
    "6.10/5 CONTINUATION after CONTINUATION with END_HEADERS": (
        headers(1, 0, block(POST[:2])) + frame(CONTINUATION, END_HEADERS, 1, block(POST[2:]))
        + frame(CONTINUATION, END_HEADERS, 1, block()), connection_error(PROTOCOL_ERROR)),
    "6.10/6 CONTINUATION after DATA": (
        post() + frame(DATA, 0, 1, b"test") + frame(CONTINUATION, END_HEADERS, 1, block()),
        connection_error(PROTOCOL_ERROR)),
    # Section 7: error codes.
    "7/1 GOAWAY with an unknown code": (
        frame(GOAWAY, 0, 0, u32(0) + u32(0xFF)), connection_error(0)),
    "7/2 RST_STREAM with an unknown code": (post() + rst(1, 0xFF), alive),
    # Section 8: HTTP.
    "8.1/1 a second HEADERS without END_STREAM": (
        post() + headers(1, END_HEADERS, literal("x-test", "ok")), stream_error(PROTOCOL_ERROR)),
    "8.1.2/1 an upper-case name": (
        headers(payload=block(more=[("X-TEST", "ok")])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.1/1 an unknown pseudo-field": (
        headers(payload=block(more=[(":test", "ok")])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.1/2 a response's pseudo-field": (
        headers(payload=block(more=[(":status", "200")])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.1/3 a pseudo-field in trailers": (
        post(more=[("trailer", "x-test")])
        + headers(1, END_STREAM | END_HEADERS, literal(":method", "200")),
        stream_error(PROTOCOL_ERROR)),
    "8.1.2.1/4 a pseudo-field behind another": (
        headers(payload=block(GET[:3], [("x-test", "ok"), GET[3]])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.2/1 a field of the connection's": (
        headers(payload=block(more=[("connection", "keep-alive")])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.2/2 te with another value than trailers": (
        headers(payload=block(more=[("trailers", "test"), ("te", "trailers, deflate")])),
        stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/1 an empty :path": (
        headers(payload=block([*GET[:2], (":path", ""), GET[3]])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/2 no :method": (headers(payload=block(GET[1:])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/3 no :scheme": (
        headers(payload=block(GET[:1] + GET[2:])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/4 no :path": (headers(payload=block(GET[:2] + GET[3:])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/5 :method twice": (
        headers(payload=block(GET[:1] + GET)), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/6 :scheme twice": (
        headers(payload=block(GET[:2] + GET[1:])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.3/7 :path twice": (
        headers(payload=block(GET[:3] + GET[2:])), stream_error(PROTOCOL_ERROR)),
    "8.1.2.6/1 a content-length that one DATA frame does not meet": (
        post(more=[("content-length", "1")]) + frame(DATA, END_STREAM, 1, b"test"),
        stream_error(PROTOCOL_ERROR)),
    "8.1.2.6/2 a content-length that several DATA frames do not meet": (
        post(more=[("content-length", "1")]) + frame(DATA, 0, 1, b"test")
        + frame(DATA, END_STREAM, 1, b"test"), stream_error(PROTOCOL_ERROR)),
    "8.2/1 PUSH_PROMISE": (
        frame(PUSH_PROMISE, END_HEADERS, 1, u32(3) + block()), connection_error(PROTOCOL_ERROR)),
    # RFC 7541.
    "hpack/2.3.3/1 an index that is not there": (
        headers(payload=b"\xc6" + block()), connection_error(COMPRESSION_ERROR)),
    "hpack/2.3.3/2 a name's index that is not there": (
        headers(payload=b"\x7f\x07\x04test" + block()), connection_error(COMPRESSION_ERROR)),
    "hpack/4.2/1 a table size update at the end": (
        headers(payload=block() + b"\x20"), connection_error(COMPRESSION_ERROR)),
    "hpack/5.2/1 Huffman padding longer than 7 bits": (
        headers(payload=block() + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        connection_error(COMPRESSION_ERROR)),
    "hpack/5.2/2 Huffman padding of zeros": (
        headers(payload=block() + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
        connection_error(COMPRESSION_ERROR)),
    "hpack/5.2/3 a Huffman string with EOS": (
        headers(payload=block() + b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xff\x49\x50\x9f"),
        connection_error(COMPRESSION_ERROR)),
    "hpack/6.1/1 index 0": (headers(payload=block() + b"\x80"), connection_error(COMPRESSION_ERROR)),
    "hpack/6.3/1 a table size over the announced one": (
        headers(payload=b"\x3f\xe2\x1f" + block()), connection_error(COMPRESSION_ERROR)),
}


@pytest.fixture
def connect(server):
    made = []

    def connect(hello=PREFACE + frame(SETTINGS)):
        made.append(RawConnection(server.port, hello))
        return made[-1]

    yield connect
    for connection in made:
        connection.socket.close()


@pytest.mark.parametrize("name", CASES)
def test_case(connect, name):
    sent, check = CASES[name]
    connection = connect()
    if check not in (GREETING, SETTINGS_ACK):
        greeted(connection)
    connection.try_send(sent)
    check(connection)


# Cases of more than one step.


def test_case_3_5_2_an_invalid_preface_ends_the_connection(connect):
    assert connect(b"INVALID CONNECTION PREFACE\r\n\r\n").is_closed_by_peer()


@pytest.mark.parametrize("kind", ["DATA", "HEADERS", "CONTINUATION"])
def test_cases_5_1_11_to_13_frames_on_a_stream_that_both_have_ended(connect, kind):
    connection = connect()
    connection.send(headers())
    assert connection.answer().ended
    if kind == "DATA":
        connection.send(frame(DATA, END_STREAM, 1, b"test"))
        stream_error(STREAM_CLOSED)(connection)
    elif kind == "HEADERS":
        connection.send(headers())
        connection_error(STREAM_CLOSED)(connection)
    else:
        connection.send(frame(CONTINUATION, END_HEADERS, 1, block()))
        connection_error(STREAM_CLOSED, PROTOCOL_ERROR)(connection)


def test_case_generic_2_5_priority_on_a_closed_stream(connect):
    connection = connect()
    connection.send(headers())
    assert connection.answer().ended
    connection.send(frame(PRIORITY, 0, 1, u32(0) + b"\xff"))
    alive(connection)


def test_case_generic_4_2_head_has_no_body_to_wait_for(connect):
    connection = connect()
    connection.send(headers(payload=block([(":method", "HEAD")] + GET[1:])))
    answer = connection.answer()
    assert answer.ended and ":status" in answer.headers
    alive(connection)


def test_case_5_1_2_more_streams_than_announced(connect):
    connection = connect()
    # Requests that do not end, up to the limit that was announced and acknowledged, and one more.
    run = [*POST[:2], (":path", "/quire.v1.Scheduler/Run"), POST[3]]
    fields = block(run, [("content-type", "application/grpc")])
    connection.send(b"".join(
        frame(HEADERS, END_HEADERS, 2 * index + 1, fields) for index in range(1_001)))
    answer = connection.answer(stream=2_001, until_end=False)
    assert answer.reset in (REFUSED_STREAM, PROTOCOL_ERROR) or answer.goaway in (
        PROTOCOL_ERROR, REFUSED_STREAM) or answer.closed


def test_case_6_9_2_1_a_window_that_grows_by_settings_lets_data_go_on(connect):
    connection = connect()
    connection.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 0)) + headers())
    alive(connection)
    connection.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1)))
    assert connection.next_data() == 1


def test_case_6_9_2_2_a_window_below_zero_is_remembered(connect):
    connection = connect()
    connection.send(frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 3)) + headers())
    assert connection.next_data() == 3
    connection.send(
        frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 2)) + frame(WINDOW_UPDATE, 0, 1, u32(2)))
    # 3 - 3, then -1, then 1.
    assert connection.next_data() == 1


@pytest.mark.parametrize("type", ["text/plain", "application/grpc-web", "application/json", ""])
def test_what_is_not_grpc_gets_415_with_a_body(connect, type):
    connection = connect()
    connection.send(post(more=[("content-type", type)] if type else []))
    connection.send(frame(DATA, END_STREAM, 1, b"test"))
    answer = connection.answer()
    assert answer.headers[":status"] == "415" and answer.data


def test_cases_leave_nothing_behind(server, client):
    eventually(lambda: server.open_descriptors() < 40)
    assert client.get_pool().blocks == 64
