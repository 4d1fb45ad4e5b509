"""The whole scheduler: listener, connections and jobs, and the order in which they end.

The nurseries are nested the way they must end: journal ⊃ jobs ⊃ connections ⊃ listener.
Listeners, ids, journal and the epoch come in as arguments, so that the whole runs on an
in-memory network in virtual time.
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import structlog
import trio

from scheduler.config import Config
from scheduler.consistency import parts
from scheduler.core.engine import Engine
from scheduler.core.events import DrainStarted, Effect, Event, Recovered
from scheduler.core.snapshot import Snapshot
from scheduler.core.state import Ids
from scheduler.errors import Close
from scheduler.observe.metrics import Metrics
from scheduler.runtime.connection import accept
from scheduler.runtime.peer import ROLES, converse
from scheduler.runtime.shell import Shell, unobserved
from scheduler.runtime.turns import counted_turns
from scheduler.server.app import make_app
from scheduler.server.front import Upgrade, serve_stream
from scheduler.server.http11 import RequestError
from scheduler.store.journal import Journal, MemoryJournal
from scheduler.web.feed import Feed

log = structlog.get_logger()


@attrs.define(eq=False)
class Shutdown:
    """How to ask a running scheduler to end: first politely, then at once."""

    drain: trio.Event = attrs.Factory(trio.Event)
    now: trio.Event = attrs.Factory(trio.Event)

    def request(self) -> None:
        """The first call starts the drain, a second one cuts it short."""
        if self.drain.is_set():
            self.now.set()
        self.drain.set()


async def serve(
    config: Config,
    *,
    listeners: Sequence[trio.abc.Listener[trio.abc.Stream]],
    ids: Ids,
    epoch: float,
    shutdown: Shutdown,
    journal: Journal | None = None,
    observe: Callable[[Event, list[Effect]], None] = unobserved,
    task_status: trio.TaskStatus[Shell] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``shutdown`` is requested, drain, and return with nothing left running.

    ``epoch`` is Unix time minus ``trio.current_time()``, in seconds. ``observe`` is told
    each event with its effects after they were performed. What ``journal`` kept is taken up
    before anybody is let in. Draining takes at most
    ``drain_timeout``, closing the connections at most ``write_timeout + close_timeout``
    more, whatever the peers do; after a second request, ``close_timeout`` is all. Cancelling
    ends everything without a drain.
    """
    engine = Engine(config, ids, epoch=epoch)
    journal = journal or MemoryJournal()
    kept = await journal.recover()
    with counted_turns() as turns:
        async with trio.open_nursery() as keeping, trio.open_nursery() as jobs:
            metrics = Metrics(
                lambda: engine.snapshot(trio.current_time()),
                pairs_max=config.metrics_pairs_max,
                expected=parts(config.metrics_pairs),
            )
            observers = metrics.before(observe)
            shell = Shell(engine, jobs, turns=turns, journal=journal, observe=observers)
            if kept:
                shell.apply(Recovered(kept))
            await keeping.start(journal.run, shell.journal_events)
            async with trio.open_nursery() as connections:
                handler = _Doorkeeper(shell, config, metrics).serve
                await connections.start(trio.serve_listeners, handler, list(listeners))
                task_status.started(shell)
                await shutdown.drain.wait()
                await _drain(shell, config, shutdown)
                connections.cancel_scope.cancel()
            jobs.cancel_scope.cancel()
            keeping.cancel_scope.cancel()


async def _drain(shell: Shell, config: Config, shutdown: Shutdown) -> None:
    """Let what runs come to its end; then say goodbye to everybody. A second request cuts in."""
    shell.apply(DrainStarted())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when, shutdown.now, nursery.cancel_scope)
        with trio.move_on_after(config.drain_timeout):
            await shell.until(lambda: _may_leave(shell))
        shell.end_all(Close.GOING_AWAY)
        with trio.move_on_after(config.write_timeout):
            await shell.until(lambda: shell.connections == 0)
        nursery.cancel_scope.cancel()
    shell.end_all(Close.GOING_AWAY)


def _may_leave(shell: Shell) -> bool:
    """Whether nothing is lost by ending now: the rest is in the journal, or there is none."""
    engine = shell.engine
    if shell.journal.durable:
        return engine.running == 0 and engine.unkept == 0
    return engine.unfinished == 0 and engine.owed == 0


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class _Doorkeeper:
    """Admits accepted streams up to a bound and serves each to its end."""

    def __init__(self, shell: Shell, config: Config, metrics: Metrics) -> None:
        self._shell = shell
        self._config = config
        self._open = 0
        snapshot = partial(_snapshot, shell)
        self._app = make_app(snapshot, Feed(snapshot, lambda: shell.changed, config), metrics)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One stream. Nothing it does ends anything but itself."""
        if self._open >= self._config.connections_max:
            await _turn_away(stream, self._config)
            return
        self._open += 1
        try:
            await serve_stream(
                stream,
                peer=_peer_name(stream),
                app=self._app,
                on_upgrade=self._converse,
                websocket_paths=ROLES,
                config=self._config,
            )
        finally:
            self._open -= 1

    async def _converse(self, upgrade: Upgrade) -> None:
        upgrade.headers.clear()  # they were looked at, and would be kept as long as the connection
        async with accept(upgrade.stream, self._config) as connection:
            await converse(self._shell, connection, ROLES[upgrade.path], self._config)


async def _turn_away(stream: trio.abc.Stream, config: Config) -> None:
    """One connection too many: say so, whatever it came for, and close."""
    refusal = RequestError(503, "the scheduler has too many connections; try again later")
    try:
        with trio.move_on_after(config.write_timeout):
            await stream.send_all(refusal.to_bytes())
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        await trio.aclose_forcefully(stream)


def _snapshot(shell: Shell) -> Snapshot:
    return shell.engine.snapshot(trio.current_time())


def _peer_name(stream: trio.abc.Stream) -> str:
    """The peer's address for debugging; streams that are no sockets have none."""
    if isinstance(stream, trio.SocketStream):
        try:
            host, port = stream.socket.getpeername()[:2]
        except OSError:  # gone already
            return "gone"
        return f"{host}:{port}"
    return "in memory"
