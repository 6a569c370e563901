"""A real Prometheus scrapes a real server; promtool checks what it can. Only with QUIRE_PROMETHEUS=1."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import grpc
import pytest

from quire_client import Client
from running_server import RunningServer
from test_admin import ADMIN, get
from test_grafana import DOCKER, board

if not os.environ.get("QUIRE_PROMETHEUS"):
    pytest.skip("needs Debian's prometheus: make monitoring", allow_module_level=True)


def promtool(*arguments, stdin=None, cwd=None):
    result = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, cwd=cwd, timeout=60)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def busy_server(tmp_path_factory):
    """A server with something to tell: allocations, forks, refusals, sequences, preemptions."""
    directory = str(tmp_path_factory.mktemp("busy"))
    pools = ["default:blocks=64,block-size=16,host-blocks=8"]
    with RunningServer(
            directory, pools, ["--admin", "127.0.0.1:0", "--lifetime-sample", "1"]) as server:
        server.admin = server.lines.get(timeout=20)[len(ADMIN):]
        with grpc.insecure_channel(server.tcp) as channel:
            server.client = Client(channel)
            work(server.client)
            yield server


def work(client):
    blocks = client.allocate(10).block_ids
    client.free(blocks[::2])
    with pytest.raises(grpc.RpcError):
        client.allocate(500)
    with pytest.raises(grpc.RpcError):
        client.allocate(64)
    client.free(blocks[1::2])


def test_promtool_finds_nothing_to_say_of_the_metrics(busy_server):
    _, _, text = get(busy_server, "/metrics")
    said = promtool("check", "metrics", stdin=text)
    assert said.strip() == "", said


def test_rules_and_their_tests():
    folder = os.path.join(DOCKER, "prometheus")
    promtool("check", "config", "prometheus.yml", cwd=folder)
    promtool("check", "rules", "--lint-fatal", "rules.yml", cwd=folder)
    promtool("test", "rules", "rules.test.yml", cwd=folder)


@pytest.fixture(scope="module")
def prometheus(busy_server, tmp_path_factory):
    """Scrapes the server every second; the address of its API."""
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    rules = os.path.abspath(os.path.join(DOCKER, "prometheus", "rules.yml"))
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{json.dumps(rules)}]\n"
        "scrape_configs:\n- job_name: quire\n  static_configs: [{targets: ["
        f"{json.dumps(busy_server.admin)}]}}]\n")
    log = open(folder / "log", "w")
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        ended = time.monotonic() + 60
        # Rates need two scrapes with something in between.
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < ended, (folder / "log").read_text()
            try:
                found = ask(address, "count_over_time(up{job='quire'}[1m])")
            except OSError:
                found = []
            if found and float(found[0]["value"][1]) >= 4:
                break
            work(busy_server.client)
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def ask(address, expression):
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}", timeout=20) as reply:
        answer = json.load(reply)
    assert answer["status"] == "success", expression
    return answer["data"]["result"]


def test_it_scrapes_openmetrics_without_an_error(prometheus):
    with urllib.request.urlopen(f"http://{prometheus}/api/v1/targets", timeout=20) as reply:
        target, = json.load(reply)["data"]["activeTargets"]
    assert target["health"] == "up", target["lastError"]
    assert ask(prometheus, "up{job='quire'}")[0]["value"][1] == "1"
    # Units and help come only with OpenMetrics.
    with urllib.request.urlopen(f"http://{prometheus}/api/v1/metadata", timeout=20) as reply:
        metadata = json.load(reply)["data"]
    assert metadata["quire_rpc_duration_seconds"][0]["unit"] == "seconds"
    assert metadata["quire_preemptions"][0]["type"] == "counter"


# Empty where nothing of the kind happened.
MAY_BE_EMPTY = re.compile(r"cut_offs_total|prefix_cache_hits_tokens_total|zmq")


def expressions():
    return [
        pytest.param(t["expr"], id=f"{p['title']}-{t['refId']}")
        for p in board()["panels"] for t in p.get("targets", [])
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_of_the_dashboard_runs(prometheus, expression):
    expression = expression.replace("$pool", ".*").replace("$instance", ".*")
    result = ask(prometheus, expression)
    assert result or MAY_BE_EMPTY.search(expression), expression


def test_the_rules_are_loaded_and_healthy(prometheus):
    with urllib.request.urlopen(f"http://{prometheus}/api/v1/rules", timeout=20) as reply:
        group, = json.load(reply)["data"]["groups"]
    assert len(group["rules"]) > 5
    for rule in group["rules"]:
        assert rule["health"] in ("ok", "unknown"), rule
