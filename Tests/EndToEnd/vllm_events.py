"""vLLM's messages for KV events (vllm/distributed/kv_events.py of vLLM 0.33.0).

Retyped, field by field; with QUIRE_VLLM=1 they are taken from vLLM's own source instead, out of its wheel,
and a test sees to it that both say the same.
"""

import ast
import os
import sys
from typing import Any, Optional, Union

import msgspec

ExternalBlockHash = Union[bytes, int]
NAMES = ["EventBatch", "KVCacheEvent", "BlockStored", "BlockRemoved", "AllBlocksCleared",
         "KVEventBatch"]


class EventBatch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    ts: float
    events: list[Any]
    data_parallel_rank: Optional[int] = None


class KVCacheEvent(msgspec.Struct, omit_defaults=True, gc=False, tag=True):
    pass


class BlockStored(KVCacheEvent):
    block_hashes: list[ExternalBlockHash]
    parent_block_hash: Optional[ExternalBlockHash]
    token_ids: list[int]
    block_size: int
    lora_id: Optional[int]
    medium: Optional[str]
    lora_name: Optional[str]
    extra_keys: Optional[list[Optional[tuple[Any, ...]]]] = None
    group_idx: Optional[int] = None
    kv_cache_spec_kind: Optional[str] = None
    kv_cache_spec_sliding_window: Optional[int] = None
    locality: Optional[str] = None
    ownership: Optional[str] = None
    session_id: Optional[str] = None
    lookahead_token_ids: Optional[list[list[int]]] = None


class BlockRemoved(KVCacheEvent):
    block_hashes: list[ExternalBlockHash]
    medium: Optional[str]
    group_idx: Optional[int] = None
    locality: Optional[str] = None
    ownership: Optional[str] = None


class AllBlocksCleared(KVCacheEvent):
    pass


class KVEventBatch(EventBatch):
    events: list[Union[BlockStored, BlockRemoved, AllBlocksCleared]]


RETYPED = {name: globals()[name] for name in NAMES}


def own():
    """The classes as vLLM's source has them: their definitions alone, for the rest of the module wants the
    whole of vLLM."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.join(here, "..", "Benchmarks", "peers"))
    import vllm_wheel
    source = vllm_wheel.HOME / "vllm" / "distributed" / "kv_events.py"
    if not source.exists():
        vllm_wheel.SCRATCH.mkdir(parents=True, exist_ok=True)
        vllm_wheel.fetch(sys.executable)
    tree = ast.parse(source.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in NAMES]
    names = {"msgspec": msgspec, "Any": Any, "ExternalBlockHash": ExternalBlockHash,
             "__name__": "vllm.distributed.kv_events"}
    # Annotations are looked up in the module that a class names.
    module = type(sys)("vllm.distributed.kv_events")
    module.__dict__.update(names)
    sys.modules.setdefault("vllm.distributed.kv_events", module)
    exec(compile(tree, str(source), "exec"), module.__dict__)
    return {name: module.__dict__[name] for name in NAMES}


OWN = own() if os.environ.get("QUIRE_VLLM") else None
if OWN:
    globals().update(OWN)
