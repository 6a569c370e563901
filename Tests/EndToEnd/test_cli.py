"""quire, the command line, as its users run it against a server."""

import concurrent.futures
import csv
import io
import json
import os
import signal
import subprocess
import threading

import grpc
import pytest

from quire.v1 import analyzer_pb2_grpc, pools_pb2_grpc

from certificates import Authority
from quire_client import PATIENCE, eventually, q
from running_server import RunningServer


class Ended:
    def __init__(self, ended):
        self.code, self.out, self.err = ended.returncode, ended.stdout, ended.stderr

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]

    @property
    def rows(self):
        return list(csv.DictReader(io.StringIO(self.out)))


def quire(*arguments, **environment):
    ended = subprocess.run(
        [os.environ["QUIRE"], *map(str, arguments)], capture_output=True, text=True,
        timeout=PATIENCE, env={**os.environ, **environment})
    return Ended(ended)


@pytest.fixture
def ask(server):
    """Runs a command against the server, a pool's if one is given."""
    def run(command, *arguments, pool=None):
        where = ["--target", server.unix] + (["--pool", pool.pool] if pool else [])
        ended = quire(command, *arguments, *where)
        assert "\x1b" not in ended.out, "control codes in a pipe"
        return ended
    return run


@pytest.fixture
def evens(new_pool):
    """100 blocks, of which every other one of the first 50 is held by the sequence of its id."""
    pool = new_pool(100, 16, copy_ack=q.COPY_ACK_EXPLICIT)
    for block in range(1, 101):
        pool.add_and_admit(block, 16)
    pool.free_sequences(*(b for b in range(1, 101) if b > 50 or b % 2 == 0))
    return pool


def test_the_pools_of_the_server_are_listed(ask, pool):
    assert pool.pool in {line.split()[0] for line in ask("pools").lines}
    assert pool.pool in {info["name"] for info in ask("pools", "--json").objects}
    row, = [row for row in ask("pools", "--csv").rows if row["name"] == pool.pool]
    assert (row["blocks"], row["config.block_size"]) == ("16", "4")


def test_stats_in_text_json_and_csv_say_the_same(ask, evens):
    text = ask("stats", pool=evens)
    assert text.code == 0 and f"Pool '{evens.pool}'" in text.lines[0]
    assert "25.0 % held" in text.lines[2]
    stats, = ask("stats", "--json", pool=evens).objects
    assert (stats["active_blocks"], stats["available_runs"]["largest"]) == (25, 51)
    row, = ask("stats", "--csv", pool=evens).rows
    assert (row["active_blocks"], row["available_runs.largest"]) == ("25", "51")


def test_a_pool_is_watched_until_the_count_is_reached(ask, pool):
    pool.allocate(3)
    text = ask("stats", "--watch", "0.05", "--count", "3", pool=pool)
    assert (len(text.lines), text.lines[1].split()[4]) == (4, "3")
    samples = ask("stats", "--watch", "0.05", "--count", "3", "--json", pool=pool).objects
    assert [s["stats"]["active_blocks"] for s in samples] == [3, 3, 3]
    times = [s["time_ms"] for s in samples]
    assert times == sorted(times) and times[2] - times[0] < 10_000
    rows = ask("stats", "--watch", "0.05", "--count", "2", "--csv", pool=pool).rows
    assert [row["stats.active_blocks"] for row in rows] == ["3", "3"]


def test_sequences_are_listed_sorted_filtered_and_shown_one_by_one(ask, pool):
    pool.add_and_admit(5, 8)
    pool.add_and_admit(6, 20)
    pool.add(7, 4)
    ids = [s["sequence_id"] for s in ask("sequences", "--json", pool=pool).objects]
    assert sorted(ids) == [5, 6, 7]
    top = ask("sequences", "--sort", "blocks", "--limit", "1", "--csv", pool=pool).rows
    assert [row["sequence_id"] for row in top] == ["6"]
    waiting = ask("sequences", "--state", "waiting", pool=pool).lines
    assert [line.split()[:2] for line in waiting[1:]] == [["7", "waiting"]]
    one = ask("sequences", "6", pool=pool)
    assert one.lines[-1].strip() == "3-7"
    none = ask("sequences", "99", pool=pool)
    assert none.code == 3 and "99" in none.err


