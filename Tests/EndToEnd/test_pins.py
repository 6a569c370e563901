"""Sequences.Pin: cached prefixes that no allocation may evict, within a budget."""

from grpc import StatusCode
import pytest

from block_hashes import chain
from quire_client import check_partition, op_reason, q, refused_for, untouched

A, B, C, D = (bytes([mark]) * 32 for mark in b"ABCD")
EVERYTHING = 16


def cached(pool, count=4):
    """Blocks 1 ... count keep the contents A, B, C, D and nobody holds them."""
    pool.allocate(count)
    pool.cache_blocks(range(1, count + 1), (A + B + C + D)[: 32 * count])
    pool.free(range(count, 0, -1))


def test_a_pinned_prefix_is_not_evicted_until_it_is_unpinned(pool):
    cached(pool)
    pinned = pool.pin(A + B)
    # A pool of 16 lets a session pin a quarter of it.
    assert (pinned.pinned_tokens, pinned.pinned_blocks, pinned.budget_blocks) == (8, 2, 2)
    stats = pool.stats()
    check_partition(stats)
    assert (stats.pinned_blocks, stats.cached_blocks, stats.available_blocks) == (2, 2, 14)

    taken = pool.allocate(14).block_ids
    assert list(pool.lookup_blocks(A + B + C).block_ids) == [1, 2]
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.allocate(1)
    assert list(pool.acquire(A + B).cached_block_ids) == [1, 2]
    pool.free([1, 2])
    assert pool.stats().pinned_blocks == 2

    gone = pool.pin(A + B, unpin=True)
    assert (gone.pinned_tokens, gone.pinned_blocks, gone.budget_blocks) == (0, 0, 4)
    assert pool.allocate(2).evicted_blocks == 2
    pool.free(taken)


def test_a_partial_pin_says_so(new_pool):
    pool = new_pool(pin_budget_blocks=3)
    cached(pool)
    # The budget ends after three of four blocks, and another prefix gets none.
    partial = pool.pin(A + B + C + D)
    assert (partial.pinned_tokens, partial.pinned_blocks, partial.budget_blocks) == (12, 3, 0)
    pool.pin(A + B + C + D, unpin=True)
    # What is not cached is not pinned, and a hole ends it.
    pool.evict_blocks([2])
    assert pool.pin(A + B + C).pinned_tokens == 4
    assert pool.pin(b"x" * 32).pinned_tokens == 0


def test_a_block_that_two_prefixes_share_counts_once_and_is_held_by_both(pool):
    cached(pool)
    pool.pin(A + B)
    both = pool.pin(A + B + C)
    assert (both.pinned_tokens, both.pinned_blocks, both.budget_blocks) == (12, 3, 1)
    assert pool.pin(A + B, unpin=True).pinned_blocks == 3
    assert pool.pin(A + B + C, unpin=True).pinned_blocks == 0


def test_a_pin_ends_by_the_clock_of_the_call(pool):
    cached(pool)
    pool.pin(A, pool.call(now_ms=1_000), ttl_ms=500)
    pool.pin(b"x" * 32, pool.call(now_ms=1_499))
    assert pool.stats().pinned_blocks == 1
    pool.pin(b"x" * 32, pool.call(now_ms=1_500))
    assert pool.stats().pinned_blocks == 0


def test_a_dry_run_pins_nothing_and_no_pin_to_take_away_is_no_refusal(pool):
    cached(pool)
    with untouched(pool):
        assert pool.pin(A + B, pool.call(dry_run=True)).pinned_blocks == 2
        assert pool.pin(A + B, unpin=True).pinned_blocks == 0


def test_a_prefix_is_named_by_its_tokens_and_what_they_are_hashed_with(pool):
    tokens = list(range(10))
    options = q.SequenceOptions(cache_salt="ours", lora_name="L", lora_path="/p")
    add = q.Add(sequence_id=1, content=q.Content(token_ids=tokens), options=options)
    pool.Sequences.Admit(q.AdmitRequest(call=pool.call(), admit=q.Admit(add=add)))
    pool.free_sequences(1)
    # Ten tokens fill two blocks of four.
    assert pool.pin(token_ids=tokens).pinned_tokens == 0
    assert pool.pin(token_ids=tokens, options=options).pinned_tokens == 8
    # It is the same pin as the one of the hashes.
    hashes = b"".join(chain(tokens, 4, salt="ours", lora=("L", "/p")))
    assert pool.pin(hashes, unpin=True).pinned_blocks == 0
    assert pool.stats().pinned_blocks == 0


def test_what_is_no_prefix_is_refused_and_named(pool, new_pool):
    def refuses(field, pool=pool, **prefix):
        with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
            pool.pin(**prefix)

    hashes, ids = "pin.content.block_hashes", "pin.content.token_ids"
    refuses(hashes)
    refuses(hashes, block_hashes=b"x" * 33)
    refuses(hashes, block_hashes=A, token_ids=[1, 2, 3, 4])
    refuses(ids, token_ids=[1, 2, 3])
    refuses(ids, token_ids=[1, 2, 3, 1 << 31])
    refuses("pin.options.lora_path", block_hashes=A, options=q.SequenceOptions(lora_path="/p"))
    refuses(hashes, new_pool(disable_prefix_caching=True), block_hashes=A)


@pytest.mark.parametrize("stops", [False, True])
def test_a_step_pins(pool, stops):
    cached(pool)
    pin = q.Op(pin=q.Pin(content=q.Content(block_hashes=A)))
    wrong = q.Op(pin=q.Pin(content=q.Content(block_hashes=b"short")))
    unpin = q.Op(pin=q.Pin(content=q.Content(block_hashes=A), unpin=True))
    reply = pool.step(pin, wrong, unpin, on_refusal=q.ON_REFUSAL_STOP if stops else 0)
    assert reply.results[0].pin.pinned_tokens == 4
    assert op_reason(reply.results[1]) == "INVALID"
    assert reply.results[1].refusal.field == "pin.content.block_hashes"
    assert pool.stats().pinned_blocks == (1 if stops else 0)
    assert stops or reply.results[2].pin.budget_blocks == 4


def test_pins_go_along_with_a_dump(client, pool):
    cached(pool)
    pool.pin(A + B)
    data = pool.dump()
    copy = client.on(pool.pool + "-copy")
    client.load_pool(copy.pool, data)
    try:
        assert copy.digest().state_digest == pool.digest().state_digest
        assert copy.pin(A + B, unpin=True).pinned_blocks == 0
        assert copy.stats().pinned_blocks == 0
    finally:
        copy.delete_pool(force=True)
