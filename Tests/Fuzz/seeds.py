#!/usr/bin/env python3
"""First inputs for the fuzz targets whose inputs have a shape: `seeds.py FOLDER` writes
`FOLDER/<target>/seed-*`. The fuzzer goes on from there; `run.sh --merge` keeps what found something.

Requests are written as text and encoded by protoc; conversations are the orders of `FrameScript`.
"""
import gzip
import os
import struct
import subprocess
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))

# The order is that of `FuzzedService.methods`.
METHODS = """AllocateRequest FreeRequest ForkBlocksRequest CopyOnWriteRequest AckCopiesRequest
LookupBlocksRequest AcquireRequest CacheBlocksRequest EvictBlocksRequest AddRequest LookupRequest
AdmitRequest ExtendRequest AppendRequest CommitRequest ForkRequest RewindRequest PreemptRequest
SwapRequest SwapRequest ReserveRequest PinRequest FreeSequencesRequest AdviseVictimsRequest
GetSequenceRequest ListSequencesRequest StepRequest RecoverRequest CreatePoolRequest
UpdatePoolRequest FlushRequest GetPoolRequest ListPoolsRequest DeletePoolRequest ResetPoolRequest
ResetPrefixCacheRequest PlanDefragmentRequest ApplyDefragmentRequest GetDigestRequest
GetStatsRequest StepRequest DumpPoolRequest LoadPoolRequest WatchStatsRequest GetBlockMapRequest
GetSnapshotRequest GetHistoryRequest ResetPeaksRequest DumpStateRequest
SubscribeKvEventsRequest LookupRequest ExplainBlockRequest WhatIfRequest
GetReportRequest""".split()

