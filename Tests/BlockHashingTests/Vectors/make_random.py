#!/usr/bin/env python3
"""Writes random.jsonl: random sequences and their block hashes, by cbor2, hashlib and xxhash.

    pip install cbor2 xxhash && ./make_random.py > random.jsonl

Independent of the Swift code, and of vLLM's: the extra keys are found by looking at every item.
The same seed gives the same file.
"""

import hashlib
import json
import random

import cbor2
import xxhash

FUNCTIONS = {
    "sha256_cbor": lambda data: hashlib.sha256(data).digest(),
    "xxhash_cbor": lambda data: xxhash.xxh3_128(data).digest(),
}
DEFAULT_SEED = "vllm-none-hash"
NOTHING = hashlib.sha256(b"").digest()


def extra_keys(case, start, end):
    keys = []
    if case.get("lora_name"):
        keys.append(["lora", case["lora_name"], case["lora_path"]])
    for item in case.get("multimodal", []):
        if any(start <= position < end
               for position in range(item["offset"], item["offset"] + item["length"])):
            keys.append(["mm", item["identifier"], item["offset"] - start])
    if start == 0 and case.get("cache_salt"):
        keys.append(["cache_salt", case["cache_salt"]])
    if case.get("prompt_embeds_digests") is not None:
        index = start // case["block_size"]
        digest = bytes.fromhex(case["prompt_embeds_digests"])[32 * index:32 * index + 32]
        keys.append(["prompt_embeds", digest or NOTHING])
    if start == 0 and case.get("tenant"):
        keys.append(["quire_tenant", case["tenant"]])
    return keys or None


def block_hashes(case):
    def hashed(value):
        return FUNCTIONS[case["algorithm"]](cbor2.dumps(value, canonical=True))

    size, ahead, tokens = case["block_size"], case["lookahead"], case["tokens"]
    parent = hashed(DEFAULT_SEED if case["seed"] is None else case["seed"])
    hashes = [parent]
    for start in range(0, len(tokens) - size - ahead + 1, size):
        end = start + size
        keys = extra_keys(case, start, end + ahead)
        if ahead:
            keys = [keys, *tokens[end:end + ahead]]
        parent = hashed([parent, tokens[start:end], keys])
        hashes.append(parent)
    return hashes


def random_text(source):
    return "".join(source.choice("az-/é漢🖼") for _ in range(source.choice([1, 5, 23, 24, 60])))


def random_case(source, algorithm):
    case = {
        "algorithm": algorithm,
        "seed": random_text(source),
        "block_size": source.choice([1, 2, 4, 16, 24, 32]),
        "lookahead": source.choice([0, 0, 0, 1, 2, 5]),
        "tokens": [source.getrandbits(source.choice([4, 5, 8, 15, 16, 17, 31]))
                   for _ in range(source.randint(0, 70))],
    }
    if algorithm == "sha256_cbor" and source.random() < 0.5:
        case["seed"] = None
    if source.random() < 0.4:
        case["lora_name"] = random_text(source)
        case["lora_path"] = source.choice(["", random_text(source)])
    if source.random() < 0.6:
        case["multimodal"], position = [], 0
        while source.random() < 0.7:
            position += source.choice([0, 1, 7, 20])
            length = source.randint(1, 40)
            case["multimodal"].append(
                {"identifier": random_text(source), "offset": position, "length": length})
            position += length
    if source.random() < 0.4:
        case["cache_salt"] = random_text(source)
    if source.random() < 0.3:
        case["prompt_embeds_digests"] = source.randbytes(32 * source.randint(0, 3)).hex()
    if source.random() < 0.3:
        case["tenant"] = random_text(source)
    return case


def main():
    source = random.Random(20)
    for number in range(80):
        case = random_case(source, ["sha256_cbor", "xxhash_cbor"][number % 2])
        seed_hash, *hashes = (value.hex() for value in block_hashes(case))
        case.update(name=f"random {number}", seed_hash=seed_hash, hashes=hashes)
        print(json.dumps(case, ensure_ascii=False, sort_keys=True))


if __name__ == "__main__":
    main()
