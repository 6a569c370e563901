#!/usr/bin/env python3
"""What subscribers to events cost a scheduler: steps while none, one and ten of them listen.

`SliceBenchmark` makes the steps: 256 sequences decode, one comes and one goes, some 20 blocks are stored and
removed in each. Servers by turns, as `slices.py` has it: one that keeps no events, one that keeps them and nobody
listens, one subscriber, ten. The servers have one core, in turn; the scheduler and the subscribers another, where
there are two: steps wait for what subscribers do with it, so that the CPU of the server is the figure to look at.

    run_events.py [ROUNDS [STEPS]]     100 rounds of 500
    run_events.py --count              instructions of a step under callgrind
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

import slices
from unary import QUIRED, Process, pinned

POOL = "default:blocks=8192,block-size=16"
CASES = [("no events", "off", 0), ("kept, nobody listens", "on", 0), ("1 subscriber", "on", 1),
         ("10 subscribers", "on", 10)]
# The pool has run full of cached blocks, the phases of the sequences are even, and the memory of the ring was
# touched: 64 MiB, 2.3 KB a step.
WARM_UP = 32_000


def start(keep, wrapper=(), binary=QUIRED):
    return Process([
        *wrapper, binary, "--listen", "127.0.0.1:0", "--kv-events", keep, "--pool", POOL])


def listen(server, subscribers):
    process = subprocess.Popen(
        [*pinned(1), slices.CLIENT, "subscribe", server.address, str(subscribers)],
        stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def end(listening, least):
    listening.send_signal(signal.SIGTERM)
    batches = int(listening.communicate()[0].split("=")[1])
    assert batches >= least, f"{batches} batches came, of {least}"


def compare(rounds, steps):
    servers = [start(keep, pinned(0)) for _, keep, _ in CASES]
    listening = []
    try:
        listening += [listen(server, case[2]) for server, case in zip(servers, CASES) if case[2]]
        load = slices.Load("steps", servers)
        for index in range(len(CASES)):
            load.run(index, WARM_UP)
        print("steps of 256 sequences while others listen to events")
        # Events go out every 5 ms.
        slices.compare(load, [case[0] for case in CASES], rounds, steps, settling=0.01)
        load.stop()
        # A slice has its warm-up.
        for process in listening:
            end(process, WARM_UP + rounds * (steps + max(steps // 10, 1)))
    finally:
        for process in listening:
            process.kill()
        for server in servers:
            server.stop()


def count():
    """Steps come slower under callgrind, so that a subscriber is sent to every few of them instead of every
    hundred: what it takes is less than is counted."""
    with tempfile.TemporaryDirectory() as work:
        stripped = os.path.join(work, "quired")
        subprocess.run(["cp", QUIRED, stripped], check=True)
        subprocess.run(["strip", "-g", stripped], check=True)
        for name, keep, subscribers in CASES[:3]:
            totals = []
            for steps in (1_000, 3_000):
                out = os.path.join(work, f"callgrind.{steps}")
                server = start(keep, (
                    "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                    "--log-file=/dev/null"), stripped)
                listening = listen(server, subscribers) if subscribers else None
                load = slices.Load("steps", [server])
                load.run(0, steps)
                time.sleep(0.1)
                load.stop()
                if listening:
                    end(listening, steps)
                server.stop()
                summary = next(
                    l for l in open(out, errors="replace") if l.startswith(("summary:", "totals:")))
                totals.append(int(summary.split()[1]))
            print(f"  {name:34}{(totals[1] - totals[0]) / 2_000:9.0f} instructions a step, user space")


if __name__ == "__main__":
    if sys.argv[1:] == ["--count"]:
        count()
    else:
        compare(int(sys.argv[1]) if len(sys.argv) > 1 else 100,
                int(sys.argv[2]) if len(sys.argv) > 2 else 500)
