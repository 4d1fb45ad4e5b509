"""One world, run to its end: the real scheduler among peers of a plan, in virtual time.

A run has five acts. Everybody does what the plan says. When that is over, or took too long,
the world is healed: no fault strikes any more, and whoever still wants something must get it.
Nodes leave, and what is left must vanish by itself. A witness, a fresh node and a fresh
client, must be served at once. Then the scheduler is asked to end, and nothing may be left.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, MutableMapping
from math import inf
from typing import Any

import attrs
import structlog
import trio
import trio_websocket
import wsproto.utilities
from fakes import CountingIds
from simulation.disk import SlowJournal
from simulation.history import History
from simulation.hostiles import Hostile
from simulation.monitor import Monitor, link_of
from simulation.nodes import AgentNode
from simulation.nodes_by_hand import RawNode
from simulation.scene import Scene
from simulation.schedules import mixed, simulate
from simulation.sessions import SdkSession
from simulation.sessions_by_hand import ChunkSession, RawSession
from simulation.taps import Wire
from simulation.worldplan import TICK_S, NodePlan, SessionPlan, WorldPlan
from trio.testing import MockClock

from scheduler.core.check import _check_queue
from scheduler.core.events import Effect, Event, Received, Written
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve
from scheduler.wire.session import ResultAck

SPEAKERS: dict[str, Any] = {"sdk": SdkSession, "chunks": ChunkSession}
EPOCH = 1_700_000_000.0
STEPS_MAX = 3_000_000
EXPECTED = (
    trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, trio.BrokenResourceError,
    trio.ClosedResourceError, trio.TooSlowError, wsproto.utilities.ProtocolError,
)  # fmt: skip
"""What the barrier of a connection may have to stop: the library's own errors."""


@attrs.define(eq=False)
class Run:
    """A world that ran: the claims, the truth, and what was seen on the way.

    `unserved` are sessions that were still waiting when their time was up. `unwritten` are
    outcomes that were called written and were not, `idle` slots that stayed free while a job
    waited for them, `quarantined` nodes that were not let in again. `fault` is what
    ended the server before it was asked to; `faults` are what the logs called failures.
    """

    plan: WorldPlan
    scene: Scene
    history: History
    monitor: Monitor | None = None
    unserved: list[str] = attrs.Factory(list)
    unwritten: list[str] = attrs.Factory(list)
    idle: list[str] = attrs.Factory(list)
    quarantined: list[str] = attrs.Factory(list)
    left_over: list[str] = attrs.Factory(list)
    fault: str | None = None
    faults: list[str] = attrs.Factory(list)
    asked_to_end_at: float = inf
    stopped_at: float = inf
    ended_at: float = 0.0

    @property
    def slack_s(self) -> float:
        """By how much deadlines are late because the whole process stood still."""
        pardon = self.scene.config.stall_threshold
        return sum(seconds + pardon for _, seconds in self.plan.stalls)

    @property
    def drained(self) -> bool:
        """Whether the plan ended the scheduler in the middle of its work."""
        return self.plan.drains is not None


def play(plan: WorldPlan, instruments: tuple[trio.abc.Instrument, ...] = ()) -> Run:
    """Run a world, with the schedule and the chance that its seed decides."""
    config = plan.config
    run = Run(plan, Scene(plan, config), History())
    with _only_failures(run.faults), _without_collections():
        simulate(
            _World(run).play,
            schedule=mixed(plan.seed),
            entropy_seed=plan.seed,
            steps_max=STEPS_MAX,
            instruments=instruments,
        )
    return run