def test_a_thousand_and_more_sequences_come_in_pages(ask, new_pool):
    pool = new_pool(4, 16)
    for sequence_id in range(1, 1_102):
        pool.add(sequence_id, 1)
    listed = ask("sequences", "--sort", "id", "--json", pool=pool).objects
    assert [s["sequence_id"] for s in listed] == list(range(1, 1_102))


def test_a_plan_is_shown_and_changes_nothing(ask, evens):
    before = evens.get_pool().revision
    plan = ask("defrag", pool=evens)
    assert plan.code == 0
    assert "12 moves, 192 tokens to copy: longest run 51 -> 75" in plan.out
    assert evens.get_pool().revision == before
    moves, = ask("defrag", "--run", "53", "--json", pool=evens).objects
    assert [(m["source_block"], m["target_block"]) for m in moves["moves"]] == [(49, 2)]
    short = ask("defrag", "--run", "100", pool=evens)
    assert (short.code, "no moves reach the goal" in short.out) == (4, True)


def test_ordered_moves_wait_for_whoever_copies(ask, evens):
    ordered = ask("defrag", "--apply", pool=evens)
    assert ordered.code == 0 and "BlockPool.AckCopies" in ordered.out
    assert list(evens.get(49).block_ids) == [49]
    assert evens.stats().pending_copies == 12


def test_a_copying_command_gets_the_copies_and_its_success_acknowledges(ask, evens, tmp_path):
    copies = tmp_path / "copies"
    done = ask("defrag", "--apply", "--copy-with", f"cat > {copies}", pool=evens)
    assert done.code == 0 and "acknowledged 12 copies" in done.out
    first = copies.read_text().splitlines()[0].split()
    assert first == ["1", "49", "2", "16"]
    assert evens.stats(q.STATS_INCLUDE_RUNS).free_runs.largest == 75


def test_a_copying_command_that_fails_leaves_the_copies_unacknowledged(ask, evens):
    failed = ask("defrag", "--apply", "--copy-with", "exit 7", pool=evens)
    assert failed.code == 4 and "ended with 7" in failed.err
    assert evens.stats().pending_copies == 12
    killed = ask("defrag", "--run", "2", pool=evens)
    assert killed.code == 0


def test_where_a_step_acknowledges_nobody_is_caught_unawares(ask, new_pool):
    pool = new_pool(8, 4)
    for sequence_id in (1, 2, 3):
        pool.add_and_admit(sequence_id, 4)
    pool.free_sequences(1)
    refused = ask("defrag", "--apply", pool=pool)
    assert refused.code == 1 and "give --acknowledge or --force" in refused.err
    assert pool.stats().pending_copies == 0
    assert "acknowledged" in ask("defrag", "--apply", "--acknowledge", pool=pool).out


def test_where_a_step_acknowledges_no_command_copies_unless_forced(ask, new_pool, tmp_path):
    pool = new_pool(8, 4)
    for sequence_id in (1, 2, 3):
        pool.add_and_admit(sequence_id, 4)
    pool.free_sequences(1)
    started = tmp_path / "started"
    copying = ["defrag", "--apply", "--copy-with", f"touch {started}"]
    refused = ask(*copying, pool=pool)
    assert refused.code == 1 and "NEXT_STEP" in refused.err
    assert "give --acknowledge or --force" in refused.err
    assert (started.exists(), pool.stats().pending_copies) == (False, 0)
    forced = ask(*copying, "--force", pool=pool)
    assert (forced.code, started.exists()) == (0, True)


