"""What a benchmark of small differences needs: servers that are loaded by turns, a slice of work each.

A machine is faster and slower by tens of percent from one second to the next, and whoever compares runs
measures that. Here all servers stand ready with their connections, and have some fifty milliseconds in turn;
the one to compare with has a slice before and behind each of the others, and a ratio is that of a slice to the
mean of its two neighbours. The median of some hundred of them is good to half a percent; what one server
measures against itself, said beside it, shows how good.
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

    def slice(self, index, count, settling):
        """CPU nanoseconds of the server per step or call, and how many a second. What it owes to others
        behind the last answer, it has `settling` seconds for."""
        self.run(index, max(count // 10, 1))
        time.sleep(settling)
        server = self.servers[index]
        before = server.cpu_nanoseconds()
        nanoseconds = self.run(index, count)
        time.sleep(settling)
        return (server.cpu_nanoseconds() - before) / count, count / nanoseconds * 1e9

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def compare(load, names, rounds, count, settling=0.0, besides=None):
    """Rounds of slices; the first server is what the others, and itself, are compared with. Prints a line
    for each. `besides`: of each server, what begins calls that go on beside its slices and no others', or None;
    it returns their process."""
    cpu, rate, ratios, rates = ([[] for _ in names] for _ in range(4))
    for _ in range(rounds):
        before = load.slice(0, count, settling)
        for index in range(len(names)):
            beside = besides and besides[index] and besides[index](load.servers[index])
            if beside:
                time.sleep(0.3)
            mine = load.slice(index, count, settling)
            if beside:
                beside.kill()
                beside.wait()
            behind = load.slice(0, count, settling)
            cpu[index].append(mine[0])
            rate[index].append(mine[1])
            ratios[index].append(2 * mine[0] / (before[0] + behind[0]))
            rates[index].append(2 * mine[1] / (before[1] + behind[1]))
            before = behind
    print(f"{rounds} rounds of slices of {count}; medians, and the error that follows from the quartiles")
    for index, name in enumerate(names):
        print(f"  {name:34}{statistics.median(cpu[index]) / 1000:8.2f} us of CPU {change(ratios[index])}"
              f"{statistics.median(rate[index]):10.0f} a second {change(rates[index])}")


def change(ratios):
    """The median in percent, and 1.25 standard errors of the mean of as many, out of the quartiles."""
    values = sorted(ratios)
    spread = values[3 * len(values) // 4] - values[len(values) // 4]
    error = 1.25 * spread / 1.35 / len(values) ** 0.5
    return f"{100 * (statistics.median(values) - 1):+6.2f} % (+-{100 * error:.2f})"
