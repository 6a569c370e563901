"""What attackers of a gRPC server send, and the process that sends it (see `abuse.py`)."""
import dataclasses
import gzip
import re
import selectors
import signal
import socket
import ssl
import struct
import time
from typing import Callable, Optional

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def length(count):
    """HPACK's integer with a prefix of seven bits."""
    if count < 127:
        return bytes([count])
    out, rest = [127], count - 127
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def field(name, value, kind=b"\0"):
    return kind + length(len(name)) + name.encode() + length(len(value)) + value.encode()


def fields(path="/quire.v1.Scheduler/Run", extra=()):
    return b"".join(field(*pair) for pair in [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"),
        ("content-type", "application/grpc"), ("te", "trailers"), *extra])


def head(stream, path="/quire.v1.Scheduler/Run", extra=()):
    return frame(1, 4, stream, fields(path, extra))


def call(stream, path):
    """A whole call with an empty message."""
    return head(stream, path) + frame(0, 1, stream, b"\0\0\0\0\0")


def ids(number, count):
    return range(2 * count * number + 1, 2 * count * (number + 1) + 1, 2)


def streams(number, tail, count=200):
    return b"".join(head(stream) + tail(stream) for stream in ids(number, count))


# 4 KB that unpack to just under the limit of 4 MiB.
BOMB = gzip.compress(bytes((4 << 20) - 16), 9)


def bombs(number):
    return b"".join(
        head(stream, "/quire.v1.BlockPool/Allocate", [("grpc-encoding", "gzip")])
        + frame(0, 1, stream, struct.pack(">BI", 1, len(BOMB)) + BOMB) for stream in ids(number, 16))


def hpack_bombs(number):
    """A field of 3,900 bytes is put into the dynamic table, and named 15,000 times by a byte each."""
    return b"".join(
        frame(1, 5, stream, fields() + field("bomb", "x" * 3_900, b"\x40") + b"\xbe" * 15_000)
        for stream in ids(number, 2))


def header_lists(number):
    """Blocks of 100 KB, as many CONTINUATION frames as are allowed."""
    block = fields() + b"".join(field(f"x-{i}", "y" * 1_000) for i in range(100))
    parts = [block[i:i + 16_000] for i in range(0, len(block), 16_000)]
    return b"".join(
        frame(1, 1, stream, parts[0]) + b"".join(frame(9, 0, stream, p) for p in parts[1:-1])
        + frame(9, 4, stream, parts[-1]) for stream in ids(number, 2))


def uploads(number):
    """900 KB of a message of 4 MiB, whose rest never comes."""
    stream = 2 * number + 1
    return head(stream, "/quire.v1.BlockPool/Allocate") + frame(
        0, 0, stream, b"\0" + struct.pack(">I", 4 << 20) + b"x" * 15_995) + frame(
            0, 0, stream, b"x" * 16_000) * 55


def client_hello():
    """The first bytes of a TLS 1.3 client. They can be sent again and again: what they cost is the
    server's part."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@dataclasses.dataclass
class Attack:
    """more: the next bytes of a connection, from how often it was asked; None = it sends nothing more
    and, unless it `leaves`, stays."""
    more: Callable[[int], Optional[bytes]] = lambda number: None
    opening: bytes = PREFACE + frame(4) + frame(4, 1)
    connections: int = 1
    reads: bool = True
    leaves: bool = False
    # It goes at the first GOAWAY and comes back, instead of waiting for the end.
    impatient: bool = False
    # It sends no more DATA than the connection's window has room for.
    keeps_window: bool = False
    tls: bool = False
    victim_tls: bool = False
    # Why one that is still open at the end is right to be.
    stays: str = ""
    flags: tuple = ()


LIST = "/quire.v1.Pools/ListPools"
NO_WINDOW = PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, 0)) + frame(4, 1)
STALL = ("--response-stall", "1s", "--request-stall", "1s")

ATTACKS = {
    "pings": Attack(lambda n: frame(6, 0, 0, b"flooding") * 500),
    "impatient pings": Attack(lambda n: frame(6, 0, 0, b"flooding") * 500, impatient=True),
    "settings": Attack(lambda n: frame(4) * 500),
    "priorities": Attack(lambda n: frame(2, 0, 1, b"\0\0\0\3\0") * 500),
    "unknown frames": Attack(lambda n: frame(0x77) * 500),
    "empty data": Attack(lambda n: (head(1) if n == 0 else b"") + frame(0, 0, 1) * 500),
    "continuations": Attack(lambda n: (
        frame(1, 0, 1, field(":method", "POST")) if n == 0 else b"") + frame(
            9, 0, 1, field("x", "y")) * 10),
    "resets": Attack(lambda n: streams(n, lambda s: frame(3, 0, s, struct.pack(">I", 8)))),
    "provoked resets": Attack(
        lambda n: streams(n, lambda s: frame(8, 0, s, struct.pack(">I", 2**31 - 1)))),
    "half-sent requests": Attack(
        lambda n: streams(n, lambda s: frame(0, 0, s, b"\0\0\1\0\0" + b"x" * 200)) if n < 4 else None,
        leaves=True),
    "endless uploads": Attack(uploads, connections=4, keeps_window=True, flags=STALL,
                              stays="past its share each call is refused with UNAVAILABLE"),
    "compression bombs": Attack(bombs),
    "hpack bombs": Attack(hpack_bombs),
    "impatient bombs": Attack(hpack_bombs, impatient=True),
    "header lists": Attack(header_lists),
    "zero windows": Attack(
        lambda n: b"".join(call(s, LIST) for s in ids(n, 250)) if n < 4 else None,
        opening=NO_WINDOW, connections=20, flags=STALL,
        stays="its calls are reset when the stall limit has passed"),
    "unread sockets": Attack(
        lambda n: b"".join(call(s, LIST) for s in ids(n, 200)), connections=20, reads=False,
        opening=PREFACE + frame(4) + frame(4, 1) + frame(8, 0, 0, struct.pack(">I", 2**30)),
        flags=STALL, stays="it is not read either while 1 MiB waits, up to the stall limit"),
    "silent watches": Attack(
        lambda n: b"".join(
            call(s, "/grpc.health.v1.Health/Watch") for s in ids(n, 250)) if n < 4 else None,
        connections=120, stays="a Watch may be silent for ever; it holds a slot and costs no time"),
    "connections": Attack(leaves=True),
    "tls handshakes": Attack(opening=client_hello(), leaves=True, tls=True),
    "tls victim": Attack(opening=client_hello(), leaves=True, tls=True, victim_tls=True),
}


class Counts:
    """What an attacker did and met. `ends`: how the server's ends were worded, and how often."""

    def __init__(self):
        self.bytes = self.opened = self.cut = self.open = self.cpu = 0
        self.ends = {}


