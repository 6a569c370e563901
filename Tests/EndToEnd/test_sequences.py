"""The life of sequences in a pool of 16 blocks of 4 tokens."""

from grpc import StatusCode
import pytest

from quire_client import check_partition, q, refused_for, untouched

WAITING = q.SEQUENCE_STATE_WAITING
RUNNING = q.SEQUENCE_STATE_RUNNING
PREEMPTED = q.SEQUENCE_STATE_PREEMPTED


def table(pool, sequence_id):
    return list(pool.get(sequence_id).block_ids)


def test_an_added_sequence_waits_without_blocks(new_pool, any_client):
    pool = new_pool(on=any_client)
    added = pool.add(7, 10, label="from a friend", priority=-3)
    assert (added.revision, added.tokens, added.blocks_needed) == (1, 10, 3)
    sequence = pool.get(7)
    assert (sequence.sequence_id, sequence.state, sequence.tokens) == (7, WAITING, 10)
    assert (sequence.computed_tokens, list(sequence.block_ids)) == (0, [])
    assert (sequence.label, sequence.priority, sequence.session) == ("from a friend", -3, 0)
    assert pool.stats().waiting_sequences == 1


def test_sequence_ids_are_any_numbers(pool):
    for sequence_id in (0, 1 << 63, (1 << 64) - 1):
        pool.add(sequence_id, 4)
        assert pool.get(sequence_id).sequence_id == sequence_id


def test_an_admitted_sequence_has_a_slot_for_each_token(pool):
    pool.add(1, 10)
    admitted = pool.admit(1)
    assert (admitted.revision, admitted.cached_tokens, admitted.scheduled_tokens) == (2, 0, 10)
    assert (list(admitted.new_block_ids), admitted.available_blocks) == ([1, 2, 3], 13)
    sequence = pool.get(1)
    assert (sequence.state, sequence.computed_tokens, sequence.runs) == (RUNNING, 10, 1)
    assert (sequence.exclusive_blocks, sequence.shared_blocks) == (3, 0)
    assert (sequence.admitted_revision, list(sequence.block_ids)) == (2, [1, 2, 3])


def test_add_and_admit_are_one_command(pool):
    assert pool.add_and_admit(1, 8).revision == 1
    assert table(pool, 1) == [1, 2]


def test_a_refused_add_and_admit_leaves_no_trace_unless_asked_to(pool):
    pool.allocate(15)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.add_and_admit(1, 8)
    assert (told.refusal.needed, told.refusal.available) == (2, 1)
    with refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE"):
        pool.get(1)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.add_and_admit(1, 8, keep_on_refusal=True)
    assert pool.get(1).state == WAITING


def test_a_prompt_is_admitted_in_chunks(pool):
    pool.add(1, 10)
    first = pool.admit(1, max_tokens_now=5)
    assert (first.scheduled_tokens, list(first.new_block_ids)) == (5, [1, 2])
    rest = pool.extend(1)
    assert (rest.scheduled_tokens, list(rest.new_block_ids)) == (5, [3])
    assert pool.get(1).computed_tokens == 10


def test_a_chunk_is_refused_unless_the_whole_would_fit(pool):
    pool.allocate(13)
    pool.add(1, 20)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.admit(1, max_tokens_now=4)
    assert (told.refusal.needed, told.refusal.available) == (5, 3)
    partial = pool.admit(1, max_tokens_now=4, allow_partial_fit=True)
    assert (partial.scheduled_tokens, list(partial.new_block_ids)) == (4, [14])


def test_blocks_can_be_kept_back_from_an_admission(pool):
    pool.allocate(10)
    with untouched(pool), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER"):
        pool.add_and_admit(1, 20, reserved_blocks=2)
    assert len(pool.add_and_admit(1, 20, reserved_blocks=1).new_block_ids) == 5


def test_what_exceeds_the_pool_can_never_be_admitted(pool):
    pool.add(1, 65)
    with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "NEVER") as told:
        pool.admit(1)
    assert told.refusal.needed == 17
    pool.add(2, 64)
    assert len(pool.admit(2).new_block_ids) == 16


def test_extending_takes_a_block_when_the_last_is_full(pool):
    pool.add_and_admit(1, 10)
    inside = pool.extend(1, append=2)
    assert (inside.scheduled_tokens, list(inside.new_block_ids)) == (2, [])
    beyond = pool.extend(1, append=1)
    assert (beyond.scheduled_tokens, list(beyond.new_block_ids)) == (1, [4])
    assert (pool.get(1).tokens, pool.get(1).computed_tokens) == (13, 13)


def test_lookahead_gives_slots_that_the_next_tokens_use(pool):
    assert list(pool.add_and_admit(1, 4, lookahead_tokens=3).new_block_ids) == [1, 2]
    assert pool.get(1).computed_tokens == 4
    assert list(pool.extend(1, append=4).new_block_ids) == []
    assert list(pool.extend(1, append=1, lookahead_tokens=4).new_block_ids) == [3, 4]


def test_appended_tokens_are_recorded_even_when_their_slots_are_refused(pool):
    pool.add_and_admit(1, 4)
    pool.allocate(15)
    with refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        pool.extend(1, append=1)
    assert told.refusal.sequence_id == 1
    sequence = pool.get(1)
    assert (sequence.tokens, sequence.computed_tokens) == (5, 4)
    assert pool.append(1, 2).tokens == 7
    pool.free([2])
    assert pool.extend(1).scheduled_tokens == 3


def test_tokens_can_be_appended_to_a_waiting_sequence(pool):
    pool.add(1, 4)
    assert pool.append(1, 6).tokens == 10
    assert pool.admit(1).scheduled_tokens == 10


def test_children_share_the_parents_blocks_and_the_tail_is_copied_on_write(pool):
    pool.add_and_admit(1, 10)
    forked = pool.fork(1, [2, 3])
    assert (forked.children, forked.shared_blocks, forked.available_blocks) == (2, 3, 13)
    child = pool.get(2)
    assert (child.state, list(child.block_ids)) == (RUNNING, [1, 2, 3])
    assert (child.tokens, child.computed_tokens, child.shared_blocks) == (10, 10, 3)

    first = pool.extend(2, append=1)
    assert list(first.new_block_ids) == []
    (copy,) = first.copies
    assert (copy.copy_id, copy.source_block, copy.target_block, copy.tokens) == (1, 3, 4, 2)
    assert (copy.sequence_id, copy.table_index) == (2, 2)
    (copy,) = pool.extend(3, append=1).copies
    assert (copy.copy_id, copy.source_block, copy.target_block) == (2, 3, 5)
    # k sharers make k - 1 copies.
    assert list(pool.extend(1, append=1).copies) == []
    assert [table(pool, s) for s in (1, 2, 3)] == [[1, 2, 3], [1, 2, 4], [1, 2, 5]]
    check_partition(pool.stats())
    assert pool.stats().shared_blocks == 2


def test_the_child_of_a_sequence_that_does_not_run_waits(pool):
    pool.add(1, 6)
    assert pool.fork(1, [2]).shared_blocks == 0
    child = pool.get(2)
    assert (child.state, child.tokens, list(child.block_ids)) == (WAITING, 6, [])


def test_a_fork_at_a_full_block_copies_nothing(pool):
    pool.add_and_admit(1, 8)
    pool.fork(1, [2])
    reply = pool.extend(2, append=1)
    assert (list(reply.copies), list(reply.new_block_ids)) == ([], [3])


def test_rejected_speculation_keeps_its_slots(pool):
    pool.add_and_admit(1, 10)
    rewound = pool.rewind(1, uncompute_tokens=4)
    assert (rewound.tokens, rewound.computed_tokens, rewound.freed_blocks) == (10, 6, 0)
    again = pool.extend(1)
    assert (again.scheduled_tokens, list(again.new_block_ids)) == (4, [])


def test_dropped_tokens_give_their_blocks_back_when_asked(pool):
    pool.add_and_admit(1, 12)
    kept = pool.rewind(1, drop_tokens=5)
    assert (kept.tokens, kept.computed_tokens, kept.freed_blocks) == (7, 7, 0)
    released = pool.rewind(1, drop_tokens=3, release_blocks=True)
    assert (released.tokens, released.computed_tokens) == (4, 4)
    assert (released.freed_blocks, released.available_blocks) == (2, 15)
    assert table(pool, 1) == [1]


@pytest.mark.parametrize(
    "rewind, field",
    [(dict(drop_tokens=10), "drop_tokens"), (dict(uncompute_tokens=11), "uncompute_tokens")],
)
def test_a_rewind_past_the_start_is_refused(pool, rewind, field):
    pool.add_and_admit(1, 10)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
        pool.rewind(1, **rewind)


