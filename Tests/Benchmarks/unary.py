"""What the benchmarks of unary calls share: the request, servers as processes, h2load, callgrind."""
import os
import re
import shutil
import signal
import struct
import subprocess
import sys

QUIRED = os.environ.get("QUIRED", ".build/release/quired")
# AllocateRequest{allocate{count: 1}} behind gRPC's five-byte prefix.
MESSAGE = bytes([0x12, 0x02, 0x08, 0x01])
BODY = b"\0" + struct.pack(">I", len(MESSAGE)) + MESSAGE
PATH = "/quire.v1.BlockPool/Allocate"


def pinned(core):
    """What makes a command run on one core; nothing where there is only one, or no taskset."""
    if os.environ.get("UNPINNED") or os.cpu_count() < 2 or subprocess.run(["which", "taskset"], capture_output=True).returncode:
        return ()
    return ("taskset", "-c", str(core))


class Process:
    """A server that prints its address at the end of its first line, and ends by SIGTERM."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{command[0]} did not start:\n" + self.process.stderr.read())
        self.address = line.split()[-1]

    def cpu_seconds(self):
        """Of all threads, in the kernel's ticks of 10 ms."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_seconds_exactly(self):
        """Of all threads, in nanoseconds, as long as none has ended."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                total += int(open(f"/proc/{self.process.pid}/task/{task}/schedstat").read().split()[0])
            except OSError:
                pass
        return max(total / 1e9, self.cpu_seconds() - 0.01)

    def cpu_nanoseconds(self):
        """Of the first thread, which is the loop's. Waits until it sleeps: then the count is exact."""
        while open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
            pass
        return int(open(f"/proc/{self.process.pid}/schedstat").read().split()[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate()
        return log


class Server(Process):
    """quired on a loopback port of the kernel's choice, with room for `blocks` allocations."""

    def __init__(self, blocks, binary=QUIRED, wrapper=()):
        super().__init__(
            [*wrapper, binary, "--listen", "127.0.0.1:0", "--log-level", "info", "--pool",
             f"default:blocks={blocks},block-size=16"])


def h2load(arguments, calls, wrapper=()):
    """Runs h2load until `calls` calls are answered; requests per second."""
    output = subprocess.run(
        [*wrapper, "h2load", "-t1", f"-n{calls}", *arguments], check=True, capture_output=True,
        text=True).stdout
    succeeded = int(re.search(r"(\d+) succeeded", output).group(1))
    if succeeded != calls:
        sys.exit(f"h2load: {succeeded} of {calls} calls answered\n{output}")
    return float(re.search(r"([\d.]+) req/s", output).group(1))


def grpc_arguments(address, body_file, path=PATH):
    return ["-d", body_file, "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://{address}{path}"]


def load(address, calls, body_file, wrapper=(), connections=8, streams=100):
    return h2load(
        [f"-c{connections}", f"-m{streams}", *grpc_arguments(address, body_file)], calls, wrapper)


def check_all_allocated(log, calls):
    served = re.search(r"allocated_blocks=(\d+)", log)
    if served is None or int(served.group(1)) != calls:
        sys.exit(f"expected {calls} blocks allocated, the server says:\n{log}")


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


def profile(start, binary, body_file, work, lengths=(2_000, 12_000)):
    """Two runs of different length under callgrind; their difference divided by that in calls leaves
    out start-up and shutdown.

    start: makes the server of a binary, behind a wrapper. Returns instructions per call, and by
    allocation function the calls in the short run and in the long one.
    """
    stripped = os.path.join(work, os.path.basename(binary))
    shutil.copy(binary, stripped)
    subprocess.run(["strip", "-g", stripped], check=True)  # valgrind 3.19 cannot read Swift's DWARF.
    totals = []
    for calls in lengths:
        out = os.path.join(work, f"callgrind.{calls}")
        server = start(stripped, (
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--log-file=/dev/null"))
        load(server.address, calls, body_file)
        check_all_allocated(server.stop(), calls)
        summary = next(l for l in open(out, errors="replace") if l.startswith(("summary:", "totals:")))
        totals.append((int(summary.split()[1]), allocator_calls(out)))
    (short, short_heap), (long, long_heap) = totals
    return (long - short) / (lengths[1] - lengths[0]), short_heap, long_heap