def test_the_watch_acts_when_the_server_advises_it_and_not_before(ask, evens):
    calm = ask("defrag", "--watch", "0.05", "--count", "2", "--apply", pool=evens)
    assert [line.endswith("not advised") for line in calm.lines] == [True, True]
    evens.allocate(40)
    acted = ask(
        "defrag", "--watch", "0.05", "--count", "3", "--apply", "--acknowledge", pool=evens)
    assert acted.code == 0 and acted.out.count("acknowledged") == 1
    assert not evens.stats(q.STATS_INCLUDE_RUNS).defragment_advised


def test_a_watch_in_csv_has_a_header_whether_or_not_a_row_follows(ask, evens):
    watch = ["defrag", "--watch", "0.05", "--count", "2", "--csv"]
    calm = ask(*watch, pool=evens)
    assert (calm.code, len(calm.lines)) == (0, 1) and "moves" in calm.lines[0].split(",")
    assert "copies" in ask(*watch, "--apply", pool=evens).lines[0].split(",")
    evens.allocate(40)
    advised = ask(*watch, pool=evens)
    assert len(advised.lines) == 3 and all(row["moves"] for row in advised.rows)


class Moving(pools_pb2_grpc.PoolsServicer, analyzer_pb2_grpc.AnalyzerServicer):
    """Plays a pool that changes between the first plan and its order: the second plan is another one,
    and reaches the goal or not as `sufficient` says."""

    def __init__(self, sufficient):
        self.sufficient = sufficient
        self.plans = 0

    def GetStats(self, request, context):
        return q.Stats(capacity_blocks=100)

    def GetPool(self, request, context):
        return q.PoolInfo(config=q.PoolConfig(copy_ack=q.COPY_ACK_EXPLICIT))

    def PlanDefragment(self, request, context):
        self.plans += 1
        move = q.BlockMove(source_block=90 + self.plans, target_block=self.plans, tokens=16)
        return q.DefragmentPlan(
            revision=self.plans, moves=[move],
            sufficient=self.sufficient if self.plans == 2 else not self.sufficient)

    def ApplyDefragment(self, request, context):
        if request.plan.revision == 1:
            context.set_trailing_metadata([("quire-reason", "REVISION_MOVED")])
            context.abort(grpc.StatusCode.ABORTED, "the pool is at revision 2")
        return q.ApplyDefragmentReply(revision=2, copies=[q.CopyOrder(copy_id=1)])


@pytest.mark.parametrize("sufficient, code", [(True, 0), (False, 4)])
def test_the_plan_that_was_applied_is_the_one_that_is_told_and_judged(sufficient, code):
    played = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    servicer = Moving(sufficient)
    pools_pb2_grpc.add_PoolsServicer_to_server(servicer, played)
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(servicer, played)
    port = played.add_insecure_port("127.0.0.1:0")
    played.start()
    try:
        ended = quire("defrag", "--run", 9, "--apply", "--target", f"127.0.0.1:{port}")
    finally:
        played.stop(None)
    assert (ended.code, servicer.plans) == (code, 2), ended.err
    assert [line.split() for line in ended.lines if line.startswith("    ")] == [
        ["92", "2", "16", "0"]]


def test_health_ends_with_what_it_found(ask):
    assert (ask("health").code, ask("health").out) == (0, "SERVING\n")
    assert ask("health", "quire.v1.Pools").code == 0
    unknown = ask("health", "nobody.Knows")
    assert (unknown.code, unknown.out) == (4, "NOT_FOUND\n")


def test_what_is_wrong_is_said_in_words_and_by_the_exit_code(ask, server, pool):
    unknown = quire("stats", "--target", server.unix, "--pool", "defualt")
    assert unknown.code == 3
    assert 'there is no pool "defualt"' in unknown.err and "did you mean default?" in unknown.err
    nobody = quire("stats", "--target", "127.0.0.1:1")
    assert (nobody.code, nobody.out) == (2, "") and "connection refused" in nobody.err
    assert quire("stats", "--target", "nonsense").code == 1
    wrong = quire("stats", "--jsno")
    assert wrong.code == 1 and "did you mean --json?" in wrong.err
    assert quire("stats", QUIRE_TARGET=server.unix, QUIRE_POOL=pool.pool).code == 0


