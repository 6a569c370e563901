"""Events in vLLM's form: what decodes vLLM's messages decodes ours.

The classes are vLLM's (`vllm_events.py`), the encoding that of msgspec, the sockets those that its consumers
use: SUB for the batches, REQ-like for the replay.
"""

import signal

import grpc
import msgspec
import pytest
import zmq

from quire_client import Client, eventually, q
from running_server import RunningServer
from test_admin import ADMIN, get, samples
import vllm_events
from vllm_events import AllBlocksCleared, BlockRemoved, BlockStored, KVEventBatch


DECODER = msgspec.msgpack.Decoder(KVEventBatch)
ENCODER = msgspec.msgpack.Encoder()


def logged(server, name):
    """A field of the line that says where it publishes."""
    (line,) = [line for line in server.log().splitlines() if "publishing events" in line]
    return next(w.split("=", 1)[1] for w in line.split() if w.startswith(name + "="))


class Listener:
    """A SUB socket that has its subscription through, and a DEALER at the replay endpoint."""

    def __init__(self, server, client, topic="kv@quire"):
        self.context = zmq.Context()
        self.sub = self.context.socket(zmq.SUB)
        self.sub.setsockopt_string(zmq.SUBSCRIBE, topic)
        self.sub.connect(logged(server, "endpoint"))
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.connect(logged(server, "replay"))
        for socket in (self.sub, self.dealer):
            socket.setsockopt(zmq.RCVTIMEO, 20_000)
            socket.setsockopt(zmq.LINGER, 0)
        # libzmq subscribes when it gets round to it: something is said until it is heard.
        poller = zmq.Poller()
        poller.register(self.sub, zmq.POLLIN)

        def heard():
            client.cache_blocks(client.allocate(1).block_ids, b"\xff" * 32)
            client.reset_pool(force=True)
            return bool(poller.poll(20))

        eventually(heard)
        while poller.poll(100):
            self.last = int.from_bytes(self.sub.recv_multipart()[1], "big")

    def batch(self):
        topic, number, payload = self.sub.recv_multipart()
        assert topic == b"kv@quire" and len(number) == 8
        assert int.from_bytes(number, "big") == self.last + 1
        self.last += 1
        batch = DECODER.decode(payload)
        # msgspec has one way to write a value, and ours is the same.
        assert ENCODER.encode(batch) == payload
        return batch

    def replay(self, start):
        self.dealer.send_multipart([b"", start.to_bytes(8, "big")])
        got = []
        while True:
            empty, topic, number, payload = self.dealer.recv_multipart()
            assert empty == b""
            if number == b"\xff" * 8:
                assert (topic, payload) == (b"", b"")
                return got
            assert topic == b"kv@quire"
            got.append((int.from_bytes(number, "big"), payload))

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture(scope="module", params=["int", "bytes"])
def publishing(tmp_path_factory, request):
    flags = ["--zmq-events", "tcp://127.0.0.1:*", "--zmq-replay", "tcp://127.0.0.1:*",
             "--zmq-topic", "kv@quire", "--zmq-hashes", request.param, "--zmq-rank", "2",
             "--zmq-replay-batches", "100"]
    pools = ["default:blocks=8,block-size=4,keep-tokens=on"]
    with RunningServer(str(tmp_path_factory.mktemp("quired")), pools, flags) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            listener = Listener(server, client)
            yield server, client, listener, request.param
            listener.close()


def test_vllms_classes_decode_what_is_published(publishing):
    _, client, listener, form = publishing
    prompt = q.Add(sequence_id=1, content=q.Content(token_ids=[70_000] + list(range(9))))
    client.Sequences.Admit(q.AdmitRequest(call=client.call(), admit=q.Admit(add=prompt)))
    blocks = [b for c in client.Events.DumpState(q.DumpStateRequest()) for b in c.blocks]
    hashes = [b.block_hash for b in blocks if b.block_hash]
    wire = [int.from_bytes(h[-8:], "big") if form == "int" else h for h in hashes]
    batch = listener.batch()
    assert batch.data_parallel_rank == 2
    assert batch.events == [
        BlockStored(wire, None, [70_000, 0, 1, 2, 3, 4, 5, 6], 4, None, "GPU", None)]
    client.extend(1)
    extension = q.Extend(sequence_id=1)
    extension.append.token_ids.extend([9, 10, 11])
    client.Sequences.Extend(q.ExtendRequest(call=client.call(), extend=extension))
    (third,) = listener.batch().events
    assert third.parent_block_hash == wire[1] and third.token_ids == [7, 8, 9, 10]

    # The blocks are wanted for something else: an event for each, the last of the prefix first.
    client.free_sequences(1)
    client.allocate(8)
    removed = listener.batch().events
    assert [type(e) for e in removed] == [BlockRemoved] * 3
    assert [e.block_hashes for e in removed] == [
        third.block_hashes, [wire[1]], [wire[0]]]
    client.reset_pool(force=True)
    assert listener.batch().events == [AllBlocksCleared()]
    tuned = q.Add(sequence_id=2, content=q.Content(token_ids=range(4)),
                  options=q.SequenceOptions(lora_name="sql-" + 30 * "x"))
    client.Sequences.Admit(q.AdmitRequest(call=client.call(), admit=q.Admit(add=tuned)))
    (stored,) = listener.batch().events
    assert stored.lora_name == "sql-" + 30 * "x" and stored.lora_id is None
    client.reset_pool(force=True)
    assert listener.batch().events == [AllBlocksCleared()]


