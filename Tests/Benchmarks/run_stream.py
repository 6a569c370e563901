#!/usr/bin/env python3
"""Steps of one operation: as messages of one Run stream, and as unary calls of Step.

Both by `StreamBenchmark`, our own client, over one connection with the same number of steps under way;
turn by turn. Printed: messages per second and the server's CPU per message, the median of the rounds
(least to most), and Run's ratio to unary, made within each round. The server has one core and the client
another where there are two.

    run_stream.py [ROUNDS [MESSAGES]]     5 rounds of 300,000
"""
import os
import re
import statistics
import subprocess
import sys

from unary import Server, check_all_allocated, pinned

CLIENT = os.environ.get("STREAM_BENCHMARK", ".build/release/StreamBenchmark")
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
MESSAGES = int(sys.argv[2]) if len(sys.argv) > 2 else 300_000


def measure(mode, outstanding):
    """(messages per second, server CPU us per message)"""
    server = Server(MESSAGES, wrapper=pinned(0))
    before = server.cpu_seconds_exactly()
    output = subprocess.run(
        [*pinned(1), CLIENT, mode, server.address, str(MESSAGES), str(outstanding)], check=True,
        capture_output=True, text=True).stdout
    cpu = (server.cpu_seconds_exactly() - before) / MESSAGES * 1e6
    check_all_allocated(server.stop(), MESSAGES)
    return float(re.search(r"messages_per_second=([\d.]+)", output).group(1)), cpu


def row(title, values, digits):
    values = sorted(values)
    print(f"  {title:34}{statistics.median(values):10.{digits}f}  ({values[0]:.{digits}f} to {values[-1]:.{digits}f})")


def main():
    print("\none operation a step, one connection: a Run stream beside unary calls")
    for outstanding in (100, 1_000):
        rounds = [(measure("unary", outstanding), measure("run", outstanding)) for _ in range(ROUNDS)]
        print(f"{outstanding} under way")
        row("unary, per second", [unary[0] for unary, _ in rounds], 0)
        row("Run, per second", [run[0] for _, run in rounds], 0)
        row("Run / unary", [run[0] / unary[0] for unary, run in rounds], 2)
        row("unary, server CPU us", [unary[1] for unary, _ in rounds], 2)
        row("Run, server CPU us", [run[1] for _, run in rounds], 2)


if __name__ == "__main__":
    main()
