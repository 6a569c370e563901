#!/usr/bin/env python3
"""What subscribers to events cost schedulers: steps while none, one and ten of them listen.

`SliceBenchmark` makes the steps of two schedulers: 256 sequences of each decode, one comes and one goes, some 20
blocks are stored and removed in a step. Servers by turns, as `slices.py` has it: one that keeps events from the
first subscriber to the last, and one that always does. The servers have one core, in turn; the schedulers and the
subscribers another, where there are two. Where a server is busy all the time, steps a second are what it can do.

    run_events.py [SETS [ROUNDS [STEPS]]]     12 sets of servers, 12 rounds of 600 steps
    run_events.py --count                     instructions of a step under callgrind
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

import slices
from slices import Loaded
from unary import QUIRED, Process, pinned

POOL = "default:blocks=16384,block-size=16"
# The pool has run full of cached blocks, the phases of the sequences are even, and the memory of the ring of who
# always keeps events was touched: 64 MiB, 2.3 KB a step. In pieces: the requests of a slice are in memory.
WARM_UP = [1_000] * 32
# Ends soon behind the last subscriber. Each slice has a new ring, which goes round in RING_STEPS: what first touches
# of memory take is not what is asked here.
DEMAND = ["demand", "--kv-events-linger", "1ms", "--kv-events-heartbeat", "20ms",
          "--kv-events-bytes", "4MiB"]
RING_STEPS = 2_000


def start(keep, wrapper=(), binary=QUIRED):
    return Process([
        *wrapper, binary, "--listen", "127.0.0.1:0", "--pool", POOL, "--kv-events", *keep])


class Subscribers:
    """So many, that hear of everything from here on."""

    def __init__(self, server, number):
        self.process = subprocess.Popen(
            [*pinned(1), slices.CLIENT, "subscribe", server.address, str(number)],
            stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def end(self, steps):
        self.process.send_signal(signal.SIGTERM)
        batches = int(self.process.communicate()[0].split("=")[1])
        # Each step stores something.
        assert batches == steps, f"{batches} batches came, of {steps}"
        # By then the server has seen them go.
        time.sleep(0.1)


def compare(sets, rounds, steps):
    quiet = Loaded(0)

    def with_subscribers(number):
        return Loaded(0, lambda server: Subscribers(server, number), RING_STEPS)

    comparison = slices.Comparison([
        ("no events", Loaded(0), quiet),
        ("always kept, nobody listens", Loaded(1), quiet),
        ("1 subscriber", with_subscribers(1), quiet),
        ("10 subscribers", with_subscribers(10), quiet),
    ])
    for _ in range(sets):
        servers = [start(keep, pinned(0)) for keep in (DEMAND, ["on"])]
        load = slices.Load("steps", servers)
        try:
            for index in range(len(servers)):
                for part in WARM_UP:
                    load.run(index, part)
            # Events go out every 5 ms.
            comparison.add_set(load, rounds, steps, settling=0.01)
        finally:
            load.stop()
            for server in servers:
                server.stop()
    print("steps of 256 sequences while others listen to events")
    comparison.print()


def count():
    """Steps come slower under callgrind, so that a subscriber is sent to every few of them instead of every
    hundred: what it takes is less than is counted."""
    with tempfile.TemporaryDirectory() as work:
        stripped = os.path.join(work, "quired")
        subprocess.run(["cp", QUIRED, stripped], check=True)
        subprocess.run(["strip", "-g", stripped], check=True)
        for name, keep, subscribers in [
                ("no events", ["off"], 0), ("kept, nobody listens", ["on"], 0),
                ("1 subscriber", ["on"], 1)]:
            totals = []
            for steps in (1_000, 3_000):
                out = os.path.join(work, f"callgrind.{steps}")
                server = start(keep, (
                    "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                    "--log-file=/dev/null"), stripped)
                listening = Subscribers(server, subscribers) if subscribers else None
                load = slices.Load("steps", [server])
                load.run(0, steps)
                time.sleep(0.1)
                load.stop()
                if listening:
                    listening.end(steps)
                server.stop()
                summary = next(
                    l for l in open(out, errors="replace") if l.startswith(("summary:", "totals:")))
                totals.append(int(summary.split()[1]))
            print(f"  {name:34}{(totals[1] - totals[0]) / 2_000:9.0f} instructions a step, user space")


if __name__ == "__main__":
    if sys.argv[1:] == ["--count"]:
        count()
    else:
        compare(*(int(sys.argv[i]) if len(sys.argv) > i else default
                  for i, default in ((1, 12), (2, 12), (3, 600))))
