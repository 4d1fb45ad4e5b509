"""From a decision to its effects, in one synchronous step.

:meth:`Shell.apply` runs the engine and performs what it says before anybody else can run.
Performing never waits, never fails, and never calls ``apply`` again: a message goes into an
outbox, a connection is told to end, a timer is set. What happens then comes back as a new
event.

The registry of connections is here, and :meth:`Shell.registered` is the only way in and out.
"""

import contextlib
from collections.abc import Callable, Iterator

import structlog
import trio

from scheduler.core.engine import Engine
from scheduler.core.events import (
    ClearTimer,
    Effect,
    End,
    Event,
    Expired,
    Generation,
    Left,
    Note,
    Probe,
    Replace,
    Send,
    SetTimer,
)
from scheduler.errors import Close
from scheduler.runtime.connection import Connection
from scheduler.runtime.deadlines import Deadlines
from scheduler.wire.codec import encode

log = structlog.get_logger()

# Facts that are worth a line at info level; the others are shown with --log-level debug.
LOUD = frozenset({
    "session_joined", "session_resumed", "session_left", "node_joined", "node_left", "settled",
    "delivered", "attempt_lost", "drain_started", "node_silent", "node_heard", "expired",
})  # fmt: skip


def unobserved(event: Event, effects: list[Effect]) -> None:
    """For shells that nobody watches."""


class Shell:
    """The engine with hands. ``nursery`` is the job nursery: it owns the deadlines."""

    def __init__(
        self,
        engine: Engine,
        nursery: trio.Nursery,
        *,
        observe: Callable[[Event, list[Effect]], None] = unobserved,
    ) -> None:
        self.engine = engine
        self._observe = observe
        self._connections: dict[Generation, Connection] = {}
        self._generations = 0
        self.deadlines = Deadlines(nursery, lambda timer: self.apply(Expired(timer)))
        self.changed = trio.Event()

    @property
    def connections(self) -> int:
        """How many connections are registered: exactly those whose nursery is open."""
        return len(self._connections)

    @contextlib.contextmanager
    def registered(self, connection: Connection) -> Iterator[Generation]:
        """Register a connection for the length of the block; leaving it applies ``Left``."""
        self._generations += 1
        generation = self._generations
        self._connections[generation] = connection
        try:
            yield generation
        finally:
            del self._connections[generation]
            close = connection.close or Close.GOING_AWAY
            self.apply(Left(generation, close, connection.signs))

    def apply(self, event: Event) -> None:
        """Decide, and perform the effects. Nobody runs in between."""
        effects = self.engine.handle(event, trio.current_time())
        for effect in effects:
            self._perform(effect)
        self._observe(event, effects)
        self.changed.set()
        self.changed = trio.Event()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                connection = self._connections.get(effect.connection)
                if connection is not None:
                    connection.put(
                        encode(effect.message), seq=effect.seq, droppable=effect.droppable
                    )
            case Replace():
                if (connection := self._connections.get(effect.connection)) is not None:
                    connection.replace(effect.seq, encode(effect.message))
            case Probe():
                if (connection := self._connections.get(effect.connection)) is not None:
                    connection.probe()
            case End():
                if (connection := self._connections.get(effect.connection)) is not None:
                    connection.end(effect.close)
            case SetTimer():
                self.deadlines.set(effect.timer, effect.at)
            case ClearTimer():
                self.deadlines.clear(effect.timer)
            case Note():
                (log.info if effect.name in LOUD else log.debug)(effect.name, **effect.detail)

    def end_all(self, close: Close) -> None:
        """Tell every connection to end."""
        for connection in self._connections.values():
            connection.end(close)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is looked at after each event."""
        while not condition():
            await self.changed.wait()
