"""Steps: many operations, one command."""

from grpc import StatusCode

from quire_client import (
    add,
    admit_new,
    allocate,
    check_partition,
    decode,
    free_blocks,
    free_sequences,
    op_reason,
    q,
    refused_for,
    untouched,
)


def test_a_step_applies_its_operations_in_order_as_one_command(new_pool, any_client):
    pool = new_pool(on=any_client)
    reply = pool.step(
        admit_new(1, 4),
        admit_new(2, 6),
        decode(1, 2),
        allocate(2),
        free_sequences(2),
        free_blocks(6, 5),
    )
    assert (reply.revision, reply.available_blocks) == (1, 14)
    assert not reply.HasField("refusal") and not reply.HasField("stats")
    kinds = [result.WhichOneof("reply") for result in reply.results]
    assert kinds == ["admit", "admit", "decode", "allocate", "free_sequences", "free_blocks"]
    assert all(not result.HasField("refusal") for result in reply.results)
    one, two, decoded, allocated, freed, given_back = reply.results
    assert list(one.admit.new_block_ids) == [1]
    assert list(two.admit.new_block_ids) == [2, 3]
    # Sequence 1 had a full block, sequence 2 a half-filled one.
    assert list(decoded.decode.new_block_counts) == [1, 0]
    assert list(decoded.decode.new_block_ids) == [4]
    assert list(allocated.allocate.block_ids) == [5, 6]
    assert (freed.free_sequences.freed_blocks, freed.free_sequences.freed_sequences) == (2, 1)
    assert given_back.free_blocks.freed_blocks == 2


def test_every_kind_of_operation_fits_a_step(pool):
    first = pool.step(
        q.Op(add=add(1, 6)),
        q.Op(admit=q.Admit(sequence_id=1)),
        q.Op(append=q.Append(sequence_id=1, content=q.Content(token_count=2))),
        q.Op(extend=q.Extend(sequence_id=1)),
        q.Op(fork=q.Fork(parent_id=1, child_ids=[2])),
        q.Op(rewind=q.Rewind(sequence_id=2, drop_tokens=1)),
        q.Op(preempt=q.Preempt(sequence_ids=[2])),
        q.Op(allocate=q.Allocate(count=1)),
        q.Op(fork_blocks=q.ForkBlocks(block_ids=[3])),
        q.Op(copy_on_write=q.CopyOnWrite(block_id=3)),
        q.Op(ack_copies=q.AckCopies(up_to=1)),
        q.Op(free_blocks=q.FreeBlocks(block_ids=[3, 4])),
        q.Op(free_sequences=q.FreeSequences(sequence_ids=[1, 2])),
    )
    assert [result.WhichOneof("reply") for result in first.results] == [
        "add", "admit", "append", "extend", "fork", "rewind", "preempt", "allocate",
        "fork_blocks", "copy_on_write", "ack_copies", "free_blocks", "free_sequences",
    ]
    assert [op_reason(r) for r in first.results if r.HasField("refusal")] == []
    assert (first.revision, first.available_blocks) == (1, 16)
    assert first.results[3].extend.scheduled_tokens == 2
    assert first.results[9].copy_on_write.copy.target_block == 4


def test_an_empty_step_changes_nothing(pool):
    with untouched(pool):
        reply = pool.step()
    assert (reply.revision, len(reply.results), reply.available_blocks) == (0, 0, 16)


def test_an_operation_that_says_nothing_is_refused(pool):
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "ops"):
        pool.step(q.Op())


def test_stats_come_with_the_reply_when_asked_for(pool):
    reply = pool.step(admit_new(1, 9), with_stats=True)
    assert (reply.stats.revision, reply.stats.active_blocks, reply.stats.pool) == (1, 3, pool.pool)
    check_partition(reply.stats)


def test_decode_gives_each_sequence_one_token_unless_columns_say_otherwise(pool):
    pool.step(admit_new(1, 3), admit_new(2, 4), admit_new(3, 4))
    first = pool.step(decode(1, 2, 3)).results[0].decode
    assert (list(first.new_block_counts), list(first.new_block_ids)) == ([0, 1, 1], [4, 5])
    none = pool.step(decode(2, 3)).results[0].decode
    assert (list(none.new_block_counts), list(none.new_block_ids)) == ([], [])
    more = pool.step(decode(3, 1, append_counts=[6, 1])).results[0].decode
    # 6 + 6 = 12 tokens are 3 blocks, of which 2 are there; 4 + 1 = 5 are 2.
    assert (list(more.new_block_counts), list(more.new_block_ids)) == ([1, 1], [6, 7])
    assert [pool.get(s).tokens for s in (1, 2, 3)] == [5, 6, 12]


