"""What lengths would take in a pool that is made otherwise."""

from grpc import StatusCode

from quire_client import PATIENCE, q, refused, untouched


def what_if(pool, **asked):
    return pool.Analyzer.WhatIf(q.WhatIfRequest(call=pool.call(), **asked), timeout=PATIENCE)


def test_the_lengths_of_a_pool_in_blocks_of_the_usual_sizes(new_pool):
    pool = new_pool(256, 16)
    for sequence in range(64):
        pool.add(sequence + 1, 33)
    with untouched(pool):
        told = what_if(pool)
    assert (told.sequences, told.mean_length, told.truncated) == (64, 33, False)
    # The lab: wasted slots and table entries of 64 sequences of 33 tokens in 4,096 slots.
    rows = {row.block_size: row for row in told.rows}
    assert list(rows) == [1, 4, 8, 16, 32, 64, 128, 256]
    assert [(rows[size].wasted_slots, rows[size].blocks) for size in (1, 4, 16, 64)] == [
        (0, 2_112), (192, 576), (960, 192), (1_984, 64)]
    assert [rows[size].pool_blocks for size in (1, 16, 256)] == [4_096, 256, 16]
    assert rows[256].effective_batch == 16
    assert told.optimal_block_size == 0


def test_given_lengths_in_given_pools(new_pool):
    pool = new_pool(8, 16)
    reserving = q.PoolConfig(
        blocks=256, block_size=16, strategy=q.STRATEGY_CONTIGUOUS_MAX, max_model_tokens=512,
        disable_prefix_caching=True)
    told = what_if(pool, lengths=[32] * 3, block_sizes=[16], configs=[
        q.PoolConfig(blocks=256, block_size=16), reserving,
        q.PoolConfig(blocks=256, block_size=16, watermark=0.25)])
    assert [(row.strategy, row.effective_batch) for row in told.rows] == [
        (q.STRATEGY_FREE_QUEUE, 4), (q.STRATEGY_FREE_QUEUE, 128),
        (q.STRATEGY_CONTIGUOUS_MAX, 8), (q.STRATEGY_FREE_QUEUE, 96)]
    assert told.rows[2].wasted_slots == 3 * 480


def test_the_best_block_size_follows_from_the_bytes_of_a_token(new_pool):
    # 2 x 1 layer x 16 tokens x 1 head x 8 x 1 byte = 256 bytes a block, 16 a token.
    pool = new_pool(64, 16, disable_prefix_caching=True, geometry=q.KvGeometry(
        layers=1, kv_heads=1, head_size=8, dtype_bytes=1))
    record = pool.stats().manager_bytes_per_block
    told = what_if(pool, lengths=[100])
    assert abs(told.optimal_block_size - (2 * 100 * (record + 4) / 16) ** 0.5) < 1e-9


def test_what_cannot_be_tried_is_refused_and_named(new_pool):
    pool = new_pool(8, 16)
    for asked, words in (
            (dict(block_sizes=[0]), "block_sizes[0] is 0, not 1 to 65536"),
            (dict(block_sizes=[1] * 65), "block_sizes has 65 elements, more than 64"),
            (dict(lengths=[1] * 100_001), "lengths has 100001 elements, more than 100000")):
        with refused(StatusCode.INVALID_ARGUMENT) as told:
            what_if(pool, **asked)
        assert told.message == words
    with refused(StatusCode.INVALID_ARGUMENT):
        what_if(pool, configs=[q.PoolConfig(size_classes=[
            q.SizeClass(block_size=8, blocks=4), q.SizeClass(block_size=16, blocks=4)])])
