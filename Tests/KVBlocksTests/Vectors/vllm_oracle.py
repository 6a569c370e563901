#!/usr/bin/env python3
"""Drives vLLM's own KVCacheManager at random and writes down what it is asked and what it answers.

    Tests/KVBlocksTests/Vectors/vllm_oracle.py            writes the files beside this script anew
    Tests/KVBlocksTests/Vectors/vllm_oracle.py --scenarios 3000 --seed 7 --output /tmp/many.txt
    QUIRE_ORACLE=/tmp/many.txt swift test --disable-xctest --filter VLLMReplayTests

The classes are those of the wheel, unchanged: see Tests/Benchmarks/peers/vllm_wheel.py. The same
arguments give the same file. README.md beside this script says what a line means.
"""
import argparse
import pathlib
import random
import sys
import types
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Benchmarks" / "peers"))
import vllm_wheel  # noqa: E402


def runs(ids):
    """1,2,3,9,8 as 1-3,9,8: ascending neighbours are written as a range."""
    parts, i = [], 0
    while i < len(ids):
        j = i
        while j + 1 < len(ids) and ids[j + 1] == ids[j] + 1:
            j += 1
        parts.append(str(ids[i]) if j == i else f"{ids[i]}-{ids[j]}")
        i = j + 1
    return ",".join(parts)


