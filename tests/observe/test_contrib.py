"""The dashboard, the alerts and the scaler ask for metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from measured import Measured, one_delivered
from repository import ROOT

from scheduler.observe.labels import CODES, OUTCOMES

CONTRIB = ROOT / "contrib"
LABELS = {
    "job", "instance", "le",  # Prometheus' own
    "pair", "outcome", "code", "reason", "stage", "state", "status", "peer",
}  # fmt: skip


def known_names() -> set[str]:
    """Every series that a scheduler may show."""
    stage = Measured()
    stage.submit()
    one_delivered(stage)
    assert stage.metrics is not None
    names: set[str] = {"up"}
    for family in stage.metrics.registry.collect():
        names.add(family.name)
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ())}
    return names


def dashboard() -> dict[str, Any]:
    text = (CONTRIB / "grafana" / "lingua-scheduler.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]
    for file in ("prometheus/alerts.yml", "keda/scaledobject.yaml"):
        yield file, (CONTRIB / file).read_text(encoding="utf-8")


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_what_is_asked_for_exists(where: str, text: str) -> None:
    """Each name of ours in an expression is a metric, and each label one that we have."""
    names = set(re.findall(r"\b(?:lingua_scheduler|process)_[a-z_]+\b", text))
    assert names
    assert names <= known_names()
    labels = set(re.findall(r'(\w+)\s*(?:=~|!=|=)\s*"', text))
    assert labels <= LABELS, where


def test_what_labels_are_compared_with_exists() -> None:
    """Each value that an expression wants of a label is one that the label may have."""
    values = {"outcome": OUTCOMES, "code": CODES, "reason": {"age", "retention", "session_ended"}}
    wanted = [
        (label, value)
        for _, text in expressions()
        for label, pattern in re.findall(r'(outcome|code|reason)(?:=~|!=|=)"([^"]*)"', text)
        for value in pattern.split("|")
    ]
    assert {label for label, _ in wanted} == {"outcome", "code", "reason"}
    assert [(label, value) for label, value in wanted if value not in values[label]] == []


def test_every_alert_is_tested_to_be_raised_and_to_be_silent() -> None:
    """alerts_test.yml has for each alert a case in which it fires, and one in which it does not."""
    alerts = set(re.findall(r"- alert: (\w+)", (CONTRIB / "prometheus/alerts.yml").read_text()))
    cases = (CONTRIB / "prometheus/alerts_test.yml").read_text()
    outcomes = re.findall(r"alertname: (\w+),?\s+exp_alerts:( \[\])?", cases)
    assert {name for name, silent in outcomes if silent} == alerts
    assert {name for name, silent in outcomes if not silent} == alerts


def test_every_metric_is_of_use_to_somebody() -> None:
    """No metric of ours is missing on both the dashboard and in the alerts, but for a few."""
    used = " ".join(text for _, text in expressions())
    ours = {name for name in known_names() if name.startswith("lingua_scheduler_")}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in ours}
    suffix = "(_total|_bucket|_sum|_count)?"
    unused = {name for name in families if not re.search(rf"\b{name}{suffix}\b", used)}
    assert {name.removeprefix("lingua_scheduler_") for name in unused} == {
        "attempts", "jobs_accepted", "jobs_salvaged", "nodes_joined",
        "outcomes_played", "outcomes_written", "resumes_refused", "sessions_begun",
        "sessions_resumed", "stale_inputs",
    }  # fmt: skip


def test_panels_do_not_overlap() -> None:
    """Every place on the dashboard belongs to one panel."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        grid = panel["gridPos"]
        cells = {
            (grid["x"] + dx, grid["y"] + dy) for dx in range(grid["w"]) for dy in range(grid["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
