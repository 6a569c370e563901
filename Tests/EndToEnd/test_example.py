"""The scheduler that users copy, as they would run it."""

import os
import re
import subprocess
import sys

import grpc
import pytest

from quire_client import Client, q
from running_server import RunningServer

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
EXAMPLE = os.path.join(ROOT, "clients/examples/python/scheduler.py")


@pytest.mark.parametrize("blocks, preempts", [(4096, False), (256, True)])
def test_all_requests_finish_and_no_block_stays_held(tmp_path, blocks, preempts):
    pools = [f"default:blocks={blocks},block-size=16"]
    with RunningServer(tmp_path, pools) as server:
        environment = os.environ | {"PYTHONPATH": os.environ["STUBS"]}
        ended = subprocess.run(
            [sys.executable, "-B", EXAMPLE, server.tcp],
            env=environment, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        print(ended.stdout)
        finished = re.search(r"^finished: (\d+) steps, (\d+) preemptions$", ended.stdout, re.M)
        assert (int(finished[2]) > 0) == preempts
        with grpc.insecure_channel(server.tcp) as channel:
            client = Client(channel)
            stats = client.stats()
            assert stats.free_blocks == stats.capacity_blocks == blocks
            assert stats.preemptions == int(finished[2])
            assert not client.list().sequences
            # 200 requests, each completed once.
            assert stats.running_sequences + stats.waiting_sequences == 0
            assert not [r for r in stats.refusals if r.reason != q.REFUSAL_REASON_LATER
                        and r.reason != q.REFUSAL_REASON_NOT_ATTEMPTED]


def test_the_python_of_the_readme_runs_as_it_stands(tmp_path):
    with open(os.path.join(ROOT, "README.md")) as readme:
        snippets = re.findall(r"^```python\n(.*?)^```", readme.read(), re.M | re.S)
    assert len(snippets) == 1 and '"127.0.0.1:8765"' in snippets[0]
    with RunningServer(tmp_path) as server:
        ended = subprocess.run(
            [sys.executable, "-B", "-c", snippets[0].replace("127.0.0.1:8765", server.tcp)],
            env=os.environ | {"PYTHONPATH": os.environ["STUBS"]},
            capture_output=True, text=True, timeout=60)
        # Nothing runs yet; 80 tokens are five blocks, from the first.
        assert (ended.returncode, ended.stdout) == (0, "[1, 2, 3, 4, 5]\n"), ended.stderr
