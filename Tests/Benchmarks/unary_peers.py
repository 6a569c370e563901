#!/usr/bin/env python3
"""One unary Allocate served by quired and by its peers, turn by turn in the same run.

The peers (`peers/`): a minimal C program on the same libraries, gRPC C++ (callback API), stock grpcio
(8 threads), and nghttpd with a static file of the reply's size, which does HTTP/2 and nothing else. The
gRPC ones give the same bytes for the same calls, which stock grpcio checks first.

Per server: requests per second and server CPU per call at 8 connections x 100 streams, and the median
latency at 1 x 1 (h2load's log, call by call). Medians of the rounds, least to most behind; then quired's
ratio to each peer, made within each round. The server has one core and h2load another where there are
two (UNPINNED=1: the kernel decides; servers of many threads then cost more CPU a call and answer more
calls). Instructions per call, by callgrind, for the two that can be compared so.

    unary_peers.py [ROUNDS [SCALE]]     5 rounds; SCALE divides the number of calls (a quick look: 10)
"""
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

import unary
from unary import BODY, MESSAGE, QUIRED, Process, Server, check_all_allocated, pinned, profile

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parents[1] / ".build/bench-peers"
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
SCALE = int(sys.argv[2]) if len(sys.argv) > 2 else 1
CHECKED = 3


class StaticFile(Process):
    """nghttpd: it says nothing when it is up, and takes its port as given."""

    def __init__(self, folder):
        with socket.socket() as probe:
            # Below the ports that clients get.
            for port in range(20_000, 32_000):
                try:
                    probe.bind(("127.0.0.1", port))
                    break
                except OSError:
                    continue
        self.process = subprocess.Popen(
            [*pinned(0), "nghttpd", "--no-tls", "-n1", "-a127.0.0.1", f"-d{folder}", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.address = f"127.0.0.1:{port}"
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("nghttpd did not start:\n" + self.process.stderr.read())


def grpcio(blocks):
    return Process(
        [*pinned(0), PEERS / "venv/bin/python", "-B", HERE / "peers/grpcio_server.py", str(blocks)],
        {**os.environ, "STUBS": str(PEERS / "stubs")})


# Name; how to start it with so many blocks; calls at 8 x 100; calls at 1 x 1.
GRPC_SERVERS = [
    ("quired", lambda blocks: Server(blocks, wrapper=pinned(0)), 400_000, 20_000),
    ("minimal C", lambda blocks: Process([*pinned(0), PEERS / "minimal_server", str(blocks)]), 400_000, 20_000),
    ("gRPC C++", lambda blocks: Process([*pinned(0), PEERS / "grpc_cpp_server", str(blocks)]), 60_000, 10_000),
    ("grpcio", grpcio, 8_000, 3_000),
]


def check_same_replies():
    """Every gRPC server gives the same first replies. Their length."""
    replies = {}
    for name, start, _, _ in GRPC_SERVERS:
        server = start(1_000)
        replies[name] = subprocess.run(
            [PEERS / "venv/bin/python", "-B", HERE / "peers/first_replies.py", server.address, str(CHECKED),
             MESSAGE.hex()], check=True, capture_output=True, text=True).stdout.split()
        check_all_allocated(server.stop(), CHECKED)
    if len(replies["quired"]) != CHECKED or any(reply != replies["quired"] for reply in replies.values()):
        sys.exit(f"the servers do not answer alike: {replies}")
    return len(replies["quired"][0]) // 2


def median_latency(arguments, calls, work):
    """Microseconds, by h2load's log: start, status, duration, one line a call."""
    log = os.path.join(work, "calls.log")
    if os.path.exists(log):
        os.remove(log)
    unary.h2load(["-c1", "-m1", f"--log-file={log}", *arguments], calls, pinned(1))
    return statistics.median(int(line.split()[2]) for line in open(log))


def measure(server, calls, single_calls, arguments, work):
    """(requests/s, CPU us per call, median latency in us)"""
    latency = median_latency(arguments, single_calls, work)
    before = server.cpu_seconds_exactly()
    rate = unary.h2load(["-c8", "-m100", *arguments], calls, pinned(1))
    return rate, (server.cpu_seconds_exactly() - before) / calls * 1e6, latency


def one_round(body_file, folder, work):
    row = {}
    for name, start, calls, single_calls in GRPC_SERVERS:
        calls, single_calls = max(1_000, calls // SCALE), max(500, single_calls // SCALE)
        server = start(calls + single_calls)
        row[name] = measure(server, calls, single_calls, unary.grpc_arguments(server.address, body_file), work)
        check_all_allocated(server.stop(), calls + single_calls)
    server = StaticFile(folder)
    row["nghttpd"] = measure(
        server, max(1_000, 200_000 // SCALE), max(500, 20_000 // SCALE), [f"http://{server.address}/reply"], work)
    server.stop()
    return row


def spread(values, digits):
    values = sorted(values)
    return f"{statistics.median(values):10.{digits}f} ({values[0]:.{digits}f} to {values[-1]:.{digits}f})"


def report(rows):
    names = list(rows[0])
    for title, index, digits in (
        ("requests per second, 8 x 100", 0, 0), ("server CPU per call, us, 8 x 100", 1, 2),
        ("median latency, us, 1 x 1", 2, 0),
    ):
        print(title)
        for name in names:
            values = [row[name][index] for row in rows]
            line = f"  {name:10}{spread(values, digits):38}"
            if name != "quired":
                ratios = [row["quired"][index] / row[name][index] for row in rows]
                line += f"quired is {spread(ratios, 3).strip()} of it"
            print(line)


def instructions(body_file, work):
    print("instructions per call, 8 x 100 (callgrind, user space)")
    ours, _, _ = profile(lambda binary, wrapper: Server(65_536, binary, wrapper), QUIRED, body_file, work)
    minimal, _, _ = profile(
        lambda binary, wrapper: Process([*wrapper, binary, "65536"]), PEERS / "minimal_server", body_file, work)
    print(f"  quired    {ours:10.0f}\n  minimal C {minimal:10.0f}{'':28}quired is {ours / minimal:.3f} of it")


def main():
    subprocess.run([HERE / "peers/build.sh"], check=True)
    with tempfile.TemporaryDirectory() as work:
        body_file = os.path.join(work, "body.bin")
        pathlib.Path(body_file).write_bytes(BODY)
        length = check_same_replies()
        folder = os.path.join(work, "static")
        os.mkdir(folder)
        pathlib.Path(folder, "reply").write_bytes(bytes(5 + length))
        print(f"\nunary Allocate(1), {ROUNDS} rounds, each server in turn; server and h2load "
              f"{'on a core each' if pinned(0) else 'not pinned'}")
        report([one_round(body_file, folder, work) for _ in range(ROUNDS)])
        instructions(body_file, work)


if __name__ == "__main__":
    main()
