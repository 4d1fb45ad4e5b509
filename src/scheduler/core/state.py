"""Everything the engine knows, in one place, and the step that may change it."""

from collections import Counter, OrderedDict, deque
from typing import Any, Protocol

import attrs

from scheduler.config import Config
from scheduler.core.events import (
    ClearTimer,
    Effect,
    End,
    Generation,
    Note,
    Probe,
    Remember,
    Replace,
    Send,
    SetTimer,
    Timer,
    Withdraw,
)
from scheduler.core.fleet import Fleet
from scheduler.core.job import Job
from scheduler.core.node import HeldAgainst, Node
from scheduler.core.placement import Need
from scheduler.core.records import Record
from scheduler.core.session import Session
from scheduler.errors import Close, Code
from scheduler.wire.common import Error
from scheduler.wire.node import ToNode
from scheduler.wire.session import ToSession, Utterance


class Ids(Protocol):
    """Where new names come from: the shell's entropy, or a test's counter."""

    def session(self) -> str:
        """A new session id; knowing it is needed to act for the session."""

    def node(self) -> str:
        """A new node id."""

    def job(self) -> str:
        """A new job id."""

    def token(self) -> str:
        """A new secret that allows a session to be resumed."""

    def trace(self) -> str:
        """A new trace id."""


@attrs.define(kw_only=True, eq=False)
class State:
    """Plain data. ``epoch`` is what must be added to monotonic seconds to get Unix time.

    ``peers`` says what each live, joined connection is. ``waiting`` holds the pending jobs
    by need, oldest first; an empty queue is removed. ``away`` has what is held against nodes
    that are not connected, by node id, the last that left at the end. ``settled`` lists jobs in
    the order of their outcomes, for pruning. ``journal_failed`` says why nothing can be kept at
    present.
    """

    config: Config
    ids: Ids
    epoch: float
    sessions: dict[str, Session] = attrs.Factory(dict)
    nodes: dict[str, Node] = attrs.Factory(dict)
    away: OrderedDict[str, HeldAgainst] = attrs.Factory(OrderedDict)
    fleet: Fleet = attrs.Factory(Fleet)
    jobs: dict[str, Job] = attrs.Factory(dict)
    peers: dict[Generation, Session | Node] = attrs.Factory(dict)
    waiting: dict[Need, OrderedDict[str, Job]] = attrs.Factory(dict)
    waiting_because: dict[Need, tuple[str, str]] = attrs.Factory(dict)
    settled: deque[Job] = attrs.Factory(deque)
    counts: Counter[str] = attrs.Factory(Counter)
    owed_bytes: int = 0
    audio_chars: int = 0
    jobs_accepted: int = 0
    nodes_joined: int = 0
    draining: bool = False
    journal_failed: str | None = None

    def keep_audio(self, job: Job, said: Utterance) -> None:
        """The job has this utterance from now on; its audio counts as long as it is kept."""
        self.drop_audio(job)
        job.utterance = said
        self.audio_chars += len(said.audio)

    def drop_audio(self, job: Job) -> None:
        """The job needs its utterance no more."""
        if job.utterance is not None:
            self.audio_chars -= len(job.utterance.audio)
            job.utterance = None

    @property
    def jobs_waiting(self) -> int:
        """How many jobs wait for a slot."""
        return sum(map(len, self.waiting.values()))


@attrs.define(eq=False)
class Step:
    """One call of the engine: the state, the present instant, the effects so far.

    Rooms of the engine are plain functions that take a step first. Every effect goes
    through the methods below.
    """

    state: State
    now: float
    effects: list[Effect] = attrs.Factory(list)

    @property
    def config(self) -> Config:
        """The settings."""
        return self.state.config

    @property
    def unix_ms(self) -> int:
        """The present instant for people and peers, in integer milliseconds."""
        return self.unix_ms_of(self.now)

    def unix_ms_of(self, at: float) -> int:
        """A monotonic instant for people, peers and other processes."""
        return round((self.state.epoch + at) * 1000)

    def instant_of(self, unix_ms: int) -> float:
        """The monotonic instant of a time that another process wrote down."""
        return unix_ms / 1000 - self.state.epoch

    def send(
        self,
        connection: Generation | None,
        message: ToSession | ToNode,
        *,
        seq: int | None = None,
        droppable: bool = False,
    ) -> None:
        """Send a message; without a connection there is nobody to send it to."""
        if connection is not None:
            self.effects.append(Send(connection, message, seq, droppable))

    def refuse(self, connection: Generation | None, code: Code, text: str, **details: Any) -> None:
        """Say that a request cannot be served; it has changed nothing."""
        self.send(connection, Error(code=str(code), message=text, details=details or None))

    def replace(self, connection: Generation, message: ToSession, seq: int) -> None:
        """Change an outcome that still waits in its connection's outbox."""
        self.effects.append(Replace(connection, message, seq))

    def withdraw(self, connection: Generation, job_id: str) -> None:
        """Take back what waits to be said about a job that was never promised."""
        self.effects.append(Withdraw(connection, job_id))

    def probe(self, connection: Generation) -> None:
        """Ask for a sign of life."""
        self.effects.append(Probe(connection))

    def end(self, connection: Generation, close: Close) -> None:
        """Close a connection; what it still does is no concern of ours from here on."""
        self.state.peers.pop(connection, None)
        self.effects.append(End(connection, close))

    def give_up(self, connection: Generation, close: Close) -> None:
        """Close a connection whose peer is still the one we know: until it has ended, what the
        peer says counts, and its end is told as that of any connection.
        """
        self.effects.append(End(connection, close))

    def replace_connection(self, connection: Generation) -> None:
        """A newer connection of the same peer takes over; nothing more is said on the old one."""
        self.state.peers.pop(connection, None)
        self.effects.append(End(connection, Close.REPLACED, at_once=True))

    def remember(self, session: Session, record: Record) -> None:
        """Keep a record, if its session could ever come back for it."""
        if session.receipts:
            self.effects.append(Remember(record))

    def set_timer(self, timer: Timer, at: float) -> None:
        """Ask for an :class:`~scheduler.core.events.Expired` at ``at``."""
        self.effects.append(SetTimer(timer, at))

    def clear_timer(self, timer: Timer) -> None:
        """Take back a timer."""
        self.effects.append(ClearTimer(timer))

    def note(self, fact: str, job: Job | None = None, /, **detail: Any) -> None:
        """Record a fact: counted, and written into the job's story if it names a job."""
        self.state.counts[fact] += 1
        if job is not None:
            ids = {"session_id": job.session_id, "job_id": job.job_id, "trace_id": job.trace_id}
            attempt = {"attempt": len(job.attempts)} if job.attempts else {}
            detail = {**ids, **attempt, **detail}
        self.effects.append(Note(fact, detail))

    def stale(self, what: str, job: Job | None, /, **detail: Any) -> None:
        """Record an input that names nothing current. It has changed nothing but this."""
        if job is not None:
            job.tell(self.now, "stale", detail.get("node_id", "?"), input=what)
        self.note("stale", job, input=what, **detail)
