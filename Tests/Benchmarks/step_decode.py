#!/usr/bin/env python3
"""What one Step with a Decode of 256 sequences costs the server: CPU microseconds.

h2load sends the same step again and again over one connection, one at a time, after one step that
admitted the sequences with prompts of 512 tokens and more. Every sequence gets one token each step.
With spread phases one in sixteen fills a block in each; in lock-step all do, every sixteenth. What
such a step costs by itself is less than the last row: there each brings the sixteen tokens of a
block, so that all 256 hash one in every step. CPU is the server process's user + system time over the
run, divided by the steps.
"""
import os
import struct
import subprocess
import sys
import tempfile

from unary_allocate import Server

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


def decode(as_ids, each):
    columns = field(1, ids(8, range(1, SEQUENCES + 1)))
    if each > 1:
        columns += field(2, varint(each) * SEQUENCES)
    if as_ids:
        columns += field(3, ids(4, range(100_000, 100_000 + each * SEQUENCES)))
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


def measure(phases, as_ids, each):
    rows = []
    count = STEPS // each
    for _ in range(RUNS):
        server = Server(blocks=262_144)
        prompts = [[i * 1_000 + t for t in range(512 + i % phases)] for i in range(SEQUENCES)]
        steps(server.address, b"".join(
            admit(i + 1, prompt, as_ids) for i, prompt in enumerate(prompts)), 1)
        before = server.cpu_seconds()
        steps(server.address, decode(as_ids, each), count)
        rows.append((server.cpu_seconds() - before) / count * 1e6)
        log = server.stop()
        held = sum(-(-(len(prompt) + each * count) // 16) for prompt in prompts)
        if f"held_blocks={held}" not in log:
            sys.exit(f"expected {held} blocks held, the server says:\n{log}")
    rows.sort()
    return rows


def main():
    print(f"\none Step with a Decode of {SEQUENCES}, server CPU, median of {RUNS} (least, most)")
    for name, phases, as_ids, each in (
        ("tokens counted, phases spread", 16, False, 1),
        ("tokens given, phases spread", 16, True, 1),
        ("tokens given, in lock-step", 1, True, 1),
        ("16 tokens given, all hash a block", 1, True, 16),
    ):
        rows = measure(phases, as_ids, each)
        print(f"{name:34}{rows[RUNS // 2]:8.1f} us  ({rows[0]:.1f} to {rows[-1]:.1f})")


if __name__ == "__main__":
    main()
