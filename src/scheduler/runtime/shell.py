"""From a decision to its effects, in one synchronous step.

:meth:`Shell.apply` runs the engine and performs what it says before anybody else can run.
Performing never waits and never fails: a message goes into an outbox and, if it can, to the
operating system, a connection is told to end, a timer is set. What happens then comes back as a
new event; that of a message which was taken at once is decided in the next step, still before
anybody else can run.

Messages are written before timers are set and lines are logged: somebody waits for them.

The registry of connections is here, and :meth:`Shell.registered` is the only way in and out.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import structlog
import trio

from scheduler.core.engine import Engine
from scheduler.core.events import (
    PROMISES,
    ClearTimer,
    Effect,
    End,
    Event,
    Expired,
    Generation,
    JournalFailed,
    JournalMended,
    Left,
    Note,
    Probe,
    Remember,
    Replace,
    Send,
    SetTimer,
    Withdraw,
)
from scheduler.errors import Close
from scheduler.runtime.connection import Connection
from scheduler.runtime.deadlines import Deadlines
from scheduler.runtime.outbox import Entry
from scheduler.runtime.turns import Turns
from scheduler.store.journal import Journal, JournalEvents, MemoryJournal
from scheduler.wire.codec import encode
from scheduler.wire.node import JobAssign, ToNode
from scheduler.wire.session import SessionInitAck, ToSession, UtteranceAccepted

log = structlog.get_logger()

# Facts that are worth a line at info level; the others are shown with --log-level debug.
LOUD = frozenset({
    "session_joined", "session_resumed", "session_left", "node_joined", "node_left", "settled",
    "delivered", "attempt_lost", "drain_started", "node_silent", "node_heard", "expired",
    "salvaged", "quarantined", "still_quarantined", "readmitted", "recovered", "journal_failed",
    "journal_mended",
})  # fmt: skip


def unobserved(event: Event, effects: list[Effect]) -> None:
    """For shells that nobody watches."""


class Shell:
    """The engine with hands. ``nursery`` is the job nursery: it owns the deadlines.

    What the engine wants remembered goes into ``journal`` before anything is sent, and what
    promises it stays in its outbox until the journal has kept it.
    """

    def __init__(
        self,
        engine: Engine,
        nursery: trio.Nursery,
        *,
        turns: Turns,
        journal: Journal | None = None,
        observe: Callable[[Event, list[Effect]], None] = unobserved,
    ) -> None:
        self.engine = engine
        self.journal = journal or MemoryJournal()
        self._promised: deque[tuple[int, Connection]] = deque()
        self._caused: deque[Event] = deque()
        self._deciding = False
        self._observe = observe
        self._turns = turns
        self._connections: dict[Generation, Connection] = {}
        self._generations = 0
        self.deadlines = Deadlines(
            nursery,
            lambda timer: self.apply(Expired(timer)),
            stall_threshold=engine.config.stall_threshold,
        )
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
        connection.follow(lambda: self.journal.committed)
        try:
            yield generation
        finally:
            del self._connections[generation]
            close = connection.close or Close.GOING_AWAY
            self.apply(Left(generation, close, connection.signs))

    def apply(self, event: Event) -> None:
        """Decide, and perform the effects. Nobody runs in between.

        What a step causes itself, as a write that was taken at once, is decided after it, before
        the call for that step returns.
        """
        if self._deciding:
            self._caused.append(event)
            return
        self._deciding = True
        try:
            try:
                self._decide(event)
            finally:
                while self._caused:
                    self._decide_caused(self._caused.popleft())
        finally:
            self._deciding = False

    def _decide_caused(self, event: Event) -> None:
        """A fault in this is that of its own connection, and not of whoever called."""
        try:
            self._decide(event)
        except Exception as error:
            connection = self._connections.get(getattr(event, "connection", 0))
            if connection is None:
                log.exception("fault_in_a_step")
            else:
                connection.fail(error)

    def _decide(self, event: Event) -> None:
        self._turns.step()
        effects = self.engine.handle(event, trio.current_time())
        if records := [effect.record for effect in effects if isinstance(effect, Remember)]:
            self.journal.append(records)
        spoken_to: dict[Connection, None] = {}
        for effect in effects:
            if isinstance(effect, Send | Replace | Probe | End | Withdraw):
                connection = self._connections.get(effect.connection)
                if connection is not None:
                    self._perform_on(connection, effect)
                    spoken_to[connection] = None
        for connection in reversed(spoken_to):  # what a step leads to comes last, and is awaited
            connection.flush(gather=self._turns.crowded)
        for effect in effects:
            self._perform(effect)
        self._observe(event, effects)
        self.changed.set()
        self.changed = trio.Event()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SetTimer():
                self.deadlines.set(effect.timer, effect.at)
            case ClearTimer():
                self.deadlines.clear(effect.timer)
            case Note():
                (log.info if effect.name in LOUD else log.debug)(effect.name, **effect.detail)
            case _:
                pass  # was performed before

    def _perform_on(
        self, connection: Connection, effect: Send | Replace | Probe | End | Withdraw
    ) -> None:
        match effect:
            case Send(message=message):
                text = partial(encode, message) if type(message) is JobAssign else encode(message)
                after = self._promise(connection, message)
                job_id = message.job_id if isinstance(message, UtteranceAccepted) else None
                connection.queue(Entry(text, effect.seq, effect.droppable, after, job_id))
            case Replace(message=message):
                after = self._promise(connection, message)
                connection.replace(effect.seq, encode(message), after=after)
            case Probe():
                connection.probe()
            case End(close=close):
                (connection.cut if effect.at_once else connection.end)(close)
            case Withdraw():
                connection.withdraw(effect.job_id)

    def _promise(self, connection: Connection, message: ToSession | ToNode) -> int:
        """The position that must be kept before ``message`` may be said; 0 for no promise.

        The welcome of a resumed session promises nothing that was not promised before.
        """
        resumed = isinstance(message, SessionInitAck) and message.resumed
        if resumed or not isinstance(message, PROMISES):
            return 0
        position = self.journal.position
        if position > self.journal.committed:
            self._promised.append((position, connection))
        return position

    @property
    def journal_events(self) -> JournalEvents:
        """What the journal is to tell."""
        return JournalEvents(
            committed=self._committed,
            failed=lambda why, job_ids: self.apply(JournalFailed(why, job_ids)),
            mended=lambda: self.apply(JournalMended()),
        )

    def _committed(self) -> None:
        while self._promised and self._promised[0][0] <= self.journal.committed:
            self._promised.popleft()[1].flush()

    def end_all(self, close: Close) -> None:
        """Tell every connection to end."""
        for connection in self._connections.values():
            connection.end(close)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is looked at after each event."""
        while not condition():
            await self.changed.wait()
