"""``python -m scheduler node`` as a program: what it says, how it ends, and what it leaves."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from fakes import ScriptedEngines
from processes import PATIENCE_SECONDS, descendants, exists

from scheduler.commands.node import line_about
from scheduler.config import Config
from scheduler.errors import Close, EngineUnavailable
from scheduler.runtime.connection import Connection, accept
from scheduler.wire import node as wire
from scheduler.wire.codec import decode_from_node, encode

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Program:
    """The running program. ``lines`` is what it has said so far."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = trio.Event()
        self._rest = b""

    async def listen(self) -> None:
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            *whole, self._rest = (self._rest + data).split(b"\n")
            self.lines += [line.decode() for line in whole]
            self._said.set()
            self._said = trio.Event()

    async def says(self, words: str) -> str:
        while True:
            for line in self.lines:
                if words in line:
                    return line
            await self._said.wait()

    async def ends(self) -> int:
        return await self.process.wait()


@asynccontextmanager
async def program(url: str, *arguments: str) -> AsyncIterator[Program]:
    """The program for the block's length, in a process group in which no other process is."""
    command = [sys.executable, "-m", "scheduler", "node", "--url", url, "--slots", "1", *arguments]
    with trio.fail_after(PATIENCE_SECONDS):
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        try:
            async with trio.open_nursery() as nursery:
                running = Program(process)
                nursery.start_soon(running.listen)
                yield running
                nursery.cancel_scope.cancel()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


@asynccontextmanager
async def door(close: Close | None = None) -> AsyncIterator[tuple[str, trio.Event]]:
    """A scheduler's door for nodes: registers who comes, then closes with ``close`` if given.

    Gives its address, and an event for when a node has said that it drains.
    """
    draining = trio.Event()

    def hear(connection: Connection, raw: str | bytes) -> None:
        match decode_from_node(raw):
            case wire.NodeRegister() if close is not None:
                connection.end(close)
            case wire.NodeRegister():
                ack = wire.NodeRegisterAck(node_id="node-1", message="", status="ready")
                connection.put(encode(ack))
            case wire.NodeHeartbeat(draining=True):
                draining.set()

    async def serve(stream: trio.SocketStream) -> None:
        async with accept(stream, Config()) as connection:
            await connection.run(lambda raw: hear(connection, raw))

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        yield f"ws://127.0.0.1:{port}", draining
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sign", SIGNALS)
async def test_it_waits_in_clear_words_and_leaves_when_asked(sign: signal.Signals) -> None:
    """Without a scheduler it says what it waits for; a signal ends it and all its children."""
    async with program("ws://127.0.0.1:1") as node:
        line = await node.says("no scheduler listening")
        assert line.startswith(
            "no scheduler listening at 127.0.0.1:1 (connection refused), next try in "
        )
        below = descendants(node.process.pid)
        node.process.send_signal(sign)
        assert await node.ends() == 0
        assert not any(map(exists, below))
        await node.says("draining")


async def test_a_registered_node_tells_that_it_leaves() -> None:
    """Registered and asked to leave, it tells the scheduler first, and ends with 0."""
    async with door() as (url, draining), program(url) as node:
        await node.says("registered as node-1 with 1 slots (ready)")
        node.process.terminate()
        await draining.wait()
        assert await node.ends() == 0


async def test_a_scheduler_that_wants_no_more_of_it_ends_it() -> None:
    """A close code that forbids to come back is the last line, and the exit code is 1."""
    async with door(Close.UNAUTHORIZED) as (url, _), program(url) as node:
        assert await node.ends() == 1
        assert await node.says("error") == "error: unauthorized [4501]"
        assert not any("next try" in line for line in node.lines)


async def test_an_address_that_is_none_is_refused_at_once() -> None:
    """A mistake in the address is told before any engine is started."""
    async with program("http://127.0.0.1") as node:
        assert await node.ends() == 1
        line = await node.says("error")
        assert "'http://127.0.0.1' is no address" in line
        assert len(node.lines) == 1


def test_each_engine_has_its_line() -> None:
    """Ready, or not, with the reason and what to do about it."""
    engines = ScriptedEngines()
    assert line_about(engines.services.detector) == "detector 1.0: ready"
    engines.faults["detector"] = EngineUnavailable("not installed", "pip install it")
    assert line_about(engines.services.detector) == (
        "detector 1.0: not ready: not installed (pip install it)"
    )
