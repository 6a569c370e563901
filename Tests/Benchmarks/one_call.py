"""One gRPC call after the other over one connection, without a library: what lies between two calls
is then the server's alone, and can be measured call by call."""
import socket
import struct

DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that no table is asked for (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Connection:
    def __init__(self, address, path):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.stream = 1
        self.headers = b"".join(literal(*pair) for pair in (
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode()),
            (b":authority", host.encode()), (b"content-type", b"application/grpc"), (b"te", b"trailers")))
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535)))

    def call(self, message):
        """Sends a message of at most 16,379 bytes and returns the reply's bytes, prefix and all."""
        self.socket.sendall(
            frame(HEADERS, END_HEADERS, self.stream, self.headers)
            + frame(DATA, END_STREAM, self.stream, b"\0" + struct.pack(">I", len(message)) + message))
        reply = b""
        while True:
            head = self.file.read(9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:9], "big")
            payload = self.file.read(length)
            if kind == SETTINGS and not flags:
                self.socket.sendall(frame(SETTINGS, 1, 0, b""))
            if stream != self.stream:
                continue
            if kind == DATA:
                reply += payload
            if kind not in (DATA, HEADERS, WINDOW_UPDATE):
                raise RuntimeError(f"a frame of type {kind}: {payload!r}")
            if kind == HEADERS and flags & END_STREAM:
                self.stream += 2
                if not reply:
                    raise RuntimeError(f"no reply: {payload!r}")
                return reply

    def close(self):
        self.socket.close()
