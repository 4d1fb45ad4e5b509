"""Debian's own Prometheus reads what we show, and its tool finds nothing to complain about."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from fakes import ScriptedRunner
from process_support import program
from repository import ROOT

from scheduler.client import Session, connect
from scheduler.config import NodeConfig
from scheduler.node.agent import Agent
from scheduler.runtime.dialer import open_stream, parse_url
from scheduler.wire.common import Hardware

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs the Debian package prometheus"
)

CONTRIB = ROOT / "contrib"
RULES = CONTRIB / "prometheus"
PATIENCE_S = 60.0
LOOK_S = 0.1
CONFIG = """\
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ["{rules}"]
scrape_configs:
  - job_name: lingua-scheduler
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""
Ask = Callable[[str], Awaitable[list[Any]]]
"""The answer of a Prometheus to a query: its samples."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def promtool(*arguments: str, text: str | None = None) -> str:
    """What the tool says; fails with it if it complains, be it about style only."""
    done = subprocess.run(
        ["promtool", *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


async def fetch(url: str) -> str:
    """The body of an answer; ``OSError`` if there is none, or another status than 200."""

    def read() -> str:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())

    return await trio.to_thread.run_sync(read)


async def until(ask: Ask, query: str, *values: str) -> list[Any]:
    """The samples of a query, once it has these values; another process tells nobody when."""
    found: list[Any] = []
    with trio.move_on_after(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):  # it is starting
                found = await ask(query)
                if [sample["value"][1] for sample in found] == list(values):
                    return found
            await trio.sleep(LOOK_S)
    raise AssertionError(f"{query} is not {values} but {found}")


@contextlib.asynccontextmanager
async def scheduler(directory: Path) -> AsyncIterator[int]:
    """A scheduler that expects en-es; its port."""
    settings = ("--port", "0", "--journal", "memory", "--pending-timeout", "300")
    async with program(*settings, "--metrics-pairs", "en-es", directory=directory) as running:
        yield await running.port()


@contextlib.asynccontextmanager
async def prometheus(directory: Path, target: int) -> AsyncIterator[Ask]:
    """A Prometheus that scrapes ``target`` and has the alerts; fails if it does not stay."""
    port, config, log = free_port(), directory / "prometheus.yml", directory / "prometheus.log"
    config.write_text(CONFIG.format(port=target, rules=RULES / "alerts.yml"))
    flags = (
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )

    async def ask(path: str) -> Any:
        return json.loads(await fetch(f"http://127.0.0.1:{port}/api/v1/{path}"))["data"]

    async def query(text: str) -> list[Any]:
        answer = await ask(f"query?{urllib.parse.urlencode({'query': text})}")
        return list(answer["result"])

    async def run() -> None:
        with log.open("wb") as output:
            await trio.run_process(["prometheus", *flags], stdout=output, stderr=output)
        raise AssertionError(f"prometheus has ended: {log.read_text()}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await until(query, 'up{job="lingua-scheduler"}', "1")
        yield query
        health: dict[str, str] = {}
        while not health or "unknown" in health.values():  # until each was evaluated
            groups = (await ask("rules"))["groups"]
            health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.yml").read_text())
        assert health == dict.fromkeys(alerts, "ok"), groups
        nursery.cancel_scope.cancel()


async def a_node(url: str) -> None:
    agent = Agent(
        ScriptedRunner(),
        open_stream=partial(open_stream, parse_url(url), timeout=5),
        node_config=NodeConfig(url=url),
        hardware=Hardware(cpu_cores=1, memory_gb=1),
        draw=lambda: 0.5,
    )
    await agent.run(trio.Event())


def panels() -> list[str]:
    """The queries of the dashboard, with the words in them that Grafana replaces."""
    text = (CONTRIB / "grafana" / "lingua-scheduler.json").read_text(encoding="utf-8")
    return [
        target["expr"].replace("$instance", ".*").replace("$__rate_interval", "10s")
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    ]


def scaler() -> str:
    """The query of the scaler."""
    text = (CONTRIB / "keda" / "scaledobject.yaml").read_text(encoding="utf-8")
    found = re.search(r"query: >-\n(.*?)\n\s+threshold:", text, re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


async def test_the_metrics_are_as_they_should_be(tmp_path: Path) -> None:
    """``promtool check metrics`` is content: names, units, types and help texts."""
    async with scheduler(tmp_path) as port:
        text = await fetch(f"http://127.0.0.1:{port}/metrics")
    assert 'lingua_scheduler_jobs_waiting{pair="en-es"} 0.0' in text
    promtool("check", "metrics", text=text)


def test_the_rules_are_as_they_should_be() -> None:
    """``promtool`` reads the alerts and the example, and the tests of the alerts pass."""
    promtool("check", "rules", str(RULES / "alerts.yml"))
    promtool("check", "config", str(RULES / "prometheus.yml"))
    promtool("test", "rules", str(RULES / "alerts_test.yml"))


async def test_prometheus_sees_the_demand_and_the_results(tmp_path: Path) -> None:
    """A real Prometheus scrapes a real scheduler; what waits without a node is the demand.

    Then a node comes: the demand ends, three results are counted, and every query of the
    dashboard has an answer.
    """
    async with scheduler(tmp_path) as port, prometheus(tmp_path, port) as ask:
        url = f"ws://127.0.0.1:{port}"
        await until(ask, 'lingua_scheduler_jobs_waiting{pair="en-es"}', "0")
        await until(ask, scaler(), "0")
        async with connect(url, src_lang="en", tgt_lang="es") as session:
            await one_evening(session, ask, url)
        unanswered = [query for query in panels() if not await ask(query)]
    # A series that nothing has happened to yet is not there: no failures, no losses, no refusals.
    rare = r"failures|refused|lost|expired|ended|stage|outcome=~"
    assert [query for query in unanswered if not re.search(rare, query)] == []


async def one_evening(session: Session, ask: Ask, url: str) -> None:
    async with trio.open_nursery() as nursery:
        mine = [session.submit(b"hello") for _ in range(3)]
        await until(ask, scaler(), "3")
        await until(ask, "sum(lingua_scheduler_nodes)", "0")
        nursery.start_soon(a_node, url)
        for one in mine:
            await one.result()
        await until(ask, scaler(), "0")
        [sample] = await until(ask, 'lingua_scheduler_jobs_settled_total{pair="en-es"}', "3")
        assert sample["metric"]["outcome"] == "translated"
        await until(ask, "lingua_scheduler_outcomes_delivered_total", "3")
        await until(ask, "rate(lingua_scheduler_delivery_seconds_count[10s]) >= bool 0", "1")
        nursery.cancel_scope.cancel()
