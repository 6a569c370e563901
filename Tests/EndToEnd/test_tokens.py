"""Token ids become vLLM's block hashes, and sequences hit what others computed."""

import random

from grpc import StatusCode
import pytest

from block_hashes import chain
from quire_client import PATIENCE, q, refused_for, untouched

GOLDEN = {
    "0..15": (
        range(16), {}, "dc918a88b139e5afe60b88eda27508d4aee16c10fdc354791efea06206ac0749"),
    "salt s": (
        range(16), dict(cache_salt="s"),
        "67e9f72522b34138a0f4be0e3a68d9d49b1e50aea0af7762f6170ad7eebbdeaf"),
    "lora L": (
        range(16), dict(lora_name="L", lora_path="/p"),
        "5354dbf8ca4e8d108153f4ba16fbaa40b6a288fd3be5a7cf8ff266a6d13a7942"),
    "100000..100015": (
        range(100_000, 100_016), {},
        "fec2bda8c8e3928f2b2d7117c2cc3b5332052a9851903c0b5dd41e25819a4e58"),
}
SECOND = "c300ec275d7bf08af8fc63e76cdc0086911bbc7091e03c5cf892553bef84ef0c"


@pytest.fixture
def pool(new_pool):
    """64 blocks of 16 tokens, all free."""
    return new_pool(64, 16)


def add_op(sequence, tokens, options=None, **content):
    add = q.Add(sequence_id=sequence, content=q.Content(token_ids=tokens, **content))
    if options:
        add.options.CopyFrom(q.SequenceOptions(**options))
    return add


def admit(pool, sequence, tokens, options=None, content=None, **more):
    new = add_op(sequence, tokens, options, **(content or {}))
    request = q.AdmitRequest(call=pool.call(), admit=q.Admit(add=new, **more))
    return pool.Sequences.Admit(request, timeout=PATIENCE)


def append(pool, sequence, **content):
    request = q.AppendRequest(
        call=pool.call(), append=q.Append(sequence_id=sequence, content=q.Content(**content)))
    return pool.Sequences.Append(request, timeout=PATIENCE)


def lookup(pool, sequence=None, options=None, **content):
    asked = q.Lookup(sequence_id=sequence) if sequence is not None else q.Lookup(
        content=q.Content(**content))
    if options:
        asked.options.CopyFrom(q.SequenceOptions(**options))
    return pool.Sequences.Lookup(
        q.LookupRequest(call=pool.call(), lookup=asked), timeout=PATIENCE)


def commit(pool, sequence, tokens=0):
    request = q.CommitRequest(
        call=pool.call(), commit=q.Commit(sequence_id=sequence, tokens=tokens))
    return pool.Sequences.Commit(request, timeout=PATIENCE)


def found(pool, hashes):
    return list(pool.lookup_blocks(b"".join(hashes)).block_ids)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_block_is_found_by_vllms_golden_hash(pool, name):
    tokens, options, golden = GOLDEN[name]
    admit(pool, 1, tokens, options)
    assert found(pool, [bytes.fromhex(golden)]) == list(pool.get(1).block_ids) == [1]


def test_the_second_block_is_chained_to_the_first(pool):
    admit(pool, 1, range(32))
    hashes = [bytes.fromhex(GOLDEN["0..15"][2]), bytes.fromhex(SECOND)]
    assert hashes == chain(list(range(32)))
    assert found(pool, hashes) == [1, 2]


def test_extra_keys_of_all_kinds_are_those_of_an_independent_chain(pool):
    tokens = [7 * i % 70_000 for i in range(64)]
    digests = bytes(range(96))
    items = [("cat", 3, 20), ("dog", 40, 8)]
    admit(
        pool, 1, tokens, dict(cache_salt="ß", lora_name="L", lora_path="/p"),
        dict(
            multimodal=[q.MultimodalItem(identifier=n, offset=o, length=l) for n, o, l in items],
            prompt_embeds_digest=digests))
    hashes = chain(tokens, lora=("L", "/p"), items=items, salt="ß", digests=digests)
    assert found(pool, hashes) == [1, 2, 3, 4]


