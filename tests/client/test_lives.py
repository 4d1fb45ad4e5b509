"""A client as a process of its own, stopped and killed while results arrive, and started again."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio
from client_support import scheduler_on_port
from fakes import ScriptedRunner
from processes import until

from scheduler.node.agent import Done

LIFE = Path(__file__).with_name("life.py")


class GatedRunner(ScriptedRunner):
    """Does the first job at once and the others when ``gate`` is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()

    async def run(self, job: Any, on_stage: Any) -> Done:
        if job.utterance_index > 0:
            await self.gate.wait()
        return await super().run(job, on_stage)


async def start(url: str, place: Path) -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, str(LIFE), url, str(place)], stdin=subprocess.DEVNULL
    )


async def test_what_was_not_acknowledged_comes_in_the_next_life(tmp_path: Path) -> None:
    """Stopped while results arrive, then killed: started again with its resume token, the client
    gets what it had not acknowledged, in order, once."""
    runner = GatedRunner()
    async with scheduler_on_port(runner) as (url, shell):

        def states() -> list[str]:
            jobs = shell.engine.snapshot(trio.current_time()).jobs()
            return [job["state"] for job in sorted(jobs, key=lambda job: job["job_id"])]

        def had() -> list[str]:
            outcomes = tmp_path / "outcomes"
            return outcomes.read_text().splitlines() if outcomes.exists() else []

        first = await start(url, tmp_path)
        try:
            await until(lambda: had() == ["0 ONE"] and states()[:1] == ["acknowledged"])
            os.kill(first.pid, signal.SIGSTOP)
            runner.gate.set()
            await until(lambda: states() == ["acknowledged", "written", "written"])
        finally:
            first.kill()
            await first.wait()
        assert had() == ["0 ONE"]
        second = await start(url, tmp_path)
        assert await second.wait() == 0
        assert had() == ["0 ONE", "1 TWO", "2 THREE"]
        assert states() == ["acknowledged"] * 3
        assert len(runner.ran) == 3
