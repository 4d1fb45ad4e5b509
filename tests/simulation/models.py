"""Two small models of what the scheduler should hold, computed from its inputs alone.

They walk through the history and say before each step what is true: which attempts are
current, and which outcomes have their turn. The properties compare them with what was done.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator

import attrs
from simulation.history import History, Step

from scheduler.core.events import (
    Generation,
    Left,
    NodeJoined,
    Note,
    Received,
    Send,
    SessionJoined,
)
from scheduler.core.quarantine import CANARY_SESSION
from scheduler.wire.node import JobAssign
from scheduler.wire.session import ResultAck

WRONG_CONNECTION = -1
"""Stands for an outcome that was sent on another connection than the session's current one."""


@attrs.frozen
class Current:
    """An attempt that is under way: on which node, and over which connection."""

    connection: Generation
    number: int
    node_id: str


@attrs.define(eq=False)
class Attempts:
    """Which attempts are current; canaries, which are jobs of no session, are so for ever."""

    current: dict[str, Current] = attrs.Factory(dict)
    last: dict[str, Current] = attrs.Factory(dict)
    canaries: dict[str, Current] = attrs.Factory(dict)
    node_of: dict[Generation, str] = attrs.Factory(dict)

    def take(self, step: Step) -> None:
        """Go past one step."""
        if isinstance(step.event, NodeJoined):
            self._take_over(step, step.event)
        for job_id in step.withdraws:
            self.current.pop(job_id, None)
        for effect in step.effects:
            match effect:
                case Note(name="attempt_lost" | "settled", detail=detail):
                    self.current.pop(detail["job_id"], None)
                case Send(message=JobAssign() as job):
                    node_id = self.node_of[effect.connection]
                    now = Current(effect.connection, job.attempt_id, node_id)
                    if job.session_id == CANARY_SESSION:
                        self.canaries[job.job_id] = now
                    else:
                        self.current[job.job_id] = self.last[job.job_id] = now

    def _take_over(self, step: Step, event: NodeJoined) -> None:
        """A node has come back on another connection: what it still holds goes on."""
        joined = (e for e in step.effects if isinstance(e, Note) and e.name == "node_joined")
        node_id = next((note.detail["node_id"] for note in joined), None)
        if node_id is None:
            return
        self.node_of[event.connection] = node_id
        for ref in event.hello.in_flight or ():
            known = self.current.get(ref.job_id)
            if known and (known.number, known.node_id) == (ref.attempt_id, node_id):
                now = attrs.evolve(known, connection=event.connection)
                self.current[ref.job_id] = self.last[ref.job_id] = now

    def names(self, where: dict[str, Current], event: Received) -> bool:
        """Whether a node's message is about the attempt that `where` has of that job."""
        message = event.message
        known = where.get(getattr(message, "job_id", ""))
        return (
            known is not None
            and known.connection == event.connection
            and getattr(message, "node_id", known.node_id) == known.node_id
            and getattr(message, "attempt_id", None) in (None, known.number)
        )


def attempts(history: History) -> Iterator[tuple[Step, Attempts]]:
    """Each step, and the attempts as they are before it."""
    model = Attempts()
    for step in history.steps:
        yield step, model
        model.take(step)


@attrs.define(eq=False)
class Line:
    """What one session is owed: `turn` outcomes have had their turn, up to `acked` it has them."""

    order: list[str] = attrs.Factory(list)
    settled: set[str] = attrs.Factory(set)
    turn: int = 0
    acked: int = 0
    sent: int = 0
    connection: Generation | None = None
    resumes: bool = False
    closed: bool = False


@attrs.frozen
class Due:
    """The outcomes that one step has to send to a session, and those that it did send."""

    step: Step
    session_id: str
    expected: list[int]
    sent: list[int]
    resumed: bool
    acked: int


def deliveries(history: History) -> Iterator[Due]:
    """For each step and session concerned: what had to be sent, and what was."""
    lines: dict[str, Line] = collections.defaultdict(Line)
    session_of: dict[Generation, str] = {}
    for step in history.steps:
        _hear(step, history, lines, session_of)
        concerned = _settle(step, lines)
        resumed = "session_resumed" in step.facts
        sent: dict[str, list[int]] = collections.defaultdict(list)
        for effect in step.effects:
            if isinstance(effect, Send) and effect.seq is not None:
                name = history.session_of[effect.connection]
                right = lines[name].connection in (effect.connection, None)
                sent[name].append(effect.seq if right else WRONG_CONNECTION)
        if resumed:
            concerned.add(history.session_of[_connection(step)])
        for name in sorted(concerned | set(sent)):
            line = lines[name]
            first = line.acked if resumed else line.sent
            live = line.connection is not None
            expected = list(range(first + 1, line.turn + 1)) if live else []
            yield Due(step, name, expected, sent[name], resumed, line.acked)
            line.sent = max(line.sent, *sent[name], line.turn if live else 0, 0)


def _connection(step: Step) -> Generation:
    assert isinstance(step.event, SessionJoined)
    return step.event.connection


def _hear(
    step: Step, history: History, lines: dict[str, Line], session_of: dict[Generation, str]
) -> None:
    match step.event:
        case SessionJoined(connection, hello):
            name = history.session_of.get(connection)
            if name is None:
                return
            session_of[connection] = name
            line = lines[name]
            line.connection = connection
            claim = hello.resume.last_seq if hello.resume is not None else 0
            if "session_resumed" in step.facts and claim <= line.sent:
                line.acked = max(line.acked, claim)
        case Received(connection, ResultAck() as ack) if connection in session_of:
            name = session_of[connection]
            line = lines[name]
            if line.connection == connection and ack.session_id == name and ack.seq <= line.sent:
                line.acked = max(line.acked, ack.seq)
        case Left(connection) if connection in session_of:
            line = lines[session_of[connection]]
            if line.connection == connection:
                line.connection = None


def _settle(step: Step, lines: dict[str, Line]) -> set[str]:
    """Accept and settle as the notes of the step say; the sessions whose line moved on."""
    moved = set()
    for job_id in step.withdraws:
        name = next(name for name, line in lines.items() if job_id in line.order)
        lines[name].order.remove(job_id)
        moved.add(name)
    for effect in step.effects:
        if not isinstance(effect, Note):
            continue
        if effect.name == "accepted":
            lines[effect.detail["session_id"]].order.append(effect.detail["job_id"])
        elif effect.name == "settled":
            name = effect.detail["session_id"]
            lines[name].settled.add(effect.detail["job_id"])
            moved.add(name)
        elif effect.name == "session_closed":
            lines[effect.detail["session_id"]].connection = None
    for name in moved:
        line = lines[name]
        while line.turn < len(line.order) and line.order[line.turn] in line.settled:
            line.turn += 1
    return moved
