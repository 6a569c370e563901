"""Moving blocks together: a plan, copy orders, acknowledgements, tables."""

from grpc import StatusCode
import pytest

from quire_client import (
    PATIENCE, decode, free_sequences, op_reason, q, refused, refused_for, untouched)


def plan(pool, **goal):
    request = q.PlanDefragmentRequest(call=pool.call(), **goal)
    return pool.Pools.PlanDefragment(request, timeout=PATIENCE)


def apply(pool, made, **call):
    request = q.ApplyDefragmentRequest(call=pool.call(**call), plan=made)
    return pool.Pools.ApplyDefragment(request, timeout=PATIENCE)


def pairs(moves):
    return [(m.source_block, m.target_block) for m in moves]


@pytest.fixture
def evens(client):
    """100 blocks, of which every other one of the first 50 is held by the sequence of its id."""
    client.create_pool("evens", 100, 16, copy_ack=q.COPY_ACK_EXPLICIT)
    pool = client.on("evens")
    for block in range(1, 101):
        pool.add_and_admit(block, 16)
    pool.free_sequences(*(b for b in range(1, 101) if b > 50 or b % 2 == 0))
    yield pool
    pool.delete_pool(force=True)


def test_evens_of_100_take_12_moves_and_leave_a_run_of_75(evens):
    with untouched(evens):
        made = plan(evens)
    assert pairs(made.moves) == [(49 - 2 * i, 2 + 2 * i) for i in range(12)]
    assert (made.largest_run_before, made.largest_run_after) == (51, 75)
    assert (made.tokens_to_copy, made.sufficient) == (192, True)

    copies = apply(evens, made).copies
    assert [(c.source_block, c.target_block) for c in copies] == pairs(made.moves)
    assert {(c.tokens, c.source_tier, c.target_tier) for c in copies} == {(16, 0, 0)}
    assert list(evens.get(49).block_ids) == [49]  # not before the copy is made
    done = evens.ack_copies(up_to=12)
    assert (done.acknowledged, list(done.abandoned_copy_ids)) == (12, [])
    assert list(evens.get(49).block_ids) == [2]
    assert evens.stats(q.STATS_INCLUDE_RUNS).free_runs.largest == 75


def test_a_budget_and_the_other_goals(evens):
    assert len(plan(evens, max_moves=3).moves) == 3
    assert not plan(evens, max_moves=3).sufficient
    assert pairs(plan(evens, contiguous_blocks=53).moves) == [(49, 2)]
    assert plan(evens, contiguous_blocks=51).sufficient
    evens.extend(49, append=20)
    table = list(evens.get(49).block_ids)
    made = plan(evens, sequence_id=49)
    assert made.sufficient
    apply(evens, made)
    evens.ack_copies(up_to=len(made.moves))
    moved = list(evens.get(49).block_ids)
    assert moved == list(range(moved[0], moved[0] + len(table)))


def test_a_plan_of_another_revision_is_refused(evens):
    made = plan(evens)
    evens.allocate(1)
    with untouched(evens), refused_for(
            StatusCode.ABORTED, "REVISION_MOVED", "plan.revision"):
        apply(evens, made)


def test_plans_that_are_not_valid_are_refused(evens):
    revision = evens.get_pool().revision

    def moves(*pairs):
        return q.DefragmentPlan(revision=revision, moves=[
            q.BlockMove(source_block=s, target_block=t) for s, t in pairs])

    for wrong in ((2, 4),), ((49, 47),), ((49, 2), (49, 4)), ((49, 2), (47, 2)):
        with untouched(evens), refused(StatusCode.FAILED_PRECONDITION) as told:
            apply(evens, moves(*wrong))
        assert told.reason == "WRONG_STATE" and "plan.moves[" in told.message
    for wrong in ((101, 2),), ((49, 0),):
        with untouched(evens), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "plan.moves"):
            apply(evens, moves(*wrong))
    with untouched(evens), refused(StatusCode.INVALID_ARGUMENT):
        evens.Pools.ApplyDefragment(
            q.ApplyDefragmentRequest(call=evens.call()), timeout=PATIENCE)
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "contiguous_blocks"):
        plan(evens, contiguous_blocks=101)
    with refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE"):
        plan(evens, sequence_id=2)
    with untouched(evens):
        assert len(apply(evens, plan(evens), dry_run=True).copies) == 12


