#!/usr/bin/env python3
"""What attackers cost a well-behaved client.

    Tests/Benchmarks/abuse.py [--rounds 5] [--seconds 2] [--only priorities,pings] [--list]

h2load keeps four connections of ten calls each busy. Each round of each attack is three runs, one after
the other and each with a server of its own: alone, under attack, and beside the same attacker with
another target, a process on the server's processor that reads and throws away (the sink). There the
attacker may use as much processor time as it just did, and the sink closes connections, if the server did,
after as many bytes. So what the attacker takes from everybody by being on the same machine is in both, and
the share

    kept = rate under attack / rate beside the sink

is what the server loses to the attack. The bar is 70 % of it. `of alone` is the same against the quiet
run, with the attacker's own use of the machine in it. The server and the sink have the first processor,
h2load and the attacker the second.

`server` is the time the server spends on the attack: CPU seconds a second, less what the answered calls
took at the price of the quiet run. It moves less than the rates do. Calls that the server refuses do not
count as answered: their share is taken from the bytes of the answers.

`others` is what other programs took of the machine, in the worst of the rounds: a round that is not quiet
is repeated, up to `--tries` times.
"""
import argparse
import collections
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

from abuse_attacks import ATTACKS, run, sink
from unary import QUIRED, Process, grpc_arguments, pinned

BAR = 0.70
# Processor seconds a second of other programs, of which a round has no more if it can be helped.
QUIET = 0.15
UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


class Busy:
    """The processor seconds of all that runs on the machine and is none of ours."""

    def __init__(self):
        self.before = self.sum()

    @staticmethod
    def sum():
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [int(word) for word in open("/proc/stat").readline().split()[1:9]]
        all_ = (sum(fields) - fields[3] - fields[4]) / ticks  # All but idle and waiting for a disk.
        ours = 0
        group = os.getpgid(0)
        for entry in os.listdir("/proc"):
            try:
                words = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if words[2] == str(group) and entry.isdigit():
                ours += sum(map(int, words[11:13])) / ticks
        # Those that have ended, h2load for one, are with whoever waited for them.
        ended = os.times()
        return all_ - ours - ended.children_user - ended.children_system

    def others(self):
        return self.sum() - self.before


class Load:
    """One run of h2load against `address` beside whatever else is going on."""

    def __init__(self, server, address, scheme, body, seconds):
        # Over TLS a run has been seen that went on calling, and was answered, for minutes.
        for _ in range(3):
            try:
                return self.once(server, address, scheme, body, seconds)
            except subprocess.TimeoutExpired:
                print(f"h2load went on past its {seconds} s: that run does not count", file=sys.stderr)
        sys.exit("h2load went on past its time three times in a row")

    def once(self, server, address, scheme, body, seconds):
        arguments = grpc_arguments(address, body, "/quire.v1.Pools/ListPools")
        arguments[-1] = arguments[-1].replace("http", scheme, 1)
        busy = Busy()
        cpu, read, began = server.cpu_seconds_exactly(), bytes_read(server), time.monotonic()
        output = subprocess.run(
            [*pinned(1), "h2load", "-t1", "-c4", "-m10", f"-D{seconds}", *arguments],
            capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
        self.cpu = server.cpu_seconds_exactly() - cpu
        self.wall = time.monotonic() - began
        self.read = bytes_read(server) - read
        self.others = busy.others() / self.wall
        requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
        self.calls, failed, errored = map(int, requests.groups())
        self.failed = failed + errored
        data = re.search(r"([\d.]+)(\w+) \(\d+\) data|\((\d+)\) data", output)
        self.data = int(re.search(r"\((\d+)\) data", output).group(1)) if data else 0
        self.rate = self.calls / seconds

    def answered(self, bytes_a_call):
        return self.rate * min(1, self.data / max(1, self.calls) / bytes_a_call)


class Attacker:
    """`run` in a process of its own, on the processor of the client."""

    def __init__(self, attack, port, pace=None):
        self.results, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=run, args=(attack, port, theirs, pace))
        self.process.start()
        confine(self.process.pid, 1)
        time.sleep(0.3)

    def stop(self):
        self.process.terminate()
        found = self.results.recv()
        self.process.join()
        return found


def bytes_read(server):
    """From sockets, and from whatever else."""
    return int(re.search(r"rchar: (\d+)", open(f"/proc/{server.process.pid}/io").read()).group(1))


def confine(pid, core):
    if pinned(core):
        os.sched_setaffinity(pid, {core})


