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
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

QUIRED = os.environ.get("QUIRED", ".build/release/quired")
# AllocateRequest{allocate{count: 1}} behind gRPC's five-byte prefix.
MESSAGE = bytes([0x12, 0x02, 0x08, 0x01])
BODY = b"\0" + struct.pack(">I", len(MESSAGE)) + MESSAGE
PATH = "/quire.v1.BlockPool/Allocate"
RUNS = 5
CALLS = 400_000


class Server:
    """quired on a loopback port of the kernel's choice, with room for `blocks` allocations."""

    def __init__(self, blocks, binary=QUIRED, wrapper=()):
        self.process = subprocess.Popen(
            [*wrapper, binary, "--listen", "127.0.0.1:0", "--log-level", "info", "--pool",
             f"default:blocks={blocks},block-size=16"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("quired did not start:\n" + self.process.stderr.read())
        self.address = line.split()[-1]

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_nanoseconds(self):
        """Of the first thread, which is the loop's. Waits until it sleeps: then the count is exact."""
        while open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
            pass
        return int(open(f"/proc/{self.process.pid}/schedstat").read().split()[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate()
        return log


def load(address, calls, body_file):
    output = subprocess.run(
        ["h2load", "-t1", "-c8", "-m100", f"-n{calls}", "-d", body_file,
         "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{PATH}"],
        check=True, capture_output=True, text=True).stdout
    succeeded = int(re.search(r"(\d+) succeeded", output).group(1))
    if succeeded != calls:
        sys.exit(f"h2load: {succeeded} of {calls} calls answered\n{output}")
    return float(re.search(r"([\d.]+) req/s", output).group(1))


def check_all_allocated(log, calls):
    served = re.search(r"allocated_blocks=(\d+)", log)
    if served is None or int(served.group(1)) != calls:
        sys.exit(f"expected {calls} blocks allocated, the server says:\n{log}")


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


def allocator_calls(profile):
    """Calls into each allocation function, by callgrind's call records."""
    names, counts, callee = {}, {}, None
    allocators = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "swift_allocObject",
                  "swift_slowAlloc")
    for line in open(profile, errors="replace"):
        if line.startswith("cfn="):
            number, _, name = line[4:].strip().partition(" ")
            if name:
                names[number] = name
            callee = names.get(number, "")
        elif line.startswith("fn="):
            number, _, name = line[3:].strip().partition(" ")
            if name:
                names[number] = name
        elif line.startswith("calls=") and callee is not None:
            if callee in allocators:
                counts[callee] = counts.get(callee, 0) + int(line[6:].split()[0])
            callee = None
    return counts


def profile_calls(body_file, work):
    binary = os.path.join(work, "quired")
    shutil.copy(QUIRED, binary)
    subprocess.run(["strip", "-g", binary], check=True)  # valgrind 3.19 cannot read Swift's DWARF.
    totals = []
    for calls in (2_000, 12_000):
        out = os.path.join(work, f"callgrind.{calls}")
        server = Server(65_536, binary, wrapper=(
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--log-file=/dev/null"))
        load(server.address, calls, body_file)
        check_all_allocated(server.stop(), calls)
        summary = next(l for l in open(out, errors="replace") if l.startswith(("summary:", "totals:")))
        totals.append((calls, int(summary.split()[1]), allocator_calls(out)))
    (calls_a, instructions_a, heap_a), (calls_b, instructions_b, heap_b) = totals
    calls = calls_b - calls_a
    print(f"instructions per call    {(instructions_b - instructions_a) / calls:8.0f}     "
          f"(callgrind, user space)")
    for name in sorted(set(heap_a) | set(heap_b)):
        per_call = (heap_b.get(name, 0) - heap_a.get(name, 0)) / calls
        print(f"  {name:22} {per_call:8.3f}     calls per call; {heap_a.get(name, 0)} before and in the first "
              f"{calls_a}")


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
