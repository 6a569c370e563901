"""The admin port of a running server, over plain sockets and http.client."""

import http.client
import json
import re
import socket
import threading

import grpc
import pytest

from quire_client import Client
from running_server import RunningServer

ADMIN = "quired: admin listening on "


@pytest.fixture(scope="module")
def admin_server(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("admin"))
    pools = ["default:blocks=64,block-size=16", "other:blocks=8,block-size=4"]
    more = ["--admin", "127.0.0.1:0", "--admin-host", "quire.example"]
    with RunningServer(directory, pools, more) as server:
        line = server.lines.get(timeout=20)
        assert line.startswith(ADMIN), line
        server.admin = line[len(ADMIN):]
        yield server


def get(server, path, headers=None, method="GET", body=None):
    host, port = server.admin.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def samples(text):
    """The values of an exposition by name and labels, and the families' types."""
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"two families {name}"
            types[name] = kind
        elif not line.startswith("#"):
            match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)', line)
            assert match, line
            key = match[1] + (match[2] or "")
            assert key not in values, f"{key} twice"
            values[key] = float(match[3])
    return values, types


def test_probes_and_unknown_pages(admin_server):
    assert get(admin_server, "/healthz")[::2] == (200, "ok\n")
    assert get(admin_server, "/readyz")[::2] == (200, "ready\n")
    assert get(admin_server, "/nothing")[0] == 404


def test_a_scrape_tells_what_grpc_calls_did(admin_server):
    with grpc.insecure_channel(admin_server.tcp) as channel:
        client = Client(channel).on("other")
        before, _ = samples(get(admin_server, "/metrics")[2])
        blocks = client.allocate(3).block_ids
        with pytest.raises(grpc.RpcError):
            client.allocate(6)
        status, headers, text = get(admin_server, "/metrics")
        client.free(blocks)
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    values, types = samples(text)
    assert values['quire_cache_usage_ratio{pool="other"}'] == 0.375
    assert values['quire_blocks{pool="other",state="active"}'] == 3
    assert types["quire_blocks"] == "gauge"
    states = [v for k, v in values.items() if k.startswith('quire_blocks{pool="other"')]
    assert sum(states) == values['quire_pool_blocks{pool="other"}'] == 8
    rejected = 'quire_admission_rejections_total{pool="other",reason="no_blocks"}'
    assert values[rejected] - before[rejected] == 1
    assert types["quire_rpc_duration_seconds"] == "histogram"
    for code, expected in [("OK", 1), ("RESOURCE_EXHAUSTED", 1)]:
        labels = f'method="quire.v1.BlockPool/Allocate",code="{code}"'
        count = values[f"quire_rpc_duration_seconds_count{{{labels}}}"]
        bucket = f'quire_rpc_duration_seconds_bucket{{{labels},le="+Inf"}}'
        assert count == values[bucket] == expected
        assert values[f"quire_rpc_duration_seconds_sum{{{labels}}}"] > 0
    assert values["quire_grpc_connections"] == 1
    assert values["process_open_fds"] > 5
    assert values["process_resident_memory_bytes"] > 1 << 20


def test_calls_that_never_began_have_a_duration_of_nothing(admin_server):
    with grpc.insecure_channel(admin_server.tcp) as channel:
        call = channel.unary_unary("/no.such.Service/Method")
        with pytest.raises(grpc.RpcError):
            call(b"")
    values, _ = samples(get(admin_server, "/metrics")[2])
    assert values['quire_rpc_duration_seconds_count{method="unknown",code="UNIMPLEMENTED"}'] == 1
    assert values['quire_rpc_duration_seconds_sum{method="unknown",code="UNIMPLEMENTED"}'] == 0


def test_openmetrics_for_whoever_asks(admin_server):
    accept = "application/openmetrics-text; version=1.0.0"
    status, headers, text = get(admin_server, "/metrics", {"Accept": accept})
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "# TYPE quire_preemptions counter\n" in text
    assert "# UNIT quire_rpc_duration_seconds seconds\n" in text


