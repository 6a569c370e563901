"""Events: what becomes of the content of blocks, as a stream, and the state to begin with."""

import os
import random
import threading

import grpc
import pytest
from grpc import StatusCode

from quire_client import PATIENCE, Client, add, eventually, q, refused
from running_server import RunningServer

HASHES = [bytes([i]) * 32 for i in range(16)]


class Events:
    """One subscriber; batches come as they are asked for."""

    def __init__(self, client, start=None, **more):
        request = q.SubscribeKvEventsRequest(call=client.call(), **more)
        if start is not None:
            request.start_sequence_number = start
        self.call = client.Events.SubscribeKvEvents(request, timeout=600)

    def batch(self):
        return next(self.call)

    def events(self):
        """Of the next batch that has any."""
        while True:
            batch = self.batch()
            if batch.events:
                return batch.events

    def cancel(self):
        self.call.cancel()


def dump(client, **more):
    request = q.DumpStateRequest(call=client.call(), **more)
    return list(client.Events.DumpState(request, timeout=PATIENCE))


def test_what_becomes_hit_able_and_what_is_gone_is_told(any_client, new_pool):
    pool = new_pool(blocks=4, on=any_client)
    events = Events(pool)
    hello = events.batch()
    assert (hello.sequence_number, list(hello.events), hello.pool) == (0, [], pool.pool)
    pool.allocate(2)
    pool.cache_blocks([1, 2], HASHES[1] + HASHES[2])
    batch = events.batch()
    assert (batch.sequence_number, batch.epoch, batch.revision) == (1, hello.epoch, 2)
    (stored,) = [event.stored for event in batch.events]
    assert stored.block_hashes == HASHES[1] + HASHES[2]
    assert (list(stored.block_ids), stored.block_size) == ([1, 2], 4)
    pool.free([1, 2])
    pool.allocate(4)
    (removed,) = [event.removed for event in events.events()]
    assert removed.block_hashes == HASHES[1] + HASHES[2]
    assert removed.cause == q.EVENT_CAUSE_ALLOCATION
    events.cancel()


def test_a_subscriber_goes_on_where_it_was(new_pool):
    pool = new_pool()
    first = Events(pool)
    epoch = first.batch().epoch
    first.cancel()
    pool.allocate(3)
    for block in (1, 2, 3):
        pool.cache_blocks([block], HASHES[block])
    events = Events(pool, start=2, epoch=epoch)
    assert [events.batch().sequence_number for _ in range(2)] == [2, 3]
    events.cancel()
    for wrong in ({"start": 9}, {"start": 2, "epoch": epoch ^ 1}):
        with refused(StatusCode.OUT_OF_RANGE) as told:
            Events(pool, **wrong).batch()
        assert str(epoch) in told.message
    late = new_pool()
    late.allocate(1)
    with refused(StatusCode.OUT_OF_RANGE) as told:
        Events(late, start=1).batch()
    assert "the oldest one is 2" in told.message


def test_a_dump_has_every_block_that_is_not_plain_free(new_pool):
    pool = new_pool(blocks=8, keep_tokens=True, host_blocks=4)
    prompt = q.Add(sequence_id=7, content=q.Content(token_ids=range(10)))
    pool.Sequences.Admit(
        q.AdmitRequest(call=pool.call(), admit=q.Admit(add=prompt)), timeout=PATIENCE)
    (chunk,) = dump(pool, with_token_ids=True, with_parent_hashes=True, with_state_digest=True)
    assert chunk.pool == pool.get_pool()
    assert chunk.revision == 1 and chunk.WhichOneof("end") == "state_digest"
    assert chunk.state_digest == pool.digest().state_digest
    assert [block.block_id for block in chunk.blocks] == [1, 2, 3]
    assert [list(block.token_ids) for block in chunk.blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], []]
    assert chunk.blocks[1].parent_hash == chunk.blocks[0].block_hash != b""
    assert [(s.sequence_id, list(s.block_ids)) for s in chunk.sequences] == [(7, [1, 2, 3])]
    (same,) = dump(pool)
    for block in chunk.blocks:
        block.ClearField("token_ids")
        block.ClearField("parent_hash")
    chunk.state_digest = 0
    assert same == chunk
    (empty,) = dump(new_pool())
    assert not empty.blocks and empty.WhichOneof("end") == "state_digest"


