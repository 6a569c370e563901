"""Pools made from bytes and a model's geometry, and bytes in what is told of them."""

import os
import subprocess

import grpc
import pytest
from grpc import StatusCode

from quire_client import PATIENCE, Client, q, refused_for
from running_server import RunningServer

GIB = 1 << 30
LLAMA_7B = dict(layers=32, kv_heads=32, head_size=128, dtype_bytes=2)
LLAMA_13B = dict(layers=40, kv_heads=40, head_size=128, dtype_bytes=2)


@pytest.fixture
def make(client, new_pool):
    def create(geometry=LLAMA_7B, **config):
        if geometry is not None:
            config["geometry"] = q.KvGeometry(**geometry)
        config = {"blocks": 0, "block_size": 0} | config
        return new_pool(**config)

    return create


def test_60_GiB_of_Llama_2_7B_are_6912_blocks_and_7680_without_a_margin(make):
    pool = make(kv_bytes=60 * GIB)
    info = pool.get_pool()
    assert (info.blocks, info.config.block_size, info.bytes_per_block) == (6912, 16, 8 << 20)
    assert info.config.memory_utilization == 0.9
    assert info.config.kv_bytes == 60 * GIB
    assert info.capacity_bytes == 6912 * (8 << 20)
    # Block 6912 begins at 6912 x 8 MiB, for the null block is at 0.
    assert info.buffer_bytes == 6913 * (8 << 20)
    assert make(kv_bytes=60 * GIB, memory_utilization=1).get_pool().blocks == 7680
    large = make(LLAMA_13B, kv_bytes=50 * GIB, memory_utilization=1).get_pool()
    assert (large.blocks, large.bytes_per_block) == (4096, 13_107_200)


def test_a_configuration_that_is_told_can_be_sent_back(make, client):
    pool = make(kv_bytes=GIB, watermark=0.1)
    info = pool.get_pool()
    request = q.CreatePoolRequest(
        name=pool.pool, config=info.config, if_exists=q.IF_EXISTS_RETURN)
    assert client.Pools.CreatePool(request, timeout=PATIENCE) == info


def test_stats_have_bytes_beside_blocks(make):
    pool = make(blocks=10, block_size=16)
    pool.add_and_admit(1, 33)
    pool.fork(1, [2])
    pool.allocate(2)
    stats = pool.stats()
    block = 8 << 20
    assert stats.bytes_per_block == block
    assert (stats.shared_bytes, stats.active_bytes) == (3 * block, 2 * block)
    assert (stats.free_bytes, stats.cached_bytes, stats.pinned_bytes) == (5 * block, 0, 0)
    assert (stats.available_bytes, stats.used_bytes) == (5 * block, 5 * block)
    assert stats.capacity_bytes == 10 * block
    parts = "free_bytes cached_bytes active_bytes shared_bytes pinned_bytes".split()
    assert sum(getattr(stats, part) for part in parts) == stats.capacity_bytes
    # 32 bytes of record, and 32 of hash with 4 of ring and some of the table.
    assert 68 < stats.manager_bytes_per_block < 112


def test_without_a_geometry_there_are_no_bytes(pool):
    stats = pool.stats()
    assert stats.bytes_per_block == stats.capacity_bytes == stats.free_bytes == 0
    assert pool.get_pool().buffer_bytes == 0


@pytest.mark.parametrize(
    "field, geometry, config",
    [
        ("config.blocks", LLAMA_7B, dict(blocks=10, kv_bytes=GIB)),
        ("config.geometry", None, dict(kv_bytes=GIB)),
        ("config.geometry.layers", LLAMA_7B | dict(layers=0), dict(kv_bytes=GIB)),
        ("config.geometry.kv_heads", LLAMA_7B | dict(kv_heads=0), dict(kv_bytes=GIB)),
        ("config.geometry.head_size", LLAMA_7B | dict(head_size=0), dict(blocks=4, block_size=4)),
        ("config.geometry.dtype_bytes", LLAMA_7B | dict(dtype_bytes=0), dict(kv_bytes=GIB)),
        ("config.memory_utilization", LLAMA_7B, dict(kv_bytes=GIB, memory_utilization=1.0001)),
        ("config.memory_utilization", LLAMA_7B, dict(kv_bytes=GIB, memory_utilization=-0.1)),
        ("config.memory_utilization", LLAMA_7B,
         dict(kv_bytes=GIB, memory_utilization=float("nan"))),
        ("config.memory_utilization", LLAMA_7B,
         dict(blocks=4, block_size=4, memory_utilization=0.5)),
        ("config.kv_bytes", LLAMA_7B, dict(kv_bytes=(8 << 20) - 1)),
        ("config.kv_bytes", LLAMA_7B, dict(kv_bytes=(1 << 53) + 1)),
        ("config.kv_bytes", LLAMA_7B, dict(kv_bytes=(1 << 64) - 1)),
        ("config.kv_bytes", dict(layers=1, kv_heads=1, head_size=1, dtype_bytes=1),
         dict(kv_bytes=1 << 53, block_size=1)),
        ("config.geometry", dict.fromkeys(LLAMA_7B, (1 << 32) - 1), dict(kv_bytes=GIB)),
        ("config.geometry", LLAMA_7B | dict(layers=1 << 22),
         dict(blocks=1 << 20, block_size=16)),
        ("config.block_size", LLAMA_7B, dict(kv_bytes=GIB, block_size=1 << 20)),
        ("config.block_size", LLAMA_7B, dict(blocks=4)),
    ],
)
def test_a_contradictory_configuration_names_the_field(make, field, geometry, config):
    with refused_for(StatusCode.INVALID_ARGUMENT, "INVALID", field):
        make(geometry, **config)


def test_the_command_line_takes_bytes(tmp_path):
    def words(pool):
        run = subprocess.run(
            [os.environ["QUIRED"], "--listen", "127.0.0.1:0", "--pool", pool],
            capture_output=True, text=True, timeout=PATIENCE)
        assert run.returncode != 0
        return run.stderr

    assert "layers must be at least 1" in words("a:kv-bytes=60GiB,kv-heads=3")
    assert "geometry must be set with kv-bytes" in words("a:kv-bytes=60GiB")

    given = "a:kv-bytes=60GiB,layers=32,kv-heads=32,head-size=128,dtype-bytes=2"
    with RunningServer(str(tmp_path), [given]) as server:
        with grpc.insecure_channel(server.tcp) as channel:
            info = Client(channel, "a").get_pool()
    assert (info.blocks, info.config.block_size, info.bytes_per_block) == (6912, 16, 8 << 20)
