"""A pool goes out in bytes and comes back as it was."""

import random
import struct

import pytest
from grpc import StatusCode

from quire_client import PATIENCE, decode, q, refused, refused_for, untouched

HASH = bytes(range(32))


@pytest.fixture
def busy(new_pool):
    """Sequences that run, wait and were preempted, raw and cached blocks, copies under way."""
    pool = new_pool(blocks=64, block_size=4, copy_ack=q.COPY_ACK_EXPLICIT)
    for sequence in (1, 2, 3):
        pool.add_and_admit(sequence, 9 + sequence)
    pool.fork(1, [11, 12])
    pool.extend(11, append=3)
    pool.preempt(2)
    pool.add(20, 7, label="chat", priority=-2)
    raw = pool.allocate(4).block_ids
    pool.cache_blocks(raw[:1], HASH)
    pool.free(raw[:2])
    pool.fork_blocks(raw[3:])
    with refused(StatusCode.FAILED_PRECONDITION):
        pool.allocate(1000)
    return pool


@pytest.fixture
def loaded(client):
    """Names of pools that the test loads; they go with it."""
    names = []

    def name(suffix):
        names.append(f"loaded-{suffix}")
        return names[-1]

    yield name
    for name in names:
        try:
            client.on(name).delete_pool(force=True)
        except Exception as error:
            assert error.code() == StatusCode.NOT_FOUND


def same(one, other):
    one.pool = other.pool = ""
    assert one == other


def test_a_loaded_pool_is_the_one_that_was_dumped(any_client, client, busy, loaded):
    data = busy.dump()
    name = loaded("copy")
    info = any_client.load_pool(name, data)
    copy = client.on(name)
    assert info == copy.get_pool()
    assert info.config == busy.get_pool().config
    same(copy.digest(), busy.digest())
    same(copy.stats(1, 2), busy.stats(1, 2))
    assert copy.dump() == data
    # And it gives the same answers.
    for pool in (busy, copy):
        pool.answers = [
            pool.step(decode(3, 11, 12), q.Op(admit=q.Admit(sequence_id=20))),
            pool.acquire(HASH, 3),
            pool.ack_copies(up_to=1),
            pool.admit(2),
            pool.free_sequences(1, 11),
            pool.allocate(20),
        ]
    assert busy.answers == copy.answers
    same(copy.digest(), busy.digest())


def test_chunks_say_what_they_are_and_have_at_most_256_KiB(new_pool):
    pool = new_pool(blocks=60_000)
    # A command each, so that no two blocks look alike.
    for _ in range(40):
        pool.step(*[q.Op(allocate=q.Allocate(count=1)) for _ in range(500)])
    pool.step(*[q.Op(free_blocks=q.FreeBlocks(block_ids=[n])) for n in range(1, 20_000, 2)])
    digest = pool.digest()
    chunks = pool.dump_chunks()
    seen = [next(chunks)]
    # What happens while the client reads is not in the dump.
    pool.allocate(1)
    seen += list(chunks)
    total = sum(len(chunk.data) for chunk in seen)
    assert total > 256 << 10
    offset = 0
    for chunk in seen:
        assert 0 < len(chunk.data) <= 256 << 10
        assert (chunk.revision, chunk.state_digest) == (digest.revision, digest.state_digest)
        assert (chunk.total_bytes, chunk.offset) == (total, offset)
        offset += len(chunk.data)
    data = b"".join(chunk.data for chunk in seen)
    info = pool.load_pool(pool.pool, data, q.IF_EXISTS_RESET, piece=100_000)
    # It was at a later revision than the dump's, so it goes on from there.
    assert info.revision == digest.revision + 2
    assert info.available_blocks == 60_000 - 20_000 + 10_000


def test_a_dump_of_an_unknown_pool_or_another_revision_is_refused(client, pool):
    with refused(StatusCode.NOT_FOUND):
        next(client.on("nowhere").dump_chunks())
    pool.allocate(1)
    request = q.DumpPoolRequest(call=pool.call(if_revision=7))
    with refused_for(StatusCode.ABORTED, "REVISION_MOVED", "if_revision"):
        next(pool.Pools.DumpPool(request, timeout=PATIENCE))


