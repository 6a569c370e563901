"""The Grafana dashboard and the alert rules, as far as they can be checked without Grafana and Prometheus."""

import json
import os
import re

from test_admin import admin_server, get, samples  # noqa: F401

DOCKER = os.path.join(os.path.dirname(__file__), "..", "..", "docker")


def board():
    with open(os.path.join(DOCKER, "grafana", "quire.json")) as file:
        return json.load(file)


def expressions():
    return [t["expr"] for p in board()["panels"] for t in p.get("targets", [])]


def rules():
    with open(os.path.join(DOCKER, "prometheus", "rules.yml")) as file:
        return file.read()


def metric_names(text):
    return set(re.findall(r"\b(?:quire|process)_[a-z0-9_]+\b", text))


def exported(server):
    """Names as PromQL has them."""
    _, types = samples(get(server, "/metrics")[2])
    names = set(types)
    for name, kind in types.items():
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    panels = board()["panels"]
    ids = [p["id"] for p in panels]
    assert len(set(ids)) == len(ids)
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_every_panel_asks_something_and_uses_the_variables():
    for panel in board()["panels"]:
        if panel["type"] == "row":
            continue
        references = [t["refId"] for t in panel["targets"]]
        assert references and len(set(references)) == len(references), panel["title"]
        for target in panel["targets"]:
            assert "$instance" in target["expr"], target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")"), target["expr"]
            assert target["expr"].count("{") == target["expr"].count("}"), target["expr"]


def test_every_metric_of_the_dashboard_exists(admin_server):
    asked = set().union(*map(metric_names, expressions()))
    assert len(asked) > 20
    assert asked <= exported(admin_server), asked - exported(admin_server)


def test_every_metric_of_the_rules_exists(admin_server):
    lines = re.sub(r"#.*", "", rules())
    asked = {n for n in metric_names(lines) if not n.startswith("quire_rpc_p99")}
    assert len(asked) > 5
    assert asked <= exported(admin_server), asked - exported(admin_server)


def test_every_alert_is_tested():
    with open(os.path.join(DOCKER, "prometheus", "rules.test.yml")) as file:
        tests = file.read()
    alerts = re.findall(r"- alert: (\w+)", rules())
    assert len(alerts) > 5
    for alert in alerts:
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", tests), alert
