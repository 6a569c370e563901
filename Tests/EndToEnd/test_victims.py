"""Who would have to go so that blocks become available. The pool has 16 blocks of 4 tokens."""

from grpc import StatusCode
import pytest

from quire_client import add, decode, q, refused_for, untouched


def admit(pool, sequence_id, tokens, priority=0):
    request = q.AdmitRequest(
        call=pool.call(), admit=q.Admit(add=add(sequence_id, tokens, priority=priority)))
    pool.Sequences.Admit(request)


@pytest.fixture
def full(pool):
    # 16 blocks: 8 of 1, 4 of 2, 2 of 3, 2 of 4. Of 4's two blocks one holds a single token.
    admit(pool, 1, 32, priority=1)
    admit(pool, 2, 16, priority=9)
    admit(pool, 3, 8, priority=-2)
    admit(pool, 4, 5, priority=9)
    return pool


def who(reply):
    return [victim.sequence_id for victim in reply.victims]


def test_the_cheapest_blocks_come_first(full):
    with untouched(full):
        reply = full.advise_victims(3)
    # 2.5 tokens for each block of 4, then 4 tokens for each of all the others: the latest admitted.
    assert [(v.sequence_id, v.freed_blocks, v.recompute_tokens, v.priority)
            for v in reply.victims] == [(4, 2, 5, 9), (3, 2, 8, -2)]
    assert reply.victims[0].why == (
        "frees 2 blocks for 5 tokens to compute again: "
        "few tokens to compute again for each block of its own")
    assert (reply.sufficient, reply.available_blocks) == (True, 4)
    assert reply.revision == full.get_pool().revision


def test_orders_as_vllm_has_them(full):
    fcfs = full.advise_victims(5, order=q.VICTIM_ORDER_FCFS)
    # 4 and 3 free 4 of 5; with 2 they are 8, and then 3 is not needed: 4 and 2 free 6.
    assert who(fcfs) == [4, 2]
    assert who(full.advise_victims(6, order=q.VICTIM_ORDER_PRIORITY)) == [4, 2]
    assert who(full.advise_victims(16, order=q.VICTIM_ORDER_PRIORITY)) == [4, 2, 1, 3]
    assert who(full.advise_victims(16, order=q.VICTIM_ORDER_FCFS)) == [4, 3, 2, 1]


def test_a_limit_and_sequences_that_stay(full):
    reply = full.advise_victims(6, max_victims=1, order=q.VICTIM_ORDER_PRIORITY)
    assert (who(reply), reply.sufficient, reply.available_blocks) == ([4], False, 2)
    reply = full.advise_victims(12, keep_sequence_ids=[1, 99])
    assert (sorted(who(reply)), reply.sufficient, reply.available_blocks) == ([2, 3, 4], False, 8)


def test_nobody_has_to_go_where_there_is_enough(pool):
    admit(pool, 1, 32)
    pool.reserve(2, blocks=3)
    reply = pool.advise_victims(5)
    assert (who(reply), reply.sufficient, reply.available_blocks) == ([], True, 8)
    # Promised blocks are not for this.
    assert who(pool.advise_victims(6)) == [1]


def test_advice_for_nothing_or_of_another_revision_is_refused(full):
    with untouched(full), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "blocks_needed"):
        full.advise_victims(0)
    with untouched(full), refused_for(StatusCode.ABORTED, "REVISION_MOVED"):
        full.advise_victims(1, call=full.call(if_revision=99))


def test_what_was_advised_suffices(full):
    victims = who(full.advise_victims(7))
    full.preempt(*victims)
    assert len(full.allocate(7).block_ids) == 7


# Whom a step preempts.

def preempting_step(pool, op, **more):
    return pool.step(op, on_refusal=q.ON_REFUSAL_PREEMPT, **more).results[0]


def test_a_step_says_how_its_victims_are_chosen(new_pool):
    def crowded():
        pool = new_pool(6, 4)
        # Priorities 0, 5, 0; the third has fewer tokens in its 2 blocks.
        for sequence_id, tokens, priority in (1, 8, 0), (2, 8, 5), (3, 5, 0), (4, 1, 0):
            pool.add(sequence_id, tokens, priority=priority)
        for sequence_id in (1, 2, 3):
            pool.admit(sequence_id)
        return pool

    for policy, victim in (
            (0, 1), (q.VICTIM_POLICY_FCFS, 1), (q.VICTIM_POLICY_PRIORITY, 2),
            (q.VICTIM_POLICY_COST, 3)):
        pool = crowded()
        result = preempting_step(pool, decode(1), victim_policy=policy)
        assert list(result.decode.preempted_sequence_ids) == [victim], policy
        assert list(result.decode.refused) == ([0] if victim == 1 else [])
    for policy, victim in (0, 3), (q.VICTIM_POLICY_PRIORITY, 2), (q.VICTIM_POLICY_COST, 3):
        result = preempting_step(
            crowded(), q.Op(extend=q.Extend(sequence_id=1, append=q.Content(token_count=1))),
            victim_policy=policy)
        assert list(result.extend.preempted_sequence_ids) == [victim]
    own = preempting_step(
        crowded(), decode(1, victim_order=[3]), victim_policy=q.VICTIM_POLICY_PRIORITY)
    assert list(own.decode.preempted_sequence_ids) == [3]
