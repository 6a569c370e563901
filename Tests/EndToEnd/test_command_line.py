"""quired as a program: its flags, its listeners, its end."""

import os
import signal
import subprocess
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from quire_client import PATIENCE, Client, allocate, refused
from running_server import RunningServer


def run(*arguments):
    return subprocess.run(
        [os.environ["QUIRED"], *arguments], capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--listn", "127.0.0.1:0"], "--listn"),
        (["--listen"], "--listen"),
        (["--listen", "nonsense"], "--listen"),
        (["--listen", "127.0.0.1:99999"], "--listen"),
        (["--listen", "127.0.0.1:-1"], "--listen"),
        (["--listen", "unix:"], "--listen"),
        (["--listen", "unix:/tmp/" + "x" * 120], "--listen"),
        (["--pool", "default"], "--pool"),
        (["--pool", "default:blocks=0,block-size=16"], "--pool"),
        (["--pool", "default:blocks=-4,block-size=16"], "--pool"),
        (["--pool", "default:blocks=many,block-size=16"], "--pool"),
        (["--pool", "default:blocks=999999999999,block-size=16"], "--pool"),
        (["--pool", "default:blocks=16,block-size=0"], "--pool"),
        (["--pool", "default:blocks=16,colour=red"], "--pool"),
        (["--pool", "a/b:blocks=16,block-size=16"], "--pool"),
        (["--pool", "a:blocks=1,block-size=1", "--pool", "a:blocks=1,block-size=1"], "--pool"),
        (["--log-level", "loud"], "--log-level"),
        (["--log-format", "xml"], "--log-format"),
        (["serve"], "serve"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_a_wrong_flag_is_named_and_the_exit_status_is_2(arguments, named):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert named in ended.stderr
    assert "listening" not in ended.stdout


def test_the_version_and_the_help_are_told():
    version = run("--version")
    assert version.returncode == 0 and "quire" in version.stdout
    help_text = run("--help")
    assert help_text.returncode == 0
    for flag in ("--listen", "--pool", "--log-level", "--log-format", "--version", "--help"):
        assert flag in help_text.stdout


def test_an_address_in_use_is_named(server):
    ended = run("--listen", server.tcp)
    assert ended.returncode not in (0, 2)
    assert server.tcp in ended.stderr
    assert run("--listen", server.unix).returncode not in (0, 2)


def test_without_a_pool_flag_there_is_a_default_pool(tmp_path):
    with RunningServer(tmp_path) as server, grpc.insecure_channel(server.tcp) as channel:
        info = Client(channel).get_pool()
        assert (info.name, info.blocks, info.config.block_size) == ("default", 4096, 16)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_take_the_form_asked_for(tmp_path, log_format):
    with RunningServer(tmp_path, more=["--log-level", "debug", "--log-format", log_format]):
        pass


def test_the_listeners_are_told_by_their_actual_addresses(server):
    assert server.tcp.startswith("127.0.0.1:") and server.port != 0
    assert server.unix == f"unix:{server.socket_path}"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_lets_what_runs_finish(tmp_path, end):
    with RunningServer(tmp_path) as server, grpc.insecure_channel(server.tcp) as channel:
        client = Client(channel)
        may_finish = threading.Event()

        def requests():
            yield client.step_request(allocate(1))
            may_finish.wait(PATIENCE)
            yield client.step_request(allocate(1))

        stream = client.Scheduler.Run(requests(), timeout=PATIENCE)
        next(stream)
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(end)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        # Nothing new, but what runs goes on.
        with refused(grpc.StatusCode.UNAVAILABLE):
            Client(grpc.insecure_channel(server.tcp)).get_pool()
        may_finish.set()
        assert list(next(stream).results[0].allocate.block_ids) == [2]
        assert list(stream) == [] and stream.code() == grpc.StatusCode.OK
        assert server.process.wait(PATIENCE) == 0


def test_idle_clients_do_not_hold_up_the_stop(tmp_path):
    with RunningServer(tmp_path) as server:
        channel = grpc.insecure_channel(server.tcp)
        Client(channel).get_pool()
        assert server.stop() == 0


def test_the_socket_file_goes_with_the_server_and_a_stale_one_is_replaced(tmp_path):
    with RunningServer(tmp_path) as server:
        assert os.path.exists(server.socket_path)
    assert not os.path.exists(server.socket_path)
    with RunningServer(tmp_path) as killed:
        killed.process.kill()
        killed.process.wait()
        assert os.path.exists(killed.socket_path)
        with RunningServer(tmp_path) as successor:
            with grpc.insecure_channel(successor.unix) as channel:
                assert Client(channel).get_pool().blocks == 4096
        killed.stop = lambda: 0
