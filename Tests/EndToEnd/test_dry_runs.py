"""Every command answers `dry_run` as if, refuses a stale `if_revision`, and changes nothing by either."""

import pytest
from grpc import StatusCode

from quire_client import PATIENCE, add, q, refused

HELD, KEPT = b"h" * 32, b"k" * 32

# Of each command: service and RPC, the request's field for what to do, and that; as an operation of a
# step the field has the same name. A function asks the pool first.
COMMANDS = [
    ("BlockPool", "Allocate", "allocate", q.Allocate(count=2)),
    ("BlockPool", "Allocate", "allocate", q.Allocate(count=3, contiguous=True)),
    ("BlockPool", "Free", "free_blocks", q.FreeBlocks(block_ids=[4])),
    ("BlockPool", "Fork", "fork_blocks", q.ForkBlocks(block_ids=[4])),
    ("BlockPool", "CopyOnWrite", "copy_on_write", q.CopyOnWrite(block_id=2)),
    ("BlockPool", "AckCopies", "ack_copies", q.AckCopies(up_to=3)),
    ("BlockPool", "Acquire", "acquire", q.Acquire(block_hashes=KEPT, allocate_count=1)),
    ("BlockPool", "CacheBlocks", "cache_blocks",
     q.CacheBlocks(block_ids=[4], block_hashes=b"n" * 32)),
    ("BlockPool", "EvictBlocks", "evict_blocks", q.EvictBlocks(block_ids=[1])),
    ("Sequences", "Add", "add", add(9, 5)),
    ("Sequences", "Admit", "admit", q.Admit(sequence_id=2)),
    ("Sequences", "Extend", "extend", q.Extend(sequence_id=1, append=q.Content(token_count=4))),
    ("Sequences", "Append", "append", q.Append(sequence_id=2, content=q.Content(token_count=1))),
    ("Sequences", "Commit", "commit", q.Commit(sequence_id=4)),
    ("Sequences", "Fork", "fork", q.Fork(parent_id=1, child_ids=[7])),
    ("Sequences", "Rewind", "rewind", q.Rewind(sequence_id=1, drop_tokens=1)),
    ("Sequences", "Preempt", "preempt", q.Preempt(sequence_ids=[1])),
    ("Sequences", "SwapOut", "swap_out", q.SwapSequences(sequence_ids=[1])),
    ("Sequences", "SwapIn", "swap_in", q.SwapSequences(sequence_ids=[3])),
    ("Sequences", "Reserve", "reserve", q.Reserve(sequence_id=8, blocks=2)),
    ("Sequences", "Pin", "pin", q.Pin(content=q.Content(block_hashes=KEPT))),
    ("Sequences", "Free", "free_sequences", q.FreeSequences(sequence_ids=[1, 2])),
    ("Scheduler", "Recover", "recover", q.Recover(blocks_needed=24)),
    ("Scheduler", "Recover", "recover", q.Recover(blocks_needed=24, contiguous=True)),
    ("Pools", "ApplyDefragment", "apply_defragment", lambda pool: q.ApplyDefragment(
        plan=q.DefragmentPlan(revision=pool.get_pool().revision, moves=[
            q.BlockMove(source_block=pool.get(1).block_ids[1], target_block=32)]))),
]
REQUESTS = {
    "Fork": {"BlockPool": "ForkBlocksRequest", "Sequences": "ForkRequest"},
    "Free": {"BlockPool": "FreeRequest", "Sequences": "FreeSequencesRequest"},
}
SWAPS = ("SwapOut", "SwapIn")


def request(service, rpc, field, what, call):
    if rpc in SWAPS:
        return q.SwapRequest(call=call, swap=what)
    if rpc == "ApplyDefragment":
        return q.ApplyDefragmentRequest(call=call, plan=what.plan)
    name = REQUESTS.get(rpc, {}).get(service, rpc + "Request")
    return getattr(q, name)(call=call, **{field: what})


@pytest.fixture
def busy(new_pool):
    """Something of everything that a command may be about."""
    pool = new_pool(32, 4, host_blocks=8, copy_ack=q.COPY_ACK_EXPLICIT)
    assert list(pool.allocate(5).block_ids) == [1, 2, 3, 4, 5]
    pool.cache_blocks([1, 5], HELD + KEPT)
    pool.free([5])
    pool.fork_blocks([2, 3])
    pool.add_and_admit(3, 6)
    pool.Sequences.SwapOut(
        q.SwapRequest(call=pool.call(), swap=q.SwapSequences(sequence_ids=[3])), timeout=PATIENCE)
    pool.ack_copies(up_to=2)
    pool.copy_on_write(3)
    pool.add_and_admit(1, 9)
    pool.add(2, 8)
    late = q.Add(
        sequence_id=4, content=q.Content(token_ids=[1, 2, 3, 4, 5]))
    pool.Sequences.Admit(
        q.AdmitRequest(call=pool.call(), admit=q.Admit(add=late, delay_commit=True)),
        timeout=PATIENCE)
    return pool


