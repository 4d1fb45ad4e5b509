"""Two worlds for the client SDK, both in memory and in virtual time.

:func:`scheduler_world` has the real scheduler and a node with scripted engines. A
:class:`ScriptedScheduler` says only what a test tells it, right or wrong.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

import attrs
import trio
import trio.testing
import trio_websocket
from fakes import CountingIds, ScriptedRunner
from simulation.network import LinkPlan, Network

from scheduler.client import Feed, Session, connect
from scheduler.client.upkeep import Reach
from scheduler.config import Config, NodeConfig
from scheduler.errors import ConnectionLost
from scheduler.node.agent import Agent, Runner
from scheduler.runtime.dialer import open_stream as open_tcp
from scheduler.runtime.dialer import parse_url
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve
from scheduler.store.journal import Journal
from scheduler.wire import session as wire
from scheduler.wire.codec import decode_from_session, encode
from scheduler.wire.common import Hardware, ServiceTimings

M = TypeVar("M")
T = TypeVar("T")
PLAIN = LinkPlan(latency=1 / 64)
NOBODY_THERE = "no scheduler listening"
PATIENCE_S = 600.0
"""Virtual seconds after which a world is given up: a test that hangs fails at once."""


def reach(network: Network, *plans: LinkPlan, label: str = "client") -> Reach:
    """Dials over ``network``, each connection by the next of ``plans``, then over plain links."""
    left = list(plans)

    async def open_stream() -> trio.abc.Stream:
        try:
            return await network.connect(left.pop(0) if left else PLAIN, label)
        except OSError:
            raise ConnectionLost(None, NOBODY_THERE) from None

    return open_stream


def session_on(
    network: Network, *plans: LinkPlan, **options: Any
) -> contextlib.AbstractAsyncContextManager[Session]:
    """A client's session over ``network``; pauses are half of their ceiling."""
    said: dict[str, Any] = {"src_lang": "en", "tgt_lang": "es", "draw": lambda: 0.5}
    said["open_stream"] = reach(network, *plans)
    return connect("ws://in-memory", **(said | options))


async def collect(feed: Feed[T], into: list[T]) -> None:
    """Read a feed to its end."""
    async for item in feed:
        into.append(item)  # noqa: PERF401  # each as soon as it comes