@pytest.mark.parametrize("lookahead", [0, 3])
def test_a_seed_and_a_lookahead_enter_the_hashes(new_pool, lookahead):
    pool = new_pool(16, 4, hash_seed="mine", hash_lookahead_tokens=lookahead)
    tokens = [5, 600, 70_000, 2**31 - 1, 1, 2, 3, 4, 9, 8, 7, 6]
    admit(pool, 1, tokens)
    hashes = chain(tokens, 4, seed="mine", lookahead=lookahead)
    assert len(hashes) == (2 if lookahead else 3)
    assert found(pool, hashes) == list(pool.get(1).block_ids)[: len(hashes)]
    config = pool.get_pool().config
    assert (config.hash_seed, config.hash_lookahead_tokens) == ("mine", lookahead)


@pytest.mark.parametrize("tokens,hit", [(48, 32), (49, 48)])
def test_the_last_token_is_always_left_to_compute(pool, tokens, hit):
    admit(pool, 1, range(tokens))
    pool.free_sequences(1)
    with untouched(pool):
        asked = lookup(pool, token_ids=range(tokens))
    assert (asked.cached_tokens, asked.evictable_blocks) == (hit, hit // 16)
    pool.Sequences.Add(
        q.AddRequest(call=pool.call(), add=add_op(2, range(tokens))), timeout=PATIENCE)
    assert lookup(pool, 2).cached_tokens == hit
    taken = pool.admit(2)
    assert (taken.cached_tokens, taken.scheduled_tokens) == (hit, tokens - hit)
    assert list(taken.cached_block_ids) == list(asked.block_ids)


def test_a_preempted_sequence_hits_its_own_blocks(pool):
    admit(pool, 1, range(41))
    pool.preempt(1)
    resumed = pool.admit(1)
    assert (resumed.cached_tokens, resumed.scheduled_tokens) == (32, 9)
    assert len(resumed.new_block_ids) == 1


def test_lookahead_gives_slots_and_never_cache_entries(pool):
    taken = admit(pool, 1, range(16), lookahead_tokens=3)
    assert len(taken.new_block_ids) == 2
    assert found(pool, chain(list(range(16)))) == [1]
    step = pool.step(q.Op(decode=q.Decode(sequence_ids=[1], token_ids=[16])))
    assert list(step.results[0].decode.new_block_ids) == []


def test_a_delayed_block_is_hit_once_it_is_committed(pool):
    admit(pool, 1, range(33), delay_commit=True)
    assert lookup(pool, token_ids=range(40)).cached_tokens == 0
    done = commit(pool, 1, 16)
    assert (done.committed_tokens, done.cached_blocks) == (16, 1)
    assert lookup(pool, token_ids=range(40)).cached_tokens == 16
    with untouched(pool), refused_for(
        StatusCode.INVALID_ARGUMENT, "INVALID", "commit.tokens") as told:
        commit(pool, 1, 34)
    assert "33" in told.message
    op = q.Op(commit=q.Commit(sequence_id=1))
    assert pool.step(op).results[0].commit.committed_tokens == 33
    assert lookup(pool, token_ids=range(40)).cached_tokens == 32


def test_operations_of_one_step_hash_what_the_ones_before_made(pool):
    admit(pool, 1, range(20))
    step = pool.step(
        q.Op(append=q.Append(sequence_id=1, content=q.Content(token_ids=range(20, 30)))),
        q.Op(decode=q.Decode(sequence_ids=[1], append_counts=[2], token_ids=[30, 31])),
        q.Op(fork=q.Fork(parent_id=1, child_ids=[2])),
        q.Op(rewind=q.Rewind(sequence_id=2, drop_tokens=5)),
        q.Op(append=q.Append(sequence_id=2, content=q.Content(token_ids=range(900, 910)))),
        q.Op(extend=q.Extend(sequence_id=2)),
        q.Op(add=add_op(3, range(33))),
        q.Op(admit=q.Admit(sequence_id=3)),
    )
    assert not [r.refusal for r in step.results if r.HasField("refusal")]
    assert step.results[7].admit.cached_tokens == 32
    tokens = list(range(27)) + list(range(900, 910))
    assert found(pool, chain(tokens)) == list(pool.get(2).block_ids)[:2]


BAD = {
    "content.token_ids": dict(token_ids=[1, 2**31]),
    "content.token_count": dict(token_ids=[1, 2], token_count=3),
    "content.block_hashes": dict(token_ids=[1] * 16, block_hashes=b"x" * 32),
    "content.multimodal": dict(
        token_ids=[1], multimodal=[q.MultimodalItem(identifier="", offset=0, length=1)]),
    "content.prompt_embeds_digest": dict(token_ids=[1], prompt_embeds_digest=b"x" * 33),
}


@pytest.mark.parametrize("field", BAD)
def test_bad_content_is_refused_by_name_and_changes_nothing(pool, field):
    content = q.Content(**BAD[field])
    add = q.Add(sequence_id=1, content=content)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field) as told:
        pool.Sequences.Add(q.AddRequest(call=pool.call(), add=add), timeout=PATIENCE)
    if field == "content.token_ids":
        assert "2147483647" in told.message and "index 1" in told.message
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field.replace("content", "lookup.content")):
        lookup(pool, **BAD[field])
    # In a step it is that operation's refusal, and the others stand.
    step = pool.step(q.Op(add=add), q.Op(add=add_op(2, [1])))
    assert step.results[0].refusal.field == "add." + field
    assert step.results[1].add.tokens == 1


