"""What a benchmark of small differences needs: servers that are loaded by turns, a slice of work each.

A machine is faster and slower by tens of percent from one second to the next, and whoever compares runs
measures that. Here all servers stand ready with their connections, and have some tens of milliseconds in turn;
what is measured has a slice of what it is compared with before and behind it, and a ratio is that of a slice to
the mean of its two neighbours.

Two processes of one program differ by some percent, too, for as long as they live: by where their memory lies. So
what can begin and end beside the load is compared with the same server without it, and everything is done with
several sets of servers: the figure is the mean of their medians, the error that of the mean.
"""
import os
import statistics
import subprocess
import time

from unary import pinned

CLIENT = os.environ.get("SLICE_BENCHMARK", ".build/release/SliceBenchmark")


class Load:
    """`SliceBenchmark` with connections to all servers."""

    def __init__(self, kind, servers):
        self.servers = servers
        self.process = subprocess.Popen(
            [*pinned(1), CLIENT, kind, *(server.address for server in servers)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.expect("ready")

    def expect(self, wanted=None):
        line = self.process.stdout.readline().strip()
        if not line or wanted and line != wanted:
            raise SystemExit(f"{CLIENT}: {line} {self.process.stdout.read()}")
        return line

    def run(self, index, count):
        """So many steps or calls; nanoseconds."""
        self.process.stdin.write(f"{index} {count}\n")
        self.process.stdin.flush()
        return int(self.expect())

    def slice(self, what, count, settling):
        """CPU nanoseconds of the server per step or call, and how many a second. What it owes to others
        behind the last answer, it has `settling` seconds for."""
        server = self.servers[what.index]
        beside = what.beside and what.beside(server)
        try:
            warm_up = what.warm_up or max(count // 10, 1)
            self.run(what.index, warm_up)
            time.sleep(settling)
            before = server.cpu_nanoseconds()
            nanoseconds = self.run(what.index, count)
            time.sleep(settling)
            measured = (server.cpu_nanoseconds() - before) / count, count / nanoseconds * 1e9
        except BaseException:
            if beside:
                beside.process.kill()
            raise
        if beside:
            beside.end(warm_up + count)
        return measured

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            # It has said why it ended.
            pass
        self.process.wait()


class Loaded:
    """A server by its index, and what goes on beside its load, or None: begun by a call with the server, which
    returns what has a `process` and an `end`, told how many steps or calls there were. `warm_up`: steps or calls
    before the clock runs; a tenth of a slice where that is 0."""

    def __init__(self, index, beside=None, warm_up=0):
        self.index = index
        self.beside = beside
        self.warm_up = warm_up


class Comparison:
    """Of pairs: a name, what is measured, and what it is compared with, each a `Loaded`."""

    def __init__(self, pairs):
        self.pairs = pairs
        # By pair, and of each set: the medians.
        self.cpu, self.rate, self.ratios, self.rates = ([[] for _ in pairs] for _ in range(4))

    def add_set(self, load, rounds, count, settling=0.0):
        slices = [[] for _ in self.pairs]
        for _ in range(rounds):
            for index, (_, measured, reference) in enumerate(self.pairs):
                slices[index].append([
                    load.slice(what, count, settling) for what in (reference, measured, reference)])
        for index, triples in enumerate(slices):
            def median(value):
                return statistics.median(value(*triple) for triple in triples)
            self.cpu[index].append(median(lambda _, mine, __: mine[0]))
            self.rate[index].append(median(lambda _, mine, __: mine[1]))
            self.ratios[index].append(median(lambda a, mine, b: 2 * mine[0] / (a[0] + b[0])))
            self.rates[index].append(median(lambda a, mine, b: 2 * mine[1] / (a[1] + b[1])))

    def print(self):
        print(f"{len(self.cpu[0])} sets of servers; means, and their errors")
        for index, (name, _, _) in enumerate(self.pairs):
            cpu, rate = statistics.mean(self.cpu[index]), statistics.mean(self.rate[index])
            print(f"  {name:34}{cpu / 1000:8.2f} us of CPU {change(self.ratios[index])}"
                  f"{rate:10.0f} a second {change(self.rates[index])}, {100 * cpu * rate / 1e9:.0f} % busy")


def change(ratios):
    """The mean in percent, and its standard error; of one there is none."""
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else float("nan")
    return f"{100 * (statistics.mean(ratios) - 1):+6.2f} % (+-{100 * error:.2f})"
