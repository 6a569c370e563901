#!/usr/bin/env python3
"""What an operation costs as pools and lives grow: times, cache lines, memory, and a Step's CPU.

    Tests/Benchmarks/growth.py [--plot FILE.svg] [--quick]

Prints the tables of Costs.md. Cache lines are counted by cachegrind, which simulates a data cache of
32 KiB: what every operation touches stays in it, so a miss is a line that this operation touched and
the ones just before it did not. Runs of two lengths, their difference divided by the difference in
operations, take start-up and shuffling out. `--quick` leaves out 10 M blocks, which take minutes under
cachegrind.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from step_decode import field, number
from unary import Server

PROGRAM = ".build/release/GrowthBenchmark"
POOLS = [4_096, 65_536, 1_000_000, 10_000_000]
LIVES = [1, 1_000, 100_000]
ROUNDS = {"allocate": 200_000, "admit": 4_000, "decode": 1_000}
# Rounds of the two runs under cachegrind, and operations a round.
COUNTED = {"allocate": (1_000, 4_000), "admit": (50, 200), "decode": (20, 80)}
NAMES = {
    "allocate": "free any of half the blocks, allocate one",
    "admit": "admit and free a prompt of 64 blocks, half cached",
    "decode": "one sequence of a decode of up to 256",
}


def run(measure, blocks, live, rounds, wrapper=(), program=PROGRAM):
    return subprocess.run(
        [*wrapper, program, measure, str(blocks), str(live), str(rounds)],
        check=True, capture_output=True, text=True)


def nanoseconds(measure, blocks, live):
    found = re.search(
        r"ns=(\S+) bytes_per_block=(\S+)", run(measure, blocks, live, ROUNDS[measure]).stdout)
    return float(found.group(1)), float(found.group(2))


def lines(measure, blocks, live):
    counts = []
    for rounds in COUNTED[measure]:
        with tempfile.TemporaryDirectory() as work:
            stripped = os.path.join(work, "GrowthBenchmark")
            shutil.copy(PROGRAM, stripped)
            subprocess.run(["strip", "-g", stripped], check=True)  # As in unary.py.
            errors = run(measure, blocks, live, rounds, [
                "valgrind", "--tool=cachegrind", "--cache-sim=yes", "--D1=32768,8,64",
                f"--cachegrind-out-file={work}/out"], stripped).stderr
        misses = re.search(r"D1\s+misses:\s+([\d,]+)", errors).group(1)
        counts.append(int(misses.replace(",", "")))
    each = min(live, 256) if measure == "decode" else 1
    return (counts[1] - counts[0]) / ((COUNTED[measure][1] - COUNTED[measure][0]) * each)


def size(count):
    for limit, suffix in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit:
            return f"{round(count / limit)} {suffix}"
    return str(count)


def table(title, column, values, rows):
    print(f"\n{title}\n")
    print("| | " + " | ".join(f"{size(value)} {column}" for value in values) + " |")
    print("|---|" + "---|" * len(values))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |")


def in_process(title, column, values, measures, place):
    rows, plotted = [], {}
    for measure in measures:
        times = [nanoseconds(measure, *place(value))[0] for value in values]
        touched = [lines(measure, *place(value)) for value in values]
        plotted[measure] = (values, times, touched)
        rows.append((NAMES[measure] + ", ns", [f"{time:,.0f}" for time in times]))
        rows.append(("the same, cache lines", [f"{count:.1f}" for count in touched]))
    table(title, column, values, rows)
    return plotted


def memory(blocks):
    print(f"\nResident bytes a block, {size(blocks)} blocks, shuffled queue: "
          f"{nanoseconds('allocate', blocks, 0)[1]:.1f} without prefix caching, "
          f"{nanoseconds('admit', blocks, 0)[1]:.1f} with it")


# MARK: Through Step


def step_with_life(live):
    """Admits a sequence of four blocks and frees it, beside `live` others."""
    new = number(1, live + 1) + field(2, number(3, 64))
    return (field(2, field(3, field(2, new)))
            + field(2, field(10, field(1, struct.pack("<Q", live + 1)))))


def send(address, messages, calls, connections=1, streams=1):
    for message in messages:
        with tempfile.NamedTemporaryFile() as body:
            body.write(b"\0" + struct.pack(">I", len(message)) + message)
            body.flush()
            subprocess.run(
                ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-n{calls}", "-d", body.name,
                 "-H", "content-type: application/grpc", "-H", "te: trailers",
                 f"http://{address}/quire.v1.Scheduler/Step"],
                check=True, capture_output=True, text=True)


def server_microseconds(blocks, live, calls=100_000):
    rows = []
    for _ in range(3):
        server = Server(blocks=blocks)
        admits = [field(2, field(3, field(2, number(1, i + 1) + field(2, number(3, 8)))))
                  for i in range(live)]
        send(server.address, [b"".join(admits[i:i + 20_000]) for i in range(0, live, 20_000)], 1)
        before = server.cpu_seconds()
        send(server.address, [step_with_life(live)], calls, streams=32)
        rows.append((server.cpu_seconds() - before) / calls * 1e6)
        server.stop()
    return sorted(rows)[1]


# MARK: The picture


def draw(path, by_pool, by_lives):
    """In an environment of its own, made when it is missing, because it takes matplotlib."""
    python = ".build/bench-venv/bin/python"
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", ".build/bench-venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "matplotlib"], check=True)
    subprocess.run(
        [python, __file__, "--draw", path], input=json.dumps([by_pool, by_lives]), text=True,
        check=True)


def plot(path, by_pool, by_lives):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quire"
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, plotted, name in ((axes[0], by_pool, "blocks in the pool"),
                                (axes[1], by_lives, "live sequences")):
        for (measure, (values, times, touched)), colour in zip(
                plotted.items(), ("#1f6f8b", "#c2571a", "#3b7a3b")):
            axis.plot(values, times, color=colour, marker="o", label=f"{NAMES[measure]}: ns")
            axis.plot(values, touched, color=colour, marker="x", linestyle="dotted",
                      label="cache lines")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel(name)
        axis.grid(True, which="major", alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("an operation: nanoseconds, cache lines")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    pools = POOLS[:-1] if "--quick" in sys.argv else POOLS
    by_pool = in_process(
        "By the size of the pool (1 sequence lives; queue in random order)", "blocks", pools,
        ["allocate", "admit"], lambda blocks: (blocks, 1))
    by_lives = in_process(
        "By the sequences that live (1 M blocks)", "live", LIVES, ["decode", "admit"],
        lambda live: (1_000_000, live))
    table("A Step that admits a sequence of four blocks and frees it, server CPU, us", "blocks",
          pools, [("1 live sequence", [f"{server_microseconds(b, 1):.1f}" for b in pools])])
    table("The same in a pool of 1 M blocks", "live", LIVES,
          [("", [f"{server_microseconds(1_000_000, live):.1f}" for live in LIVES])])
    memory(pools[-1])
    if "--plot" in sys.argv:
        draw(sys.argv[sys.argv.index("--plot") + 1], by_pool, by_lives)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--draw"]:
        plot(sys.argv[2], *json.load(sys.stdin))
    else:
        main()
