"""Debian's own Prometheus reads what we show, and its tool finds nothing to complain about."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from repository import ROOT

from scheduler.client import connect
from scheduler.errors import TranslationFailed

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs the Debian package prometheus"
)

CONTRIB = ROOT / "contrib" / "prometheus"
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
    def read() -> str:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:  # Prometheus says 503 while it starts
            error.close()
            raise

    return await trio.to_thread.run_sync(read)


async def until(condition: Callable[[], Any]) -> Any:
    """The first true value; other processes tell nobody when they are ready."""
    with trio.fail_after(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError):
                if found := await condition():
                    return found
            await trio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[None]:
    """A process, for the length of the block."""
    async with trio.open_nursery() as nursery:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        nursery.start_soon(partial(trio.run_process, list(command), check=False, **quiet))
        yield
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def scheduler() -> AsyncIterator[int]:
    """A scheduler that was asked for one utterance and had no node for it; its port."""
    port = free_port()
    settings = ("--journal", "memory", "--pending-timeout", "0.5")
    async with running(sys.executable, "-m", "scheduler", "--port", str(port), *settings):
        await until(lambda: fetch(f"http://127.0.0.1:{port}/health"))
        async with connect(f"ws://127.0.0.1:{port}", src_lang="en", tgt_lang="es") as session:
            with pytest.raises(TranslationFailed):
                await session.translate(b"nobody is there")
        yield port


async def test_the_metrics_are_as_they_should_be() -> None:
    """``promtool check metrics`` is content: names, units, types and help texts."""
    async with scheduler() as port:
        text = await fetch(f"http://127.0.0.1:{port}/metrics")
    assert "lingua_scheduler_jobs_settled_total" in text
    promtool("check", "metrics", text=text)


def test_the_rules_are_as_they_should_be() -> None:
    """``promtool`` reads the alerts and the example, and the tests of the alerts pass."""
    promtool("check", "rules", str(CONTRIB / "alerts.yml"))
    promtool("check", "config", str(CONTRIB / "prometheus.yml"))
    promtool("test", "rules", str(CONTRIB / "alerts_test.yml"))


async def test_prometheus_scrapes_a_scheduler(tmp_path: Path) -> None:
    """A real Prometheus finds a real scheduler up, and counts its one failed utterance."""
    async with scheduler() as port:
        own_port = free_port()
        config = tmp_path / "prometheus.yml"
        config.write_text(CONFIG.format(port=port, rules=CONTRIB / "alerts.yml"))
        flags = (
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{own_port}",
        )

        async def ask(query: str) -> list[Any]:
            query = urllib.parse.urlencode({"query": query})
            answer = await fetch(f"http://127.0.0.1:{own_port}/api/v1/query?{query}")
            return list(json.loads(answer)["data"]["result"])

        async with running("prometheus", *flags):
            settled = 'lingua_scheduler_jobs_settled_total{pair="en-es"}'
            (sample,) = await until(partial(ask, settled))
            assert sample["metric"]["outcome"] == "no_available_node"
            assert sample["value"][1] == "1"
            (up,) = await until(partial(ask, 'up{job="lingua-scheduler"}'))
            assert up["value"][1] == "1"
            (demand,) = await ask("sum(lingua_scheduler_jobs_waiting) or vector(0)")
            assert demand["value"][1] == "0"
