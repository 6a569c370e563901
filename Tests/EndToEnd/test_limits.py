"""Requests of a few KB or MB that would take all memory, or the one loop for minutes."""

from grpc import StatusCode

from quire_client import PATIENCE, q, refused_for, untouched


def add(pool, sequence_id, options=None, **content):
    return pool.Sequences.Add(
        q.AddRequest(
            call=pool.call(),
            add=q.Add(
                sequence_id=sequence_id, content=q.Content(**content),
                options=q.SequenceOptions(**(options or {})))),
        timeout=PATIENCE)


def test_children_of_a_sequence_that_waits_count_by_its_hashes(new_pool):
    pool = new_pool(16, 1)
    add(pool, 1, token_ids=range(4096))
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "QUOTA") as told:
        pool.fork(1, range(2, 259))
    assert told.refusal.field == "fork.child_ids"
    # 257 children, for each the 4,096 hashes of its parent and, as 8 more, the 64 token ids it keeps.
    assert told.trailers["quire-needed"] == str(257 * (4_096 + 8))
    assert "past the limit of 1048576" in told.message
    pool.fork(1, range(2, 200))


def test_a_lookahead_is_that_of_a_draft(new_pool):
    with refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "config.hash_lookahead_tokens") as told:
        new_pool(16, 4, hash_lookahead_tokens=65)
    assert told.message == "config.hash_lookahead_tokens must be at most 64"
    new_pool(16, 4, hash_lookahead_tokens=64)


def test_a_long_lora_path_is_not_hashed_with_thousands_of_blocks(new_pool):
    pool = new_pool(16, 1)
    lora = dict(lora_name="adapter", lora_path="/" + "p" * 4_000)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "QUOTA") as told:
        add(pool, 1, lora, token_ids=range(40_000))
    assert "134217728 bytes of LoRA names" in told.message
    add(pool, 1, lora, token_ids=range(30_000))
