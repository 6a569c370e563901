"""What the contract has and this server does not serve is refused and named, never ignored.

Serving one more RPC or field moves it out of these tables.
"""

from grpc import StatusCode
import pytest

from quire_client import MODULES, PATIENCE, q, refused, untouched

SERVED = {
    "Pools": "CreatePool UpdatePool Flush GetPool ListPools DeletePool ResetPool ResetPrefixCache PlanDefragment ApplyDefragment GetDigest DumpPool LoadPool",
    "BlockPool": "Allocate Free Fork CopyOnWrite AckCopies LookupBlocks Acquire CacheBlocks EvictBlocks",
    "Sequences": "Add Lookup Commit Admit Extend Append Fork Rewind Preempt SwapOut SwapIn Reserve Pin Free Get List AdviseVictims",
    "Scheduler": "Step Run Recover",
    "Sessions": "",
    "Analyzer": "GetStats WatchStats GetBlockMap GetSnapshot GetHistory GetReport ResetPeaks ExplainLookup ExplainBlock WhatIf",
    "Events": "SubscribeKvEvents DumpState",
}
UNSERVED = [
    method
    for name, (module, _) in MODULES.items()
    for method in module.DESCRIPTOR.services_by_name[name].methods
    if method.name not in SERVED[name].split()
]


@pytest.mark.parametrize("method", UNSERVED, ids=lambda m: f"{m.containing_service.name}.{m.name}")
def test_an_rpc_that_is_not_served_is_unimplemented(any_client, method):
    kind = f"{'stream' if method.client_streaming else 'unary'}_" + (
        "stream" if method.server_streaming else "unary")
    request = getattr(q, method.input_type.name)()
    call = getattr(any_client.channel, kind)(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=getattr(q, method.output_type.name).FromString,
    )
    with refused(StatusCode.UNIMPLEMENTED):
        answer = call(iter([request]) if method.client_streaming else request, timeout=PATIENCE)
        if method.server_streaming:
            next(answer)


def call_field(pool, **more):
    return lambda: pool.allocate(1, call=pool.call(**more))


FIELDS = {
    "call.session": lambda p: call_field(p, session=1),
    "call.op_id": lambda p: call_field(p, op_id=1),
    "call.acked_op_id": lambda p: call_field(p, acked_op_id=1),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_not_served_is_refused_and_named(pool, field):
    pool.add_and_admit(1, 4)
    pool.add(2, 4)
    with untouched(pool), refused(StatusCode.UNIMPLEMENTED) as told:
        FIELDS[field](pool)()
    assert field in told.message


def test_an_enum_value_that_no_one_knows_is_refused(pool):
    with untouched(pool), refused(StatusCode.INVALID_ARGUMENT) as told:
        pool.step(q.Op(allocate=q.Allocate(count=1)), on_refusal=77)
    assert "on_refusal" in told.message


def test_a_field_of_a_later_contract_is_passed_over(pool):
    # Field 100, as proto3 has it.
    request = q.AllocateRequest.FromString(
        q.AllocateRequest(call=pool.call(), allocate=q.Allocate(count=1)).SerializeToString()
        + b"\xa0\x06\x01")
    assert list(pool.BlockPool.Allocate(request, timeout=PATIENCE).block_ids) == [1]