def test_a_reader_that_has_seen_enough_is_no_error(server, pool):
    command = [os.environ["QUIRE"], "stats", "--watch", "0.05", "--target", server.unix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(PATIENCE) == 1


def test_over_mutual_tls(tmp_path):
    authority = Authority(tmp_path, "root")
    certificate, key = authority.sign("server")
    shown, shown_key = authority.sign("client")
    tls = ["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", authority.certificate]
    with RunningServer(tmp_path, more=tls) as server:
        known = ["health", "--target", server.tcp, "--tls-ca", authority.certificate]
        trusted = quire(*known, "--tls-cert", shown, "--tls-key", shown_key)
        assert (trusted.code, trusted.out) == (0, "SERVING\n")
        assert quire(*known).code == 2
        assert quire("health", "--target", server.tcp).code == 2
        assert quire("health", "--target", server.tcp, "--tls-ca", "/no/such").code == 1


def test_the_calculator_needs_no_server(tmp_path):
    fits, = quire(
        "size", "--model", "llama-2-7b", "--kv-bytes", "60GiB", "--json").objects
    assert (fits["blocks"], fits["token_bytes"]) == (6912, 524288)
    trace = tmp_path / "trace.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,17,1\n")
    rows = quire("size", "--trace", trace, "--csv").rows
    assert [row["wasted_slots"] for row in rows if row["block_size"] == "16"] == ["15"]
    broken = quire("size", "--trace", tmp_path / "none")
    assert broken.code == 1 and "cannot be opened" in broken.err


def test_top_in_a_pipe_is_one_plain_look(ask, pool):
    pool.add_and_admit(71, 12)
    once = ask("top", pool=pool)
    assert once.code == 0 and once.out.count("quire top") == 1
    assert any(line.split()[:2] == ["71", "running"] for line in once.lines)
    twice = ask("top", "--count", "2", "--interval", "0.125", pool=pool)
    assert twice.out.count("quire top") == 2
    samples = ask("top", "--count", "2", "--interval", "0.125", "--json", pool=pool).objects
    assert [s["stats"]["active_blocks"] for s in samples] == [3, 3]


def test_a_trace_for_perfetto_has_counters_and_the_phases_of_sequences(ask, pool, tmp_path):
    path = tmp_path / "trace.json"
    pool.add_and_admit(71, 12)
    pool.add(72, 4)
    ended = ask(
        "stats", "--watch", "0.05", "--count", "3", "--perfetto", path, pool=pool)
    assert ended.code == 0
    events = json.loads(path.read_text())
    assert {event["ph"] for event in events} == {"M", "C", "X"}
    used = [e["args"]["used"] for e in events if e["name"] == "blocks"]
    assert used == [3, 3, 3]
    phases = {(e["args"]["sequence"], e["name"]) for e in events if e["ph"] == "X"}
    assert phases == {("71", "running"), ("72", "waiting")}
    assert ask("stats", "--watch", "1", "--perfetto", "/no/such/file", pool=pool).code == 1


def test_a_watch_that_is_stopped_leaves_a_whole_file(server, pool, tmp_path):
    path = tmp_path / "trace.json"
    pool.add_and_admit(71, 12)
    command = [
        os.environ["QUIRE"], "stats", "--watch", "0.05", "--perfetto", path,
        "--target", server.unix, "--pool", pool.pool]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        for _ in range(4):
            running.stdout.readline()
        json.loads(path.read_text())
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.wait(PATIENCE) == 0
    assert [e["name"] for e in json.loads(path.read_text()) if e["ph"] == "X"] == ["running"]