async def told(feed: Feed[T]) -> list[T]:
    """What a feed holds now."""
    return [await anext(feed) for _ in range(len(feed))]


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again, a 64th of a second apart."""
    while not condition():  # noqa: ASYNC110  # what it looks at has no event
        await trio.sleep(1 / 64)


# -- the real scheduler --------------------------------------------------------------------


@attrs.define
class World:
    """A scheduler on a network. ``nursery`` ends with it."""

    network: Network
    config: Config
    nursery: trio.Nursery
    ids: CountingIds = attrs.Factory(CountingIds)
    shutdown: Shutdown = attrs.Factory(Shutdown)
    keeps: Journal | None = None
    _shell: Shell | None = None

    @property
    def shell(self) -> Shell:
        assert self._shell is not None
        return self._shell

    async def start(self) -> None:
        """Let a scheduler listen that knows nothing of an earlier one."""
        self.shutdown = Shutdown()
        run = partial(
            serve, self.config, listeners=[self.network.listener()], ids=self.ids,
            epoch=0.0, shutdown=self.shutdown, journal=self.keeps,
        )  # fmt: skip
        self._shell = await self.nursery.start(run)

    def add_node(
        self, runner: ScriptedRunner, *, slots: int = 4, open_stream: Reach | None = None
    ) -> None:
        """Let a node join, as soon as there is a scheduler."""
        agent = Agent(
            runner,
            open_stream=open_stream or reach(self.network, label="node"),
            node_config=NodeConfig(slots=slots),
            hardware=Hardware(cpu_cores=2, memory_gb=4),
            draw=lambda: 0.5,
            config=self.config,
        )
        self.nursery.start_soon(agent.run, trio.Event())

    def job(self, job_id: str | None) -> dict[str, Any]:
        """What the scheduler shows of a job."""
        assert job_id is not None
        shown = self.shell.engine.snapshot(trio.current_time()).job(job_id)
        assert shown is not None
        return shown

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """What the scheduler shows of its sessions."""
        return list(self.shell.engine.snapshot(trio.current_time()).sessions())

    def link_of(self, label: str) -> Any:
        """The newest link of that name."""
        return [link for link in self.network.links if link.label == label][-1]


@contextlib.asynccontextmanager
async def scheduler_world(
    runner: ScriptedRunner | None = None,
    *,
    started: bool = True,
    keeps: Journal | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """A world with a scheduler (unless it is to be ``started`` later) and one node, if any.

    ``keeps`` is the journal of the scheduler; without it that is memory.
    """
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            world = World(Network(), Config(**settings), nursery, keeps=keeps)
            if started:
                await world.start()
            if runner is not None:
                world.add_node(runner)
            yield world
            nursery.cancel_scope.cancel()


# -- the real scheduler on a real port -------------------------------------------------------


@contextlib.asynccontextmanager
async def scheduler_on_port(
    runner: Runner | None = None, **settings: Any
) -> AsyncIterator[tuple[str, Shell]]:
    """The address of a scheduler on this machine with one node, if any, and its shell."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
    run = partial(
        serve, Config(journal="memory", **settings), listeners=[listener], ids=CountingIds(),
        epoch=0.0, shutdown=Shutdown(),
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        shell: Shell = await nursery.start(run)
        if runner is not None:
            agent = Agent(
                runner,
                open_stream=partial(open_tcp, parse_url(url), timeout=5),
                node_config=NodeConfig(slots=4),
                hardware=Hardware(cpu_cores=2, memory_gb=4),
                draw=lambda: 0.5,
            )
            nursery.start_soon(agent.run, trio.Event())
        yield url, shell
        nursery.cancel_scope.cancel()


# -- a scheduler that says what it is told ---------------------------------------------------


class Caller:
    """One connection of a client, from the other side. ``hello`` is what it said first."""

    def __init__(self, ws: trio_websocket.WebSocketConnection) -> None:
        self._ws = ws
        self._send, self._heard = trio.open_memory_channel[wire.FromSession](1000)
        self.hello: wire.SessionInit | None = None
        self.at = trio.current_time()
        self.over = trio.Event()
        self.code: int | None = None

    async def listen(self) -> None:
        """Take in what comes until the connection ends."""
        try:
            while True:
                message = decode_from_session(await self._ws.get_message())
                if isinstance(message, wire.SessionInit):
                    self.hello = message
                self._send.send_nowait(message)
        except trio_websocket.ConnectionClosed as closed:
            self.code = closed.reason.code if closed.reason else None
        self._send.close()
        self.over.set()

    async def hear(self, kind: type[M]) -> M:
        """The next message, which must be of this kind."""
        message = await self._heard.receive()
        assert isinstance(message, kind), message
        return message

    def unheard(self) -> list[wire.FromSession]:
        """What came and was not asked for."""
        found = []
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                found.append(self._heard.receive_nowait())
        return found

    async def say(self, message: wire.ToSession | str) -> None:
        await self._ws.send_message(message if isinstance(message, str) else encode(message))

    async def close(self, code: int, reason: str = "") -> None:
        await self._ws.aclose(code, reason)

    async def welcome(self, **said: Any) -> None:
        """Hear the hello and answer it; whoever asks to resume may."""
        hello = await self.hear(wire.SessionInit)
        await self.say(welcome(**({"resumed": hello.resume is not None} | said)))

    async def accept(self, utterance: wire.Utterance, job_id: str = "job-1") -> None:
        await self.say(
            wire.UtteranceAccepted(
                session_id=utterance.session_id,
                utterance_index=utterance.utterance_index,
                job_id=job_id,
                trace_id="t",
            )
        )


class ScriptedScheduler:
    """Gives every connection of a client to the test, in the order in which they come."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._send, self._callers = trio.open_memory_channel[Caller](100)
        self.calls = 0

    async def run(self) -> None:
        """Take connections until cancelled."""
        await trio.serve_listeners(self._serve, [self._network.listener()])

    async def _serve(self, stream: trio.abc.Stream) -> None:
        try:
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                caller = Caller(await request.accept())
                self.calls += 1
                self._send.send_nowait(caller)
                await caller.listen()
        except* trio_websocket.ConnectionClosed:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def caller(self) -> Caller:
        """The next connection."""
        return await self._callers.receive()


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Network, ScriptedScheduler]]:
    """A network on which a :class:`ScriptedScheduler` listens."""
    network = Network()
    scheduler = ScriptedScheduler(network)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scheduler.run)
            await trio.testing.wait_all_tasks_blocked()
            yield network, scheduler
            nursery.cancel_scope.cancel()


def welcome(**said: Any) -> wire.SessionInitAck:
    """The answer to a hello."""
    usual: dict[str, Any] = {
        "session_id": "s-1", "assigned_node_id": None, "message": "", "trace_id": "t",
        "protocol_version": "1.0", "use_binary_frame": False, "negotiated_codec": "pcm16",
        "resume_token": "secret", "resumed": False, "recovered": True,
    }  # fmt: skip
    return wire.SessionInitAck(**(usual | said))


def outcome(index: int, seq: int | None, text: str = "hola", **said: Any) -> wire.TranslationResult:
    """A good outcome."""
    usual: dict[str, Any] = {
        "session_id": "s-1", "utterance_index": index, "job_id": f"job-{index}", "text_asr": "hi",
        "text_translated": text, "tts_audio": "", "tts_format": "wav", "trace_id": "t",
        "group_id": f"job-{index}", "seq": seq, "service_timings": ServiceTimings(total_ms=1),
    }  # fmt: skip
    return wire.TranslationResult(**(usual | said))


def missing(index: int, seq: int | None, reason: str, **said: Any) -> wire.MissingResult:
    """An outcome without content."""
    return wire.MissingResult(
        session_id="s-1", utterance_index=index, reason=reason, created_at_ms=0, seq=seq,
        job_id=f"job-{index}", **said,
    )  # fmt: skip