class Peer:
    def __init__(self, attack, port):
        self.attack = attack
        self.rest, self.number, self.tail, self.window = attack.opening, 0, b"", 65_535
        self.has_shut = False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))

    def send(self, counts):
        """False when there is nothing to send now."""
        if not self.rest:
            if self.attack.keeps_window and self.window < 910_000:
                return False
            more = self.attack.more(self.number)
            if more is None:
                if self.attack.leaves:
                    raise StopIteration
                return False
            self.number += 1
            self.window -= 900_000
            self.rest = more
        sent = self.socket.send(self.rest)
        counts.bytes += sent
        self.rest = self.rest[sent:]
        return True

    def receive(self):
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionResetError
        if self.attack.keeps_window:
            for update in re.finditer(rb"\x00\x00\x04\x08\x00\x00\x00\x00\x00(....)", data, re.DOTALL):
                self.window += struct.unpack(">I", update[1])[0]
        self.tail = (self.tail + data)[-512:]
        if self.attack.impatient and b"\7\0\0\0\0\0" in self.tail:
            raise ConnectionResetError

    def last_words(self):
        at = self.tail.rfind(b"\7\0\0\0\0\0")
        if at < 0 or self.attack.tls:
            return "closed"
        code = struct.unpack(">I", self.tail[at + 10:at + 14].ljust(4, b"\0"))[0]
        end = at + 6 + struct.unpack(">I", b"\0" + self.tail[at - 3:at].rjust(3, b"\0"))[0]
        return f"GOAWAY {code} {self.tail[at + 14:end].decode(errors='replace')}".strip()


def run(attack, port, results, pace):
    """Attacks until SIGTERM, then sends its `Counts`.

    pace: processor seconds a second that it may use; None = as many as it gets.
    """
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    counts, poll, began = Counts(), selectors.DefaultSelector(), time.monotonic()
    used = time.process_time()

    def close(peer, words):
        poll.unregister(peer.socket)
        peer.socket.close()
        counts.open -= 1
        if words:
            counts.cut += 1
            counts.ends[words] = counts.ends.get(words, 0) + 1

    while not stopping:
        elapsed = time.monotonic() - began
        if pace is not None and time.process_time() - used > pace * elapsed:
            time.sleep(0.001)
            continue
        while counts.open < attack.connections:
            peer = Peer(attack, port)
            poll.register(peer.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)
            counts.opened += 1
            counts.open += 1
        for key, events in poll.select(0.01):
            peer = key.data
            try:
                if events & selectors.EVENT_READ and attack.reads:
                    peer.receive()
                if events & selectors.EVENT_WRITE and not peer.send(counts):
                    poll.modify(peer.socket, selectors.EVENT_READ, peer)
                elif events == selectors.EVENT_READ and (peer.rest or attack.keeps_window):
                    poll.modify(
                        peer.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, peer)
                if not attack.reads:  # Nor does it wake up for what it will not read.
                    poll.modify(peer.socket, selectors.EVENT_WRITE, peer)
            except StopIteration:
                close(peer, "")
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                # What it said last may still be there to be read.
                try:
                    while attack.reads:
                        peer.receive()
                except OSError:
                    pass
                close(peer, peer.last_words())
    counts.cpu = time.process_time() - used
    results.send((counts, time.monotonic() - began))


def sink(results):
    """Reads and throws away. A connection that has sent as much as it is told to expect is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    listener.setblocking(False)
    results.send(listener.getsockname()[1])
    limit = results.recv()
    poll, taken = selectors.DefaultSelector(), {}
    poll.register(listener, selectors.EVENT_READ)
    buffer = bytearray(65_536)
    while True:
        for key, _ in poll.select():
            try:
                if key.fileobj is listener:
                    peer, _ = listener.accept()
                    peer.setblocking(False)
                    taken[peer] = 0
                    poll.register(peer, selectors.EVENT_READ)
                    continue
                count = key.fileobj.recv_into(buffer)
                taken[key.fileobj] += count
                if count and taken[key.fileobj] < limit:
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            if key.fileobj is not listener:
                poll.unregister(key.fileobj)
                del taken[key.fileobj]
                key.fileobj.close()
