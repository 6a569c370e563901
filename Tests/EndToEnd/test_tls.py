"""TLS on TCP, as stock gRPC and Python's own ssl see it."""

import os
import select
import shutil
import signal
import socket
import ssl
import threading
import time

import grpc
import pytest

from certificates import Authority, contents
from quire_client import PATIENCE, Client, allocate, eventually, refused
from raw_http2 import ACK, PING, RawConnection, frame
from running_server import RunningServer
from test_command_line import run


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "root")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def files(authority):
    certificate, key = authority.sign("server")
    return ["--tls-cert", certificate, "--tls-key", key]


@pytest.fixture(scope="module")
def server(tmp_path_factory, files):
    with RunningServer(str(tmp_path_factory.mktemp("tls")), more=files) as server:
        yield server


def channel(server, authority, client=None, name=None):
    """Stock gRPC that trusts `authority`; `client` is its certificate and key."""
    certificate, key = client or (None, None)
    credentials = grpc.ssl_channel_credentials(
        contents(authority.certificate), key and contents(key),
        certificate and contents(certificate))
    options = [("grpc.ssl_target_name_override", name)] if name else []
    return grpc.secure_channel(server.tcp, credentials, options)


def handshake(server, authority, alpn=("h2",), maximum=None):
    """A socket of Python's ssl, connected."""
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    return secured(plain, authority, alpn, maximum)


def secured(plain, authority, alpn=("h2",), maximum=None):
    context = ssl.create_default_context(cafile=authority.certificate)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if maximum:
        context.maximum_version = maximum
    return context.wrap_socket(plain, server_hostname="localhost")


def test_stock_grpc_works_over_tls_and_in_plain_text_over_the_unix_socket(server, authority):
    with channel(server, authority) as secure, grpc.insecure_channel(server.unix) as plain:
        ids = Client(secure).allocate(3).block_ids
        assert Client(plain).get_pool().blocks == 4096
        Client(plain).free(ids)
        stream = Client(secure).Scheduler.Run(
            (Client(secure).step_request(allocate(1)) for _ in range(200)), timeout=PATIENCE)
        assert len(list(stream)) == 200


def test_plain_text_on_the_tls_port_is_refused(server, authority):
    with grpc.insecure_channel(server.tcp) as plain:
        with refused(grpc.StatusCode.UNAVAILABLE):
            Client(plain).get_pool()
    with channel(server, authority) as secure:
        assert Client(secure).get_pool().blocks == 4096


def test_a_client_that_does_not_trust_the_server_gets_nowhere(server, authority, stranger):
    with channel(server, stranger) as doubtful:
        with refused(grpc.StatusCode.UNAVAILABLE):
            Client(doubtful).get_pool()
    with channel(server, authority, name="example.org") as misled:
        with refused(grpc.StatusCode.UNAVAILABLE):
            Client(misled).get_pool()
    with channel(server, authority, name="localhost") as secure:
        assert Client(secure).get_pool().blocks == 4096