def serve(attack, files):
    listen = ["--listen", "tcp:127.0.0.1:0"]
    if attack.tls:
        listen += ["--listen", "tls:127.0.0.1:0", *files]
    server = Process([
        *pinned(0), QUIRED, *listen, *attack.flags, "--log-level", "info", "--pool",
        "default:blocks=64,block-size=16"])
    server.plain = server.address
    if attack.tls:
        server.address = server.process.stdout.readline().split()[-1]
    return server


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def one_round(attack, files, body, seconds):
    scheme = "https" if attack.victim_tls else "http"

    def load(server):
        address = server.address if attack.victim_tls else server.plain
        return Load(server, address, scheme, body, seconds)

    server = serve(attack, files)
    alone = load(server)
    server.stop()

    server = serve(attack, files)
    attacker = Attacker(attack, port_of(server.address))
    under = load(server)
    counts, lasted = attacker.stop()
    # The server drops unread what comes after a cut: the sink is to do the same.
    taken = bytes_read(server) - under.calls * alone.read / max(1, alone.calls)
    pages = int(open(f"/proc/{server.process.pid}/statm").read().split()[1])
    log = server.stop()

    ours, theirs = multiprocessing.Pipe()
    control = multiprocessing.Process(target=sink, args=(theirs,), daemon=True)
    control.start()
    confine(control.pid, 0)
    port = ours.recv()
    ours.send(taken / counts.opened if counts.cut else float("inf"))
    server = serve(attack, files)
    attacker = Attacker(attack, port, pace=counts.cpu / lasted)
    beside = load(server)
    copied, copying = attacker.stop()
    control.terminate()
    control.join()
    server.stop()

    bytes_a_call = max(1, alone.data / max(1, alone.calls))
    answered = under.answered(bytes_a_call)
    # By the part of its time the server spends on the victim.
    price = alone.cpu / max(1, alone.calls)
    reasons = collections.Counter(re.findall(r'cut off.*?reason="?(.*?)(?:"| \w+=|$)', log, re.MULTILINE))
    return {
        "kept": answered / max(1e-9, beside.answered(bytes_a_call)),
        "of alone": answered / max(1e-9, alone.rate),
        "cpu": (under.cpu - answered * seconds * price) / under.wall,
        "resident": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "failed": under.failed, "counts": counts, "reasons": reasons, "lasted": lasted,
        "others": max(alone.others, under.others, beside.others),
        "rates": (alone.rate, under.rate, beside.rate),
    }


def quiet_round(attack, files, body, options):
    """The quietest of a few tries, if the machine has other things to do."""
    tries = []
    while not tries or tries[-1]["others"] > QUIET and len(tries) < options.tries:
        tries.append(one_round(attack, files, body, options.seconds))
    return min(tries, key=lambda found: found["others"])


def offender(attack, rounds):
    """What became of the attackers' connections, of all rounds."""
    opened = sum(r["counts"].opened for r in rounds)
    cut = sum(r["counts"].cut for r in rounds)
    seconds = sum(r["lasted"] for r in rounds)
    ends, reasons = collections.Counter(), collections.Counter()
    for found in rounds:
        ends.update(found["counts"].ends)
        reasons.update(found["reasons"])
    if cut:
        words = f"cut off {cut / seconds:,.0f} times a second ({ends.most_common(1)[0][0]})"
    elif attack.leaves:
        words = f"leaves by itself {opened / seconds:,.0f} times a second"
    else:
        words = f"still open: {attack.stays or 'within every limit'}"
    if reasons:
        words += "; log: " + ", ".join(reason for reason, _ in reasons.most_common(2))
    return words


def spread(rounds, key, form):
    values = [found[key] for found in rounds]
    return (f"{statistics.median(values):{form}} "
            f"({min(values):{form}} to {max(values):{form}})").replace("%", "").replace(" to ", "-")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument(
        "--tries", type=int, default=3, help="of a round while other programs are busy")
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(ATTACKS))
    parser.add_argument("--list", action="store_true", help="name the attacks and exit")
    options = parser.parse_args()
    if options.list:
        return print("\n".join(ATTACKS))
    unknown = set(options.only) - set(ATTACKS)
    if unknown:
        sys.exit(f"no such attack: {', '.join(sorted(unknown))}; see --list")
    missed = []
    with tempfile.TemporaryDirectory() as work:
        body, certificate, key = (os.path.join(work, name) for name in ("body", "cert", "key"))
        with open(body, "wb") as file:
            file.write(b"\0\0\0\0\0")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True, capture_output=True)
        files = ["--tls-cert", certificate, "--tls-key", key]
        print(f"{'attack':20}{'kept, %':>16}{'of alone, %':>16}{'server, s/s':>20}{'others':>8}{'MiB':>6}  bar  offender")
        for name in options.only:
            attack = ATTACKS[name]
            rounds = [
                quiet_round(attack, files, body, options) for _ in range(options.rounds)]
            met = statistics.median(found["kept"] for found in rounds) >= BAR
            failed = sum(found["failed"] for found in rounds)
            missed += [] if met and not failed else [name]
            print(
                f"{name:20}{spread(rounds, 'kept', '.0%'):>16}{spread(rounds, 'of alone', '.0%'):>16}"
                f"{spread(rounds, 'cpu', '.2f'):>20}{max(r['others'] for r in rounds):>8.2f}{max(r['resident'] for r in rounds):>6.0f}"
                f"  {'met' if met else 'MISSED'}  {offender(attack, rounds)}"
                + (f"; {failed} CALLS OF THE CLIENT FAILED" if failed else ""), flush=True)
            if os.environ.get("ABUSE_DEBUG"):
                print("   ", [([round(x) for x in r["rates"]], round(r["others"], 2)) for r in rounds], rounds[0]["counts"].__dict__)
    print(f"under {BAR:.0%}: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
