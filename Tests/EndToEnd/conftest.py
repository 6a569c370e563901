import itertools
import os
import sys

import pytest

sys.path.insert(0, os.environ["STUBS"])

import grpc  # noqa: E402

from quire_client import Client  # noqa: E402
from running_server import RunningServer  # noqa: E402

pool_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One server for all tests; each test makes a pool of its own in it."""
    directory = str(tmp_path_factory.mktemp("quired"))
    pools = ["default:blocks=64,block-size=16", "second:blocks=8,block-size=4"]
    with RunningServer(directory, pools, more=["--sample-interval", "1s"]) as server:
        yield server


@pytest.fixture(scope="session", params=["tcp", "unix"])
def address(server, request):
    return server.tcp if request.param == "tcp" else server.unix


@pytest.fixture(scope="session")
def any_client(address):
    """Over TCP and over the Unix socket in turn, on the default pool."""
    with grpc.insecure_channel(address) as channel:
        yield Client(channel)


@pytest.fixture(scope="session")
def client(server):
    """Over TCP, on the default pool."""
    with grpc.insecure_channel(server.tcp) as channel:
        yield Client(channel)


@pytest.fixture
def new_pool(client):
    """Makes pools that go with the test."""
    made = []

    def make(blocks=16, block_size=4, on=client, **config):
        name = f"test-{next(pool_numbers)}"
        client.create_pool(name, blocks, block_size, **config)
        made.append(name)
        return on.on(name)

    yield make
    for name in made:
        client.on(name).delete_pool(force=True)


@pytest.fixture
def pool(new_pool):
    """16 blocks of 4 tokens, all free."""
    return new_pool()