def test_both_versions_of_tls_are_spoken_and_no_session_is_resumed(server, authority):
    for maximum, name in [(None, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")]:
        with handshake(server, authority, maximum=maximum) as connection:
            assert connection.version() == name
            assert connection.selected_alpn_protocol() == "h2"
            assert "GCM" in connection.cipher()[0] or "CHACHA20" in connection.cipher()[0]
            assert connection.recv(9)[3] == 4  # the server's SETTINGS
            assert not connection.session_reused


def test_a_minimum_of_1_3_refuses_1_2(tmp_path, files, authority):
    with RunningServer(str(tmp_path), more=files + ["--tls-min-version", "1.3"]) as server:
        with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
            handshake(server, authority, maximum=ssl.TLSVersion.TLSv1_2)
        with handshake(server, authority) as connection:
            assert connection.version() == "TLSv1.3"


def test_a_client_without_h2_is_refused_by_name(server, authority):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        handshake(server, authority, alpn=["http/1.1"])
    # Whoever does not offer anything is let go as soon as the handshake is done.
    with handshake(server, authority, alpn=()) as connection:
        assert connection.recv(1) == b""


def test_mutual_tls_wants_a_certificate_of_its_authority(tmp_path, files, authority, stranger):
    more = files + ["--tls-client-ca", authority.certificate, "--log-level", "debug"]
    client = authority.sign("scheduler", "URI:spiffe://quire.test/scheduler")
    with RunningServer(str(tmp_path), more=more) as server:
        with channel(server, authority, client) as known:
            assert Client(known).get_pool().blocks == 4096
        with channel(server, authority) as nameless:
            with refused(grpc.StatusCode.UNAVAILABLE):
                Client(nameless).get_pool()
        with channel(server, authority, stranger.sign("scheduler")) as foreign:
            with refused(grpc.StatusCode.UNAVAILABLE):
                Client(foreign).get_pool()
        # The Unix socket is guarded by its permissions.
        with grpc.insecure_channel(server.unix) as local:
            assert Client(local).get_pool().blocks == 4096
        assert "client=spiffe://quire.test/scheduler" in server.log()
        assert 'reason="TLS handshake: peer did not return a certificate"' in server.log()
        assert f"pid={os.getpid()},uid={os.getuid()},gid={os.getgid()}" in server.log()


def test_sighup_brings_new_certificates_and_a_call_under_way_goes_on(
        tmp_path, authority, stranger):
    certificate, key = (str(tmp_path / name) for name in ("live.pem", "live.key"))

    def install(source):
        for path, target in zip(source, (certificate, key)):
            shutil.copy(path, target)

    install(authority.sign("server"))
    more = ["--tls-cert", certificate, "--tls-key", key]
    with RunningServer(str(tmp_path), more=more) as server:
        def reload(word):
            count = server.log().count(word)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: server.log().count(word) > count)

        with channel(server, authority) as first:
            client = Client(first)
            go_on = threading.Semaphore(1)

            def requests():
                for _ in range(3):
                    go_on.acquire()
                    yield client.step_request(allocate(1))

            stream = client.Scheduler.Run(requests(), timeout=PATIENCE)
            next(stream)
            # Another authority, so that who trusts whom tells which certificate is shown.
            install(stranger.sign("server"))
            reload("certificates loaded")
            with channel(server, stranger) as second, channel(server, authority) as outdated:
                assert Client(second).get_pool().blocks == 4096
                with refused(grpc.StatusCode.UNAVAILABLE):
                    Client(outdated).get_pool()
            go_on.release()
            next(stream)
            # A certificate that does not fit its key, and one that is none.
            shutil.copy(authority.certificate, certificate)
            reload("the old certificates stay in use")
            with open(certificate, "w") as file:
                file.write("no certificate")
            reload("the old certificates stay in use")
            assert certificate in server.log()
            with channel(server, stranger) as third:
                assert Client(third).get_pool().blocks == 4096
            go_on.release()
            next(stream)
            assert list(stream) == [] and stream.code() == grpc.StatusCode.OK


def hello():
    """The first bytes of a handshake."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def calls_during_a_flood(server, authority, count=500):
    """How many calls an established client makes while `count` hellos wait for their answer."""
    first = hello()
    flood = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
             for _ in range(count)]
    try:
        with channel(server, authority) as secure:
            client = Client(secure)
            client.get_pool()
            for connection in flood:
                connection.sendall(first)
            unanswered = select.epoll()
            for connection in flood:
                unanswered.register(connection, select.EPOLLIN | select.EPOLLONESHOT)
            calls = 0
            while count > 0:
                count -= len(unanswered.poll(0))
                assert client.get_pool().blocks == 4096
                calls += 1
            unanswered.close()
            return calls
    finally:
        for connection in flood:
            connection.close()


@pytest.mark.parametrize("percent", [1, 100])
def test_a_flood_of_hellos_is_answered_while_who_is_connected_makes_calls(
        tmp_path, files, authority, percent):
    limits = ["--tls-handshake-percent", str(percent)]
    with RunningServer(str(tmp_path), more=[*files, *limits]) as server:
        assert calls_during_a_flood(server, authority) > 0
        with channel(server, authority) as secure:
            assert Client(secure).get_pool().blocks == 4096


def test_garbage_on_the_tls_port_ends_its_own_connections_only(server, authority):
    with channel(server, authority) as secure:
        client = Client(secure)
        client.get_pool()
        before = server.resident_bytes()
        for number in range(200):
            with socket.create_connection(("127.0.0.1", server.port)) as plain:
                plain.settimeout(PATIENCE)
                start = b"\x16\x03\x01\x40\x00" if number % 2 else b""
                try:
                    plain.sendall(start + os.urandom(20_000))
                    while plain.recv(65536):
                        pass
                except ConnectionError:
                    pass  # closed while we were sending
            if number % 20 == 0:
                assert client.get_pool().blocks == 4096
        assert client.get_pool().blocks == 4096
        assert server.resident_bytes() - before < 8 << 20
        eventually(lambda: server.open_descriptors() < 40)


def test_a_stop_does_not_wait_for_a_handshake_that_does_not_come(tmp_path, files):
    more = files + ["--tls-handshake-timeout", "1h", "--stop-grace", "1h"]
    with RunningServer(str(tmp_path), more=more) as server:
        before = server.open_descriptors()
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        silent[1].sendall(b"\x16\x03\x01\x02\x00\x01")  # a hello, as far as it goes
        eventually(lambda: server.open_descriptors() == before + 3)
        assert server.stop() == 0
        for connection in silent:
            connection.close()


def test_a_flood_over_tls_is_cut_off_before_what_follows_it_and_closed_a_while_later(
        tmp_path, files, authority):
    linger = 1
    limits = ["--control-frame-burst", "20", "--cut-off-linger", f"{linger}s"]
    with RunningServer(str(tmp_path), more=[*files, *limits]) as server:
        with RawConnection(server.port, secure=lambda plain: secured(plain, authority)) as client:
            assert client.answer(until_settings_ack=True).goaway is None
            # 11,900 bytes in one record: more than are looked at between two judgements.
            began = time.monotonic()
            client.send(frame(PING, ACK, 0, b"12345678") * 700)
            client.open("/nobody/knows", end=True)
            answer = client.answer()
            assert answer.goaway == 11 and answer.closed
            assert answer.grpc_status is None
            assert time.monotonic() - began >= linger


def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path, files, authority):
    certificate, key = files[1], files[3]
    missing = str(tmp_path / "missing.pem")
    other_key = authority.sign("other")[1]
    for more, named in [
        (["--tls-cert", missing, "--tls-key", key], missing),
        (["--tls-cert", certificate, "--tls-key", missing], missing),
        (["--tls-cert", certificate, "--tls-key", other_key], "key values mismatch"),
        (files + ["--tls-client-ca", key], key),
    ]:
        ended = run("--listen", "127.0.0.1:0", *more)
        assert ended.returncode == 1
        assert named in ended.stderr
        assert "listening" not in ended.stdout


def test_an_operator_is_warned_of_a_readable_key_and_of_plain_text(tmp_path, files):
    key = str(tmp_path / "open.key")
    shutil.copy(files[3], key)
    os.chmod(key, 0o640)
    more = files[:2] + ["--tls-key", key]
    with RunningServer(str(tmp_path), more=more, listen=["tcp:0.0.0.0:0"]) as server:
        log = server.log()
    warnings = [line for line in log.splitlines() if " warning " in line]
    assert len(warnings) == 2, log
    assert "private key" in warnings[0] and key in warnings[0] and "640" in warnings[0]
    assert "plain text" in warnings[1] and "0.0.0.0" in warnings[1]