def test_hashes_of_the_wrong_length_are_refused_with_the_right_one(pool):
    add = q.Add(sequence_id=1, content=q.Content(token_count=40, block_hashes=b"x" * 63))
    with untouched(pool), refused_for(
        StatusCode.INVALID_ARGUMENT, "INVALID", "content.block_hashes") as told:
        pool.Sequences.Add(q.AddRequest(call=pool.call(), add=add), timeout=PATIENCE)
    assert "64 bytes" in told.message


@pytest.mark.parametrize("keeps", [False, True])
def test_a_rewind_never_goes_on_without_the_tokens_it_needs(new_pool, keeps):
    pool = new_pool(64, 16, keep_tokens=keeps)
    admit(pool, 1, range(200))
    assert pool.rewind(1, drop_tokens=60).tokens == 140
    if keeps:
        assert pool.rewind(1, drop_tokens=100).tokens == 40
        append(pool, 1, token_ids=range(40, 50))
    else:
        with untouched(pool), refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "rewind.drop_tokens") as told:
            pool.rewind(1, drop_tokens=100)
        assert "at most 12" in told.message
        assert pool.rewind(1, drop_tokens=92).tokens == 48
        append(pool, 1, token_ids=[48, 49])
    pool.extend(1)
    assert found(pool, chain(list(range(50)))) == list(pool.get(1).block_ids)[:3]


def test_a_reset_preempts_what_runs_the_latest_admitted_first(pool):
    for sequence in (3, 1, 2):
        admit(pool, sequence, range(100 * sequence, 100 * sequence + 16))
    answer = pool.reset_prefix_cache(preempt_running=True)
    assert (list(answer.preempted_sequence_ids), answer.cleared_blocks) == ([2, 1, 3], 3)
    assert pool.stats().free_blocks == 64


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_lives_of_sequences_are_hashed_as_if_from_scratch(new_pool, seed):
    """Appends, decodes, forks, rewinds, preemptions: each sequence's full blocks are found under the
    hashes of its whole list of tokens."""
    pool = new_pool(256, 4)
    draw = random.Random(seed)
    lives = {}
    for turn in range(150):
        sequence = draw.randrange(8)
        tokens = lives.get(sequence)
        if tokens is None:
            lives[sequence] = [draw.randrange(3) for _ in range(draw.randint(1, 12))]
            admit(pool, sequence, lives[sequence])
            continue
        kind = draw.randrange(6)
        if kind == 0:
            new = [draw.randrange(3) for _ in range(draw.randint(1, 9))]
            append(pool, sequence, token_ids=new)
            tokens += new
        elif kind == 1:
            new = {s: draw.randrange(100_000) for s in lives}
            pool.step(q.Op(decode=q.Decode(
                sequence_ids=new.keys(), token_ids=list(new.values()))))
            for s, token in new.items():
                lives[s].append(token)
        elif kind == 2 and len(tokens) > 1:
            drop = draw.randint(1, min(len(tokens) - 1, 30))
            pool.rewind(sequence, drop_tokens=drop)
            del tokens[-drop:]
        elif kind == 3:
            child = draw.randrange(8)
            if child not in lives:
                pool.fork(sequence, [child])
                lives[child] = list(tokens)
        elif kind == 4:
            pool.preempt(sequence)
            pool.admit(sequence)
        else:
            pool.free_sequences(sequence)
            del lives[sequence]
            continue
        pool.extend(sequence)
        hashes = chain(lives[sequence], 4)
        assert len(found(pool, hashes)) == len(hashes), (turn, kind)