class _World:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.scene = run.scene
        self.plan = run.plan
        self.config = run.scene.config
        self.shutdown = Shutdown()
        self.stopped = trio.Event()
        self.wires: dict[str, Wire] = {}
        plan = run.plan
        self.heal_at = plan.last_planned + self.config.pending_timeout
        self.heal_at += self.config.dispatched_timeout + run.slack_s + 4.0

    async def play(self) -> None:
        """All acts, and a look at what is left behind them."""
        before = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as world:
            shell: Shell = await world.start(self._serve)
            self.shell = shell
            monitor = self.monitor = self.run.monitor = Monitor(self.scene, shell)
            async with trio.open_nursery() as watching:
                watching.start_soon(monitor.run)
                watching.start_soon(self._strike)
                await self._act()
                if not self.stopped.is_set() and not self.run.drained:
                    await self._empty(shell)
                    await self._witness()
                    await self._empty(shell)
                monitor.look()
                watching.cancel_scope.cancel()
            await self._end(shell)
        left = trio.lowlevel.current_statistics().tasks_living - before
        if left:
            self.run.left_over.append(f"{left} tasks")
        self.run.ended_at = trio.current_time()

    async def _serve(self, *, task_status: trio.TaskStatus[Shell]) -> None:
        disk = self.scene.disk
        try:
            await serve(
                self.config,
                listeners=[self.scene.network.listener()],
                ids=CountingIds(),
                epoch=EPOCH,
                shutdown=self.shutdown,
                journal=SlowJournal(disk) if disk else None,
                observe=self._observe,
                task_status=task_status,
            )
        except Exception as error:  # noqa: BLE001 - that it is none is a property
            self.run.fault = repr(error)
        self.run.stopped_at = trio.current_time()
        self.stopped.set()

    def _observe(self, event: Event, effects: list[Effect]) -> None:
        """Each step of the engine: write it down, and look at what is cheap to look at now."""
        self.run.history.observe(event, effects)
        if isinstance(event, Written):
            self._look_at_the_wire(event)
        if isinstance(event, Received) and isinstance(event.message, ResultAck):
            self.monitor.look_at_receipts()
        if (waiting := self.shell.engine._state).waiting and not self.run.idle:
            try:
                _check_queue(waiting)
            except AssertionError as error:
                self.run.idle.append(f"at {trio.current_time()}: {error}")

    def _look_at_the_wire(self, event: Written) -> None:
        """Whether the link has really taken the whole frame of an outcome called written."""
        connection = self.shell._connections.get(event.connection)
        if connection is None:
            self.run.unwritten.append(f"{event} on a connection that is not registered")
            return
        link = link_of(connection)
        wire = self.wires.setdefault(link.label, Wire())
        if event.seq not in wire.outcomes(link.to_client.taken):
            self.run.unwritten.append(f"{event} is called written, and {link.label} took no such")

    async def _strike(self) -> None:
        """What befalls everybody at once."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        async with trio.open_nursery() as nursery:
            for at in self.plan.storms:
                nursery.start_soon(_at, at, self.scene.storm)
            for at, seconds in self.plan.stalls:
                nursery.start_soon(_at, at, lambda seconds=seconds: clock.jump(seconds))
            if self.plan.drains is not None:
                nursery.start_soon(_at, self.plan.drains, self._ask_to_end)
                if self.plan.hurries is not None:
                    nursery.start_soon(
                        _at, self.plan.drains + self.plan.hurries, self.shutdown.request
                    )
            nursery.start_soon(_at, self.heal_at, self.scene.heal)

    def _ask_to_end(self) -> None:
        self.run.asked_to_end_at = trio.current_time()
        self.shutdown.request()

    # -- the acts -----------------------------------------------------------------------

    async def _act(self) -> None:
        """Everybody does what the plan says, until each session has what it wanted."""
        plan, scene = self.plan, self.scene
        nodes = [
            (AgentNode if p.kind == "agent" else RawNode)(scene, f"machine-{n}", p)
            for n, p in enumerate(plan.nodes)
        ]
        sessions = [
            SPEAKERS.get(p.kind, RawSession)(scene, f"client-{n}", p)
            for n, p in enumerate(plan.sessions)
        ]
        async with trio.open_nursery() as others:
            for n, p in enumerate(plan.hostiles):
                others.start_soon(Hostile(scene, f"hostile-{n}", p).run)
            async with trio.open_nursery() as working:
                for node in nodes:
                    working.start_soon(node.run)
                await self._let_speak(sessions)
                scene.heal()
                if not self.run.drained:
                    await self._readmit()
                for node in nodes:
                    node.over.set()
            others.cancel_scope.cancel()

    async def _let_speak(self, sessions: list[Any]) -> None:
        waiting = {session.name for session in sessions}

        async def speak(session: Any) -> None:
            await session.run()
            waiting.discard(session.name)

        async def stop_with_server() -> None:
            await self.stopped.wait()
            speaking.cancel_scope.cancel()

        with trio.move_on_at(self.heal_at + self._patience_s) as patience:
            async with trio.open_nursery() as speaking:
                if self.run.drained:
                    speaking.start_soon(stop_with_server)
                async with trio.open_nursery() as everybody:
                    for session in sessions:
                        everybody.start_soon(speak, session)
                if self.run.drained:
                    await self.stopped.wait()
                speaking.cancel_scope.cancel()
        if patience.cancelled_caught:
            self.run.unserved += sorted(waiting)

    @property
    def _patience_s(self) -> float:
        """How long it may take in a healed world until everybody is served."""
        config = self.config
        notice = 2 * config.ping_interval + config.pong_timeout + config.write_timeout
        again = config.client_backoff_max + config.node_backoff_max + config.handshake_timeout
        return notice + again + 2 * (config.pending_timeout + config.dispatched_timeout)

    async def _readmit(self) -> None:
        """A quarantined node that works again must be let in again."""
        state, config = self.shell.engine._state, self.config
        longest = 2 * (config.canary_interval + config.canary_timeout) + config.ping_interval
        with trio.move_on_after(longest):
            await self.shell.until(lambda: not any(n.quarantined for n in state.nodes.values()))
        self.run.quarantined += [
            f"{node.node_id} is still in quarantine: {node.quarantined}"
            for node in state.nodes.values()
            if node.quarantined
        ]

    async def _empty(self, shell: Shell) -> None:
        """When everybody has gone, everything goes: by itself, in bounded time."""
        config, state = self.config, shell.engine._state
        notice = config.ping_interval + config.pong_timeout + config.write_timeout
        with trio.move_on_after(notice + config.session_retention + config.close_timeout + 2):
            await shell.until(lambda: not (shell._connections or state.sessions))
        self.run.left_over += _left_in(shell)

    async def _witness(self) -> None:
        """A fresh node and a fresh client are served at once, whatever has happened before.

        No clock jumps meanwhile: that would use up the witness's patience, not the scheduler's.
        """
        await trio.sleep_until(max((at + TICK_S for at, _ in self.plan.stalls), default=0.0))
        node = AgentNode(self.scene, "witness-machine", NodePlan())
        client = SdkSession(self.scene, "witness", SessionPlan(at=trio.current_time()))
        patience_s = self.config.pending_timeout
        if self.plan.disk is not None:  # a commit that was slow may have made it come again
            patience_s += max(self.plan.disk.commit_s) + self.config.client_backoff_max
        with trio.move_on_after(patience_s) as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run)
                await client.run()
                node.over.set()
        if patience.cancelled_caught:
            self.run.unserved.append("witness")

    async def _end(self, shell: Shell) -> None:
        if self.run.asked_to_end_at == inf:
            self._ask_to_end()
        await self.stopped.wait()
        self.run.left_over += [
            f"the server's end of {link.label} is open"
            for link in self.scene.network.links
            if not link.server.closed
        ]
        if shell.connections:
            self.run.left_over.append(f"{shell.connections} connections after the end")


async def _at(instant: float, act: Any) -> None:
    await trio.sleep_until(instant)
    act()


def _left_in(shell: Shell) -> list[str]:
    """What the scheduler still holds although nobody is there."""
    state = shell.engine._state
    sizes = {
        "connections": len(shell._connections),
        "peers": len(state.peers),
        "sessions": len(state.sessions),
        "nodes": len(state.nodes),
        "queues": len(state.waiting),
        "reasons to wait": len(state.waiting_because),
        "unfinished jobs": shell.engine.unfinished,
        "owed bytes": state.owed_bytes,
        "timers": len(shell.deadlines),
    }
    return [f"{size} {what}" for what, size in sizes.items() if size]


@contextlib.contextmanager
def _only_failures(into: list[str]) -> Iterator[None]:
    """Silence the logs, but for failures that are none of the library's."""

    def keep(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        error = event.get("exc_info")
        if isinstance(error, BaseException):
            unexpected = [e for e in _leaves(error) if not isinstance(e, EXPECTED)]
            into.extend(f"{event['event']}: {e!r}" for e in unexpected)
        elif method in ("error", "exception", "critical"):
            into.append(f"{event['event']}: {event!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[keep],
        wrapper_class=structlog.make_filtering_bound_logger(30),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Leave the garbage of a world until its end: looking for it takes a quarter of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
