"""Why a prefix is hit up to there and no further, and what happened to a block."""

import time

import grpc
from grpc import StatusCode
import pytest

from block_hashes import chain
from quire_client import PATIENCE, Client, q, refused
from running_server import RunningServer

END = q.LookupEnd
KIND = q.BlockIncidentKind
CAUSE = q.BlockIncidentCause


@pytest.fixture
def pool(new_pool):
    """4 blocks of 4 tokens, all free, whose history was asked for: it is kept from the first question."""
    pool = new_pool(4, 4)
    explain_block(pool, 1)
    return pool


def explain(pool, tokens=(), options=None, sequence=None):
    asked = q.Lookup(sequence_id=sequence) if sequence is not None else q.Lookup(
        content=q.Content(token_ids=tokens))
    if options:
        asked.options.CopyFrom(q.SequenceOptions(**options))
    return pool.Analyzer.ExplainLookup(
        q.LookupRequest(call=pool.call(), lookup=asked), timeout=PATIENCE)


def explain_block(pool, block_id, **more):
    return pool.Analyzer.ExplainBlock(
        q.ExplainBlockRequest(call=pool.call(), block_id=block_id, **more), timeout=PATIENCE)


def run(pool, sequence, tokens, **options):
    """Adds, admits and leaves the tokens behind in the cache; the blocks that it had."""
    add = q.Add(sequence_id=sequence, content=q.Content(token_ids=tokens),
                options=q.SequenceOptions(**options))
    reply = pool.Sequences.Admit(
        q.AdmitRequest(call=pool.call(), admit=q.Admit(add=add)), timeout=PATIENCE)
    blocks = list(reply.cached_block_ids) + list(reply.new_block_ids)
    pool.free_sequences(sequence)
    return blocks


def test_a_prefix_that_was_never_cached(pool):
    told = explain(pool, range(9))
    assert (told.cached_tokens, told.end, told.full_blocks) == (0, END.LOOKUP_END_NEVER_STORED, 2)
    [step] = told.steps
    assert (step.block_index, step.block_id, step.evicted_revision) == (0, 0, 0)
    assert step.block_hash == chain(range(4), 4)[0]
    assert told.conclusion == (
        "0 of 9 tokens are used from the cache. Block 0 of the content was never cached.")


def test_a_prefix_of_which_a_part_is_cached(pool):
    blocks = run(pool, 1, list(range(8)))
    told = explain(pool, list(range(8)) + [9] * 8)
    assert [step.block_id for step in told.steps] == blocks + [0]
    assert (told.cached_tokens, told.end) == (8, END.LOOKUP_END_NEVER_STORED)
    assert "8 of 16 tokens are used" in told.conclusion
    assert "Block 2 of the content was never cached." in told.conclusion


def test_a_prefix_all_of_which_is_cached_leaves_a_token_or_a_tail(pool):
    run(pool, 1, list(range(8)))
    told = explain(pool, range(8))
    assert (told.cached_tokens, told.end) == (4, END.LOOKUP_END_LAST_TOKEN)
    told = explain(pool, range(10))
    assert (told.cached_tokens, told.end) == (8, END.LOOKUP_END_COMPLETE)
    assert "The last 2 fill no block of 4." in told.conclusion


def test_an_evicted_prefix_names_the_revision_and_for_whom(pool):
    run(pool, 1, list(range(8)))
    before = time.time() * 1000
    run(pool, 77, list(range(100, 116)))
    revision = pool.get_pool().revision
    told = explain(pool, range(9))
    [step] = told.steps
    # The admission was the command before the last one, the free.
    assert step.evicted_revision == revision - 1
    assert abs(step.evicted_ms - before) < 60_000
    assert step.evicted_cause == CAUSE.BLOCK_INCIDENT_CAUSE_HAND_OUT
    assert step.evicted_for_sequence == 77
    assert told.end == END.LOOKUP_END_EVICTED
    assert f"evicted at revision {revision - 1}, " in told.conclusion
    assert told.conclusion.endswith(" s ago, when its block was wanted for sequence 77.")


def test_a_salt_keeps_the_same_tokens_apart(pool):
    run(pool, 1, list(range(8)))
    told = explain(pool, range(8), dict(cache_salt="other"))
    assert (told.cached_tokens, told.end) == (0, END.LOOKUP_END_OTHER_KEYS)
    assert "without the salt" in told.conclusion


def test_an_eviction_counts_before_the_same_tokens_under_other_keys(pool):
    run(pool, 1, list(range(4)), cache_salt="a")
    run(pool, 2, list(range(100, 116)))
    run(pool, 3, list(range(4)))
    told = explain(pool, range(5), dict(cache_salt="a"))
    assert told.end == END.LOOKUP_END_EVICTED


def test_blocks_whose_hashes_are_not_known_are_not_called_cached(pool):
    pool.Sequences.Admit(q.AdmitRequest(call=pool.call(), admit=q.Admit(add=q.Add(
        sequence_id=1, content=q.Content(token_ids=range(8))))), timeout=PATIENCE)
    pool.append(1, 8)
    told = explain(pool, sequence=1)
    assert (told.cached_tokens, told.full_blocks) == (8, 2)
    assert told.end == END.LOOKUP_END_HASHES_UNKNOWN
    assert told.conclusion == (
        "8 of 16 tokens are used from the cache. Of the other full blocks no hash is known.")


