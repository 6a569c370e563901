#!/usr/bin/env python3
"""What subscribers to events cost a scheduler: steps while none, one and ten of them listen.

`EventBenchmark` makes the steps: 256 sequences decode, one comes and one goes, some 20 blocks are stored and
removed in each. Turn by turn: a server that keeps no events, one that keeps them and nobody listens, one
subscriber, ten. Printed: the server's CPU per step and steps per second, the median of the rounds (least to
most), and their ratios to no events, made within each round; beside them the ratio of the least of all, for what
others do on the machine only ever adds. The server has one core, the client and the
subscribers another, where there are two; what subscribers do with their core makes steps wait for it, so that
the CPU of the server is the figure to look at.

    run_events.py [ROUNDS [STEPS]]     5 rounds of 20,000
"""
import os
import re
import statistics
import subprocess
import sys

from unary import QUIRED, Process, pinned

CLIENT = os.environ.get("EVENT_BENCHMARK", ".build/release/EventBenchmark")
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
CASES = [("no events", "off", 0), ("kept, nobody listens", "on", 0), ("1 subscriber", "on", 1),
         ("10 subscribers", "on", 10)]


def measure(keep, subscribers):
    """(server CPU us per step, steps per second)"""
    server = Process([
        *pinned(0), QUIRED, "--listen", "127.0.0.1:0", "--kv-events", keep, "--pool",
        "default:blocks=8192,block-size=16"])
    listening = None
    if subscribers:
        listening = subprocess.Popen(
            [*pinned(1), CLIENT, "subscribe", server.address, str(subscribers)],
            stdout=subprocess.PIPE, text=True)
        assert listening.stdout.readline() == "ready\n"
    before = server.cpu_seconds_exactly()
    output = subprocess.run(
        [*pinned(1), CLIENT, "steps", server.address, str(STEPS)], check=True, capture_output=True,
        text=True).stdout
    cpu = (server.cpu_seconds_exactly() - before) / (STEPS + 1_024) * 1e6
    if listening:
        listening.terminate()
        batches = int(listening.communicate()[0].split("=")[1])
        assert batches > STEPS, f"only {batches} batches came"
    server.stop()
    return cpu, float(re.search(r"steps_per_second=([\d.]+)", output).group(1))


def row(title, values, digits):
    values = sorted(values)
    print(f"  {title:44}{statistics.median(values):10.{digits}f}  ({values[0]:.{digits}f} to {values[-1]:.{digits}f})")


def main():
    print("\nsteps of 256 sequences while others listen to events")
    rounds = [[measure(keep, subscribers) for _, keep, subscribers in CASES] for _ in range(ROUNDS)]
    for index, (title, _, _) in enumerate(CASES):
        row(f"{title}: server CPU us a step", [r[index][0] for r in rounds], 2)
        row(f"{title}: steps per second", [r[index][1] for r in rounds], 0)
        if index:
            row(f"{title}: CPU / no events", [r[index][0] / r[0][0] for r in rounds], 3)
            least = min(r[index][0] for r in rounds) / min(r[0][0] for r in rounds)
            print(f"  {title + ': the same of the least of each':44}{least:10.3f}")


if __name__ == "__main__":
    main()
