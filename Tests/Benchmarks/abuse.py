#!/usr/bin/env python3
"""What attackers cost a well-behaved client.

    Tests/Benchmarks/abuse.py [--rounds 3] [--seconds 3] [--only priorities,pings]

h2load keeps four connections of ten calls each busy, alone and beside one attacker in turn; printed is
the share of its rate that it keeps, the median of the rounds. The attacker is one thread of a process of
its own that comes back as soon as it is cut off. On a machine with two processors h2load, the server and
the attacker share them: what an attacker takes from h2load by being there at all is in the share too,
and is shown by an "attacker" that only opens and closes connections of a server that is not ours.
"""
import argparse
import gzip
import multiprocessing
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from unary import BODY, Server, grpc_arguments

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name, value):
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def head(stream, path="/quire.v1.Scheduler/Run", extra=()):
    return frame(1, 4, stream, b"".join(field(*pair) for pair in [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"),
        ("content-type", "application/grpc"), ("te", "trailers"), *extra]))


# 4 KB that unpack to just under the limit of 4 MiB.
BOMB = gzip.compress(bytes((4 << 20) - 16), 9)


def bombs(number):
    message = frame(0, 1, 0, struct.pack(">BI", 1, len(BOMB)) + BOMB)
    return b"".join(
        head(stream, "/quire.v1.BlockPool/Allocate", [("grpc-encoding", "gzip")])
        + message[:5] + struct.pack(">I", stream) + message[9:]
        for stream in range(32 * number + 1, 32 * number + 33, 2))


def streams(number, tail):
    return b"".join(
        head(stream) + tail(stream) for stream in range(400 * number + 1, 400 * number + 401, 2))


ATTACKS = {
    "pings": lambda n: frame(6, 0, 0, b"flooding") * 500,
    "settings": lambda n: frame(4) * 500,
    "priorities": lambda n: frame(2, 0, 1, b"\0\0\0\3\0") * 500,
    "unknown frames": lambda n: frame(0x77) * 500,
    "empty data": lambda n: (head(1) if n == 0 else b"") + frame(0, 0, 1) * 500,
    "continuations": lambda n: (
        frame(1, 0, 1, field(":method", "POST")) if n == 0 else b"") + frame(
            9, 0, 1, field("x", "y")) * 10,
    "resets": lambda n: streams(n, lambda s: frame(3, 0, s, struct.pack(">I", 8))),
    "provoked resets": lambda n: streams(
        n, lambda s: frame(8, 0, s, struct.pack(">I", 2**31 - 1))),
    "half-sent requests": lambda n: streams(
        n, lambda s: frame(0, 0, s, b"\0\0\1\0\0" + b"x" * 200)) if n < 4 else None,
    "compression bombs": bombs,
    "connections": lambda n: None,
}


def attack(name, port, elsewhere):
    if name == "nothing":
        port = elsewhere
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.setblocking(False)
                connection.send(PREFACE + frame(4) + frame(4, 1))
                number, rest = 0, b""
                while name != "nothing":
                    if not rest:
                        rest = ATTACKS[name](number)
                        number += 1
                        if rest is None:
                            break
                    try:
                        rest = rest[connection.send(rest):]
                    except BlockingIOError:
                        pass
                    try:
                        if not connection.recv(65_536):
                            break
                    except BlockingIOError:
                        pass
        except OSError:
            pass


def rate(address, body, seconds):
    output = subprocess.run(
        ["h2load", "-t1", "-c4", "-m10", f"-D{seconds}", "--warm-up-time=1",
         *grpc_arguments(address, body, "/quire.v1.Pools/ListPools")],
        capture_output=True, text=True, check=True).stdout
    if not re.search(r" 0 failed, 0 errored", output):
        sys.exit(f"h2load: calls failed\n{output}")
    return float(re.search(r"([\d.]+) req/s", output).group(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(ATTACKS))
    options = parser.parse_args()
    server = Server(64)
    other = Server(64)
    port = int(server.address.rsplit(":", 1)[1])
    elsewhere = int(other.address.rsplit(":", 1)[1])
    with tempfile.TemporaryDirectory() as work:
        body = os.path.join(work, "body")
        with open(body, "wb") as file:
            file.write(b"\0\0\0\0\0")
        shares = {name: [] for name in ["nothing", *options.only]}
        for _ in range(options.rounds):
            alone = rate(server.address, body, options.seconds)
            for name, found in shares.items():
                attacker = multiprocessing.Process(target=attack, args=(name, port, elsewhere))
                attacker.start()
                time.sleep(0.2)
                found.append(rate(server.address, body, options.seconds) / alone)
                attacker.terminate()
                attacker.join()
    pages = int(open(f"/proc/{server.process.pid}/statm").read().split()[1])
    for name, found in shares.items():
        print(f"{name:20} {statistics.median(found):6.0%} of the rate alone")
    print(f"server resident afterwards: {pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MiB")
    server.stop()
    other.stop()


if __name__ == "__main__":
    main()
