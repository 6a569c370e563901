import os

import grpc
import pytest
from selenium import webdriver

from quire_client import Client, q
from running_server import RunningServer

POOLS = [
    "default:blocks=4096,block-size=16",
    "empty:blocks=4096,block-size=16",
    "full:blocks=512,block-size=16",
    "checkerboard:blocks=1024,block-size=16,prefix-caching=off",
    "runs:blocks=256,block-size=16,strategy=buddy,prefix-caching=off",
    "ahead:blocks=256,block-size=16",
    "large:blocks=1000000,block-size=16",
]
ADMIN = "quired: admin listening on "


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("browser"))
    with RunningServer(directory, POOLS, ["--admin", "127.0.0.1:0"]) as server:
        server.admin = server.lines.get(timeout=20)[len(ADMIN):]
        with grpc.insecure_channel(server.tcp) as channel:
            server.client = Client(channel)
            fill(server.client)
            yield server


def fill(client):
    """Pools in the states that people meet."""
    default = client.on("default")
    # A prompt that forty share, each with an answer of its own length.
    prompt = list(range(512))
    for i in range(1, 41):
        tokens = prompt + [1000 * i + k for k in range(200 + 37 * i % 400)]
        new = q.Add(sequence_id=i, content=q.Content(token_ids=tokens))
        new.options.label = f"chat-{i}"
        default.Sequences.Add(q.AddRequest(call=default.call(), add=new))
        default.admit(i)
    for i in range(3, 41, 4):
        default.free_sequences(i)
    default.fork(1, [101, 102])
    default.add(200, 900)

    full = client.on("full")
    for i in range(1, 17):
        full.add(i, 500, label=f"job-{i}")
        full.admit(i)
    for i in (15, 16):
        full.preempt(i)
    for i in range(1, 15):
        try:
            full.extend(i, append=70)
        except grpc.RpcError:
            pass
    full.add(99, 100)

    board = client.on("checkerboard")
    ids = sorted(board.allocate(1024).block_ids)
    board.free(ids[::2])

    runs = client.on("runs")
    first = runs.allocate(64).block_ids
    held = [runs.allocate(1).block_ids for _ in range(192)]
    runs.free(first)
    runs.free([block for one in held[::2] for block in one])
    for count in (96, 80):
        try:
            runs.allocate(count)
        except grpc.RpcError:
            pass

    # Slots for drafts: two whole blocks behind the tokens of each.
    ahead = client.on("ahead")
    for i in (1, 2):
        ahead.add(i, 40)
        ahead.Sequences.Admit(q.AdmitRequest(
            call=ahead.call(), admit=q.Admit(sequence_id=i, lookahead_tokens=35)))

    large = client.on("large")
    got = []
    for _ in range(12):
        got.append(large.allocate(50_000).block_ids)
    large.free(got[3])
    large.free(got[7][::3])
    large.fork_blocks(got[1][:20_000])


@pytest.fixture(scope="session")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # No sandbox: these tests run as root in containers, and look at our own page only.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1440,1500", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


def picture(driver, name):
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        driver.save_screenshot(os.path.join(folder, name + ".png"))