@pytest.mark.parametrize(
    "service, rpc, field, what", COMMANDS, ids=[f"{c[0]}.{c[1]}" for c in COMMANDS])
def test_each_command(busy, service, rpc, field, what):
    what = what(busy) if callable(what) else what
    before = busy.digest()
    method = getattr(getattr(busy, service), rpc)

    reply = method(
        request(service, rpc, field, what, busy.call(dry_run=True)), timeout=PATIENCE)
    assert reply.revision == before.revision
    assert busy.digest() == before

    stale = busy.call(if_revision=before.revision - 1)
    with refused(StatusCode.ABORTED) as told:
        method(request(service, rpc, field, what, stale), timeout=PATIENCE)
    assert told.reason == "REVISION_MOVED"
    assert busy.digest() == before

    operation = q.Op(**{field: what})
    step = busy.step(operation, call=busy.call(dry_run=True))
    assert step.revision == before.revision
    assert not step.results[0].HasField("refusal"), step.results[0].refusal
    assert busy.digest() == before

    with refused(StatusCode.ABORTED) as told:
        busy.step(operation, call=stale)
    assert busy.digest() == before

    # It was no empty gesture: really run, it changes the pool, and answers as the dry run did.
    real = method(
        request(service, rpc, field, what, busy.call(if_revision=before.revision)),
        timeout=PATIENCE)
    assert real.revision == before.revision + 1
    assert busy.digest().state_digest != before.state_digest
    real.revision = reply.revision
    assert real == reply


POOL_COMMANDS = {
    "Flush": lambda call: q.FlushRequest(call=call),
    "ResetPool": lambda call: q.ResetPoolRequest(call=call, force=True),
    "UpdatePool": lambda call: q.UpdatePoolRequest(call=call, watermark=0.25),
    "ResetPrefixCache": lambda call: q.ResetPrefixCacheRequest(call=call, preempt_running=True),
}


def test_a_reset_of_the_cache_as_an_operation_of_a_step(new_pool):
    pool = new_pool(8, 4)
    pool.add_and_admit(1, 9)
    reset = q.Op(reset_prefix_cache=q.ResetPrefixCache())
    assert pool.step(reset).results[0].refusal.reason == q.REFUSAL_REASON_WRONG_STATE
    before = pool.digest()
    preempt = q.Op(reset_prefix_cache=q.ResetPrefixCache(preempt_running=True))
    dry = pool.step(preempt, call=pool.call(dry_run=True))
    assert pool.digest() == before
    pool.cache_blocks(list(pool.allocate(1).block_ids), HELD)
    pool.free([4])
    step = pool.step(q.Op(free_sequences=q.FreeSequences(sequence_ids=[1])), preempt)
    assert step.results[1].reset_prefix_cache.cleared_blocks == 1
    assert list(dry.results[0].reset_prefix_cache.preempted_sequence_ids) == [1]
    assert list(step.results[1].reset_prefix_cache.preempted_sequence_ids) == []


@pytest.mark.parametrize("rpc", POOL_COMMANDS)
def test_each_command_of_a_pool(new_pool, rpc):
    # A lazy batch, so that there is something to flush.
    pool = new_pool(8, 4, lazy_free_batch=4)
    pool.cache_blocks(list(pool.allocate(1).block_ids), HELD)
    pool.free([1])
    pool.add_and_admit(1, 9)
    before = pool.digest()
    method = getattr(pool.Pools, rpc)
    method(POOL_COMMANDS[rpc](pool.call(dry_run=True)), timeout=PATIENCE)
    assert pool.digest() == before
    with refused(StatusCode.ABORTED) as told:
        method(
            POOL_COMMANDS[rpc](pool.call(if_revision=before.revision - 1)), timeout=PATIENCE)
    assert told.reason == "REVISION_MOVED"
    assert pool.digest() == before
    method(POOL_COMMANDS[rpc](pool.call(if_revision=before.revision)), timeout=PATIENCE)
    assert pool.digest().revision == before.revision + 1
