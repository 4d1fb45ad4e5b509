"""An engine in a world of peers that can do everything, in any order, at any instant.

The world stands where the shell stands: it has the clock, the connections with their outboxes
and writers, and the timers. Its peers are hands without a mind; each method of
:class:`Hands` is something that one of them does. Arguments are small whole numbers that choose
among what there is, so that a test can draw them and a failing run can be made short.

Times are multiples of 1/64 s: a result and a deadline can come at exactly the same instant.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from core import properties
from core.frozen import differences, frozen
from core.known import Broken
from core.ledger import Ledger, Outcome
from core.staleness import is_stale
from fakes import CountingIds
from restarts import what_is_kept_of

from scheduler.config import Config
from scheduler.core.engine import Engine
from scheduler.core.events import (
    Effect,
    End,
    Event,
    Expired,
    Generation,
    Left,
    Received,
    Recovered,
    Remember,
    Replace,
    Send,
    Timer,
    Writing,
    Written,
)
from scheduler.core.records import Record
from scheduler.errors import Close
from scheduler.wire import node, session

TICK = 1 / 64
LINKS_MAX = 16
KEPT_MAX = 8
"""How many of its last jobs a node or a client may speak of again."""

SMALL: dict[str, Any] = {
    "jobs_per_session_max": 5,
    "retained_outcomes_max": 8,
    "retained_bytes_max": 9_000,
    "retained_total_bytes_max": 16_000,
    "message_bytes_max": 256,
    "audio_chars_max": 64,
    "sessions_max": 5,
    "nodes_max": 4,
    "slots_per_node_max": 3,
    "finished_jobs_max": 60,
    "session_retention": 24.0,
    "outcome_retention": 30.0,
    "finished_retention": 20.0,
}
"""Limits that a short run reaches."""


@attrs.define(eq=False)
class Client:
    """What a client has in its hands: its session, and every outcome it ever saw."""

    session_id: str
    token: str | None
    receipts: bool
    connection: Generation | None
    next_index: int = 0
    last_seq: int = 0
    chunks: int = 0
    seen: dict[int, tuple[str, str]] = attrs.Factory(dict)
    jobs: deque[str] = attrs.Factory(lambda: deque(maxlen=KEPT_MAX))
    closed: bool = False

    def receive(self, message: Outcome) -> None:
        """See an outcome, perhaps again. What was seen stays so, but for content given up."""
        assert message.seq is not None
        assert message.job_id is not None
        if isinstance(message, session.TranslationResult):
            shown = (message.job_id, f"text {message.text_asr}")
        else:
            shown = (message.job_id, message.reason)
        before = self.seen.setdefault(message.seq, shown)
        if before != shown and (before[0] != shown[0] or shown[1] != "gap"):
            raise Broken("a job has one outcome", (before, shown))
        self.seen[message.seq] = shown
        while self.last_seq + 1 in self.seen:
            self.last_seq += 1
        self.seen.pop(self.last_seq - KEPT_MAX, None)


@attrs.define(eq=False)
class Worker:
    """What a node has in its hands: the jobs it was given, and perhaps its canary."""

    node_id: str
    connection: Generation | None
    receipts: bool
    slots: int
    jobs: deque[node.JobAssign] = attrs.Factory(lambda: deque(maxlen=KEPT_MAX))


@attrs.define(eq=False)
class Link:
    """One connection. ``over`` once the engine has ended it: it is only written out then."""

    owner: Client | Worker | None = None
    outbox: deque[Outcome] = attrs.Factory(deque)
    taken: Outcome | None = None
    over: bool = False


class World:
    """Engine, ledger, clock, connections and timers. ``every`` is how many steps go unchecked."""

    def __init__(
        self, *, every: int = 1, compare_every: int = 1, config: Config | None = None
    ) -> None:
        self.config = config or Config(**SMALL)
        self._ids = CountingIds()
        self.engine = Engine(self.config, self._ids)
        self.records: list[Record] = []
        self.ledger = Ledger(self.config)
        self.now = 0.0
        self.lateness = 0.0
        self.links: dict[Generation, Link] = {}
        self.clients: list[Client] = []
        self.workers: list[Worker] = []
        self.given: deque[node.JobAssign] = deque(maxlen=KEPT_MAX)
        self.steps = self.stale_steps = 0
        self.story: deque[tuple[float, Event]] = deque(maxlen=60)
        self._every = every
        self._compare_every = compare_every
        self._generation = 0

    # -- one step ------------------------------------------------------------------------

    def apply(self, event: Event) -> list[Effect]:
        """Let the engine take one event, do what it says, and compare with the ledger."""
        self.steps += 1
        self.story.append((self.now, event))
        stale = is_stale(self.ledger, event, self.now)
        before = None
        if stale:
            self.stale_steps += 1
            if self.stale_steps % self._compare_every == 0:
                before = frozen(self.engine)
        effects = self.engine.handle(event, self.now)
        for effect in effects:
            self._perform(event, effect)
        self.ledger.observe(event, effects, self.now, stale=stale)
        if before is not None and (changed := differences(before, frozen(self.engine))):
            raise Broken("a stale input changes nothing", (event, changed))
        if self.steps % self._every == 0:
            self.check()
        return effects

    def check(self) -> None:
        """Everything that must hold between steps."""
        properties.check(self.ledger, self.engine, lateness=self.lateness)

    def _perform(self, event: Event, effect: Effect) -> None:
        match effect:
            case Send(connection, message):
                link = self.links[connection]
                if isinstance(message, Outcome):
                    if not link.over:
                        link.outbox.append(message)
                elif isinstance(message, node.JobAssign) and isinstance(link.owner, Worker):
                    link.owner.jobs.append(message)
                    self.given.append(message)
                elif isinstance(message, session.SessionInitAck):
                    self._welcomed(connection, message, event)
                elif isinstance(message, session.UtteranceAccepted):
                    assert isinstance(link.owner, Client)
                    link.owner.jobs.append(message.job_id)
                elif isinstance(message, node.NodeRegisterAck):
                    self._registered(connection, message, event)
            case Replace(connection, message, seq):
                outbox = self.links[connection].outbox
                places = [i for i, queued in enumerate(outbox) if queued.seq == seq]
                given_up = getattr(message, "reason", "") == "gap"  # may have been taken before
                if len(places) != 1 and not (given_up or self.links[connection].over):
                    raise Broken("a salvaged outcome takes the failure's place", message)
                for place in places:
                    assert isinstance(message, Outcome)
                    outbox[place] = message
            case Remember(record):
                self.records.append(record)
            case End(connection, _, at_once):
                link = self.links[connection]
                link.over = True
                if at_once:
                    link.outbox.clear()

    def _welcomed(self, connection: Generation, ack: session.SessionInitAck, event: Event) -> None:
        known = next((c for c in self.clients if c.session_id == ack.session_id), None)
        if known is None:
            receipts = bool(event.hello.receipts)  # type: ignore[union-attr]
            known = Client(ack.session_id, ack.resume_token, receipts, connection)
            self.clients.append(known)
        if known.connection in self.links:
            known_before = self.links[known.connection]  # the old one may still be written out
            known_before.owner = known
        known.connection = connection
        self.links[connection].owner = known

    def _registered(self, connection: Generation, ack: node.NodeRegisterAck, event: Event) -> None:
        known = next((w for w in self.workers if w.node_id == ack.node_id), None)
        if known is None:
            known = Worker(ack.node_id, connection, receipts=False, slots=0)
            self.workers.append(known)
        hello = event.hello  # type: ignore[union-attr]
        known.connection, known.receipts = connection, bool(hello.receipts)
        known.slots = hello.slots or 0  # type: ignore[union-attr]
        self.links[connection].owner = known

    def restart(self) -> None:
        """Kill the process; the next one has what was remembered, and nobody is connected."""
        kept = what_is_kept_of(self.records)
        self.links.clear()
        self.clients = [client for client in self.clients if client.receipts]
        for client in self.clients:
            client.connection = None
        for worker in self.workers:
            worker.connection = None
        self.ledger.restarted(self.now)
        self.engine = Engine(self.config, self._ids)
        self.apply(Recovered(kept))

    # -- connections ------------------------------------------------------------------------

    def open(self) -> Generation:
        """A new connection, which has said nothing yet. Ended ones break in the end."""
        if len(self.links) >= LINKS_MAX:
            over = next((c for c, link in self.links.items() if link.over), None)
            self.leave(over or next(iter(self.links)))
        self._generation += 1
        self.links[self._generation] = Link()
        return self._generation

    def say(self, connection: Generation, message: Any) -> None:
        self.apply(Received(connection, message))

    def leave(self, connection: Generation) -> None:
        """The connection breaks, whatever still was in it."""
        link = self.links.pop(connection)
        if link.owner is not None and link.owner.connection == connection:
            link.owner.connection = None
        self.apply(Left(connection, Close.PEER_GONE))
        kept = self.clients[-KEPT_MAX:]
        self.clients = [c for c in self.clients if c in kept or c.session_id in self.ledger.persons]

    def take(self, connection: Generation) -> bool:
        """The writer takes the next outcome; the client may have it from here on."""
        link = self.links[connection]
        if link.taken is not None or not link.outbox:
            return False
        link.taken = link.outbox.popleft()
        assert link.taken.seq is not None
        self.apply(Writing(connection, link.taken.seq))
        if isinstance(link.owner, Client):
            link.owner.receive(link.taken)
        return True

    def finish_writing(self, connection: Generation) -> bool:
        """The writer is told that the operating system has it all."""
        link = self.links[connection]
        if link.taken is None:
            return False
        seq, link.taken = link.taken.seq, None
        assert seq is not None
        self.apply(Written(connection, seq))
        return True

    def write_out(self, connection: Generation) -> None:
        """Write everything that waits."""
        while self.finish_writing(connection) or self.take(connection):
            pass

    # -- time -----------------------------------------------------------------------------------

    @property
    def timers(self) -> dict[Timer, float]:
        return self.ledger.timers

    def due(self) -> list[Timer]:
        """The timers whose instant has come, in the order in which they were set."""
        return [timer for timer, at in self.timers.items() if at <= self.now]

    def fire(self, timer: Timer) -> None:
        self.apply(Expired(timer))

    def advance(self, seconds: float, *, newest_first: bool = False) -> None:
        """Let time pass; each timer runs out at its instant, equal ones in either order."""
        until = self.now + seconds
        while True:
            while due := self.due():
                self.fire(due[-1 if newest_first else 0])
            following = min(self.timers.values(), default=until)
            if following >= until:
                break
            self.now = following
        self.now = until

    def approach(self) -> bool:
        """Go to the instant of the next timer, which has not run out yet."""
        following = min(self.timers.values(), default=None)
        if following is None or following <= self.now:
            return False
        self.now = following
        return True

    def stall(self, seconds: float) -> None:
        """This process stands still: time passes and no timer runs."""
        self.now += seconds
        self.lateness += seconds

    # -- the end ------------------------------------------------------------------------------

    def until(self, done: Callable[[], bool], within: float, name: str) -> None:
        """Let time pass until ``done``; it must be so within so many seconds."""
        end = self.now + within
        while not done():
            if not self.approach() or self.now > end:
                raise Broken(name, f"not within {within:g} s")
            while due := self.due():
                self.fire(due[0])