def test_the_lora_of_stored_blocks_is_told(new_pool):
    pool = new_pool()
    events = Events(pool)
    for number, name in enumerate(("", "sql", "x" * 300)):
        prompt = q.Add(sequence_id=number + 1, content=q.Content(token_ids=range(4)),
                       options=q.SequenceOptions(lora_name=name))
        pool.Sequences.Admit(q.AdmitRequest(call=pool.call(), admit=q.Admit(add=prompt)))
        (event,) = events.events()
        assert event.stored.lora_name == name
    events.cancel()


def test_a_large_dump_comes_in_chunks_of_one_revision(new_pool):
    pool = new_pool(blocks=40_000)
    pool.allocate(40_000)
    chunks = dump(pool)
    assert len(chunks) > 1 and all(chunk.ByteSize() < 300_000 for chunk in chunks)
    assert len({(chunk.revision, chunk.epoch, chunk.next_sequence_number) for chunk in chunks}) == 1
    assert [b.block_id for chunk in chunks for b in chunk.blocks] == list(range(1, 40_001))
    assert [c.WhichOneof("end") for c in chunks] == [None] * (len(chunks) - 1) + ["state_digest"]
    assert [c.HasField("pool") for c in chunks] == [True] + [False] * (len(chunks) - 1)


def test_a_deleted_pool_ends_its_subscribers(client):
    client.create_pool("short-lived", 8, 4)
    pool = client.on("short-lived")
    events = Events(pool)
    events.batch()
    pool.delete_pool()
    with refused(StatusCode.NOT_FOUND) as told:
        events.batch()
    assert "short-lived" in told.message


def test_a_loaded_pool_begins_a_new_epoch(new_pool):
    pool = new_pool()
    events = Events(pool)
    old = events.batch().epoch
    pool.allocate(1)
    pool.load_pool(pool.pool, pool.dump(), if_exists=q.IF_EXISTS_RESET)
    batch = events.batch()
    assert batch.epoch != old
    assert [event.cleared.cause for event in batch.events] == [q.EVENT_CAUSE_LOAD_POOL]
    events.cancel()


@pytest.fixture(scope="module")
def small_ring(tmp_path_factory):
    """A server that keeps few events, and all of them."""
    directory = str(tmp_path_factory.mktemp("quired"))
    flags = "--kv-events on --kv-events-batches 200 --kv-events-heartbeat 50ms".split()
    with RunningServer(directory, ["default:blocks=64,block-size=4"], flags) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            yield Client(channel)


def test_heartbeats_come_when_nothing_happens(small_ring):
    small_ring.create_pool("quiet", 4, 4)
    events = Events(small_ring.on("quiet"))
    numbers = [(b.sequence_number, len(b.events)) for b in (events.batch() for _ in range(4))]
    assert numbers == [(0, 0)] * 4
    events.cancel()


def test_a_subscriber_that_does_not_read_is_let_go_and_slows_nobody(small_ring):
    small_ring.create_pool("busy", 2_000, 4)
    pool = small_ring.on("busy")
    blocks = list(pool.allocate(2_000).block_ids)
    hashes = b"".join(i.to_bytes(4, "big") * 8 for i in range(2_000))
    slow = Events(pool)
    slow.batch()
    # Some 80 KB each: what the windows and the transport take is a small part of it.
    for _ in range(200):
        pool.cache_blocks(blocks, hashes)
        pool.evict_blocks(blocks)
    with refused(StatusCode.DATA_LOSS) as told:
        while True:
            slow.batch()
    assert "no longer kept" in told.message


