"""HTTP/2 by hand: what no proper client would send."""

import socket
import struct

from hpack import Decoder

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK, PADDED, PRIORITY_FLAG = 1, 4, 1, 8, 0x20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field as it stands: not indexed, not compressed. Both under 127 bytes."""
    name, value = name.encode(), value.encode()
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def grpc_message(body, flag=0, length=None):
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


class Answer:
    def __init__(self):
        self.headers = {}  # of both blocks: names do not repeat in what these tests look at
        self.data = b""
        self.ended = False
        self.reset = None  # the error code of RST_STREAM
        self.goaway = None
        self.closed = False
        self.pinged = False

    @property
    def grpc_status(self):
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None


class RawConnection:
    def __init__(self, port, hello=PREFACE + frame(SETTINGS), secure=lambda plain: plain):
        """`secure` makes a TLS socket of a connected one."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = secure(plain)
        self.decoder = Decoder()
        self.buffer = b""
        self.send(hello)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def try_send(self, data):
        """What a server that has closed no longer takes is lost."""
        self._reply(data)

    def open(self, path, stream=1, end=False, content_type="application/grpc", **more):
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test"}
        fields |= {"te": "trailers", "content-type": content_type}
        fields |= {name.replace("_", "-"): value for name, value in more.items()}
        block = b"".join(literal(name, value) for name, value in fields.items())
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))

    def data(self, payload, stream=1, end=False):
        self.send(frame(DATA, END_STREAM if end else 0, stream, payload))

    def reset(self, stream=1, code=8):
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", code)))

    def unary(self, path, payload, stream=1, **more):
        """The answer to a call whose DATA is `payload`."""
        self.open(path, stream, **more)
        self.data(payload, stream, end=True)
        return self.answer(stream)

    def frame(self):
        """Type, flags, stream and payload of the next frame."""
        header = self._read(9)
        length = struct.unpack(">I", b"\x00" + header[:3])[0]
        return (*struct.unpack(">BBI", header[3:]), self._read(length))

    def first_frame_is(self, kind):
        assert self.frame()[0] == kind

    def next_data(self):
        """The length of the next DATA frame."""
        while True:
            kind, _, _, payload = self.frame()
            if kind == DATA:
                return len(payload)

    def answer(self, stream=1, until_end=True, until_ping=None, until_settings_ack=False):
        """Reads until the stream or the connection has ended, or what else is asked for has come."""
        answer = Answer()
        while not (answer.ended and until_end or answer.reset is not None or answer.closed):
            try:
                kind, flags, on, payload = self.frame()
            except (EOFError, ConnectionError):
                answer.closed = True
                break
            if kind == PING and flags & ACK and payload == until_ping:
                answer.pinged = True
                break
            if kind == SETTINGS and flags & ACK and until_settings_ack:
                break
            if kind == SETTINGS and not flags & ACK:
                self._reply(frame(SETTINGS, ACK))
            elif kind == PING and not flags & ACK:
                self._reply(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY:
                answer.goaway = struct.unpack(">I", payload[4:8])[0]
            elif on == stream and kind == RST_STREAM:
                answer.reset = struct.unpack(">I", payload)[0]
            elif kind == HEADERS:
                fields = dict(self.decoder.decode(payload))
                if on == stream:
                    answer.headers |= fields
                    answer.ended = bool(flags & END_STREAM)
            elif on == stream and kind == DATA:
                answer.data += payload
                answer.ended = bool(flags & END_STREAM)
        return answer

    def is_closed_by_peer(self):
        """Reads what is left; true once the server has closed."""
        return self.answer(stream=-1).closed

    def _reply(self, data):
        try:
            self.send(data)
        except ConnectionError:
            pass  # closing: the next read tells

    def _read(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken
