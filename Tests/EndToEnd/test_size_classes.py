"""Size classes: blocks of several sizes in one pool."""

import pytest
from grpc import StatusCode

from quire_client import (
    add, admit_new, check_partition, decode, op_reason, q, refused, refused_for, untouched)

TWO = [q.SizeClass(block_size=8, blocks=10), q.SizeClass(block_size=32, blocks=6)]


@pytest.fixture
def classed(new_pool):
    """10 blocks of 8 tokens, ids 1 to 10, and 6 of 32, ids 11 to 16."""
    return new_pool(0, 0, size_classes=TWO)


def admit(pool, sequence_id, tokens, **options):
    request = q.AdmitRequest(call=pool.call(), admit=q.Admit(add=add(sequence_id, tokens, **options)))
    return pool.Sequences.Admit(request)


def test_a_pool_tells_its_classes_with_the_rule_filled_in(classed):
    info = classed.get_pool()
    assert (info.config.blocks, info.config.block_size) == (0, 0)
    assert [(c.block_size, c.blocks, c.max_expected_tokens) for c in info.config.size_classes] == [
        (8, 10, 199), (32, 6, 0)]
    assert (info.blocks, info.available_blocks, info.capacity_tokens) == (16, 16, 272)
    assert classed.reset_pool().available_blocks == 16


def test_what_a_pool_tells_makes_the_same_pool(client, classed, new_pool):
    told = classed.get_pool().config
    name = "again"
    client.Pools.CreatePool(q.CreatePoolRequest(name=name, config=told))
    assert client.on(name).get_pool().config == told
    client.on(name).delete_pool()


def test_a_sequence_goes_where_its_expected_length_says(classed):
    assert list(admit(classed, 1, 16).new_block_ids) == [1, 2]
    assert list(admit(classed, 2, 16, expected_tokens=200).new_block_ids) == [11]
    assert list(admit(classed, 3, 16, expected_tokens=5_000, size_class=1).new_block_ids) == [3, 4]
    assert [classed.get(i).size_class for i in (1, 2, 3)] == [1, 2, 1]


def test_raw_blocks_are_of_the_class_that_is_named(classed):
    assert list(classed.allocate(2).block_ids) == [1, 2]
    assert list(classed.allocate(2, size_class=2).block_ids) == [11, 12]
    assert list(classed.allocate(2, size_class=2, contiguous=True).block_ids) == [13, 14]
    assert list(classed.allocate(1, size_class=2, preferred_block_ids=[5, 16]).block_ids) == [16]
    classed.free([1, 11, 2, 12])
    check_partition(classed.stats())


@pytest.mark.parametrize("number", [3, 1 << 31])
def test_a_class_that_does_not_exist_is_refused(classed, pool, number):
    with untouched(classed), refused_for(
            StatusCode.INVALID_ARGUMENT, "INVALID", "size_class") as told:
        classed.allocate(1, size_class=number)
    assert "at most 2" in told.message
    for call, field in [
        (lambda: admit(classed, 1, 8, size_class=number), "admit.add.options.size_class"),
        (lambda: classed.add(1, 8, size_class=number), "add.options.size_class"),
        (lambda: classed.reserve(1, 1, size_class=number), "reserve.size_class"),
        (lambda: classed.acquire(allocate_count=1, size_class=number), "acquire.size_class"),
    ]:
        with untouched(classed), refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
            call()
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "size_class") as told:
        pool.allocate(1, size_class=1)
    assert "no size classes" in told.message


def test_a_refusal_names_the_class_that_is_full(classed):
    classed.allocate(5, size_class=2)
    with untouched(classed), refused_for(StatusCode.RESOURCE_EXHAUSTED, "LATER") as told:
        admit(classed, 1, 50, size_class=2)
    assert (told.refusal.size_class, told.refusal.needed, told.refusal.available) == (2, 2, 1)
    assert told.trailers["quire-size-class"] == "2"
    assert "size class 2 (32 tokens a block)" in told.message
    with refused_for(StatusCode.FAILED_PRECONDITION, "NEVER") as told:
        classed.allocate(11)
    assert (told.refusal.size_class, told.refusal.available) == (1, 10)
    assert len(admit(classed, 1, 50).new_block_ids) == 7


def test_each_class_adds_up(classed):
    admit(classed, 1, 12)
    admit(classed, 2, 40, size_class=2)
    classed.reserve(9, 2, size_class=2)
    stats = classed.stats(q.STATS_INCLUDE_SLOTS)
    check_partition(stats)
    small, large = stats.size_classes
    for one in (small, large):
        parts = (one.free_blocks, one.cached_blocks, one.active_blocks, one.shared_blocks,
                 one.pinned_blocks)
        assert sum(parts) == one.capacity_blocks
        assert one.available_blocks == one.free_blocks + one.cached_blocks
    assert (small.first_block_id, small.active_blocks, small.reserved_blocks) == (1, 2, 0)
    assert (large.first_block_id, large.active_blocks, large.reserved_blocks) == (11, 2, 2)
    assert [(c.sequence_slots_held, c.sequence_slots_used) for c in stats.size_classes] == [
        (16, 12), (64, 40)]
    assert stats.block_size == 0


def test_bytes_are_those_of_each_class(new_pool):
    # 2 x 2 layers x 1 head x 4 x 2 bytes = 32 bytes a token.
    geometry = q.KvGeometry(layers=2, kv_heads=1, head_size=4, dtype_bytes=2)
    pool = new_pool(0, 0, size_classes=TWO, geometry=geometry)
    info = pool.get_pool()
    assert (info.bytes_per_block, info.capacity_bytes, info.buffer_bytes) == (0, 8_704, 9_728)
    pool.allocate(1, size_class=2)
    stats = pool.stats()
    assert [(c.bytes_per_block, c.first_block_offset) for c in stats.size_classes] == [
        (256, 1_024), (1_024, 3_584)]
    assert (stats.bytes_per_block, stats.used_bytes, stats.capacity_bytes) == (0, 1_024, 8_704)
    assert (stats.active_bytes, stats.free_bytes) == (1_024, 7_680)


def test_token_ids_are_hashed_by_the_block_of_their_class(classed):
    def content(first, count):
        return q.Content(token_ids=range(first, first + count))

    def put(sequence_id, size_class):
        new = q.Add(sequence_id=sequence_id, content=content(0, 64),
                    options=q.SequenceOptions(size_class=size_class))
        return classed.Sequences.Admit(q.AdmitRequest(call=classed.call(), admit=q.Admit(add=new)))

    assert put(1, 1).cached_tokens == 0
    assert put(2, 2).cached_tokens == 0
    # The last token is always computed: of 2 blocks of 32 one is hit.
    again = put(3, 2)
    assert (again.cached_tokens, list(again.cached_block_ids)) == (32, [11])
    classed.free_sequences(1, 2, 3)
    assert put(4, 1).cached_tokens == 56


def test_one_step_serves_sequences_of_all_classes(classed):
    reply = classed.step(
        admit_new(1, 8), admit_new(2, 40, on_refusal=0), q.Op(fork=q.Fork(parent_id=2, child_ids=[3])),
        decode(1, 2, 3))
    assert [r.refusal.reason for r in reply.results] == [0, 0, 0, 0]
    classes = [classed.get(i).size_class for i in (1, 2, 3)]
    assert classes == [1, 1, 1]
    assert list(reply.results[3].decode.new_block_counts)[0] == 1


def test_a_step_names_classes_as_calls_do(classed):
    new = add(1, 40)
    new.options.size_class = 2
    reply = classed.step(
        q.Op(admit=q.Admit(add=new)),
        q.Op(allocate=q.Allocate(count=1)),
        q.Op(allocate=q.Allocate(count=1, size_class=2)),
        q.Op(reserve=q.Reserve(sequence_id=9, blocks=2, size_class=2)),
        q.Op(allocate=q.Allocate(count=2, size_class=2)),
        q.Op(recover=q.Recover(blocks_needed=2, size_class=2)),
        q.Op(allocate=q.Allocate(count=1, size_class=3)))
    results = reply.results
    assert list(results[0].admit.new_block_ids) == [11, 12]
    # What names no class is of the first, whatever was looked at before.
    assert list(results[1].allocate.block_ids) == [1]
    assert list(results[2].allocate.block_ids) == [13]
    assert op_reason(results[4]) == "LATER"
    assert (results[4].refusal.size_class, results[4].refusal.reserved) == (2, 2)
    # Three blocks of the class are available, of which two are promised.
    assert list(results[5].recover.preempted_sequence_ids) == [1]
    assert op_reason(results[6]) == "INVALID"
    assert results[6].refusal.field == "allocate.size_class"


def test_a_pool_with_classes_is_dumped_and_loaded(client, classed):
    admit(classed, 1, 40, size_class=2)
    classed.reserve(9, 2, size_class=2)
    classed.update_pool(lazy_free_batch=8)
    admit(classed, 2, 8)
    classed.free_sequences(2)
    loaded = client.load_pool("loaded-classes", classed.dump())
    assert list(loaded.config.size_classes) == list(classed.get_pool().config.size_classes)
    other = client.on("loaded-classes")
    assert other.digest().state_digest == classed.digest().state_digest
    assert list(other.stats().size_classes) == list(classed.stats().size_classes)
    other.delete_pool(force=True)


def test_frees_of_all_classes_wait_in_one_batch(new_pool):
    pool = new_pool(0, 0, size_classes=TWO, lazy_free_batch=8)
    pool.allocate(2)
    pool.allocate(6, size_class=2)
    pool.free([1, 13, 12])
    small, large = pool.stats().size_classes
    assert (small.free_blocks, small.lazy_pending_blocks, small.available_blocks) == (8, 1, 9)
    assert (large.free_blocks, large.lazy_pending_blocks, large.available_blocks) == (0, 2, 2)
    assert list(pool.allocate(1).block_ids) == [3]
    assert list(pool.allocate(2, size_class=2).block_ids) == [13, 12]
    assert pool.stats().lazy_pending_blocks == 0


def test_blocks_are_moved_together_in_one_class(new_pool):
    def plan(**goal):
        return pool.Pools.PlanDefragment(q.PlanDefragmentRequest(call=pool.call(), **goal))

    pool = new_pool(0, 0, size_classes=TWO, copy_ack=q.COPY_ACK_EXPLICIT)
    for block in range(1, 17):
        admit(pool, block, 8 if block <= 10 else 32, size_class=1 if block <= 10 else 2)
    pool.free_sequences(*(b for b in range(1, 17) if b not in (1, 3, 5, 7, 9, 11, 13)))
    stats = pool.stats(q.STATS_INCLUDE_RUNS)
    assert [c.largest_available_run for c in stats.size_classes] == [1, 3]
    assert [c.largest_free_run for c in stats.size_classes] == [1, 3]
    assert stats.defragment_advised
    with untouched(pool):
        assert [(m.source_block, m.target_block) for m in plan().moves] == [(9, 2), (7, 4)]
        made = plan(size_class=2)
        assert [(m.source_block, m.target_block, m.tokens) for m in made.moves] == [(13, 12, 32)]
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "contiguous_blocks"):
            plan(contiguous_blocks=7, size_class=2)
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "size_class") as told:
            plan(size_class=3)
        assert "at most 2" in told.message
        with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", "size_class") as told:
            plan(sequence_id=11, size_class=1)
        assert "must be 2" in told.message
        wrong = q.DefragmentPlan(revision=made.revision)
        wrong.moves.add(source_block=13, target_block=2)
        with refused(StatusCode.FAILED_PRECONDITION):
            pool.Pools.ApplyDefragment(q.ApplyDefragmentRequest(call=pool.call(), plan=wrong))
    pool.Pools.ApplyDefragment(q.ApplyDefragmentRequest(call=pool.call(), plan=made))
    pool.ack_copies(up_to=1)
    assert pool.stats(q.STATS_INCLUDE_RUNS).size_classes[1].largest_free_run == 4


@pytest.mark.parametrize("field, value", [
    ("eviction", q.EVICTION_POLICY_LFU), ("proactive_free_blocks", 1)])
def test_what_classes_exclude_is_not_switched_on_later(classed, field, value):
    for call in (None, classed.call(dry_run=True)):
        with untouched(classed), refused_for(
                StatusCode.INVALID_ARGUMENT, "INVALID", field) as told:
            classed.update_pool(call, **{field: value})
        assert "size classes" in told.message


def test_a_swapped_sequence_comes_back_to_its_class(new_pool):
    pool = new_pool(0, 0, size_classes=TWO, host_blocks=8)
    admit(pool, 1, 40, size_class=2)
    request = q.SwapRequest(call=pool.call(), swap=q.SwapSequences(sequence_ids=[1]))
    assert [copy.source_block for copy in pool.Sequences.SwapOut(request).copies] == [12, 11]
    pool.ack_copies(up_to=2)
    back = pool.Sequences.SwapIn(request)
    assert len(back.copies) == 2
    assert all(copy.target_block > 10 for copy in back.copies)


CONTRADICTIONS = {
    "config.blocks": dict(blocks=16),
    "config.block_size": dict(block_size=8),
    "config.kv_bytes": dict(kv_bytes=1 << 20),
    "config.memory_utilization": dict(memory_utilization=0.5),
    "config.admission_threshold": dict(admission_threshold=0.5),
    "config.proactive_free_blocks": dict(proactive_free_blocks=1),
    "config.strategy": dict(strategy=q.STRATEGY_FIRST_FIT),
    "config.eviction": dict(eviction=q.EVICTION_POLICY_LFU),
}


@pytest.mark.parametrize("field", CONTRADICTIONS)
def test_what_contradicts_size_classes_is_refused_and_named(client, field):
    config = dict(blocks=0, block_size=0) | CONTRADICTIONS[field]
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field) as told:
        client.create_pool("wrong", size_classes=TWO, **config)
    assert "config.size_classes" in told.message


@pytest.mark.parametrize("classes, field", [
    ([(8, 4, 0), (8, 4, 0)], "config.size_classes[1].block_size"),
    ([(0, 4, 0)], "config.size_classes[0].block_size"),
    ([(8, 0, 0)], "config.size_classes[0].blocks"),
    ([(8, 4, 9), (16, 4, 9), (32, 4, 0)], "config.size_classes[1].max_expected_tokens"),
    ([(8, 4, 9), (16, 4, 20)], "config.size_classes[1].max_expected_tokens"),
    ([(8 + i, 4, 9 + i) for i in range(17)], "config.size_classes"),
])
def test_classes_that_contradict_one_another_are_refused(client, classes, field):
    wrong = [q.SizeClass(block_size=s, blocks=n, max_expected_tokens=m) for s, n, m in classes]
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
        client.create_pool("wrong", 0, 0, size_classes=wrong)