def test_a_pool_that_is_there_is_kept_or_returned_or_gives_way(busy, new_pool):
    data = busy.dump()
    name = busy.pool
    for if_exists in (q.IF_EXISTS_UNSPECIFIED, q.IF_EXISTS_ERROR):
        with untouched(busy), refused(StatusCode.ALREADY_EXISTS) as told:
            busy.load_pool(name, data, if_exists)
        assert name in told.message
    with untouched(busy):
        assert busy.load_pool(name, data, q.IF_EXISTS_RETURN) == busy.get_pool()
    busy.allocate(1)
    with untouched(busy), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "data"):
        busy.load_pool(name, data, q.IF_EXISTS_RETURN)

    # A pool that nothing happened to gives way to exactly the dump's.
    new = new_pool(blocks=3)
    new.load_pool(new.pool, data, q.IF_EXISTS_RESET)
    assert new.dump() == data
    # One that was further on goes on from its revision, and so do copy ids.
    before = busy.get_pool().revision
    copies = busy.stats().copies
    info = busy.load_pool(name, data, q.IF_EXISTS_RESET)
    assert info.revision == before + 1
    assert busy.extend(12, append=1).copies[0].copy_id > copies
    with refused_for(StatusCode.ABORTED, "REVISION_MOVED"):
        busy.load_pool(
            name, data, q.IF_EXISTS_RESET, call=busy.call(if_revision=before))


def test_a_dry_run_checks_and_changes_nothing(client, busy, loaded):
    data = busy.dump()
    name = loaded("dry")
    info = client.load_pool(name, data, call=q.Call(dry_run=True))
    assert (info.name, info.revision) == (name, busy.get_pool().revision)
    with refused(StatusCode.NOT_FOUND):
        client.on(name).get_pool()
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "data"):
        client.load_pool(name, data[:-1], call=q.Call(dry_run=True))
    busy.allocate(1)
    with untouched(busy):
        busy.load_pool(
            busy.pool, data, q.IF_EXISTS_RESET, call=q.Call(dry_run=True, pool=busy.pool))
    with refused_for(StatusCode.ABORTED, "REVISION_MOVED", "if_revision"):
        client.load_pool(name, data, call=q.Call(if_revision=3))


def test_bytes_that_are_no_dump_are_refused_by_what_is_wrong(client, busy, loaded):
    data = busy.dump()
    name = loaded("bad")
    middle = len(data) // 2
    cases = {
        b"": "too few for a dump",
        b"hello, this is no dump": "do not begin as a dump does",
        data[:middle]: "cut off or changed",
        data[:-1]: "cut off or changed",
        data + b"x": "cut off or changed",
        data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]: "cut off or changed",
        data[:9] + b"\x09\x00" + data[11:]: "version 9",
    }
    for bad, words in cases.items():
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "data") as told:
            client.load_pool(name, bad)
        assert words in told.message
    with refused(StatusCode.NOT_FOUND):
        client.on(name).get_pool()


def test_the_checksum_finds_flipped_bits(client, busy, loaded):
    data = busy.dump()
    name = loaded("flipped")
    random.seed(7)
    for _ in range(200):
        bad = bytearray(data)
        bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "data"):
            client.load_pool(name, bytes(bad[: random.choice([None, len(bad) // 3])]))


def test_only_the_first_message_says_what_to_do(client, busy, loaded):
    data = busy.dump()
    messages = [
        q.LoadPoolRequest(name=loaded("first"), data=data[:10]),
        q.LoadPoolRequest(name="second", data=data[10:]),
    ]
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "data"):
        client.Pools.LoadPool(iter(messages), timeout=PATIENCE)
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "data"):
        client.Pools.LoadPool(iter([]), timeout=PATIENCE)
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "name"):
        client.load_pool("a b", data)
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "call.pool"):
        client.load_pool("one", data, call=q.Call(pool="other"))


def sealed(data):
    """With the checksum that the bytes before it have."""
    body = data[:-8]
    padded = body + bytes(-len(body) % 16)
    words = struct.unpack(f"<{len(padded) // 8}Q", padded)
    value, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    for low, high in [*zip(words[::2], words[1::2]), (len(body), 0)]:
        product = (value ^ low ^ 0xA0761D6478BD642F) * (high ^ 0xE7037ED1A0B428DB)
        value = product >> 64 ^ product & mask ^ value << 1 & mask
    return body + value.to_bytes(8, "little")


def test_a_pool_too_large_for_the_server_is_refused_before_memory_is_taken(
        server, client, loaded, pool):
    data = pool.dump()
    assert sealed(data) == data
    # Behind the head and the name of the section: the blocks, 17 million of them by now.
    assert data[11:19] == b"CONF" + (16).to_bytes(4, "little")
    large = sealed(data[:15] + (17_000_000).to_bytes(4, "little") + data[19:])
    server.forget_peak()
    before = server.peak_resident_bytes()
    with refused_for(StatusCode.FAILED_PRECONDITION, "QUOTA", "config.blocks"):
        client.load_pool(loaded("large"), large)
    # A block takes 32 bytes at least.
    assert server.peak_resident_bytes() - before < 100_000_000
