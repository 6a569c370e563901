import pytest
from grpc import StatusCode

from quire_client import check_partition, q, refused, refused_for, untouched


def test_the_pools_of_the_command_line_are_there(any_client):
    info = any_client.get_pool()
    assert (info.name, info.blocks, info.config.blocks, info.config.block_size) == (
        "default", 64, 64, 16)
    assert info.capacity_tokens == 64 * 16
    second = any_client.on("second").get_pool()
    assert (second.name, second.blocks, second.config.block_size) == ("second", 8, 4)


def test_an_empty_pool_name_means_default(client):
    assert client.on("").get_pool() == client.on("default").get_pool()


def test_a_created_pool_can_be_used_and_deleted(any_client):
    info = any_client.create_pool("made", 10, 8)
    assert (info.name, info.revision, info.blocks, info.available_blocks) == ("made", 0, 10, 10)
    pool = any_client.on("made")
    assert list(pool.allocate(10).block_ids) == list(range(1, 11))
    assert pool.delete_pool(force=True).held_blocks == 10
    with refused(StatusCode.NOT_FOUND) as told:
        pool.get_pool()
    assert "made" in told.message


def test_defaults_are_filled_in(pool):
    config = pool.get_pool().config
    assert config.copy_ack == q.COPY_ACK_NEXT_STEP
    assert config.strategy == q.STRATEGY_FREE_QUEUE


def test_creating_a_pool_twice_is_refused_or_returns_or_resets_it(pool):
    name = pool.pool
    pool.allocate(3)
    for if_exists in (q.IF_EXISTS_UNSPECIFIED, q.IF_EXISTS_ERROR):
        with untouched(pool), refused(StatusCode.ALREADY_EXISTS) as told:
            pool.create_pool(name, 16, 4, if_exists)
        assert name in told.message
    with untouched(pool):
        info = pool.create_pool(name, 16, 4, q.IF_EXISTS_RETURN)
    assert (info.name, info.revision, info.available_blocks) == (name, 1, 13)
    with untouched(pool), refused(StatusCode.FAILED_PRECONDITION):
        pool.create_pool(name, 17, 4, q.IF_EXISTS_RETURN)
    assert pool.create_pool(name, 20, 4, q.IF_EXISTS_RESET).available_blocks == 20
    assert pool.stats().capacity_blocks == 20


def test_pools_are_listed_by_name_and_in_pages(client, new_pool):
    names = sorted([new_pool().pool, new_pool().pool, "default", "second"])
    everything = client.Pools.ListPools(q.ListPoolsRequest())
    assert [info.name for info in everything.pools] == names
    assert everything.next_page_token == ""

    found, token = [], ""
    while True:
        page = client.Pools.ListPools(q.ListPoolsRequest(page_size=3, page_token=token))
        assert 0 < len(page.pools) <= 3
        found += [info.name for info in page.pools]
        token = page.next_page_token
        if not token:
            break
    assert found == names


def test_deleting_a_pool_with_held_blocks_takes_force(client):
    client.create_pool("held", 4, 4)
    pool = client.on("held")
    pool.allocate(1)
    with untouched(pool), refused(StatusCode.FAILED_PRECONDITION):
        pool.delete_pool()
    assert pool.delete_pool(force=True).held_blocks == 1


def test_resetting_a_pool_with_held_blocks_takes_force(pool):
    pool.add_and_admit(1, 10)
    pool.allocate(2)
    with untouched(pool), refused(StatusCode.FAILED_PRECONDITION):
        pool.reset_pool()
    assert pool.reset_pool(force=True).available_blocks == 16
    stats = pool.stats()
    check_partition(stats)
    assert (stats.free_blocks, stats.running_sequences, stats.allocate_calls) == (16, 0, 0)
    # As created: ids are handed out in order again.
    assert list(pool.allocate(3).block_ids) == [1, 2, 3]


def test_resetting_an_idle_pool_needs_no_force(pool):
    pool.free(list(pool.allocate(5).block_ids)[::-1])
    assert pool.reset_pool().available_blocks == 16
    assert list(pool.allocate(2).block_ids) == [1, 2]


def test_a_revision_counts_the_commands_that_changed_something(pool):
    assert pool.get_pool().revision == 0
    assert pool.allocate(2).revision == 1
    with refused(StatusCode.RESOURCE_EXHAUSTED):
        pool.allocate(15)
    assert pool.get_pool().revision == 1
    assert pool.free([1]).revision == 2
    pool.stats()
    assert pool.digest().revision == 2


def test_equal_histories_give_equal_digests_and_other_histories_others(new_pool):
    one, two = new_pool(), new_pool()
    for pool in (one, two):
        pool.allocate(5)
        pool.free([2, 4])
        pool.add_and_admit(7, 9)
    assert one.digest().state_digest == two.digest().state_digest
    assert one.digest().history_digest == two.digest().history_digest
    one.append(7, 1)
    assert one.digest().state_digest != two.digest().state_digest
    assert one.digest().history_digest != two.digest().history_digest


def test_the_history_digest_comes_without_the_state_digest(pool):
    pool.allocate(1)
    whole, part = pool.digest(), pool.digest(history_only=True)
    assert part.history_digest == whole.history_digest != 0
    assert (part.state_digest, part.revision) == (0, 1)
    assert whole.state_digest != 0


@pytest.mark.parametrize(
    "config, field",
    [
        (dict(blocks=0, block_size=16), "blocks"),
        (dict(blocks=16, block_size=0), "block_size"),
        (dict(blocks=(1 << 28) + 1, block_size=16), "blocks"),
        (dict(blocks=4294967295, block_size=16), "blocks"),
        (dict(blocks=16, block_size=(1 << 16) + 1), "block_size"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_naming_the_field(client, config, field):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
        client.create_pool("impossible", **config)
    with refused(StatusCode.NOT_FOUND):
        client.on("impossible").get_pool()


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", "x" * 129, "a:b"])
def test_a_name_that_no_pool_may_have_is_refused(client, name):
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        client.create_pool(name, 4, 4)
    assert "name" in told.message


def test_an_unknown_pool_is_named(any_client):
    nowhere = any_client.on("nowhere")
    calls = [
        lambda: nowhere.allocate(1),
        lambda: nowhere.free([1]),
        lambda: nowhere.add(1, 1),
        lambda: nowhere.get(1),
        lambda: nowhere.list(),
        lambda: nowhere.step(),
        lambda: nowhere.stats(),
        lambda: nowhere.digest(),
        lambda: nowhere.get_pool(),
        lambda: nowhere.reset_pool(),
        lambda: nowhere.delete_pool(),
    ]
    for call in calls:
        with refused(StatusCode.NOT_FOUND) as told:
            call()
        assert "nowhere" in told.message