def test_what_was_missed_can_be_asked_for(publishing):
    server, client, listener, _ = publishing
    for _ in range(3):
        client.cache_blocks(client.allocate(1).block_ids, b"\x11" * 32)
        client.reset_pool(force=True)
    live = []
    for _ in range(6):
        live.append((listener.last + 1, ENCODER.encode(listener.batch())))
    assert listener.replay(live[2][0]) == live[2:]
    assert listener.replay(live[-1][0] + 1) == []
    # What is no longer kept is left out, and nonsense is not answered at all.
    for _ in range(60):
        client.cache_blocks(client.allocate(1).block_ids, b"\x11" * 32)
        client.reset_pool(force=True)
    for _ in range(120):
        listener.batch()
    listener.dealer.send_multipart([b"", b"short"])
    # libzmq drops the connection of whoever sends what is longer than any request.
    rude = listener.context.socket(zmq.DEALER)
    rude.connect(logged(server, "replay"))
    rude.send_multipart([b"", b"\0" * 5000])
    rude.send_multipart([b""] * 20)
    numbers = [number for number, _ in listener.replay(0)]
    assert numbers == list(range(listener.last - 99, listener.last + 1))


def test_a_loaded_pool_is_told_as_cleared(publishing):
    _, client, listener, _ = publishing
    client.load_pool("default", client.dump(), if_exists=q.IF_EXISTS_RESET)
    assert listener.batch().events == [AllBlocksCleared()]
    client.reset_pool(force=True)
    assert listener.batch().events == [AllBlocksCleared()]


@pytest.mark.skipif(not vllm_events.OWN, reason="QUIRE_VLLM=1 takes the classes from vLLM's source")
def test_the_classes_retyped_here_are_those_of_vllm():
    for name, own in vllm_events.OWN.items():
        mine = vllm_events.RETYPED[name]
        assert own is not mine
        assert own.__struct_fields__ == mine.__struct_fields__, name
        assert own.__struct_defaults__ == mine.__struct_defaults__, name
        for option in ("array_like", "omit_defaults", "tag"):
            assert getattr(own.__struct_config__, option) == getattr(mine.__struct_config__, option)


def test_a_subscriber_that_does_not_read_misses_batches_and_one_beside_it_none(tmp_path):
    flags = ["--zmq-events", "tcp://127.0.0.1:*", "--zmq-replay", "tcp://127.0.0.1:*",
             "--zmq-topic", "kv@quire", "--zmq-high-water", "2", "--admin", "127.0.0.1:0"]
    with RunningServer(str(tmp_path), ["default:blocks=4000,block-size=4"], flags) as server:
        server.admin = server.lines.get(timeout=20)[len(ADMIN):]
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            fast = Listener(server, client)
            late = fast.context.socket(zmq.SUB)
            for option, value in ((zmq.RCVHWM, 1), (zmq.RCVBUF, 4096), (zmq.RCVTIMEO, 20_000)):
                late.setsockopt(option, value)
            late.setsockopt_string(zmq.SUBSCRIBE, "")
            late.connect(logged(server, "endpoint"))
            blocks = list(client.allocate(4000).block_ids)
            hashes = b"".join(i.to_bytes(4, "big") * 8 for i in range(4000))

            def read(what):
                """All that a command published: `batch` demands that no number is left out."""
                named = 0
                while named < 4000:
                    for event in fast.batch().events:
                        assert type(event) is what
                        named += len(event.block_hashes)

            # Some 300 KB a round, many times what the sockets of the late one take.
            for _ in range(100):
                client.cache_blocks(blocks, hashes)
                read(BlockStored)
                client.evict_blocks(blocks)
                read(BlockRemoved)
            values, _ = samples(get(server, "/metrics")[2])
            assert values['quire_zmq_batches_total{pool="default"}'] == fast.last + 1
            counted = values['quire_zmq_dropped_batches_total{pool="default"}']
            assert counted > 0
            # What the late one finds when it reads at last has gaps, and it sees them.
            numbers = []
            while not numbers or late.poll(500):
                numbers.append(int.from_bytes(late.recv_multipart()[1], "big"))
            assert len(numbers) < numbers[-1] - numbers[0] + 1 or numbers[-1] < fast.last
            fast.close()
        server.stop()
        (line,) = [line for line in server.log().splitlines() if "events published" in line]
        assert int(line.split("dropped=")[1]) == counted, line