ADMIT = ("AdmitRequest", "admit{sequence_id:1 add{content{token_ids:[1,2,3,4,5,6,7,8,9]}}}")
HASH = 'block_hashes:"' + "0123456789abcdef" * 2 + '"'
REQUESTS = {
    "allocate": [("AllocateRequest", "allocate{count:3}"), ("FreeRequest", "free_blocks{block_ids:[1,2]}"),
                 ("AllocateRequest", "allocate{count:30}")],
    "preferred": [("AllocateRequest", "allocate{count:2 contiguous:true preferred_block_ids:[5,6]}")],
    "dry": [("AllocateRequest", "call{dry_run:true if_revision:0 now_ms:7}allocate{count:3}")],
    "revision": [("AllocateRequest", "call{if_revision:9}allocate{count:3}")],
    "session": [("AllocateRequest", "call{session:9 op_id:3}allocate{count:3}")],
    "fork": [("AllocateRequest", "allocate{count:1}"),
             ("ForkBlocksRequest", "fork_blocks{block_ids:1 generations:1}"),
             ("CopyOnWriteRequest", "copy_on_write{block_id:1 filled_tokens:3}"),
             ("AckCopiesRequest", "ack_copies{copy_ids:1 up_to:1}")],
    "cache": [("AllocateRequest", "allocate{count:1}"), ("CacheBlocksRequest", "cache_blocks{block_ids:1 %s}" % HASH),
              ("LookupBlocksRequest", "lookup_blocks{%s}" % HASH),
              ("AcquireRequest", "acquire{%s allocate_count:1}" % HASH),
              ("EvictBlocksRequest", "evict_blocks{block_ids:[1,2]}")],
    "add": [("AddRequest", 'add{sequence_id:1 content{token_count:7}options{label:"a" priority:-3}}'),
            ("GetSequenceRequest", "sequence_id:1"), ("ListSequencesRequest", "page_size:1 with_block_ids:true"),
            ("AdmitRequest", "admit{sequence_id:1 lookahead_tokens:2}"), ("FreeSequencesRequest", "free_sequences{sequence_ids:1}")],
    "prefix": [ADMIT, ("CommitRequest", "commit{sequence_id:1 tokens:8}"),
               ("FreeSequencesRequest", "free_sequences{sequence_ids:1 ignore_missing:true}"),
               ("LookupRequest", "lookup{content{token_ids:[1,2,3,4,5,6,7,8,9]}}"), ADMIT,
               ("ResetPrefixCacheRequest", "preempt_running:true")],
    "extend": [ADMIT, ("ExtendRequest", "extend{sequence_id:1 append{token_ids:[7,8]} max_tokens_now:1}"),
               ("AppendRequest", "append{sequence_id:1 content{token_ids:4}}"),
               ("RewindRequest", "rewind{sequence_id:1 uncompute_tokens:2 drop_tokens:1 release_blocks:true}"),
               ("ForkRequest", "fork{parent_id:1 child_ids:[2,3]}"), ("ExtendRequest", "extend{sequence_id:2 append{token_count:1}}"),
               ("PreemptRequest", "preempt{sequence_ids:[1,2]}")],
    "swap": [ADMIT, ("SwapRequest", "swap{sequence_ids:1}", 18), ("SwapRequest", "swap{sequence_ids:1}", 19)],
    "reserve": [ADMIT, ("ReserveRequest", "reserve{sequence_id:1 blocks:5}"), ("ReserveRequest", "reserve{sequence_id:1 release:true}")],
    "pin": [ADMIT, ("PinRequest", "pin{content{token_ids:[1,2,3,4,5,6,7,8]} ttl_ms:50}")],
    "victims": [ADMIT, ("AdviseVictimsRequest", "blocks_needed:30 max_victims:2"),
                ("RecoverRequest", "recover{blocks_needed:23 rungs:[1,2,3]}")],
    "step": [("StepRequest", "ops{admit{sequence_id:1 add{content{token_count:9}}}}ops{decode{sequence_ids:1 append_counts:1}}"
              "ops{allocate{count:40}}ops{free_blocks{block_ids:1}} on_refusal:1 with_stats:true token_budget:9"),
             ("StepRequest", "ops{decode{sequence_ids:[1] token_ids:[5] lookahead_tokens:2}} on_refusal:4 victim_policy:3"),
             ("StepRequest", "ops{fork{parent_id:1 child_ids:2}}ops{commit{sequence_id:1}}ops{flush{}}acked_copy_id:1", 40)],
    "pools": [("CreatePoolRequest", 'name:"b" config{blocks:16 block_size:4 strategy:STRATEGY_BUDDY disable_prefix_caching:true}'),
              ("ListPoolsRequest", "page_size:1"), ("GetPoolRequest", 'call{pool:"b"}'), ("ResetPoolRequest", 'call{pool:"b"}force:true'), ("ResetPoolRequest", 'call{pool:"b" dry_run:true}'),
              ("DeletePoolRequest", 'call{pool:"b"}'), ("GetDigestRequest", ""), ("GetStatsRequest", "include:[1,2]")],
    "classes": [("CreatePoolRequest", 'config{size_classes{block_size:4 blocks:8 max_expected_tokens:9}size_classes{block_size:8 blocks:8}'
                 "disable_prefix_caching:true}if_exists:3"), ADMIT],
    "features": [("CreatePoolRequest", "if_exists:3 config{blocks:20 block_size:2 eviction:EVICTION_POLICY_S3_FIFO watermark:0.1 "
                  "sliding_window:6 host_blocks:5 lazy_free_batch:3 proactive_free_blocks:4 zero_on_free:true copy_ack:2 "
                  "keep_tokens:true pin_budget_blocks:3 max_in_flight_tokens:2 admission_threshold:0.9 hash:2 hash_seed:\"7\"}"),
                 ADMIT, ("UpdatePoolRequest", "eviction:1 watermark:0.5 lazy_free_batch:0"), ("FlushRequest", "")],
    "bytes": [("CreatePoolRequest", "if_exists:3 config{kv_bytes:4096 block_size:4 geometry{layers:2 kv_heads:1 head_size:4 dtype_bytes:2}}")],
    "defragment": [("AllocateRequest", "allocate{count:6}"), ("FreeRequest", "free_blocks{block_ids:[2,4]}"),
                   ("PlanDefragmentRequest", "contiguous_blocks:20"),
                   ("ApplyDefragmentRequest", "plan{revision:2 moves{source_block:6 target_block:2}}")],
    "dump": [ADMIT, ("DumpPoolRequest", "")],
    "events": [("DumpStateRequest", ""), ADMIT, ("ForkRequest", "fork{parent_id:1 child_ids:2}"),
               ("SubscribeKvEventsRequest", "start_sequence_number:1 with_forks_and_copies:true with_token_ids:true"),
               ("ExtendRequest", "extend{sequence_id:2 append{token_ids:7}}"),
               ("FreeSequencesRequest", "free_sequences{sequence_ids:[1,2]}"), ("AllocateRequest", "allocate{count:24}"),
               ("SubscribeKvEventsRequest", "start_sequence_number:1 epoch:1"), ("ResetPoolRequest", "force:true"),
               ("SubscribeKvEventsRequest", "epoch:9"), ("DumpStateRequest", "with_token_ids:true with_parent_hashes:true")],
    "explain": [("ExplainBlockRequest", "block_id:1"), ADMIT,
                ("LookupRequest", "lookup{content{token_ids:[1,2,3,4,5,6,7,8,9]}}", 50), ("ExplainBlockRequest", "block_id:2 max_incidents:3"),
                ("FreeSequencesRequest", "free_sequences{sequence_ids:1}"), ("AllocateRequest", "allocate{count:24}"),
                ("LookupRequest", "lookup{content{token_ids:[1,2,3,4,5,6,7,8,9]} options{cache_salt:\"s\"}}", 50)],
    "whatif": [ADMIT, ("WhatIfRequest", "block_sizes:[1,16]"), ("WhatIfRequest", "lengths:[17,33] configs{blocks:9 block_size:4 strategy:STRATEGY_BUDDY}"),
               ("WhatIfRequest", "configs{blocks:16 block_size:4 max_model_tokens:16} trace{arrival_us:[0,9] input_tokens:[12,14] output_tokens:[9,3] content_counts:[1,1] content_ids:[1,1]}")],
    "report": [ADMIT, ("AllocateRequest", "allocate{count:3}")] + [
        ("GetReportRequest", f"format:{format}") for format in (1, 2, 3, 4)],
    "load": [("LoadPoolRequest", 'name:"c" data:"quirepool"')],
    "unserved": [("AllocateRequest", 'call{pool:"\\303" acked_op_id:3}allocate{count:1}')],
}


