"""vLLM's block hashes once more, from its own description: hashlib and CBOR written by hand."""

import hashlib


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, size in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | info]) + value.to_bytes(size, "big")
    return bytes([major << 5 | 27]) + value.to_bytes(8, "big")


def cbor(value):
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(cbor(item) for item in value)


def sha256(value):
    return hashlib.sha256(cbor(value)).digest()


def extra_keys(start, end, lora=None, items=(), salt="", digests=None):
    keys = [("lora", *lora)] if lora else []
    keys += [
        ("mm", name, offset - start)
        for name, offset, length in items
        if offset < end and offset + length > start
    ]
    if salt and start == 0:
        keys.append(("cache_salt", salt))
    if digests is not None:
        index = start // (end - start)
        known = digests[32 * index : 32 * index + 32]
        keys.append(("prompt_embeds", known or hashlib.sha256(b"").digest()))
    return keys or None


def chain(tokens, block_size=16, seed="vllm-none-hash", lookahead=0, **keys):
    """The hashes of all blocks of `tokens` that can have one, in order."""
    hashes = []
    parent = sha256(seed)
    for start in range(0, len(tokens) - block_size - lookahead + 1, block_size):
        end = start + block_size
        extra = extra_keys(start, end, **keys)
        if lookahead:
            extra = (extra, *tokens[end : end + lookahead])
        parent = sha256((parent, tokens[start:end], extra))
        hashes.append(parent)
    return hashes
