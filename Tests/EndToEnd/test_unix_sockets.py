"""Unix sockets: permissions, abstract names, who came."""

import os
import stat

import grpc
import pytest

from quire_client import Client
from running_server import RunningServer


@pytest.mark.parametrize("words, mode", [([], 0o600), (["--unix-mode", "0660"], 0o660)])
def test_the_path_has_the_permissions_asked_for_whatever_the_umask(tmp_path, words, mode):
    old = os.umask(0o077)
    try:
        with RunningServer(tmp_path, more=words) as server:
            assert stat.S_IMODE(os.stat(server.socket_path).st_mode) == mode
    finally:
        os.umask(old)


def test_an_abstract_name_serves_stock_grpc(tmp_path):
    address = f"unix-abstract:quire-test-{os.getpid()}"
    with RunningServer(tmp_path, listen=[address]) as server:
        with grpc.insecure_channel(address) as channel:
            assert Client(channel).get_pool().blocks == 4096
        assert f"address={address}" in server.log()


def test_the_log_tells_which_process_came(tmp_path):
    with RunningServer(tmp_path, more=["--log-level", "debug"]) as server:
        with grpc.insecure_channel(server.unix) as channel:
            Client(channel).get_pool()
        who = f"peer=unix:pid={os.getpid()},uid={os.getuid()},gid={os.getgid()}"
        assert who in server.log()