def record(name, text, method=None):
    encoded = subprocess.run(
        ["protoc", "-I", HERE + "/../../Protos", f"--encode=quire.v1.{name}"]
        + [f"quire/v1/{file}.proto" for file in ("pools", "block_pool", "sequences", "scheduler", "analyzer", "events")],
        input=text.encode(), check=True, capture_output=True).stdout
    return bytes([METHODS.index(name) if method is None else method]) + struct.pack("<H", len(encoded)) + encoded


# The orders of `FrameScript`; those that end the stream have bit 6 set as well.
REQUEST, MESSAGE, RESET, WINDOW, SETTINGS, PING, GO_AWAY, TRAILERS, REPEAT, LONG, CUT = 1, 3, 6, 7, 8, 9, 10, 14, 15, 16, 19
RESPONSE, ENDING_RESPONSE = 2, 102


def message(stream, body, ends=True, flag=0):
    return [83 if ends else MESSAGE, stream, flag, len(body), *body]


def conversations():
    """By name: bytes behind the target's own head."""
    for path in range(8):
        yield f"call{path}", [0, REQUEST, 0, path, 0, *message(0, [1, 2, 3]), CUT]
        yield f"two{path}", [0, REQUEST, 0, path, 1, 0, CUT, *message(0, [255, 2], ends=False), CUT,
                             REQUEST, 1, path, 0, *message(1, []), CUT, *message(0, [9])]
    yield "reset", [0, REQUEST, 0, 1, 0, *message(0, [1], ends=False), CUT, RESET, 0, 8]
    yield "pings", [0, PING, 0, 7, REPEAT + 100]
    yield "burst", [0, REQUEST, 0, 3, 0, *message(0, [1]), CUT, WINDOW, 128, 255, 255, WINDOW, 0, 255, 255, CUT, RESET, 0, 8]
    yield "held", [0, REQUEST, 0, 1, 0, LONG, 0, 255, 20, CUT, LONG, 0, 255, 20, CUT, WINDOW, 0, 0, 1, CUT, *message(0, [255])]
    yield "settings", [0, SETTINGS, 3, 3, 1, 0, 4, 10, 0, 5, 255, 255, REQUEST, 0, 0, 0, *message(0, [7])]
    yield "goaway", [0, REQUEST, 0, 1, 0, GO_AWAY, 0, 0, 0, CUT, *message(0, [1])]
    yield "fields", [0, REQUEST, 0, 0, 7, 0, 4, 8, 13, 14, 22, 24, *message(0, [1])]
    yield "long", [0, REQUEST, 0, 0, 2, 100, 0, 20, 100, 0, 20, *message(0, [1])]
    yield "gzip", [0, REQUEST, 0, 0, 2, 5, 8, *message(0, [1], flag=251)]
    for body in range(3):
        yield f"packed{body}", [0, REQUEST, 0, body & 1, 2, 6 - (body == 0), 8, *message(0, [body], flag=252)]
    yield "trailers", [0, REQUEST, 0, 1, 0, TRAILERS, 0, 0, 0]