class Pool:
    """One of vLLM's managers, driven as its scheduler drives it, and the record of it."""

    def __init__(self, vllm, source, window):
        self.vllm, self.source = vllm, source
        self.blocks = source.choice([3, 5, 8, 12, 20, 40])
        self.block_size = source.choice([1, 2, 4, 4, 16])
        self.caching = source.random() < 0.85
        self.eagle = self.caching and source.random() < 0.15
        self.watermark = source.choice([0.0, 0.0, 0.0, 0.01, 0.1, 0.25, 0.34])
        self.most = source.choice([0, 0, 0, self.blocks * self.block_size // 2 + 1])
        self.window = source.randint(1, 4 * self.block_size) if window else 0
        self.in_flight = source.choice([0, self.block_size * 2 + 1]) if window else 0
        unlimited = 1 << 20
        self.manager = vllm_wheel.new_manager(
            vllm, self.blocks, self.block_size, window=self.window,
            max_model_len=self.most or unlimited, max_in_flight_tokens=self.in_flight or None,
            enable_caching=self.caching, use_eagle=self.eagle, watermark=self.watermark,
            log_stats=True)
        self.pool = self.manager.block_pool
        self.hasher = vllm.get_request_block_hasher(self.block_size, vllm.sha256_cbor)
        self.requests, self.running, self.next_id = {}, [], 1
        self.raw = []
        self.numbers, self.told = {}, {}
        self.lines, self.last = [], None
        fields = {"blocks": self.blocks, "size": self.block_size, "caching": int(self.caching),
                  "eagle": int(self.eagle), "watermark": self.watermark, "most": self.most}
        if window:
            fields |= {"window": self.window, "in_flight": self.in_flight}
        self.lines.append("pool " + " ".join(f"{k}={v}" for k, v in fields.items()))

    # --- Writing down

    def number(self, block_hash):
        return self.numbers.setdefault(bytes(block_hash), len(self.numbers) + 1)

    def note(self, command, answer=""):
        queue = [block.block_id for block in self.pool.free_block_queue.get_all_free_blocks()]
        assert len(queue) == self.pool.get_num_free_blocks()
        contents = []
        for key, found in self.pool.cached_block_hash_to_block._cache.items():
            ring = list(found) if isinstance(found, dict) else [found.block_id]
            contents.append((self.number(key[:-4]), ring))
        contents.sort()
        text = ";".join(f"{number}:{','.join(map(str, ring))}" for number, ring in contents)
        state = f"{runs(queue)} {len(contents)} {zlib.crc32(text.encode()):x}"
        self.lines.append(f"{command}|{answer}|{'' if state == self.last else state}")
        self.last = state

    def new_hashes(self, request):
        """Of the blocks that are full by now and were not told of before."""
        told = self.told.get(request.request_id, 0)
        self.told[request.request_id] = len(request.block_hashes)
        return ",".join(str(self.number(h)) for h in request.block_hashes[told:])

    def table(self, request):
        return [block.block_id for block in self.manager.get_blocks(request.request_id).blocks[0]]

    def text(self, **fields):
        return " ".join(f"{k}={v}" for k, v in fields.items() if v not in (0, "", False, None))

    # --- Content: a few documents that many requests begin with

    def tokens(self, start, count, document):
        return [document * 1000 + i if document else self.source.getrandbits(30)
                for i in range(start, start + count)]

    # --- Commands

    def add(self):
        source = self.source
        limit = self.most or self.blocks * self.block_size + self.block_size
        total = min(limit, source.randint(1, max(1, self.blocks * self.block_size // 2)))
        if source.random() < 0.3:
            total = min(limit, max(1, total // self.block_size * self.block_size))
        shared = source.choice([0, total, total, source.randint(0, total)])
        document = source.randint(1, 3)
        request = vllm_wheel.new_request(
            self.vllm, self.next_id,
            self.tokens(0, shared, document) + self.tokens(shared, total - shared, 0), self.hasher,
            skips_lookup=source.random() < 0.08, salt=source.choice([None] * 8 + ["a"]),
            lora=source.choice([None] * 8 + [LORA]))
        request.document = document if shared == total else 0
        self.requests[self.next_id] = request
        self.note(f"add {self.next_id} " + self.text(
            tokens=total, hashes=self.new_hashes(request), skips=int(request.skip_reading_prefix_cache)))
        self.next_id += 1

    def waiting(self):
        return [i for i in self.requests if i not in self.running]

    def lookup(self, identity):
        request = self.requests[identity]
        found, tokens, _ = self.manager.get_computed_blocks(request)
        self.note(f"lookup {identity}", f"{tokens} {runs([b.block_id for b in found.blocks[0]])}")

    def admit(self, identity):
        source, request = self.source, self.requests[identity]
        found, hit, _ = self.manager.get_computed_blocks(request)
        hits = [block.block_id for block in found.blocks[0]]
        external = source.randint(0, request.num_tokens - hit) if source.random() < 0.15 else 0
        most = source.randint(1, request.num_tokens) if source.random() < 0.4 else 0
        now = request.num_tokens - hit - external
        if most:
            now = min(now, most)
        ahead = source.randint(1, 2 * self.block_size) if source.random() < 0.2 else 0
        partial, delays = source.random() < 0.4, source.random() < 0.2
        reserved = source.randint(1, self.blocks) if source.random() < 0.15 else 0
        ignores = source.random() < 0.2
        before = set(hits) - {0}
        given = self.manager.allocate_slots(
            request, now, hit, found, num_lookahead_tokens=ahead,
            num_external_computed_tokens=external, delay_cache_blocks=delays,
            full_sequence_must_fit=not partial, reserved_blocks=reserved,
            has_scheduled_reqs=bool(self.running) and not ignores)
        command = f"admit {identity} " + self.text(
            most=most, ahead=ahead, partial=int(partial), delays=int(delays), reserved=reserved,
            ignores=int(ignores), external=external)
        if given is None:
            return self.note(command, "none")
        self.manager.record_prefix_cache_stats(request, hit)
        request.num_computed_tokens = hit + external + now
        request.status = self.vllm.RequestStatus.RUNNING
        self.running.append(identity)
        table = self.table(request)
        new = [block for block in table if block not in before and block != 0]
        answer = f"{runs(hits)} {runs(new)}" + (f" {runs(table)}" if self.window else "")
        self.note(command, answer)

    def append(self, request, count):
        at = request.num_tokens
        document = request.document if self.source.random() < 0.7 else 0
        request.document = document
        request.append_output_token_ids(self.tokens(at, count, document))

    def room(self, request):
        """Tokens that may still be appended."""
        limit = self.most or (self.blocks + 2) * self.block_size
        return max(0, limit - request.num_tokens)

    def grow(self, identity):
        """More slots for a running request: its tokens, a chunk of them, drafts behind them."""
        source, request = self.source, self.requests[identity]
        count = min(self.room(request), source.choice([0, 1, 1, 1, 2, self.block_size + 1]))
        if count:
            self.append(request, count)
        outstanding = request.num_tokens - request.num_computed_tokens
        if outstanding == 0:
            if count == 0:
                return
            raise AssertionError("appended tokens are outstanding")
        most = source.randint(1, outstanding) if source.random() < 0.25 else 0
        now = min(outstanding, most) if most else outstanding
        drafts = source.randint(1, 4) if now == outstanding and source.random() < 0.25 else 0
        ahead = source.randint(1, 4) if source.random() < 0.15 else 0
        delays = source.random() < 0.1
        reserved = source.randint(1, self.blocks) if source.random() < 0.05 else 0
        # vLLM counts drafts among the new tokens and takes them back when they are rejected: they
        # have slots and are never cached, like lookahead.
        given = self.manager.allocate_slots(
            request, now + drafts, num_lookahead_tokens=ahead, delay_cache_blocks=delays,
            reserved_blocks=reserved)
        command = f"extend {identity} " + self.text(
            append=count, hashes=self.new_hashes(request), most=most, ahead=drafts + ahead,
            delays=int(delays), reserved=reserved)
        if given is None:
            return self.note(command, "none")
        request.num_computed_tokens += now
        answer = runs([block.block_id for block in given.blocks[0]])
        self.note(command, answer + (f" {runs(self.table(request))}" if self.window else ""))

    def decode(self, preempts):
        """All running requests, one token each, as in a scheduler's step."""
        requests = [self.requests[i] for i in self.running]
        if not requests or any(self.room(r) == 0 for r in requests):
            return
        if preempts and any(
                r.num_tokens + 1 > self.blocks * self.block_size for r in requests):
            return
        ids = ",".join(map(str, self.running))
        for request in requests:
            self.append(request, 1)
        hashes, counts = [], []
        for request in requests:
            new = self.new_hashes(request)
            hashes += [new] if new else []
            counts.append(str(len(new.split(",")) if new else 0))
        answers, preempted, at = [], [], 0
        while at < len(self.running):
            identity = self.running[at]
            request = self.requests[identity]
            now = request.num_tokens - request.num_computed_tokens
            given = self.manager.allocate_slots(request, now)
            while given is None and preempts:
                # vLLM's FCFS scheduler: the latest admitted goes, at last the request itself.
                victim = self.running[-1]
                self.drop(victim)
                preempted.append(str(victim))
                if victim == identity:
                    break
                given = self.manager.allocate_slots(request, now)
            if given is None:
                answers.append(f"{identity}:none")
                if preempts:
                    break
            else:
                request.num_computed_tokens += now
                new = runs([block.block_id for block in given.blocks[0]])
                if new:
                    answers.append(f"{identity}:{new}")
            at += 1
        self.note(f"decode {ids} " + self.text(
            hashes=",".join(hashes), counts=",".join(counts) if hashes else "",
            preempts=int(preempts)), f"{' '.join(answers)}/{','.join(preempted)}")

    def drop(self, identity):
        request = self.requests[identity]
        self.manager.free(request)
        request.status = self.vllm.RequestStatus.PREEMPTED
        request.num_computed_tokens = 0
        request.num_preemptions += 1
        self.running.remove(identity)

    def preempt(self, identity):
        self.drop(identity)
        self.note(f"preempt {identity}")

    def free(self, identity):
        self.manager.free(self.requests.pop(identity))
        if identity in self.running:
            self.running.remove(identity)
        self.note(f"free {identity}")

    def append_only(self, identity):
        request = self.requests[identity]
        count = min(self.room(request), self.source.randint(1, self.block_size + 1))
        if count:
            self.append(request, count)
            self.note(f"append {identity} " + self.text(
                tokens=count, hashes=self.new_hashes(request)))

    def commit(self, identity):
        request = self.requests[identity]
        tokens = self.source.randint(1, request.num_computed_tokens)
        self.manager.cache_blocks(request, tokens)
        self.note(f"commit {identity} {tokens}")

    def evict(self):
        count = self.source.choice([1, 1, 2, self.blocks])
        ids = sorted(self.source.sample(range(1, self.blocks + 1), min(count, self.blocks)))
        had = sum(self.pool.blocks[i].block_hash is not None for i in ids)
        self.manager.evict_blocks(set(ids))
        self.note(f"evict {runs(ids)}", str(had))

    def reset(self):
        self.note("reset", str(int(self.manager.reset_prefix_cache())))

    # --- Raw blocks: the pool without requests

    def allocate(self):
        count = self.source.randint(1, self.blocks)
        try:
            given = self.pool.get_new_blocks(count)
        except ValueError:
            return self.note(f"allocate {count}", "none")
        self.raw += given
        self.note(f"allocate {count}", runs([block.block_id for block in given]))

    def free_raw(self):
        self.source.shuffle(self.raw)
        count = self.source.randint(1, len(self.raw))
        gone, self.raw = self.raw[:count], self.raw[count:]
        self.pool.free_blocks(gone)
        self.note(f"freeraw {','.join(str(block.block_id) for block in gone)}")

    def fork_raw(self):
        chosen = self.source.sample(self.raw, self.source.randint(1, min(3, len(self.raw))))
        self.pool.touch(chosen)
        self.raw += chosen
        self.note(f"forkraw {','.join(str(block.block_id) for block in chosen)}")

    def document_request(self):
        total = self.source.randint(1, self.blocks) * self.block_size
        return vllm_wheel.new_request(
            self.vllm, 0, self.tokens(0, total, self.source.randint(1, 3)), self.hasher)

    def cache_raw(self):
        held = {block.block_id: block for block in self.raw}
        blocks = [block for block in held.values() if block.block_hash is None]
        request = self.document_request()
        blocks = blocks[:len(request.block_hashes)]
        if not blocks:
            return
        self.pool.cache_full_blocks(request, blocks, 0, len(blocks), self.block_size, 0)
        hashes = [str(self.number(h)) for h in request.block_hashes[:len(blocks)]]
        self.note(f"cacheraw {','.join(str(b.block_id) for b in blocks)} {','.join(hashes)}")

    def acquire(self):
        request, count = self.document_request(), self.source.randint(0, 3)
        hits = []
        for block_hash in request.block_hashes:
            found = self.pool.get_cached_block(block_hash, [0])
            if not found:
                break
            hits += found
        charge = count + sum(block.ref_cnt == 0 for block in hits)
        command = f"acquire {','.join(str(self.number(h)) for h in request.block_hashes)} {count}"
        if charge > self.pool.get_num_free_blocks():
            return self.note(command, "none")
        self.pool.touch(hits)
        given = self.pool.get_new_blocks(count)
        self.raw += hits + given
        self.note(command, f"{runs([b.block_id for b in hits])} {runs([b.block_id for b in given])}")

    # --- A scenario

    def step(self):
        waiting = self.waiting()
        choices = [(self.add, 16 if len(waiting) < 4 else 1), (self.evict, 2), (self.reset, 1)]
        if waiting:
            new = self.source.choice(waiting)
            choices += [(lambda: self.admit(new), 26), (lambda: self.lookup(new), 2),
                        (lambda: self.append_only(new), 2), (lambda: self.free(new), 3)]
        if self.running:
            one = self.source.choice(self.running)
            choices += [(lambda: self.grow(one), 22), (lambda: self.free(one), 9),
                        (lambda: self.preempt(one), 5), (lambda: self.commit(one), 3)]
            if not self.window:
                choices += [(lambda: self.decode(False), 8), (lambda: self.decode(True), 6)]
        if not self.window:
            choices += [(self.allocate, 2)]
            if self.raw:
                choices += [(self.free_raw, 6), (self.fork_raw, 2)]
            if self.caching:
                choices += [(self.acquire, 3), (self.cache_raw, 3)]
        self.source.choices([c for c, _ in choices], [w for _, w in choices])[0]()

    def end(self):
        for identity in list(self.requests):
            self.free(identity)
        if self.raw:
            gone, self.raw = self.raw, []
            self.pool.free_blocks(gone)
            self.note(f"freeraw {','.join(str(block.block_id) for block in gone)}")
        self.reset()
        stats = self.manager.prefix_cache_stats
        self.lines.append(
            f"end {stats.queries} {stats.hits} {stats.preempted_queries} {stats.preempted_hits}"
            f"||")


LORA = types.SimpleNamespace(name="adapter", lora_name="adapter", lora_path="/adapter", adapter_id=1)


def write(vllm, path, scenarios, steps, seed, window):
    """At each line's end what the pool looks like, unless it looks like at the line before."""
    with open(path, "w") as file:
        for number in range(scenarios):
            pool = Pool(vllm, random.Random(f"{seed} {number}"), window)
            for _ in range(steps):
                pool.step()
            pool.end()
            file.write("\n".join(pool.lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--window", action="store_true", help="a sliding window")
    parser.add_argument("--output", help="where to; without it, the files beside this script")
    arguments = parser.parse_args()
    vllm_wheel.prepare()
    vllm = vllm_wheel.load()
    vllm.init_none_hash(vllm.sha256_cbor)
    name = f"vllm-{vllm_wheel.VERSION}"
    if arguments.output:
        write(vllm, arguments.output, arguments.scenarios or 1000, arguments.steps, arguments.seed,
              arguments.window)
    else:
        write(vllm, HERE / f"{name}.txt", 80, arguments.steps, arguments.seed, False)
        write(vllm, HERE / f"{name}-window.txt", 50, arguments.steps, arguments.seed, True)


if __name__ == "__main__":
    main()