def test_events_that_are_off_are_refused(tmp_path):
    with RunningServer(str(tmp_path), more=["--kv-events", "off"]) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            with refused(StatusCode.FAILED_PRECONDITION) as told:
                Events(client).batch()
            assert "--kv-events" in told.message
            (chunk,) = dump(client)
            assert (chunk.next_sequence_number, chunk.epoch) == (0, 0)


class Mirror:
    """What can be hit, from a dump and the events since."""

    def __init__(self, client):
        self.client = client
        self.seen = 0
        self.dumps = 0
        self.restart()

    def restart(self):
        chunks = dump(self.client)
        self.dumps += 1
        self.epoch, self.next = chunks[0].epoch, chunks[0].next_sequence_number
        self.blocks = picture(chunks)

    def follow(self, until):
        """Reads batches up to number `until`; False where it must begin anew."""
        events = Events(self.client, start=self.next, epoch=self.epoch, with_forks_and_copies=True)
        try:
            while self.next <= until:
                batch = events.batch()
                if batch.epoch != self.epoch:
                    return False
                if batch.sequence_number < self.next:
                    continue  # a heartbeat
                assert batch.sequence_number == self.next
                self.next += 1
                for event in batch.events:
                    self.apply(event)
        except grpc.RpcError as error:
            assert error.code() in (StatusCode.OUT_OF_RANGE, StatusCode.DATA_LOSS), error
            return False
        finally:
            events.cancel()
        return True

    def apply(self, event):
        self.seen += 1
        kind = event.WhichOneof("event")
        told = getattr(event, kind)
        if kind == "stored":
            for i, block in enumerate(told.block_ids):
                assert block not in self.blocks
                self.blocks[block] = told.block_hashes[32 * i : 32 * i + 32]
        elif kind in ("removed", "copies_removed"):
            for i, block in enumerate(told.block_ids):
                content = self.blocks.pop(block)
                assert content == told.block_hashes[32 * i : 32 * i + 32]
                if kind == "removed":
                    assert content not in self.blocks.values()
        elif kind == "cleared":
            self.blocks = {}


def picture(chunks):
    return {b.block_id: b.block_hash for chunk in chunks for b in chunk.blocks if b.block_hash}


# QUIRE_MIRROR_EVENTS=1000000 is the long run of `make soak`.
@pytest.mark.parametrize("seed", [7])
def test_a_mirror_equals_the_dump_after_every_disconnect(small_ring, seed):
    wanted = int(os.environ.get("QUIRE_MIRROR_EVENTS", "3000"))
    away = 50 if wanted > 10_000 else 10
    rng = random.Random(seed)
    small_ring.create_pool(f"mirrored-{seed}", 64, 4)
    pool = small_ring.on(f"mirrored-{seed}")
    mirror = Mirror(pool)
    live, last = [], 0
    checked = 0

    def step():
        nonlocal last
        ops = []
        for _ in range(rng.randint(1, 24)):
            if live and rng.random() < 0.4:
                ops.append(q.Op(free_sequences=q.FreeSequences(
                    sequence_ids=[live.pop(rng.randrange(len(live)))])))
            else:
                last += 1
                tokens = [rng.randrange(3)] * rng.randint(0, 12) + [
                    rng.randrange(4) for _ in range(rng.randint(1, 20))]
                new = q.Add(sequence_id=last, content=q.Content(token_ids=tokens))
                ops.append(q.Op(admit=q.Admit(add=new)))
        results = pool.step(*ops).results
        for op, result in zip(ops, results):
            if op.WhichOneof("op") == "admit" and not result.HasField("refusal"):
                live.append(op.admit.add.sequence_id)

    while mirror.seen < wanted or checked < away:
        # A while without a subscriber: mostly what the ring keeps, now and then more.
        for _ in range(rng.randint(1, 50 if wanted < 10_000 else 220)):
            step()
        if rng.random() < 0.1:
            pool.reset_pool(force=True)
            live.clear()
        chunks = dump(pool)
        until = chunks[0].next_sequence_number - 1
        if not mirror.follow(until):
            mirror.restart()
        assert mirror.next == chunks[0].next_sequence_number
        assert mirror.blocks == picture(chunks)
        checked += 1