def answers():
    yield "ok", [0, RESPONSE, 0, 0, 0, *message(0, [1, 2], ends=False), TRAILERS, 0, 0, 0, RESPONSE, 2, 0, 0,
                 *message(2, [5], ends=False), CUT, TRAILERS, 2, 8, 0]
    yield "errors", [0, RESPONSE, 0, 3, 0, CUT, ENDING_RESPONSE, 1, 0, 3, 10, 12, 16, RESET, 2, 7]
    yield "goaway", [0, GO_AWAY, 0, 0, 0, CUT, RESPONSE, 0, 0, 0]
    yield "continue", [0, RESPONSE, 0, 2, 0, RESPONSE, 0, 0, 0, LONG, 0, 0, 30, CUT]
    yield "settings", [0, SETTINGS, 2, 3, 1, 0, 4, 0, 0, CUT]


def main(folder):
    def write(target, name, content):
        os.makedirs(f"{folder}/{target}", exist_ok=True)
        with open(f"{folder}/{target}/seed-{name}", "wb") as file:
            file.write(bytes(content))

    for name, requests in REQUESTS.items():
        plain = b"".join(record(*request) for request in requests)
        for choices in (0, 0x35, 0x9A):
            write("requests", f"{name}-{choices}", bytes([choices]) + plain)
        # Each request first as a dry run.
        twice = b"".join(
            (record(method, "call{dry_run:true}" + text, *rest) if "call{" not in text and method != "ListPoolsRequest" else b"")
            + record(method, text, *rest) for method, text, *rest in requests)
        write("requests", f"{name}-dry", bytes([0]) + twice)
    for name, content in conversations():
        for choices in (0, 1, 4, 8):
            write("server", f"{name}-{choices}", [choices, *content])
        write("http2", f"server-{name}", [4, 3, 0, *content])
    for name, content in answers():
        for choices in (0, 0x14, 0x58):
            write("client", f"{name}-{choices}", [choices, *content])
        write("http2", f"client-{name}", [0xC1, 5, 0, *content])
    for number, text in enumerate((b"abcabcabcabc", b"x", bytes(5_000))):
        for choices in range(16):
            packed = zlib.compress(text) if choices & 1 else gzip.compress(text, mtime=0)
            write("compression", f"unpack{number}-{choices}", bytes([choices]) + packed)
        write("compression", f"pack{number}", bytes([0xFA]) + text[:1_000])
    for choices in range(4):
        write("tls", f"talk-{choices}", [choices, 1, 10, 0, 129, 3, 1, 9, 131, 5, 0, 1, 1, 5, 0, 9, 136, 9, 8])
        write("tls", f"tampered-{choices}", [choices | 4, 0, 50, 3, 60, 0, 1, 9])
        write("tls", f"pieces-{choices}", [choices | 4] + [0, 100, 128, 255] * 20 + [1, 255, 100, 9])
        write("tls", f"garbage-{choices}", [choices, 4, 6, 23, 3, 3, 0, 1, 0, 9])
    write("server", "raw", b"\2PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    write("server", "http1", b"\2GET / HTTP/1.1\r\nHost: a\r\n\r\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