def test_a_preempted_sequence_gives_its_blocks_back_and_starts_again(pool):
    pool.add_and_admit(1, 10)
    preempted = pool.preempt(1)
    assert (preempted.freed_blocks, preempted.available_blocks) == (3, 16)
    assert preempted.preempted_sequences == 1
    sequence = pool.get(1)
    assert (sequence.state, sequence.preemptions) == (PREEMPTED, 1)
    assert (sequence.tokens, sequence.computed_tokens, list(sequence.block_ids)) == (10, 0, [])
    assert pool.stats().preempted_sequences == 1
    # A table is freed tail first, so its blocks are the next ones, in descending order.
    again = pool.admit(1)
    assert (again.scheduled_tokens, list(again.new_block_ids)) == (10, [3, 2, 1])


def test_freed_sequences_are_gone(pool):
    pool.add_and_admit(1, 10)
    pool.add_and_admit(2, 5)
    pool.add(3, 5)
    freed = pool.free_sequences(1, 2, 3)
    assert (freed.freed_blocks, freed.freed_sequences, freed.available_blocks) == (5, 3, 16)
    with refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE") as told:
        pool.get(2)
    assert told.refusal.sequence_id == 2
    assert pool.add(1, 4).tokens == 4


def test_unknown_sequences_are_passed_over_only_when_asked(pool):
    pool.add_and_admit(1, 10)
    with untouched(pool), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE") as told:
        pool.free_sequences(1, 9)
    assert told.refusal.sequence_id == 9
    assert pool.free_sequences(1, 9, ignore_missing=True).freed_sequences == 1


def test_shared_blocks_outlive_the_parent(pool):
    pool.add_and_admit(1, 8)
    pool.fork(1, [2])
    assert pool.free_sequences(1).freed_blocks == 0
    assert table(pool, 2) == [1, 2]
    assert pool.free_sequences(2).freed_blocks == 2


def test_sequences_are_listed_in_pages_and_by_state(pool):
    for sequence_id in (5, 3, 9, 1, 7):
        pool.add(sequence_id, 4)
    pool.admit(9)
    pool.admit(3)
    found, token, pages = [], "", 0
    while True:
        page = pool.list(page_size=2, page_token=token)
        found += [sequence.sequence_id for sequence in page.sequences]
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert (sorted(found), pages) == ([1, 3, 5, 7, 9], 3)
    running = pool.list(state=RUNNING, with_block_ids=True)
    tables = {s.sequence_id: list(s.block_ids) for s in running.sequences}
    assert tables == {3: [2], 9: [1]}
    assert not pool.list(state=RUNNING).sequences[0].block_ids


def test_a_page_token_that_no_one_gave_is_refused(pool):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "page_token"):
        pool.list(page_token="garbage")


def test_an_unknown_sequence_is_refused_everywhere(pool):
    calls = [
        lambda: pool.admit(5),
        lambda: pool.extend(5, append=1),
        lambda: pool.append(5, 1),
        lambda: pool.fork(5, [6]),
        lambda: pool.rewind(5, drop_tokens=1),
        lambda: pool.preempt(5),
        lambda: pool.free_sequences(5),
        lambda: pool.get(5),
    ]
    for call in calls:
        with untouched(pool), refused_for(StatusCode.NOT_FOUND, "UNKNOWN_SEQUENCE") as told:
            call()
        assert told.refusal.sequence_id == 5


def test_a_duplicate_sequence_is_refused(pool):
    pool.add_and_admit(1, 4)
    pool.add(2, 4)
    calls = [
        lambda: pool.add(1, 9),
        lambda: pool.add(2, 9),
        lambda: pool.add_and_admit(1, 9),
        lambda: pool.fork(1, [2]),
        lambda: pool.fork(1, [3, 1]),
        lambda: pool.fork(1, [3, 3]),
    ]
    for call in calls:
        with untouched(pool), refused_for(StatusCode.ALREADY_EXISTS, "SEQUENCE_EXISTS"):
            call()


def test_what_its_state_forbids_is_refused(pool):
    pool.add(1, 4)
    pool.add_and_admit(2, 4)
    pool.add_and_admit(3, 4)
    pool.preempt(3)
    calls = [
        lambda: pool.extend(1),
        lambda: pool.extend(3),
        lambda: pool.admit(2),
        lambda: pool.preempt(1),
        lambda: pool.preempt(2, 3),
    ]
    for call in calls:
        with untouched(pool), refused_for(StatusCode.FAILED_PRECONDITION, "WRONG_STATE"):
            call()


def test_a_sequence_without_tokens_is_refused(pool):
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "token_count"):
        pool.add(1, 0)
    pool.add(2, 4)
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "token_count"):
        pool.append(2, 0)


def test_a_label_is_at_most_256_bytes(pool):
    pool.add(1, 4, label="é" * 128)
    assert pool.get(1).label == "é" * 128
    with untouched(pool), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "label"):
        pool.add(2, 4, label="x" * 257)
