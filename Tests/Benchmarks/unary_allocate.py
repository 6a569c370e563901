#!/usr/bin/env python3
"""What one unary Allocate costs the server: CPU microseconds, instructions, heap allocations.

h2load sends `Allocate(count: 1)` over 8 connections x 100 streams. The pool is large enough that every
call really allocates, and the server's own counters are read back afterwards (over its log line at
exit), because h2load counts HTTP 200s, not grpc-status.

CPU is the server process's user + system time over the run, divided by the calls. Instructions and
allocations come from callgrind: two runs of different length, their difference divided by the
difference in calls, so that start-up and shutdown drop out.
"""
import os
import tempfile

from unary import BODY, QUIRED, Server, check_all_allocated, load, profile

RUNS = 5
CALLS = 400_000


def time_calls(body_file):
    rows = []
    for _ in range(RUNS):
        server = Server(blocks=CALLS)
        before = server.cpu_seconds()
        rate = load(server.address, CALLS, body_file)
        cpu = (server.cpu_seconds() - before) / CALLS * 1e6
        check_all_allocated(server.stop(), CALLS)
        rows.append((cpu, rate))
    rows.sort()
    cpu, rate = rows[len(rows) // 2]
    print(f"server CPU per call      {cpu:8.2f} us  (median of {RUNS}; "
          f"{rows[0][0]:.2f} to {rows[-1][0]:.2f})")
    print(f"requests per second      {rate:8.0f}     (same run; h2load is one full core)")


def profile_calls(body_file, work):
    lengths = (2_000, 12_000)
    instructions, before, after = profile(
        lambda binary, wrapper: Server(65_536, binary, wrapper), QUIRED, body_file, work, lengths)
    print(f"instructions per call    {instructions:8.0f}     (callgrind, user space)")
    for name in sorted(set(before) | set(after)):
        per_call = (after.get(name, 0) - before.get(name, 0)) / (lengths[1] - lengths[0])
        print(f"  {name:22} {per_call:8.3f}     calls per call; {before.get(name, 0)} before and in the first "
              f"{lengths[0]}")


def main():
    with tempfile.TemporaryDirectory() as work:
        body_file = os.path.join(work, "body.bin")
        with open(body_file, "wb") as file:
            file.write(BODY)
        print("\nunary Allocate(1), h2load 8 connections x 100 streams")
        time_calls(body_file)
        profile_calls(body_file, work)


if __name__ == "__main__":
    main()