def test_swaps_have_their_own_ends(new_pool):
    pool = new_pool(4, 4, host_blocks=4, copy_ack=q.COPY_ACK_EXPLICIT)
    explain_block(pool, 1)
    pool.add_and_admit(1, 16)
    pool.Sequences.SwapOut(q.SwapRequest(
        call=pool.call(), swap=q.SwapSequences(sequence_ids=[1])), timeout=PATIENCE)
    moved = [i for block in range(1, 5) for i in explain_block(pool, block).incidents
             if i.kind == KIND.BLOCK_INCIDENT_KIND_MOVED]
    assert [(i.cause, i.is_target) for i in moved] == [
        (CAUSE.BLOCK_INCIDENT_CAUSE_SWAP_OUT, False)] * 4


def test_what_is_no_full_block_or_not_to_be_looked_up_or_not_cached(pool, new_pool):
    assert explain(pool, range(3)).end == END.LOOKUP_END_PARTIAL_BLOCK
    assert explain(pool, range(8), dict(skip_prefix_lookup=True)).end == END.LOOKUP_END_SKIPPED
    pool.add(5, 9)
    assert explain(pool, sequence=5).end == END.LOOKUP_END_HASHES_UNKNOWN
    off = new_pool(4, 4, disable_prefix_caching=True)
    off.add(5, 9)
    assert explain(off, sequence=5).end == END.LOOKUP_END_CACHING_OFF
    with refused(StatusCode.NOT_FOUND):
        explain(pool, sequence=6)


def test_a_reset_is_remembered(pool):
    run(pool, 1, list(range(8)))
    pool.reset_pool()
    told = explain(pool, range(9))
    assert told.end == END.LOOKUP_END_NEVER_STORED
    assert told.conclusion.endswith(
        f"never cached since the pool was reset at revision {pool.get_pool().revision}.")


def test_a_sliding_window_says_what_it_needs(new_pool):
    pool = new_pool(8, 4, sliding_window=9)
    explain_block(pool, 1)
    run(pool, 1, list(range(16)))
    assert explain(pool, [77] * 20).end == END.LOOKUP_END_NEVER_STORED
    told = explain(pool, list(range(12)) + [99] * 8)
    assert len(told.steps) == 5
    # Nine tokens reach into two blocks before, and the second and third are cached in a row.
    assert (told.cached_tokens, told.end) == (12, END.LOOKUP_END_WINDOW)
    assert [step.block_id != 0 for step in told.steps] == [True, True, True, False, False]


def test_the_life_of_a_block(pool):
    blocks = run(pool, 1, list(range(8)))
    told = explain_block(pool, blocks[0])
    assert [i.kind for i in told.incidents] == [
        KIND.BLOCK_INCIDENT_KIND_ALLOCATED, KIND.BLOCK_INCIDENT_KIND_CACHED,
        KIND.BLOCK_INCIDENT_KIND_FREED]
    assert [i.sequence_id for i in told.incidents] == [1, 1, 1]
    assert [i.revision for i in told.incidents] == [1, 1, 2]
    assert told.incidents[2].cause == CAUSE.BLOCK_INCIDENT_CAUSE_FREE
    assert (told.state, told.ref_count) == (q.BLOCK_STATE_CACHED, 0)
    assert told.block_hash == chain(range(8), 4)[0]
    assert not told.holders and not told.history_off
    assert len(explain_block(pool, blocks[0], max_incidents=1).incidents) == 1


def test_who_holds_a_block(pool):
    pool.add_and_admit(1, 6)
    pool.fork(1, [2, 3])
    first = pool.get(1).block_ids[0]
    pool.fork_blocks([pool.allocate(1).block_ids[0]])
    told = explain_block(pool, first)
    assert [(h.sequence_id, h.table_index, h.references) for h in told.holders] == [
        (1, 0, 1), (2, 0, 1), (3, 0, 1)]
    assert told.state == q.BLOCK_STATE_SHARED
    raw = explain_block(pool, 3)
    [holder] = raw.holders
    assert not holder.HasField("sequence_id") and holder.references == 2


def test_a_block_that_is_none_and_too_many_incidents_are_refused(pool):
    for block in (0, 5):
        with refused(StatusCode.INVALID_ARGUMENT) as told:
            explain_block(pool, block)
        assert told.message == f"block_id is {block}; the blocks are 1 to 4"
    with refused(StatusCode.INVALID_ARGUMENT):
        explain_block(pool, 1, max_incidents=10_001)


def test_of_a_pool_that_nobody_asked_for_only_the_present_is_known(new_pool):
    pool = new_pool(4, 4)
    run(pool, 1, list(range(8)))
    told = explain_block(pool, 1)
    assert (told.history_since, list(told.incidents), told.state) == (2, [], q.BLOCK_STATE_CACHED)
    told = explain(pool, list(range(50, 59)))
    assert told.end == END.LOOKUP_END_FORGOTTEN
    assert told.conclusion.endswith(
        "is not known: the history of this pool begins after revision 2.")
    pool.allocate(1)
    assert [i.revision for i in explain_block(pool, 3).incidents] == [3]


def test_a_server_may_remember_from_the_beginning(tmp_path):
    with RunningServer(str(tmp_path), more=["--block-history", "on"]) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            pool = Client(channel)
            pool.allocate(1)
            assert [i.revision for i in explain_block(pool, 1).incidents] == [1]


def test_a_server_that_remembers_nothing_says_so(tmp_path):
    with RunningServer(str(tmp_path), more=["--block-history", "off"]) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            pool = Client(channel)
            pool.allocate(1)
            told = explain_block(pool, 1)
            assert told.history_off and not told.incidents
            told = explain(pool, range(32))
            assert told.end == END.LOOKUP_END_FORGOTTEN
            assert "keeps no history" in told.conclusion