def test_a_block_that_is_written_meanwhile_stays_where_it_is(client):
    client.create_pool("written", 8, 16)
    pool = client.on("written")
    pool.add_and_admit(1, 20)
    pool.add_and_admit(2, 16)
    revision = pool.get_pool().revision
    apply(pool, q.DefragmentPlan(revision=revision, moves=[
        q.BlockMove(source_block=2, target_block=7), q.BlockMove(source_block=3, target_block=8)]))
    pool.extend(1, append=1)
    step = pool.step()
    assert list(step.abandoned_copy_ids) == [1]
    assert list(pool.get(1).block_ids) == [1, 2]
    assert list(pool.get(2).block_ids) == [8]
    pool.delete_pool(force=True)


def test_defragmentation_is_advised_by_the_seeds_rule(evens):
    # 1 - 51/75 = 0.32: no.
    assert not evens.stats(q.STATS_INCLUDE_RUNS).defragment_advised
    evens.allocate(40)
    # 1 - 11/35 = 0.69, and 65 of 100 are used.
    stats = evens.stats(q.STATS_INCLUDE_RUNS)
    assert (stats.available_runs.largest, stats.available_blocks) == (11, 35)
    assert stats.defragment_advised
    # As scattered, but with 70 of 100 in use there is no room to move.
    evens.allocate(5)
    stats = evens.stats(q.STATS_INCLUDE_RUNS)
    assert 2 * stats.available_runs.largest < stats.available_blocks == 30
    assert not stats.defragment_advised


# As an operation of a step.

def move_in_a_step(revision, *pairs):
    plan = q.DefragmentPlan(revision=revision, moves=[
        q.BlockMove(source_block=s, target_block=t) for s, t in pairs])
    return q.Op(apply_defragment=q.ApplyDefragment(plan=plan))


def test_a_step_orders_moves_and_the_next_one_has_made_them(new_pool):
    pool = new_pool(8, 4)
    for sequence_id in (1, 2, 3):
        pool.add_and_admit(sequence_id, 4)
    pool.free_sequences(1)
    revision = pool.get_pool().revision
    step = pool.step(decode(2), move_in_a_step(revision, (3, 8)))
    moved = step.results[1].apply_defragment
    assert (pairs(moved.copies), moved.revision) == ([(3, 8)], revision + 1)
    assert list(pool.get(3).block_ids) == [3]
    assert list(pool.step().abandoned_copy_ids) == []
    assert list(pool.get(3).block_ids) == [8]


def test_in_a_step_a_plan_counts_from_the_revision_before_it(new_pool):
    pool = new_pool(8, 4)
    for sequence_id in (1, 2):
        pool.add_and_admit(sequence_id, 4)
    revision = pool.get_pool().revision
    for wrong, reason, field in (
            (move_in_a_step(revision + 1, (2, 8)), "REVISION_MOVED", "plan.revision"),
            (move_in_a_step(revision, (7, 8)), "WRONG_STATE", "plan.moves"),
            (q.Op(apply_defragment=q.ApplyDefragment()), "INVALID", "plan")):
        with untouched(pool):
            refusal = pool.step(wrong).results[0].refusal
        assert q.RefusalReason.Name(refusal.reason) == "REFUSAL_REASON_" + reason
        assert refusal.field == "apply_defragment." + field
    # What the step did before makes the move impossible: 2 is nobody's then.
    step = pool.step(free_sequences(2), move_in_a_step(revision, (2, 8)))
    assert op_reason(step.results[1]) == "WRONG_STATE"
    assert not step.results[1].HasField("apply_defragment")


def test_where_runs_are_reserved_nothing_moves_and_the_refusal_says_why(new_pool):
    pool = new_pool(8, 4, strategy=q.STRATEGY_CONTIGUOUS_EXACT, disable_prefix_caching=True)
    for sequence_id in range(1, 9):
        pool.add_and_admit(sequence_id, 4)
    pool.free_sequences(1, 3, 5, 7)
    with untouched(pool), refused_for(
            StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "config.strategy") as told:
        plan(pool, contiguous_blocks=2)
    assert "do not move" in told.message
    made = q.DefragmentPlan(
        revision=pool.get_pool().revision, moves=[q.BlockMove(source_block=2, target_block=1)])
    with untouched(pool), refused_for(
            StatusCode.FAILED_PRECONDITION, "WRONG_STATE", "config.strategy"):
        apply(pool, made)
    stats = pool.stats(q.STATS_INCLUDE_RUNS)
    assert (stats.available_runs.largest, stats.available_blocks) == (1, 4)
    assert not stats.defragment_advised