def test_events_are_told_from_a_batch_on(ask, new_pool):
    pool = new_pool(blocks=4)
    subscribed = pool.Events.SubscribeKvEvents(
        q.SubscribeKvEventsRequest(call=pool.call()), timeout=PATIENCE)
    epoch = next(subscribed).epoch
    subscribed.cancel()
    pool.allocate(2)
    pool.cache_blocks([1, 2], bytes([1]) * 32 + bytes([2]) * 32)
    pool.free([1, 2])
    pool.allocate(4)
    text = ask("events", "--from", "1", "--count", "2", pool=pool)
    assert text.code == 0
    assert "stored" in text.lines[0] and "blocks 1-2  010101010101 020202020202" in text.lines[0]
    assert "removed" in text.lines[1] and text.lines[1].endswith("by allocation")
    first, second = ask("events", "--from", "1", "--count", "2", "--json", pool=pool).objects
    assert first["events"][0]["stored"]["block_ids"] == [1, 2]
    assert (second["epoch"], second["sequence_number"]) == (epoch, 2)
    rows = ask("events", "--from", "1", "--epoch", epoch, "--count", "1", "--csv", pool=pool).rows
    assert [(row["kind"], row["block_ids"]) for row in rows] == [("stored", "1;2")]
    gone = ask("events", "--from", "99", "--count", "1", pool=pool)
    assert gone.code == 3 and str(epoch) in gone.err


def test_events_are_told_as_they_happen_forks_among_them(server, pool):
    pool.add_and_admit(7, 6)
    command = [
        os.environ["QUIRE"], "events", "--all", "--json", "--count", "1", "--target", server.unix,
        "--pool", pool.pool]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        # It is there when what is forked is told: each try forks once more.
        children = iter(range(8, 1_000))
        told = threading.Thread(target=running.stdout.read)
        told.start()
        while told.is_alive():
            pool.fork(7, [next(children)])
            told.join(0.05)
        assert running.wait(PATIENCE) == 0


def test_the_map_draws_what_is_where(ask, new_pool):
    pool = new_pool(blocks=40, block_size=4)
    pool.add_and_admit(71, 10)
    pool.add_and_admit(72, 8)
    pool.fork(72, [73])
    drawn = ask("map", "--columns", "10", pool=pool)
    assert drawn.lines[1:] == [
        "  1 aaAss.....", " 11 ..........", " 21 ..........", " 31 ..........",
        ". free  a active  s shared  capitals: partly filled"]
    marked = ask("map", "--columns", "5", "--blocks", "5", "--sequence", "71", pool=pool)
    assert marked.lines[1].strip() == "1 ###ss"
    rows = ask("map", "--csv", pool=pool).rows
    assert [(r["first_block"], r["blocks"], r["state"], r["partial"]) for r in rows] == [
        ("1", "2", "active", "false"), ("3", "1", "active", "true"),
        ("4", "2", "shared", "false"), ("6", "35", "free", "false")]
    assert sum(run["cells"] for run in ask("map", "--json", pool=pool).objects[0]["runs"]) == 40
    cells, = ask("map", "--per-cell", "10", "--json", pool=pool).objects
    assert sum(run["cells"] for run in cells["runs"]) == 4
    assert ask("map", "--first", "41", pool=pool).code == 1
    assert ask("map", "--sequence", "9", pool=pool).code == 3


def test_what_the_server_recorded_is_told_and_exported(ask, pool, tmp_path):
    pool.allocate(3)

    def recorded():
        samples = ask("stats", "--history", "--json", pool=pool).objects
        return [s for s in samples if s["stats"]["active_blocks"] == 3]

    eventually(recorded)
    rows = ask("stats", "--history", "--since", "600", pool=pool).lines
    assert rows[0].split()[0] == "time" and rows[-1].split()[4] == "3"
    path = tmp_path / "history.json"
    assert ask("stats", "--history", "--perfetto", path, "--csv", pool=pool).rows
    assert {event["ph"] for event in json.loads(path.read_text())} == {"M", "C"}