def test_decode_schedules_as_much_as_the_column_says(pool):
    pool.step(admit_new(1, 4), admit_new(2, 4))
    result = pool.step(decode(1, 2, append_counts=[5, 5], schedule_counts=[5, 2])).results[0]
    assert list(result.decode.new_block_counts) == [2, 1]
    assert [pool.get(s).computed_tokens for s in (1, 2)] == [9, 6]


def test_decode_looks_ahead_one_value_for_all_or_one_each(pool):
    pool.step(admit_new(1, 3), admit_new(2, 3))
    assert list(pool.step(decode(1, 2, lookahead_tokens=[4])).results[0].decode.new_block_ids) == [
        3, 4]
    each = pool.step(decode(1, 2, lookahead_tokens=[0, 4])).results[0].decode
    assert list(each.new_block_counts) == [0, 1]


def test_decode_copies_a_shared_tail(pool):
    pool.step(admit_new(1, 6), q.Op(fork=q.Fork(parent_id=1, child_ids=[2])))
    result = pool.step(decode(1, 2)).results[0].decode
    (copy,) = result.copies
    assert (copy.source_block, copy.target_block, copy.tokens, copy.sequence_id) == (2, 3, 2, 1)
    assert list(result.new_block_ids) == []


def test_columns_of_unequal_length_are_refused(pool):
    pool.step(admit_new(1, 4), admit_new(2, 4))
    cases = {
        "append_counts": decode(1, 2, append_counts=[1]),
        "schedule_counts": decode(1, 2, schedule_counts=[1, 1, 1]),
        "lookahead_tokens": decode(1, 2, lookahead_tokens=[1, 1, 1]),
    }
    for field, op in cases.items():
        with untouched(pool):
            result = pool.step(op).results[0]
        assert op_reason(result) == "INVALID"
        assert field in result.refusal.field


def test_decode_of_an_unknown_or_waiting_or_repeated_sequence_is_refused(pool):
    pool.step(admit_new(1, 4), q.Op(add=add(2, 4)))
    for op, reason in [
        (decode(1, 9), "UNKNOWN_SEQUENCE"),
        (decode(1, 2), "WRONG_STATE"),
        (decode(1, 1), "INVALID"),
    ]:
        result = pool.step(op).results[0]
        told = result.refusal if result.HasField("refusal") else result.decode.first_refusal
        assert q.RefusalReason.Name(told.reason) == "REFUSAL_REASON_" + reason
    # Sequence 1 got its token each time, but not when it was named twice.
    assert pool.get(1).tokens == 6


def test_two_requests_that_fit_exactly_and_the_token_that_preempts_the_second(new_pool):
    # vLLM's smallest exact case: 10 usable blocks of 16 tokens.
    pool = new_pool(blocks=10, block_size=16)
    admitted = pool.step(admit_new(1, 80), admit_new(2, 80))
    assert list(admitted.results[0].admit.new_block_ids) == [1, 2, 3, 4, 5]
    assert list(admitted.results[1].admit.new_block_ids) == [6, 7, 8, 9, 10]
    assert admitted.available_blocks == 0

    reply = pool.step(decode(1, 2, on_refusal=q.ON_REFUSAL_PREEMPT))
    result = reply.results[0].decode
    assert list(result.preempted_sequence_ids) == [2]
    # The victim's table was freed tail first.
    assert list(result.new_block_ids) == [10]
    assert reply.available_blocks == 4
    victim = pool.get(2)
    assert (victim.state, victim.preemptions, victim.tokens) == (
        q.SEQUENCE_STATE_PREEMPTED, 1, 81)
    assert pool.get(1).computed_tokens == 81


def test_victims_are_preempted_in_the_order_given(new_pool):
    pool = new_pool(blocks=3)
    pool.step(admit_new(1, 4), admit_new(2, 4), admit_new(3, 4))
    result = pool.step(
        decode(3, victim_order=[1, 2], on_refusal=q.ON_REFUSAL_PREEMPT)).results[0].decode
    assert (list(result.preempted_sequence_ids), list(result.new_block_ids)) == ([1], [1])


def test_without_preemption_decode_refuses_only_those_that_do_not_fit(new_pool):
    pool = new_pool(blocks=4)
    pool.step(admit_new(1, 4), admit_new(2, 3), admit_new(3, 4))
    result = pool.step(decode(1, 2, 3)).results[0]
    assert not result.HasField("refusal")
    assert list(result.decode.new_block_counts) == [1, 0, 0]
    assert list(result.decode.refused) == [2]
    assert result.decode.first_refusal.reason == q.REFUSAL_REASON_LATER
    assert result.decode.first_refusal.sequence_id == 3
    assert [pool.get(s).tokens for s in (1, 2, 3)] == [5, 4, 5]
    assert pool.get(3).computed_tokens == 4


