#!/usr/bin/env python3
"""What a connection costs while it is quiet, and whether busy ones get the same.

    Tests/Benchmarks/idle_connections.py [--connections 10000] [--calls 200] [--busy 1000]
        [--seconds 10] [--tls CERTIFICATE KEY]

First all connections are opened; then each makes its calls, fifty at a time in turn, so that all are
open all the time; then all are quiet, and the growth of the server's resident memory is divided by
their number. Then `--busy` of them keep four calls under way each: the most and the fewest answers of
a connection are compared. The client is a few hundred bytes of prepared HTTP/2 per call and reads
frame headers only. QUIRED names the server.
"""
import argparse
import os
import resource
import select
import socket
import ssl
import struct
import subprocess
import time

PATH = b"/grpc.health.v1.Health/Check"
BATCH = 50
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS, ACK = 1, 4, 1
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def indexed(index, value):
    """A literal value that the peer remembers; the name is in the static table."""
    return bytes([0x40 | index, len(value)]) + value


# :method POST, :scheme http; then path, authority, content-type, te, which the table then holds.
FIRST = (
    b"\x83\x86" + indexed(4, PATH) + indexed(1, b"localhost") + indexed(31, b"application/grpc")
    + b"\x40\x02te\x08trailers")
LATER = b"\x83\x86\xc1\xc0\xbf\xbe"
MESSAGE = b"\0\0\0\0\0"


def call(stream):
    return frame(HEADERS, END_HEADERS, stream, FIRST if stream == 1 else LATER) + frame(
        0, END_STREAM, stream, MESSAGE)


class Connection:
    def __init__(self, port, context):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.stream = 1
        self.rest = b""
        self.answers = 0
        self.sent = 0
        # Windows that this client need not give back: what it is sent is too little for them.
        widen = frame(8, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65_535))
        self.socket.sendall(PREFACE + frame(SETTINGS) + widen + frame(SETTINGS, ACK))

    def begin(self, count):
        self.socket.sendall(b"".join(
            call(stream) for stream in range(self.stream, self.stream + 2 * count, 2)))
        self.stream += 2 * count
        self.sent += count

    def read(self):
        """Reads once; the number of calls that ended."""
        data = self.socket.recv(65_536)
        if not data:
            raise SystemExit("the server closed a connection")
        data = self.rest + data
        at, ended = 0, 0
        while at + 9 <= len(data):
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if at + 9 + length > len(data):
                break
            if data[at + 3] == HEADERS and data[at + 4] & END_STREAM:
                ended += 1
            at += 9 + length
        self.rest = data[at:]
        self.answers += ended
        return ended

    def finish(self):
        while self.answers < self.sent:
            self.read()


def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def busy(connections, seconds):
    """Answers of each connection, all with four calls under way for so long."""
    poll = select.epoll()
    by_number = {}
    for connection in connections:
        by_number[connection.socket.fileno()] = connection
        poll.register(connection.socket, select.EPOLLIN)
        connection.answers = connection.sent = 0
    for connection in connections:
        connection.begin(4)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for number, _ in poll.poll(1):
            connection = by_number[number]
            ended = connection.read()
            if ended:
                connection.begin(ended)
    return sorted(connection.answers for connection in connections)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--busy", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < options.connections + 100:
        raise SystemExit(f"at most {most} descriptors: --connections must be less")

    command = [os.environ.get("QUIRED", ".build/release/quired"), "--listen", "127.0.0.1:0", "--max-connections", "20000"]
    context = None
    if options.tls:
        command += ["--tls-cert", options.tls[0], "--tls-key", options.tls[1]]
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        # What the first connections take is the server's own: pools, buffers, code.
        warm = [Connection(port, context) for _ in range(20)]
        for connection in warm:
            connection.begin(BATCH)
            connection.finish()
        before = resident(server.pid)
        connections = [Connection(port, context) for _ in range(options.connections)]
        opened = resident(server.pid)
        for start in range(0, options.calls, BATCH):
            for connection in connections:
                connection.begin(min(BATCH, options.calls - start))
                connection.finish()
        after = resident(server.pid)
        count = len(connections)
        print(
            f"{count} idle connections after {options.calls} calls each"
            f"{' over TLS' if options.tls else ''}: {(after - before) / count / 1024:.1f} KiB each"
            f" ({(opened - before) / count / 1024:.1f} before the first call)")
        answers = busy(connections[:options.busy], options.seconds)
        print(
            f"{len(answers)} busy connections, {sum(answers) / options.seconds:,.0f} calls/s: "
            f"{answers[0]} to {answers[-1]} answers each, ratio "
            f"{answers[-1] / max(1, answers[0]):.2f}")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