def test_detail_tells_runs_costs_and_what_would_fit(ask, evens):
    told = ask("stats", "--detail", "--probe", "51,52", "--orphans", pool=evens)
    assert told.code == 0
    assert "  51 blocks: yes" in told.lines and "  52 blocks: no" in told.lines
    words = [line.split() for line in told.lines]
    assert any(w[:2] == ["1", "24"] for w in words), told.out  # 2, 4 ... 48; 50 begins the long run
    assert any(w[0] == "32-63" and w[1] == "1" for w in words if w)
    snapshot, = ask("stats", "--detail", "--json", pool=evens).objects
    assert snapshot["free_run_histogram"] == [24, 0, 0, 0, 0, 1]
    assert len(snapshot["sequences"]) == 10


def test_peaks_start_again(ask, pool):
    pool.free(pool.allocate(9).block_ids)
    assert ask("stats", "--json", pool=pool).objects[0]["high_watermark_blocks"] == 9
    again = ask("stats", "--reset-peaks", "--json", pool=pool).objects[0]
    assert again["high_watermark_blocks"] == 0


@pytest.fixture
def remembered(new_pool):
    """4 blocks of 4 tokens, whose history is kept; sequence 1 left its tokens 1 to 8 in the cache."""
    pool = new_pool(4, 4)
    pool.Analyzer.ExplainBlock(
        q.ExplainBlockRequest(call=pool.call(), block_id=1), timeout=PATIENCE)
    add = q.Add(sequence_id=1, content=q.Content(token_ids=range(1, 9)),
                options=q.SequenceOptions(cache_salt="s"))
    admit = q.AdmitRequest(call=pool.call(), admit=q.Admit(add=add))
    pool.Sequences.Admit(admit, timeout=PATIENCE)
    pool.free_sequences(1)
    return pool


def test_a_block_is_explained_with_the_conclusion_first(ask, remembered):
    cached, = [block for block in range(1, 5)
               if "allocated" in ask("explain", "block", block, pool=remembered).out][:1]
    told = ask("explain", "block", cached, pool=remembered)
    assert told.code == 0
    assert told.lines[0].startswith(
        f"Block {cached} is cached, without a reference; last it was freed at revision 2, ")
    reply, = ask("explain", "block", cached, "--json", pool=remembered).objects
    assert [i["kind"].removeprefix("BLOCK_INCIDENT_KIND_") for i in reply["incidents"]] == [
        "ALLOCATED", "CACHED", "FREED"]
    rows = ask("explain", "block", cached, "--incidents", "1", "--csv", pool=remembered).rows
    assert [(row["kind"], row["sequence_id"]) for row in rows] == [("freed", "1")]
    none = ask("explain", "block", "5", pool=remembered)
    assert none.code == 3 and "the blocks are 1 to 4" in none.err


def test_a_prefix_is_explained_by_tokens_a_file_and_a_sequence(ask, remembered, tmp_path):
    tokens = "1,2,3,4,5,6,7,8,9"
    hit = ask("explain", "prefix", "--tokens", tokens, "--salt", "s", pool=remembered)
    assert hit.code == 0 and hit.lines[0].startswith("8 of 9 tokens are used from the cache.")
    assert "Cached  2 of 2 full blocks" in hit.lines
    unsalted = ask("explain", "prefix", "--tokens", tokens, pool=remembered)
    assert unsalted.lines[0].startswith("0 of 9 tokens are used")
    file = tmp_path / "prompt.json"
    file.write_text("[1, 2, 3, 4,\n 5, 6, 7, 8, 9]\n")
    by_file = ["explain", "prefix", "--tokens-file", file]
    reply, = ask(*by_file, "--salt", "s", "--json", pool=remembered).objects
    assert (reply["cached_tokens"], reply["end"]) == (8, "LOOKUP_END_COMPLETE")
    rows = ask(*by_file, "--csv", pool=remembered).rows
    assert [(row["block_index"], row["block_id"]) for row in rows] == [("0", "0")]
    file.write_text("[1, 2.5]")
    broken = ask(*by_file, pool=remembered)
    assert broken.code == 1 and "prompt.json:1: expected token ids" in broken.err
    remembered.add(5, 9)
    assert ask("explain", "prefix", "--sequence", "5", pool=remembered).code == 0
    assert ask("explain", "prefix", "--sequence", "6", pool=remembered).code == 3