def ask(dealer, start):
    dealer.send_multipart([b"", start.to_bytes(8, "big")])


def answer(dealer):
    """The numbers of the batches of one answer."""
    numbers = []
    while True:
        number = dealer.recv_multipart()[2]
        if number == b"\xff" * 8:
            return numbers
        numbers.append(int.from_bytes(number, "big"))


def reader_of_replays(listener, server, **options):
    dealer = listener.context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.RCVTIMEO, 20_000)
    dealer.setsockopt(zmq.LINGER, 0)
    for name, value in options.items():
        dealer.setsockopt(getattr(zmq, name), value)
    dealer.connect(logged(server, "replay"))
    return dealer


def test_a_command_that_stores_more_than_is_kept_is_told_in_parts(tmp_path):
    flags = ["--zmq-events", "tcp://127.0.0.1:*", "--zmq-replay", "tcp://127.0.0.1:*",
             "--zmq-topic", "kv@quire", "--zmq-replay-bytes", "1MiB"]
    pools = ["default:blocks=20000,block-size=16,keep-tokens=on"]
    with RunningServer(str(tmp_path), pools, flags) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            listener = Listener(server, client)
            # Five bytes each on the wire: 1.5 MB.
            tokens = [2_000_000_000 + i for i in range(300_000)]
            prompt = q.Add(sequence_id=1, content=q.Content(token_ids=tokens))
            client.Sequences.Admit(q.AdmitRequest(call=client.call(), admit=q.Admit(add=prompt)))
            told, parent, batches = [], None, 0
            while len(told) < len(tokens):
                batches += 1
                for event in listener.batch().events:
                    assert event.parent_block_hash == parent
                    assert len(event.token_ids) == 16 * len(event.block_hashes)
                    told += event.token_ids
                    parent = event.block_hashes[-1]
            assert told == tokens and batches > 1
            listener.close()


def test_replays_are_for_all_who_ask(tmp_path):
    flags = ["--zmq-events", "tcp://127.0.0.1:*", "--zmq-replay", "tcp://127.0.0.1:*",
             "--zmq-topic", "kv@quire"]
    with RunningServer(str(tmp_path), ["default:blocks=4000,block-size=4"], flags) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            listener = Listener(server, client)
            # More at once than are answered at one time, and more than one of one client.
            crowd = [reader_of_replays(listener, server) for _ in range(40)]
            for dealer in crowd:
                ask(dealer, listener.last)
            for dealer in crowd:
                assert answer(dealer) == [listener.last]
            # They come in one piece, of which the server is told once.
            server.process.send_signal(signal.SIGSTOP)
            for _ in range(20):
                ask(crowd[0], listener.last + 1)
            server.process.send_signal(signal.SIGCONT)
            for _ in range(20):
                assert answer(crowd[0]) == []

            # Some 10 MB, several times what a connection takes of those who do not read.
            hashes = b"".join(i.to_bytes(4, "big") * 8 for i in range(4000))
            for _ in range(300):
                client.cache_blocks(client.allocate(4000).block_ids, hashes)
                client.reset_pool(force=True)
            full = {"RCVHWM": 1, "RCVBUF": 4096}
            again = reader_of_replays(listener, server, **full)
            ask(again, 0)
            assert again.poll(20_000)
            # What it asks now it is answered in place of the rest.
            ask(again, listener.last + 600)
            ask(crowd[0], listener.last + 600)
            assert answer(crowd[0]) == [listener.last + 600]
            numbers = answer(again)
            assert len(numbers) < 600 and numbers[-1] == listener.last + 600

            # All places are taken by clients that do not read: not for ever.
            lazy = [reader_of_replays(listener, server, **full) for _ in range(16)]
            for dealer in lazy:
                ask(dealer, 0)
            for dealer in lazy:
                assert dealer.poll(20_000)
            ask(crowd[1], listener.last + 600)
            assert answer(crowd[1]) == [listener.last + 600]
            listener.close()


def test_ports_that_others_reach_are_warned_of(tmp_path):
    for replay in ["tcp://127.0.0.1:*", "tcp://[::1]:*", f"ipc://{tmp_path}/replay"]:
        flags = ["--zmq-events", "tcp://0.0.0.0:*", "--zmq-replay", replay]
        with RunningServer(str(tmp_path), ["default:blocks=8,block-size=4"], flags) as server:
            (line,) = [line for line in server.log().splitlines() if "beyond this machine" in line]
            assert "0.0.0.0" in line and logged(server, "endpoint") in line
