"""A client of the generated stubs, short enough that tests read as what they show."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

import grpc
from grpc_status import rpc_status

from quire.v1 import analyzer_pb2, analyzer_pb2_grpc
from quire.v1 import block_pool_pb2, block_pool_pb2_grpc
from quire.v1 import events_pb2, events_pb2_grpc
from quire.v1 import pools_pb2, pools_pb2_grpc
from quire.v1 import scheduler_pb2, scheduler_pb2_grpc
from quire.v1 import sequences_pb2, sequences_pb2_grpc
from quire.v1 import sessions_pb2, sessions_pb2_grpc
from quire.v1 import types_pb2

MODULES = {
    "BlockPool": (block_pool_pb2, block_pool_pb2_grpc),
    "Sequences": (sequences_pb2, sequences_pb2_grpc),
    "Scheduler": (scheduler_pb2, scheduler_pb2_grpc),
    "Pools": (pools_pb2, pools_pb2_grpc),
    "Sessions": (sessions_pb2, sessions_pb2_grpc),
    "Analyzer": (analyzer_pb2, analyzer_pb2_grpc),
    "Events": (events_pb2, events_pb2_grpc),
}

# Every message and enum value of the package, by its plain name.
q = SimpleNamespace()
for _module in [types_pb2] + [module for module, _ in MODULES.values()]:
    for _name in dir(_module):
        if not _name.startswith("_"):
            setattr(q, _name, getattr(_module, _name))

# Seconds. Long, because it is only there to fail a test that would hang.
PATIENCE = 20


class Client:
    """The stubs of all services over one channel, on one pool."""

    def __init__(self, channel, pool=""):
        self.channel = channel
        self.pool = pool
        for name, (_, stubs) in MODULES.items():
            setattr(self, name, getattr(stubs, name + "Stub")(channel))

    def on(self, pool):
        return Client(self.channel, pool)

    def call(self, **more):
        return q.Call(pool=self.pool, **more)

    # Raw blocks.
    def allocate(self, count, call=None, **more):
        request = q.AllocateRequest(
            call=call or self.call(), allocate=q.Allocate(count=count, **more)
        )
        return self.BlockPool.Allocate(request, timeout=PATIENCE)

    def free(self, block_ids, generations=(), call=None):
        blocks = q.FreeBlocks(block_ids=block_ids, generations=generations)
        request = q.FreeRequest(call=call or self.call(), free_blocks=blocks)
        return self.BlockPool.Free(request, timeout=PATIENCE)

    def fork_blocks(self, block_ids, generations=()):
        blocks = q.ForkBlocks(block_ids=block_ids, generations=generations)
        request = q.ForkBlocksRequest(call=self.call(), fork_blocks=blocks)
        return self.BlockPool.Fork(request, timeout=PATIENCE)

    def copy_on_write(self, block_id, filled_tokens=0):
        copy = q.CopyOnWrite(block_id=block_id, filled_tokens=filled_tokens)
        request = q.CopyOnWriteRequest(call=self.call(), copy_on_write=copy)
        return self.BlockPool.CopyOnWrite(request, timeout=PATIENCE)

    def ack_copies(self, copy_ids=(), up_to=0):
        copies = q.AckCopies(copy_ids=copy_ids, up_to=up_to)
        request = q.AckCopiesRequest(call=self.call(), ack_copies=copies)
        return self.BlockPool.AckCopies(request, timeout=PATIENCE)

    # The prefix cache by hashes.
    def lookup_blocks(self, block_hashes, **more):
        lookup = q.LookupBlocks(block_hashes=block_hashes, **more)
        request = q.LookupBlocksRequest(call=self.call(), lookup_blocks=lookup)
        return self.BlockPool.LookupBlocks(request, timeout=PATIENCE)

    def acquire(self, block_hashes=b"", allocate_count=0, **more):
        acquire = q.Acquire(block_hashes=block_hashes, allocate_count=allocate_count, **more)
        request = q.AcquireRequest(call=self.call(), acquire=acquire)
        return self.BlockPool.Acquire(request, timeout=PATIENCE)

    def cache_blocks(self, block_ids, block_hashes):
        cache = q.CacheBlocks(block_ids=block_ids, block_hashes=block_hashes)
        request = q.CacheBlocksRequest(call=self.call(), cache_blocks=cache)
        return self.BlockPool.CacheBlocks(request, timeout=PATIENCE)

    def evict_blocks(self, block_ids):
        evict = q.EvictBlocks(block_ids=block_ids)
        request = q.EvictBlocksRequest(call=self.call(), evict_blocks=evict)
        return self.BlockPool.EvictBlocks(request, timeout=PATIENCE)

    # Sequences.
    def add(self, sequence_id, tokens, **options):
        request = q.AddRequest(call=self.call(), add=add(sequence_id, tokens, **options))
        return self.Sequences.Add(request, timeout=PATIENCE)

    def admit(self, sequence_id, **more):
        admission = q.Admit(sequence_id=sequence_id, **more)
        request = q.AdmitRequest(call=self.call(), admit=admission)
        return self.Sequences.Admit(request, timeout=PATIENCE)

    def add_and_admit(self, sequence_id, tokens, **more):
        request = q.AdmitRequest(
            call=self.call(), admit=q.Admit(add=add(sequence_id, tokens), **more)
        )
        return self.Sequences.Admit(request, timeout=PATIENCE)

    def extend(self, sequence_id, append=0, **more):
        extension = q.Extend(sequence_id=sequence_id, **more)
        if append:
            extension.append.token_count = append
        request = q.ExtendRequest(call=self.call(), extend=extension)
        return self.Sequences.Extend(request, timeout=PATIENCE)

    def append(self, sequence_id, tokens):
        appended = q.Append(sequence_id=sequence_id, content=q.Content(token_count=tokens))
        request = q.AppendRequest(call=self.call(), append=appended)
        return self.Sequences.Append(request, timeout=PATIENCE)

    def fork(self, parent_id, child_ids):
        fork = q.Fork(parent_id=parent_id, child_ids=child_ids)
        request = q.ForkRequest(call=self.call(), fork=fork)
        return self.Sequences.Fork(request, timeout=PATIENCE)

    def rewind(self, sequence_id, **more):
        rewind = q.Rewind(sequence_id=sequence_id, **more)
        request = q.RewindRequest(call=self.call(), rewind=rewind)
        return self.Sequences.Rewind(request, timeout=PATIENCE)

    def preempt(self, *sequence_ids):
        preempt = q.Preempt(sequence_ids=sequence_ids)
        request = q.PreemptRequest(call=self.call(), preempt=preempt)
        return self.Sequences.Preempt(request, timeout=PATIENCE)

    def reserve(self, sequence_id, blocks=0, release=False, **more):
        reserve = q.Reserve(sequence_id=sequence_id, blocks=blocks, release=release, **more)
        request = q.ReserveRequest(call=self.call(), reserve=reserve)
        return self.Sequences.Reserve(request, timeout=PATIENCE)

    def advise_victims(self, blocks_needed, call=None, **more):
        request = q.AdviseVictimsRequest(
            call=call or self.call(), blocks_needed=blocks_needed, **more)
        return self.Sequences.AdviseVictims(request, timeout=PATIENCE)

    def pin(self, block_hashes=b"", call=None, token_ids=(), options=None, **more):
        content = q.Content(block_hashes=block_hashes, token_ids=token_ids)
        pin = q.Pin(content=content, options=options, **more)
        request = q.PinRequest(call=call or self.call(), pin=pin)
        return self.Sequences.Pin(request, timeout=PATIENCE)

    def free_sequences(self, *sequence_ids, ignore_missing=False):
        free = q.FreeSequences(sequence_ids=sequence_ids, ignore_missing=ignore_missing)
        request = q.FreeSequencesRequest(call=self.call(), free_sequences=free)
        return self.Sequences.Free(request, timeout=PATIENCE)

    def get(self, sequence_id):
        request = q.GetSequenceRequest(call=self.call(), sequence_id=sequence_id)
        return self.Sequences.Get(request, timeout=PATIENCE)

    def list(self, **more):
        request = q.ListSequencesRequest(call=self.call(), **more)
        return self.Sequences.List(request, timeout=PATIENCE)

    # Steps.
    def step_request(self, *ops, call=None, **more):
        return q.StepRequest(call=call or self.call(), ops=ops, **more)

    def step(self, *ops, call=None, **more):
        return self.Scheduler.Step(self.step_request(*ops, call=call, **more), timeout=PATIENCE)

    def recover(self, blocks_needed, call=None, **more):
        request = q.RecoverRequest(
            call=call or self.call(), recover=q.Recover(blocks_needed=blocks_needed, **more))
        return self.Scheduler.Recover(request, timeout=PATIENCE)

    # Pools.
    def create_pool(self, name, blocks, block_size, if_exists=0, **config):
        config = q.PoolConfig(blocks=blocks, block_size=block_size, **config)
        request = q.CreatePoolRequest(name=name, config=config, if_exists=if_exists)
        return self.Pools.CreatePool(request, timeout=PATIENCE)

    def get_pool(self):
        return self.Pools.GetPool(q.GetPoolRequest(call=self.call()), timeout=PATIENCE)

    def update_pool(self, call=None, **changes):
        request = q.UpdatePoolRequest(call=call or self.call(), **changes)
        return self.Pools.UpdatePool(request, timeout=PATIENCE)

    def flush(self, call=None):
        return self.Pools.Flush(q.FlushRequest(call=call or self.call()), timeout=PATIENCE)

    def delete_pool(self, force=False):
        request = q.DeletePoolRequest(call=self.call(), force=force)
        return self.Pools.DeletePool(request, timeout=PATIENCE)

    def reset_pool(self, force=False):
        request = q.ResetPoolRequest(call=self.call(), force=force)
        return self.Pools.ResetPool(request, timeout=PATIENCE)

    def reset_prefix_cache(self, **more):
        request = q.ResetPrefixCacheRequest(call=self.call(), **more)
        return self.Pools.ResetPrefixCache(request, timeout=PATIENCE)

    def digest(self, **more):
        request = q.GetDigestRequest(call=self.call(), **more)
        return self.Pools.GetDigest(request, timeout=PATIENCE)

    def dump_chunks(self):
        request = q.DumpPoolRequest(call=self.call())
        return self.Pools.DumpPool(request, timeout=PATIENCE)

    def dump(self):
        return b"".join(chunk.data for chunk in self.dump_chunks())

    def load_pool(self, name, data, if_exists=0, call=None, piece=1 << 20):
        """Sends `data` in pieces; what there is to say goes with the first."""

        def messages():
            yield q.LoadPoolRequest(
                call=call, name=name, if_exists=if_exists, data=data[:piece])
            for start in range(piece, len(data), piece):
                yield q.LoadPoolRequest(data=data[start : start + piece])

        return self.Pools.LoadPool(messages(), timeout=PATIENCE)

    def stats(self, *include):
        request = q.GetStatsRequest(call=self.call(), include=include)
        return self.Analyzer.GetStats(request, timeout=PATIENCE)


def add(sequence_id, tokens, **options):
    message = q.Add(sequence_id=sequence_id, content=q.Content(token_count=tokens))
    if options:
        message.options.CopyFrom(q.SequenceOptions(**options))
    return message


def decode(*sequence_ids, on_refusal=0, **more):
    return q.Op(on_refusal=on_refusal, decode=q.Decode(sequence_ids=sequence_ids, **more))


def admit_new(sequence_id, tokens, on_refusal=0, **more):
    admission = q.Admit(add=add(sequence_id, tokens), **more)
    return q.Op(on_refusal=on_refusal, admit=admission)


def allocate(count, on_refusal=0):
    return q.Op(on_refusal=on_refusal, allocate=q.Allocate(count=count))


def free_blocks(*block_ids):
    return q.Op(free_blocks=q.FreeBlocks(block_ids=block_ids))


def free_sequences(*sequence_ids):
    return q.Op(free_sequences=q.FreeSequences(sequence_ids=sequence_ids))


class Refused:
    """What a failed call told: its status, its `Refusal`, its trailers."""

    def __init__(self):
        self.error = None

    def read(self, error):
        self.error = error
        self.code = error.code()
        self.message = error.details()
        self.trailers = {key: value for key, value in error.trailing_metadata() or ()}
        # Raises unless code and message of the details are those of the call.
        status = rpc_status.from_call(error)
        self.details = list(status.details) if status else []
        self.refusal = None
        if self.details:
            refusal = q.Refusal()
            assert self.details[0].type_url == "type.googleapis.com/quire.v1.Refusal"
            assert self.details[0].Unpack(refusal)
            self.refusal = refusal

    @property
    def reason(self):
        return q.RefusalReason.Name(self.refusal.reason).removeprefix("REFUSAL_REASON_")


@contextmanager
def refused(code):
    """The block must end with a call refused with `code`; tells what the server said."""
    told = Refused()
    try:
        yield told
    except grpc.RpcError as error:
        told.read(error)
        assert told.code == code, f"{told.code} instead of {code}: {told.message}"
    else:
        raise AssertionError(f"accepted, where {code} was due")


@contextmanager
def refused_for(code, reason, field=None):
    """As `refused`, with details, trailers and message that all agree on `reason`."""
    with refused(code) as told:
        yield told
    assert len(told.details) == 1
    assert told.reason == reason
    assert told.trailers["quire-reason"] == reason
    assert int(told.trailers.get("quire-needed", 0)) == told.refusal.needed
    assert int(told.trailers.get("quire-available", 0)) == told.refusal.available
    if field is not None:
        assert field in told.refusal.field, told.refusal
        assert field in told.message, told.message


@contextmanager
def untouched(client):
    """The pool is, in every respect, after the block what it was before it."""
    before = client.digest()
    yield
    after = client.digest()
    assert after == before


def op_reason(result):
    return q.RefusalReason.Name(result.refusal.reason).removeprefix("REFUSAL_REASON_")


def eventually(condition, seconds=PATIENCE):
    """Waits until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)  # between looks, so that the server gets the processor


def check_partition(stats):
    parts = (
        stats.free_blocks
        + stats.cached_blocks
        + stats.active_blocks
        + stats.shared_blocks
        + stats.pinned_blocks
    )
    assert parts == stats.capacity_blocks, stats
    assert stats.available_blocks == stats.free_blocks + stats.cached_blocks, stats
