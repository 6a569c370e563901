"""Pools that say which blocks hold what another wrote: `zero_on_free`."""
from quire_client import add, q


def test_a_block_that_comes_back_is_to_be_zeroed_by_the_next_who_gets_it(new_pool):
    pool = new_pool(4, 4, zero_on_free=True)
    first = pool.allocate(2)
    assert list(first.must_zero_block_ids) == []
    pool.free(list(first.block_ids))
    again = pool.allocate(3)
    assert list(again.must_zero_block_ids) == list(first.block_ids)
    assert pool.get_pool().config.zero_on_free


def test_a_step_names_them_operation_by_operation(new_pool):
    pool = new_pool(4, 4, zero_on_free=True)
    pool.free(list(pool.allocate(1).block_ids))
    reply = pool.step(
        q.Op(admit=q.Admit(add=add(1, 4))), q.Op(decode=q.Decode(sequence_ids=[1])))
    assert list(reply.results[0].admit.must_zero_block_ids) == [1]
    assert list(reply.results[1].decode.must_zero_block_ids) == []
    pool.free_sequences(1)
    # Given back from the tail: the last block comes first.
    assert list(pool.add_and_admit(2, 16).must_zero_block_ids) == [2, 1]


def test_a_reset_cleans_nothing(new_pool):
    pool = new_pool(4, 4, zero_on_free=True)
    pool.allocate(2)
    pool.reset_pool(force=True)
    assert list(pool.allocate(2).must_zero_block_ids) == [1, 2]