def test_continue_lets_every_operation_stand_alone(pool):
    for mode in (q.ON_REFUSAL_UNSPECIFIED, q.ON_REFUSAL_CONTINUE):
        reply = pool.step(allocate(17), allocate(2), on_refusal=mode)
        assert op_reason(reply.results[0]) == "NEVER"
        assert len(reply.results[1].allocate.block_ids) == 2


def test_stop_leaves_the_rest_unattempted(pool):
    reply = pool.step(
        allocate(2), admit_new(1, 60), allocate(1), admit_new(2, 4), on_refusal=q.ON_REFUSAL_STOP)
    assert list(reply.results[0].allocate.block_ids) == [1, 2]
    assert [op_reason(result) for result in reply.results[1:]] == [
        "LATER", "NOT_ATTEMPTED", "NOT_ATTEMPTED"]
    assert reply.available_blocks == 14


def test_abort_is_all_or_nothing(pool):
    pool.step(admit_new(1, 4))
    ops = [decode(1), admit_new(2, 4), free_sequences(1), allocate(17)]
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER") as told:
        pool.step(*ops, on_refusal=q.ON_REFUSAL_ABORT)
    assert told.refusal.needed == 17
    assert pool.get(1).tokens == 4
    assert pool.stats().available_blocks == 15


def test_an_operation_overrides_what_the_step_says(pool):
    reply = pool.step(
        allocate(17, on_refusal=q.ON_REFUSAL_CONTINUE), allocate(1), on_refusal=q.ON_REFUSAL_ABORT)
    assert not reply.HasField("refusal")
    assert (op_reason(reply.results[0]), list(reply.results[1].allocate.block_ids)) == (
        "NEVER", [1])


def test_the_token_budget_is_consumed_in_order_and_chunks_are_cut_to_fit(pool):
    pool.step(admit_new(1, 4), admit_new(2, 4))
    reply = pool.step(decode(1, 2), admit_new(3, 10), admit_new(4, 10), token_budget=6)
    # Decode takes 2, the admission the other 4; nothing is left for the last.
    assert reply.results[1].admit.scheduled_tokens == 4
    assert reply.results[2].admit.scheduled_tokens == 0 or reply.results[2].HasField("refusal")
    assert [pool.get(s).computed_tokens for s in (1, 2, 3)] == [5, 5, 4]


def test_no_admission_after_a_preemption_when_asked(new_pool):
    pool = new_pool(blocks=4)
    pool.step(admit_new(1, 4), admit_new(2, 12))
    reply = pool.step(
        decode(1, 2, on_refusal=q.ON_REFUSAL_PREEMPT), admit_new(3, 4),
        no_admit_after_preemption=True)
    assert list(reply.results[0].decode.preempted_sequence_ids) == [2]
    assert op_reason(reply.results[1]) == "NOT_ATTEMPTED"
    assert reply.available_blocks == 2


def test_a_step_acknowledges_copies_first(new_pool):
    pool = new_pool(copy_ack=q.COPY_ACK_EXPLICIT)
    pool.step(allocate(1), q.Op(fork_blocks=q.ForkBlocks(block_ids=[1])))
    copy = pool.copy_on_write(1).copy
    assert pool.step().results == [] and pool.stats().pending_copies == 1
    pool.step(acked_copy_id=copy.copy_id)
    assert pool.stats().pending_copies == 0


def test_a_dry_run_of_a_step_changes_nothing(pool):
    pool.step(admit_new(1, 4))
    with untouched(pool):
        reply = pool.step(
            decode(1), admit_new(2, 8), free_sequences(1), call=pool.call(dry_run=True))
    assert list(reply.results[0].decode.new_block_ids) == [2]
    assert list(reply.results[1].admit.new_block_ids) == [3, 4]
    assert (reply.revision, reply.available_blocks) == (1, 14)


def test_a_step_may_depend_on_the_revision(pool):
    pool.allocate(1)
    with untouched(pool), refused_for(StatusCode.ABORTED, "REVISION_MOVED"):
        pool.step(allocate(1), call=pool.call(if_revision=5))


def test_a_sequence_alone_that_outgrows_the_pool_is_preempted_itself(new_pool):
    pool = new_pool(blocks=2)
    pool.step(admit_new(1, 8))
    result = pool.step(decode(1, on_refusal=q.ON_REFUSAL_PREEMPT)).results[0].decode
    assert list(result.new_block_ids) == []
    assert list(result.refused) == [0]
    assert result.first_refusal.reason in (q.REFUSAL_REASON_NEVER, q.REFUSAL_REASON_LATER)
    assert op_reason(pool.step(q.Op(admit=q.Admit(sequence_id=1))).results[0]) in (
        "NEVER", "WRONG_STATE")
