#!/usr/bin/env python3
"""Quire's domain against vLLM's own block manager, in the same run, one core each.

vLLM's side is its `BlockPool`, `KVCacheManager`, `Request` and block hasher, from its wheel and
unchanged (`vllm_wheel.py`), in this Python. Ours is `BlockPoolBenchmark --rows`. The two take turns;
each value is the median of the turns, in processor time. Printed beside: the ratio, and whether the
bar of the row is met. Without the wheel it says so and ends well.
"""
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import vllm_wheel

ROOT = pathlib.Path(__file__).resolve().parents[3]
OURS = os.environ.get("BLOCK_POOL_BENCHMARK", ROOT / ".build/release/BlockPoolBenchmark")
BLOCKS = 65_536
TURNS = 5
# Name, what it is, the bar in nanoseconds.
ROWS = [
    ("allocate-1", "allocate 1 + free 1", 15),
    ("allocate-64", "allocate 64 + free 64, queue shuffled", 300),
    ("decode-hashes", "decode step, 256 sequences, hashes given", None),
    ("decode-tokens", "decode step, 256 sequences, tokens given", 15_000),
    ("prompt-hashes", "1,024 tokens, half cached: lookup, allocate, free", None),
    ("prompt-tokens", "the same and hashing them", 40_000),
]


def timed(count, body):
    """Nanoseconds of this thread's processor time for each of `count` of what `body` does."""
    start = time.thread_time_ns()
    body()
    return (time.thread_time_ns() - start) / count


class Peer:
    """What vLLM does for each row."""

    def __init__(self, vllm):
        self.vllm = vllm
        self.random = random.Random(42)
        vllm.init_none_hash(vllm.sha256_cbor)
        self.hasher = vllm.get_request_block_hasher(16, vllm.sha256_cbor)

    def rows(self):
        decode, decode_tokens = self.decode(48)
        prompt, prompt_tokens = self.prompt(100)
        return {
            "allocate-1": self.pool(1, 100_000, False), "allocate-64": self.pool(64, 3_000, True),
            "decode-hashes": decode, "decode-tokens": decode_tokens,
            "prompt-hashes": prompt, "prompt-tokens": prompt_tokens,
        }

    def tokens(self, count):
        return [self.random.randrange(128_000) for _ in range(count)]

    def manager(self):
        return vllm_wheel.new_manager(self.vllm, BLOCKS, 16, max_model_len=1 << 20)

    def pool(self, count, pairs, is_shuffled):
        pool = self.vllm.BlockPool(BLOCKS + 1, enable_caching=False, hash_block_size=16)
        if is_shuffled:
            every = pool.get_new_blocks(BLOCKS)
            self.random.shuffle(every)
            pool.free_blocks(every)

        def body():
            for _ in range(pairs):
                pool.free_blocks(pool.get_new_blocks(count))
        return timed(pairs, body)

    def decode(self, steps):
        manager, requests = self.manager(), []
        for i in range(256):
            request = vllm_wheel.new_request(self.vllm, i, self.tokens(512 + i % 16), self.hasher)
            self.start(manager, request)
            requests.append(request)
        hashing = slots = 0
        for _ in range(steps):
            sampled = self.tokens(256)
            start = time.thread_time_ns()
            for request, token in zip(requests, sampled):
                request.append_output_token_ids(token)
            middle = time.thread_time_ns()
            for request in requests:
                assert manager.allocate_slots(request, 1) is not None
                request.num_computed_tokens += 1
            hashing, slots = hashing + middle - start, slots + time.thread_time_ns() - middle
        return slots / steps, (hashing + slots) / steps

    def prompt(self, count):
        manager, head = self.manager(), self.tokens(512)
        self.start(manager, vllm_wheel.new_request(self.vllm, "head", head, self.hasher))
        hashing = slots = 0
        for i in range(count):
            # Its making is not part of the work, its hashing is.
            request = vllm_wheel.new_request(self.vllm, i, head + self.tokens(512), None)
            start = time.thread_time_ns()
            request.block_hashes = self.hasher(request)
            middle = time.thread_time_ns()
            assert self.start(manager, request) == 512
            manager.free(request)
            hashing, slots = hashing + middle - start, slots + time.thread_time_ns() - middle
        return slots / count, (hashing + slots) / count

    def start(self, manager, request):
        found, hit, _ = manager.get_computed_blocks(request)
        now = request.num_tokens - hit
        assert manager.allocate_slots(request, now, hit, found) is not None
        request.num_computed_tokens = request.num_tokens
        return hit


def ours():
    output = subprocess.run([OURS, "--rows"], check=True, capture_output=True, text=True).stdout
    return {name: float(value) for name, value in map(str.split, output.splitlines())}


def text(nanoseconds):
    return f"{nanoseconds:.1f} ns" if nanoseconds < 10_000 else f"{nanoseconds / 1000:.1f} us"


def main():
    try:
        vllm_wheel.prepare()
        vllm = vllm_wheel.load()
    except (vllm_wheel.Unavailable, ImportError, OSError) as problem:
        print(f"\nskipped: the comparison with vLLM's block manager ({problem})")
        return
    peer = Peer(vllm)
    turns = [(ours(), peer.rows()) for _ in range(TURNS)]
    print(f"\nagainst vLLM {vllm_wheel.VERSION}'s block manager in Python "
          f"{sys.version.split()[0]}: {BLOCKS:,} blocks of 16, medians of {TURNS} turns")
    print(f"{'':52}{'Quire':>12}{'vLLM':>12}{'ratio':>8}  bar")
    for name, what, bar in ROWS:
        mine, theirs = (statistics.median(turn[side][name] for turn in turns) for side in (0, 1))
        verdict = "" if bar is None else f"{text(bar)}: {'met' if mine <= bar else 'NOT MET'}"
        print(f"{what:52}{text(mine):>12}{text(theirs):>12}{theirs / mine:7.0f}x  {verdict}")


if __name__ == "__main__":
    main()
