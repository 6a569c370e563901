#!/usr/bin/env python3
"""What looking at a server costs its callers: CPU of the server per call, while it is loaded in slices.

Pools of a million blocks, every other one free, and 800 streams over 8 connections that each allocate a block and
give it back. Beside them: nothing (--sample-interval off), the same of another server, which shows what two of them
differ by, a look ten times a second and a watcher of runs and slots at 10 Hz, and a hundred connections that poll
GetStats ten times a second each. The servers have one core, by turns, as `slices.py` has it; who loads has
another, which who watches and polls takes a little of.

The exact figure beside it is a count of instructions:

    sampling.py [SETS [ROUNDS [CALLS]]]     8 sets of servers, 8 rounds of 50,000 calls
    sampling.py --count                     instructions per call and per look under callgrind
"""
import os
import subprocess
import sys
import tempfile
import time

import slices
from slices import Loaded
from unary import BODY, PATH, QUIRED, Process, grpc_arguments, h2load, pinned

BLOCKS = 1_000_000
STATS = "/quire.v1.Analyzer/GetStats"


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def part(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def number(field, value):
    return varint(field << 3) + varint(value)


class Pool(Process):
    """A server with the pool, and a directory for the bodies of requests."""

    def __init__(self, work, *options):
        self.work = work
        super().__init__([
            *pinned(0), QUIRED, "--listen", "127.0.0.1:0", "--pool",
            f"default:blocks={BLOCKS},block-size=16", *options])

    def body(self, message):
        path = os.path.join(self.work, f"{hash(message)}.bin")
        with open(path, "wb") as file:
            file.write(b"\0" + len(message).to_bytes(4, "big") + message)
        return path

    def call(self, path, message):
        h2load(grpc_arguments(self.address, self.body(message), path), 1, pinned(1))

    def scatter(self):
        """All blocks are taken, in their order, and every other one is given back."""
        self.call("/quire.v1.Pools/ResetPool", number(2, 1))
        for _ in range(4):
            self.call(PATH, part(2, number(1, BLOCKS // 4)))
        for first in range(1, BLOCKS + 1, 200_000):
            ids = b"".join(varint(i) for i in range(first, first + 200_000, 2))
            self.call("/quire.v1.BlockPool/Free", part(2, part(1, ids)))


class Beside:
    """Calls that go on beside others until they are ended."""

    def __init__(self, server, path, message, *arguments):
        self.process = subprocess.Popen(
            [*pinned(1), "h2load", "-t1", *arguments,
             *grpc_arguments(server.address, server.body(message), path)],
            stdout=subprocess.DEVNULL)
        # All of them are connected by then.
        time.sleep(0.3)

    def end(self, _):
        self.process.kill()
        self.process.wait()


def watcher(server):
    # Runs and slots every 100 ms.
    return Beside(
        server, "/quire.v1.Analyzer/WatchStats", number(2, 100) + part(3, b"\1\2"), "-c1", "-n1",
        "-T600")


def pollers(server):
    return Beside(server, STATS, b"", "-c100", "-m1", "--rps=10", "-D600")


def compare(sets, rounds, calls):
    quiet = Loaded(0)
    comparison = slices.Comparison([
        ("nobody looks", Loaded(0), quiet),
        ("nobody looks at another, either", Loaded(1), quiet),
        ("ten a second, and a watcher", Loaded(2, watcher), quiet),
        ("a hundred pollers at 10 Hz", Loaded(0, pollers), quiet),
    ])
    with tempfile.TemporaryDirectory() as work:
        for _ in range(sets):
            servers = [Pool(work, "--sample-interval", look) for look in ("off", "off", "100ms")]
            for server in servers:
                server.scatter()
            load = slices.Load("calls", servers)
            try:
                for index in range(len(servers)):
                    load.run(index, calls)
                comparison.add_set(load, rounds, calls)
            finally:
                load.stop()
                for server in servers:
                    server.stop()
    print(f"calls to pools of {BLOCKS} blocks while others look at them")
    comparison.print()


def instructions(work, options, path, message, lengths, pool=None):
    """Per call, of the server; `pool`: a CreatePoolRequest that is sent first."""
    body = os.path.join(work, "count.bin")
    with open(body, "wb") as file:
        file.write(b"\0" + len(message).to_bytes(4, "big") + message)
    stripped = os.path.join(work, "quired")
    if not os.path.exists(stripped):
        subprocess.run(["cp", QUIRED, stripped], check=True)
        subprocess.run(["strip", "-g", stripped], check=True)
    totals = []
    for calls in lengths:
        out = os.path.join(work, f"callgrind.{calls}")
        server = Process([
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--log-file=/dev/null",
            stripped, "--listen", "127.0.0.1:0", "--pool", "default:blocks=65536,block-size=16",
            *options])
        if pool:
            first = os.path.join(work, "pool.bin")
            with open(first, "wb") as file:
                file.write(b"\0" + len(pool).to_bytes(4, "big") + pool)
            h2load(grpc_arguments(server.address, first, "/quire.v1.Pools/CreatePool"), 1)
        h2load(["-c8", "-m100", *grpc_arguments(server.address, body, path)], calls)
        server.stop()
        summary = next(l for l in open(out, errors="replace") if l.startswith(("summary:", "totals:")))
        totals.append(int(summary.split()[1]))
    return (totals[1] - totals[0]) / (lengths[1] - lengths[0])


def count():
    """What a call costs more where the pool is followed, the reading of what it changed included. Of looks
    there are none: the time under callgrind is not that of a server, so that they would be too many. What
    they take is `SamplingBenchmark`'s to say."""
    allocate = BODY[5:]
    with tempfile.TemporaryDirectory() as work:
        off = instructions(work, ["--sample-interval", "off"], PATH, allocate, (2_000, 12_000))
        on = instructions(work, ["--sample-interval", "1h"], PATH, allocate, (2_000, 12_000))
        kept = instructions(
            work, ["--sample-interval", "off", "--kv-events", "on"], PATH, allocate, (2_000, 12_000))
        stats = instructions(work, ["--sample-interval", "off"], STATS, b"", (2_000, 12_000))
        # Two classes, of which the first has the blocks.
        split = part(2, b"split") + part(3, b"".join(
            part(3, number(1, size) + number(2, 32_768)) for size in (16, 32)))
        of_class = part(1, part(1, b"split")) + allocate
        plain, followed = (
            instructions(work, ["--sample-interval", look], PATH, of_class, (2_000, 12_000), split)
            for look in ("off", "1h"))
        whole = instructions(work, ["--sample-interval", "1h"], STATS, part(2, b"\1\2"), (500, 1_500))
    print("instructions, user space:")
    print(f"  Allocate, nobody follows             {off:9.0f}")
    print(f"  Allocate, the pool is followed       {on:9.0f}  {on - off:+.0f}")
    print(f"  Allocate of a size class             {plain:9.0f}")
    print(f"  Allocate of one, followed            {followed:9.0f}  {followed - plain:+.0f}")
    print(f"  Allocate, events are kept            {kept:9.0f}  {kept - off:+.0f}")
    print(f"  GetStats                             {stats:9.0f}")
    print(f"  GetStats with runs and slots         {whole:9.0f}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--count"]:
        count()
    else:
        compare(*(int(sys.argv[i]) if len(sys.argv) > i else default
                  for i, default in ((1, 8), (2, 8), (3, 50_000))))
