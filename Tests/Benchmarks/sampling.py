#!/usr/bin/env python3
"""What looking at a server costs its callers: CPU per unary Allocate, in interleaved runs.

One pool of a million blocks, half of them scattered free, and h2load's allocations over 8 connections x
100 streams. Beside them: nothing (--sample-interval off), the history at the default of a look a second,
a look ten times a second and a watcher of runs and slots at 10 Hz, and a hundred pollers of GetStats at
10 Hz. CPU of the server over the run divided by the calls, so that what the lookers themselves take of the
machine does not count.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

from unary import BODY, QUIRED, Process, load

STUBS = os.environ.get("STUBS")
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
CALLS = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
BLOCKS = 1_000_000
if STUBS:
    sys.path.insert(0, STUBS)
import grpc  # noqa: E402
from quire.v1 import analyzer_pb2 as a, analyzer_pb2_grpc as ag  # noqa: E402
from quire.v1 import block_pool_pb2 as b, block_pool_pb2_grpc as bg  # noqa: E402


class Pool(Process):
    def __init__(self, *options):
        super().__init__([QUIRED, "--listen", "127.0.0.1:0", "--pool",
                          f"default:blocks={BLOCKS},block-size=16", *options])
        self.channel = grpc.insecure_channel(
            self.address, options=[("grpc.max_receive_message_length", 64 << 20)])
        pool = bg.BlockPoolStub(self.channel)
        ids = []
        for _ in range(4):
            ids += pool.Allocate(b.AllocateRequest(allocate=b.Allocate(count=BLOCKS // 4))).block_ids
        # Every other block, so that no run is longer than one.
        free = [i for i in ids if i % 2]
        for at in range(0, len(free), 100_000):
            pool.Free(b.FreeRequest(free_blocks=b.FreeBlocks(block_ids=free[at:at + 100_000])))
        self.analyzer = ag.AnalyzerStub(self.channel)


def nobody(server, ended):
    ended.wait()


def watcher(server, ended):
    watch = server.analyzer.WatchStats(a.WatchStatsRequest(
        interval_ms=100, include=[a.STATS_INCLUDE_RUNS, a.STATS_INCLUDE_SLOTS]))
    server.ticks = 0
    for _ in watch:
        server.ticks += 1
        if ended.is_set():
            return


def pollers(server, ended):
    def poll():
        while not ended.is_set():
            begin = time.monotonic()
            for _ in range(10):
                server.analyzer.GetStats(a.GetStatsRequest())
            ended.wait(max(0, 0.1 - (time.monotonic() - begin)))

    threads = [threading.Thread(target=poll) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ROWS = [
    ("nobody looks", ["--sample-interval", "off"], nobody),
    ("a look a second", ["--sample-interval", "1s"], nobody),
    ("ten a second, and a watcher", ["--sample-interval", "100ms"], watcher),
    ("a hundred pollers at 10 Hz", ["--sample-interval", "off"], pollers),
]


def measure(options, look, body):
    server = Pool(*options)
    ended = threading.Event()
    looker = threading.Thread(target=look, args=(server, ended))
    looker.start()
    time.sleep(0.3)
    before, began = server.cpu_seconds_exactly(), time.monotonic()
    load(server.address, CALLS, body)
    seconds = time.monotonic() - began
    cpu = server.cpu_seconds_exactly() - before
    ended.set()
    looker.join()
    server.channel.close()
    server.stop()
    return cpu / CALLS * 1e6, CALLS / seconds


def main():
    with tempfile.TemporaryDirectory() as work:
        body = os.path.join(work, "body.bin")
        with open(body, "wb") as file:
            file.write(BODY)
        results = {name: [] for name, _, _ in ROWS}
        for _ in range(ROUNDS):
            for name, options, look in ROWS:
                results[name].append(measure(options, look, body))
        base = sorted(cpu for cpu, _ in results[ROWS[0][0]])[ROUNDS // 2]
        print(f"{ROUNDS} interleaved rounds of {CALLS} calls, {BLOCKS} blocks; medians")
        for name, _, _ in ROWS:
            cpus = sorted(cpu for cpu, _ in results[name])
            rates = sorted(rate for _, rate in results[name])
            print(f"{name:30} {cpus[ROUNDS // 2]:6.2f} us a call ({cpus[0]:.2f} to {cpus[-1]:.2f})"
                  f"  {100 * (cpus[ROUNDS // 2] / base - 1):+6.1f} %"
                  f"  {rates[ROUNDS // 2]:8.0f} calls/s")


if __name__ == "__main__":
    main()