def test_only_what_a_reader_needs(admin_server):
    assert get(admin_server, "/metrics", method="POST", body="x")[0] == 405
    assert get(admin_server, "/metrics", method="PUT")[0] == 405
    assert get(admin_server, "/metrics", body="x")[0] == 400
    status, headers, text = get(admin_server, "/metrics", method="HEAD")
    assert (status, text) == (200, "") and int(headers["Content-Length"]) > 1000


def test_pages_of_others_cannot_read_it(admin_server):
    """A browser says for which host it asks, also where that name was rebound to this machine."""
    assert get(admin_server, "/metrics", {"Host": "evil.example"})[0] == 403
    assert get(admin_server, "/metrics", {"Host": "quire.example:80"})[0] == 200
    status, headers, _ = get(admin_server, "/metrics", {"Origin": "http://evil.example"})
    assert status == 200 and "Access-Control-Allow-Origin" not in headers
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_rubbish_and_half_requests_harm_nobody(admin_server):
    host, port = admin_server.admin.rsplit(":", 1)
    for bytes_ in [b"\0" * 100, b"GET", b"GET / HTTP/1.1\r\nHost: ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                   b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000]:
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            peer.sendall(bytes_)
    assert get(admin_server, "/healthz")[0] == 200


def test_many_scrapers_at_once(admin_server):
    results = []

    def scrape():
        results.append([get(admin_server, "/metrics")[0] for _ in range(5)])

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[200] * 5] * 8


def test_vllm_names_are_an_option(tmp_path):
    more = ["--admin", "127.0.0.1:0", "--metrics-compat", "vllm"]
    with RunningServer(str(tmp_path), more=more) as server:
        server.admin = server.lines.get(timeout=20)[len(ADMIN):]
        values, types = samples(get(server, "/metrics")[2])
        labels = '{model_name="default",engine="0"}'
        assert values["vllm:kv_cache_usage_perc" + labels] == 0
        assert types["vllm:num_preemptions_total"] == "counter"
        assert values["vllm:prefix_cache_queries_total" + labels] == 0


def test_the_dashboard_and_what_it_reads(admin_server):
    status, headers, page = get(admin_server, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    # Nothing from elsewhere, and everything that it names is there.
    assert "//" not in re.sub(r"<!--.*?-->", "", page)
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    for name in named:
        if not name.startswith("data:"):
            assert get(admin_server, "/" + name)[0] == 200, name
    assert json.loads(get(admin_server, "/api/pools")[2])["pools"] == [
        {"name": "default", "blocks": 64}, {"name": "other", "blocks": 8}]
    look = json.loads(get(admin_server, "/api/look?pool=other")[2])
    assert look["blocks"] == 8 and look["names"] == ["default", "other"]
    assert len(json.loads(get(admin_server, "/api/history?pool=other")[2])["t"]) >= 0
    assert json.loads(get(admin_server, "/api/block?pool=other&id=8")[2])["block"] == 8
    for path in ["/api/look?pool=none", "/api/map?pool=none", "/api/block?pool=other&id=9",
                 "/api/block?pool=other&id=x", "/api/none", "/events?pool=none"]:
        assert get(admin_server, path)[0] == 404, path


def test_events_follow_the_pool(admin_server):
    host, port = admin_server.admin.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/events?pool=other")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"

    def look():
        assert response.readline() == b"event: look\n"
        data = response.readline()
        assert response.readline() == b"\n"
        return json.loads(data.removeprefix(b"data: "))

    with grpc.insecure_channel(admin_server.tcp) as channel:
        client = Client(channel).on("other")
        before = look()
        blocks = client.allocate(2).block_ids
        after = next(l for l in iter(look, None) if l["revision"] > before["revision"])
        assert after["free"] == before["free"] - 2
        client.free(blocks)
    connection.close()


def test_a_pool_that_goes_ends_its_stream(admin_server):
    with grpc.insecure_channel(admin_server.tcp) as channel:
        client = Client(channel)
        client.create_pool("short", 4, 4)
        host, port = admin_server.admin.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        connection.request("GET", "/events?pool=short")
        response = connection.getresponse()
        client.on("short").delete_pool()
        assert response.read().endswith(b"event: gone\ndata: {}\n\n")
        connection.close()
