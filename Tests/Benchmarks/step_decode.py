#!/usr/bin/env python3
"""What one Step with a Decode of 256 sequences costs the server: CPU microseconds.

h2load sends the same step again and again over one connection, one at a time, after one step that
admitted the sequences with prompts of 512 tokens and more. Every sequence gets one token each step.
With spread phases one in sixteen fills a block in each; in lock-step all do, every sixteenth. CPU is
the server process's user + system time over the run, divided by the steps.

The last two rows are of the same lock-step, call by call: the steps in which all 256 hash and take a
block, and the others. They come from a client that lets the server sleep between two calls, and from
the kernel's count of nanoseconds; the median of the calls.
"""
import os
import struct
import subprocess
import sys
import tempfile

from one_call import Connection
from unary import Server

SEQUENCES = 256
STEPS = 10_000
RUNS = 5


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    """A message, or packed numbers."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(field, value):
    return varint(field << 3) + varint(value)


def ids(width, values):
    return b"".join(struct.pack("<I" if width == 4 else "<Q", value) for value in values)


def admit(sequence, prompt, as_ids):
    content = field(1, ids(4, prompt)) if as_ids else number(3, len(prompt))
    add = number(1, sequence) + field(2, content)
    return field(2, field(3, field(2, add)))


def decode(as_ids):
    columns = field(1, ids(8, range(1, SEQUENCES + 1)))
    if as_ids:
        columns += field(3, ids(4, range(100_000, 100_000 + SEQUENCES)))
    return field(2, field(2, columns))


def steps(address, message, calls):
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0" + struct.pack(">I", len(message)) + message)
        body.flush()
        output = subprocess.run(
            ["h2load", "-t1", "-c1", "-m1", f"-n{calls}", "-d", body.name,
             "-H", "content-type: application/grpc", "-H", "te: trailers",
             f"http://{address}/quire.v1.Scheduler/Step"],
            check=True, capture_output=True, text=True).stdout
    if f"{calls} succeeded" not in output:
        sys.exit(output)


def measure(phases, as_ids):
    rows = []
    for _ in range(RUNS):
        server = Server(blocks=262_144)
        prompts = admit_all(server, phases, as_ids)
        before = server.cpu_seconds()
        steps(server.address, decode(as_ids), STEPS)
        rows.append((server.cpu_seconds() - before) / STEPS * 1e6)
        check_held(server.stop(), prompts, STEPS)
    rows.sort()
    return rows


def admit_all(server, phases, as_ids):
    prompts = [[i * 1_000 + t for t in range(512 + i % phases)] for i in range(SEQUENCES)]
    steps(server.address, b"".join(
        admit(i + 1, prompt, as_ids) for i, prompt in enumerate(prompts)), 1)
    return prompts


def check_held(log, prompts, count):
    held = sum(-(-(len(prompt) + count) // 16) for prompt in prompts)
    if f"held_blocks={held}" not in log:
        sys.exit(f"expected {held} blocks held, the server says:\n{log}")


def measure_apart():
    """Microseconds of the steps that hash, and of the others, each from the least to the most."""
    server = Server(blocks=262_144)
    prompts = admit_all(server, 1, True)
    connection = Connection(server.address, "/quire.v1.Scheduler/Step")
    message = decode(True)
    hashing, others = [], []
    for step in range(1, STEPS + 1):
        before = server.cpu_nanoseconds()
        connection.call(message)
        spent = (server.cpu_nanoseconds() - before) / 1e3
        # The prompts end where a block does: the 16th token fills the next one.
        (others if step % 16 else hashing).append(spent)
    connection.close()
    check_held(server.stop(), prompts, STEPS)
    return sorted(hashing), sorted(others)


def main():
    print(f"\none Step with a Decode of {SEQUENCES}, server CPU, median of {RUNS} (least, most)")
    for name, phases, as_ids in (
        ("tokens counted, phases spread", 16, False),
        ("tokens given, phases spread", 16, True),
        ("tokens given, in lock-step", 1, True),
    ):
        rows = measure(phases, as_ids)
        print(f"{name:34}{rows[RUNS // 2]:8.1f} us  ({rows[0]:.1f} to {rows[-1]:.1f})")
    print("lock-step, call by call, median (5th and 95th of 100)")
    for name, rows in zip(("all 256 hash a block", "none does"), measure_apart()):
        parts = [rows[len(rows) * percent // 100] for percent in (50, 5, 95)]
        print(f"{name:34}{parts[0]:8.1f} us  ({parts[1]:.1f} to {parts[2]:.1f})")


if __name__ == "__main__":
    main()
