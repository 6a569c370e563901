"""The report of a pool, by RPC and by the command line."""

import csv
import html.parser
import io
import json
import re
import xml.etree.ElementTree

import grpc
import pytest

from quire_client import Client, PATIENCE, eventually, q
from running_server import RunningServer
from test_cli import quire

HOSTILE = "<script>alert('1')</script> & \"two\", three"


def report(pool, form, **more):
    return pool.Analyzer.GetReport(
        q.GetReportRequest(call=pool.call(), format=form, **more), timeout=PATIENCE)


@pytest.fixture
def seventeen(new_pool):
    """Ten sequences of 17 tokens in blocks of 16, of two owners."""
    pool = new_pool(64, 16)
    for sequence in range(1, 11):
        pool.add(sequence, 17, label=HOSTILE if sequence < 9 else "chat")
        pool.admit(sequence)
    return pool


def check_page(page):
    """Well-formed, without a script and without anything from elsewhere."""
    root = xml.etree.ElementTree.fromstring(page)
    for element in root.iter():
        assert element.tag not in ("script", "link", "img", "iframe", "object", "use", "image")
        for name, value in element.attrib.items():
            assert not name.startswith("on") and not name.endswith(("href", "src")), name
            assert "//" not in value and "javascript" not in value, value
    for reference in re.findall(r"url\(([^)]*)\)", page):
        assert re.fullmatch("#s[0-5]", reference)
    # HTML closes by other rules than XML.
    html.parser.HTMLParser().feed(page)
    return root


def text_of(root):
    return " ".join("".join(root.itertext()).split())


def test_every_format_comes_with_its_type_and_the_revision(seventeen):
    revision = seventeen.get_pool().revision
    text = report(seventeen, q.REPORT_FORMAT_TEXT)
    assert (text.content_type, text.revision) == ("text/plain; charset=utf-8", revision)
    assert b"smaller_blocks" in text.content
    assert report(seventeen, q.REPORT_FORMAT_UNSPECIFIED).content_type == text.content_type

    told = json.loads(report(seventeen, q.REPORT_FORMAT_JSON).content)
    assert told["lengths"]["mean_tail_slots"] == 15
    assert [a["rule"] for a in told["advice"] if a["given"]] == ["smaller_blocks"]
    assert HOSTILE in [owner["label"] for owner in told["owners"]]

    rows = list(csv.DictReader(io.StringIO(report(seventeen, q.REPORT_FORMAT_CSV).content.decode())))
    assert {(row["item"], row["value"]) for row in rows
            if (row["section"], row["measure"]) == ("owner", "blocks")} == {(HOSTILE, "16"), ("chat", "4")}

    page = report(seventeen, q.REPORT_FORMAT_HTML)
    assert page.content_type == "text/html; charset=utf-8"
    root = check_page(page.content.decode())
    words = text_of(root)
    assert "blocks of 8 would hold 33.3 % more" in words
    assert words.count("efusals caused by fragmentation: 0") >= 3
    assert HOSTILE in words


def test_a_report_of_a_pool_that_is_not_sampled_says_so(tmp_path):
    with RunningServer(str(tmp_path)) as server, grpc.insecure_channel(server.tcp) as channel:
        pool = Client(channel)
        pool.allocate(3)
        words = " ".join(report(pool, q.REPORT_FORMAT_TEXT).content.decode().split())
        assert "3 active" in words
        assert "the pool is not sampled. Start quired with --sample-interval 1s" in words
        root = check_page(report(pool, q.REPORT_FORMAT_HTML).content.decode())
        assert "there is no history" in text_of(root)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    with RunningServer(
            str(tmp_path_factory.mktemp("report")), ["default:blocks=1000000,block-size=16", "small:blocks=64,block-size=16"],
            ["--sample-interval", "10ms", "--block-history", "on", "--lifetime-sample", "1"]) as server, \
            grpc.insecure_channel(server.tcp) as channel:
        server.client = Client(channel)
        yield server


def test_what_was_sampled_is_in_the_report(sampled):
    pool = sampled.client.on("small")
    for round in range(3):
        pool.add_and_admit(round + 1, 100)
        pool.preempt(round + 1)
    def told_now():
        return json.loads(report(pool, q.REPORT_FORMAT_JSON).content)
    # Looks within a second are one sample.
    eventually(lambda: len(told_now()["history"]) >= 2)
    told = told_now()
    assert told["window"]["interval_ms"] == 10
    assert told["history"][-1]["preemptions"] == 3
    assert told["block_life"]["sampled_one_in"] == 1
    assert {r["verdict"] for r in told["relations"]} == {"too_short"}
    late = json.loads(report(pool, q.REPORT_FORMAT_JSON, since_ms=told["time_ms"]).content)
    assert late["window"]["from_ms"] >= told["time_ms"]
    root = check_page(report(pool, q.REPORT_FORMAT_HTML).content.decode())
    assert "Fragmentation over time" in text_of(root)


def test_a_page_of_a_million_blocks_is_under_a_megabyte(sampled):
    pool = sampled.client.on("default")
    got = [pool.allocate(50_000).block_ids for _ in range(12)]
    pool.free(got[3])
    pool.free(got[7][::3])
    page = report(pool, q.REPORT_FORMAT_HTML).content
    assert len(page) < 1_000_000
    assert "A cell is 977 blocks" in text_of(check_page(page.decode()))
    # The first line of 64 cells is in use, which is one rectangle.
    assert b"<title>blocks 1 to 62,528: 100 % active</title>" in page


def test_the_command_line_prints_and_saves_it(server, seventeen, tmp_path):
    where = ["--target", server.unix, "--pool", seventeen.pool]
    text = quire("report", *where)
    assert text.code == 0 and "\x1b" not in text.out
    assert text.lines[0].startswith(f"Report on pool '{seventeen.pool}'")
    for way in (["--json"], ["--format", "json"]):
        told, = quire("report", *way, *where).objects
        assert told["pool"] == seventeen.pool
    assert {row["section"] for row in quire("report", "--csv", *where).rows} >= {
        "pool", "blocks", "external", "internal", "advice", "what_if", "owner"}
    file = tmp_path / "report.html"
    saved = quire("report", "--html", file, *where)
    assert (saved.code, saved.out) == (0, "")
    check_page(file.read_text())
    both = quire("report", "--html", file, "--json", *where)
    assert both.objects[0]["pool"] == seventeen.pool
    check_page(quire("report", "--html", "-", *where).out)


def test_what_the_command_line_cannot_do_is_said(server, seventeen, tmp_path):
    where = ["--target", server.unix]
    two = quire("report", "--format", "csv", "--json", *where)
    assert two.code == 1 and "--format csv and --json are two things; give one" in two.err
    nowhere = quire("report", "--html", tmp_path / "no" / "file", "--pool", seventeen.pool, *where)
    assert nowhere.code == 1 and "No such file or directory" in nowhere.err
    none = quire("report", "--pool", "nobody", *where)
    assert none.code == 3 and "there is no pool \"nobody\"" in none.err
