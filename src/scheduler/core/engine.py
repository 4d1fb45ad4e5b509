"""The engine: one synchronous function from an event to its effects.

Because :meth:`Engine.handle` is not ``async``, nobody can run between a decision and its
effects: there are no locks and no half-done states. It is deterministic: the same events
at the same instants, with the same source of ids, give the same effects.
"""

from typing import assert_never

from scheduler.config import Config
from scheduler.core import (
    admission,
    delivery,
    dispatch,
    nodes,
    quarantine,
    receipts,
    recovery,
    retention,
    sessions,
    story,
)
from scheduler.core.check import check
from scheduler.core.events import (
    DrainStarted,
    Effect,
    Event,
    Expired,
    Generation,
    Heard,
    JournalFailed,
    JournalMended,
    Left,
    NodeJoined,
    Received,
    Recovered,
    SessionJoined,
    Silent,
    Timer,
    Writing,
    Written,
)
from scheduler.core.job import Job
from scheduler.core.node import Node
from scheduler.core.session import Session
from scheduler.core.snapshot import Snapshot
from scheduler.core.state import Ids, State, Step
from scheduler.wire.node import FromNode, NodeControl
from scheduler.wire.session import FromSession, GoingAway

PRUNED_PER_STEP = 8


class Engine:
    """All decisions. ``epoch`` is Unix time minus monotonic time, both in seconds."""

    def __init__(self, config: Config, ids: Ids, *, epoch: float = 0.0) -> None:
        self._state = State(config=config, ids=ids, epoch=epoch)

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event at the instant ``now`` (monotonic seconds); the only mutator."""
        step = Step(self._state, now)
        _prune(step)
        match event:
            case SessionJoined():
                sessions.join(step, event)
            case NodeJoined():
                nodes.join(step, event)
            case Received():
                _received(step, event.connection, event.message)
            case Writing() | Written():
                _wrote(step, event)
            case Left():
                _left(step, event)
            case Silent() | Heard():
                _suspect(step, event.connection, isinstance(event, Silent))
            case Expired():
                _expired(step, event.timer)
            case DrainStarted():
                _drain(step)
            case Recovered():
                recovery.recover(step, event)
            case JournalFailed() | JournalMended():
                _journal(step, event)
            case _:
                assert_never(event)
        return step.effects

    @property
    def config(self) -> Config:
        """The settings by which it decides."""
        return self._state.config

    @property
    def unfinished(self) -> int:
        """How many accepted jobs have no outcome yet."""
        return len(self._state.jobs) - len(self._state.settled)

    @property
    def running(self) -> int:
        """How many jobs are on a node."""
        return sum(len(node.running) for node in self._state.nodes.values())

    @property
    def unkept(self) -> int:
        """How many unfinished jobs no journal knows, since their sessions cannot come back."""
        sessions = self._state.sessions.values()
        return sum(job.live for s in sessions if not s.receipts for job in s.order)

    @property
    def owed(self) -> int:
        """How many outcomes the connected sessions have not acknowledged, or not yet read."""
        sessions = self._state.sessions.values()
        return sum(len(s.owed) for s in sessions if s.connection is not None)

    def snapshot(self, now: float) -> Snapshot:
        """A view for pages and programs, made of plain data."""
        return Snapshot(self._state, now)

    def check(self) -> None:
        """Raise ``AssertionError`` with the story of the job if an invariant is broken."""
        check(self._state)


def _received(step: Step, connection: Generation, message: FromSession | FromNode) -> None:
    """Whoever is no current peer any more is not heard: its successor speaks for it."""
    peer = step.state.peers.get(connection)
    if isinstance(peer, Session):
        sessions.received(step, peer, message)  # type: ignore[arg-type]  # decoded for its role
    elif isinstance(peer, Node):
        nodes.received(step, peer, message)  # type: ignore[arg-type]  # decoded for its role
    else:
        step.note("stale", input=type(message).__name__, connection=connection)


def _wrote(step: Step, event: Writing | Written) -> None:
    session = step.state.peers.get(event.connection)
    if isinstance(session, Session):
        if isinstance(event, Writing):
            delivery.writing(session, event.seq)
        else:
            delivery.written(step, session, event.seq, event.signs)


def _left(step: Step, event: Left) -> None:
    peer = step.state.peers.pop(event.connection, None)
    if isinstance(peer, Session):
        sessions.left(step, peer, event)
    elif isinstance(peer, Node):
        nodes.left(step, peer, event)


def _suspect(step: Step, connection: Generation, suspect: bool) -> None:
    node = step.state.peers.get(connection)
    if isinstance(node, Node) and node.suspect != suspect:
        node.suspect = suspect
        step.note("node_silent" if suspect else "node_heard", node_id=node.node_id)
        story.silence(step, node)
        dispatch.reconsider(step, node)


def _expired(step: Step, timer: Timer) -> None:
    if timer.kind == "job":
        job = step.state.jobs.get(timer.key)
        if job is not None:
            dispatch.expired(step, job)
    elif timer.kind == "canary":
        node = step.state.nodes.get(timer.key)
        if node is not None and quarantine.due(step, node):
            dispatch.reconsider(step, node)
    elif (session := step.state.sessions.get(timer.key)) is not None:
        if timer.kind == "receipt":
            receipts.overdue(step, session)
        elif timer.kind == "retention":
            retention.aged(step, session)
        elif timer.kind == "pause":
            sessions.paused(step, session)
        elif session.connection is None:
            sessions.close(step, session, "not resumed in time")


def _journal(step: Step, event: JournalFailed | JournalMended) -> None:
    """Nothing new is accepted while it could not be kept.

    What waits is taken back first, lest it gets the slot of what runs.
    """
    why = event.why if isinstance(event, JournalFailed) else None
    if (why is None) != (step.state.journal_failed is None):
        step.note("journal_mended" if why is None else "journal_failed")
    step.state.journal_failed = why
    if isinstance(event, JournalFailed):
        jobs = [step.state.jobs[name] for name in event.job_ids if name in step.state.jobs]
        for job in sorted(jobs, key=lambda job: job.attempt is not None):
            admission.unaccept(step, job)


def _drain(step: Step) -> None:
    """Nodes get no new work, sessions are told when to come back; what runs goes on to its end.

    The moments to come back are spread, so that a new process is not met by all at once.
    """
    step.state.draining = True
    step.note("drain_started", sessions=len(step.state.sessions))
    connected = [s for s in step.state.sessions.values() if s.connection is not None]
    for place, session in enumerate(connected, 1):
        wait = step.config.drain_reconnect_spread * place / len(connected)
        going = GoingAway(
            reason="the scheduler restarts",
            time_left_ms=int(step.config.drain_timeout * 1000),
            reconnect_after_ms=int(wait * 1000),
        )
        step.send(session.connection, going)
    for node in step.state.nodes.values():
        node.draining = True
        step.send(node.connection, NodeControl(command="drain", reason="the scheduler drains"))
    dispatch.reconsider(step)


def _prune(step: Step) -> None:
    """Forget settled jobs that were readable for long enough and are owed to nobody.

    One that is still owed goes to the back: how its outcome fared belongs into its story.
    A step forgets more than it can settle, and costs the same however many are owed.
    """
    settled, config = step.state.settled, step.config
    for _ in range(PRUNED_PER_STEP):
        if not settled or not (
            len(settled) > config.finished_jobs_max
            or (settled[0].settled_at or 0.0) + config.finished_retention <= step.now
        ):
            return
        job = settled.popleft()
        if _owed(step, job):
            settled.append(job)
        else:
            del step.state.jobs[job.job_id]


def _owed(step: Step, job: Job) -> bool:
    session = step.state.sessions.get(job.session_id)
    return session is not None and (job.seq is None or job.seq in session.owed)
