"""``python -m scheduler ...`` as real processes, watched by what they print.

Waiting is for events, a line or the end, never for a time: ``PATIENCE_S`` only says when a test
has failed. A process runs in a directory of its own, without the settings of whoever runs the
tests.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import trio

PATIENCE_S = 60.0


class Program:
    """A running ``python -m scheduler``; ``lines`` is what it has printed so far."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._closed = 0
        self._changed = trio.Event()

    async def _read(self, stream: trio.abc.ReceiveStream) -> None:
        rest = b""
        async with stream:
            async for data in stream:
                *lines, rest = (rest + data).split(b"\n")
                self.lines += [line.decode() for line in lines]
                self._wake()
        self.lines += [rest.decode()] if rest else []
        self._closed += 1
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def line(self, part: str) -> str:
        """The first line that contains ``part``, once it is printed."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for line in self.lines:
                    if part in line:
                        return line
                assert self._closed < 2, f"ended without {part!r}: {self.lines}"
                await self._changed.wait()

    async def port(self) -> int:
        """Where it listens, once it does."""
        found = re.search(r":(\d+) ", await self.line("listening on "))
        assert found is not None
        return int(found[1])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """The exit code (negative: the signal that killed it), once everything was printed."""
        with trio.fail_after(PATIENCE_S):
            code = await self.process.wait()
            while self._closed < 2:
                await self._changed.wait()
        return code


def environment(directory: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of the tests without settings of ours, with these instead.

    The journal that nobody names lies in ``directory``, not where a person has theirs.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SCHEDULER_")}
    return inherited | {"XDG_STATE_HOME": str(directory)} | dict(settings or {})


@contextlib.asynccontextmanager
async def program(
    *arguments: str, directory: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """``python -m scheduler`` with ``arguments``; leaving the block kills it if it still runs.

    ``settings`` are environment variables. The working directory is ``directory``.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "scheduler", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        env=environment(directory, settings),
    )
    running = Program(process)
    assert process.stdout is not None
    assert process.stderr is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running._read, process.stdout)
        nursery.start_soon(running._read, process.stderr)
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
