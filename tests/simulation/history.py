"""What the scheduler claims, as its engine's events and effects say it, in one order.

The history only writes down and sorts. What must hold of it stands in the modules
`safety_of_...` and in `liveness.py`; what peers really saw is in the scene.
"""

from __future__ import annotations

import collections
from typing import Any

import attrs
import trio

from scheduler.core.events import (
    Effect,
    End,
    Event,
    Generation,
    JournalFailed,
    Left,
    NodeJoined,
    Note,
    Remember,
    Replace,
    Send,
    SessionJoined,
)
from scheduler.core.records import JobForgotten
from scheduler.wire.node import JobAssign
from scheduler.wire.session import MissingResult, SessionInitAck, TranslationResult


@attrs.frozen
class Step:
    """One event and all its effects: nobody ran in between."""

    number: int
    at: float
    event: Event
    effects: list[Effect]

    @property
    def facts(self) -> list[str]:
        """The names of the facts that were noted."""
        return [effect.name for effect in self.effects if isinstance(effect, Note)]

    @property
    def withdraws(self) -> list[str]:
        """The jobs that were taken back, since the journal could not keep them."""
        if not isinstance(self.event, JournalFailed):
            return []
        records = (e.record for e in self.effects if isinstance(e, Remember))
        return [record.job_id for record in records if isinstance(record, JobForgotten)]


@attrs.frozen
class Fact:
    """A note of the engine: at which step, when, and its details."""

    step: int
    at: float
    name: str
    detail: dict[str, Any]


@attrs.frozen
class Sent:
    """A message that the engine put into the outbox of a connection."""

    step: int
    at: float
    connection: Generation
    message: Any
    seq: int | None
    replaces: bool = False


@attrs.define(eq=False)
class JobRecord:
    """Everything that was ever claimed of one job.

    `withdrawn` is the step in which it was taken back, since it could not be kept.
    """

    job_id: str
    session_id: str
    accepted: Fact
    facts: list[Fact] = attrs.Factory(list)
    assigned: list[Sent] = attrs.Factory(list)
    outcomes: list[Sent] = attrs.Factory(list)
    told: list[Sent] = attrs.Factory(list)
    withdrawn: Step | None = None

    def all(self, *names: str) -> list[Fact]:
        """The facts of these names, in order."""
        return [fact for fact in self.facts if fact.name in names]

    @property
    def settled(self) -> Fact | None:
        """When its outcome was decided, if it was."""
        return next((fact for fact in self.facts if fact.name == "settled"), None)


@attrs.define(eq=False)
class History:
    """All steps of one scheduler, and the same things by job, session and connection.

    `session_of` says which session a connection speaks for; `joined` is the step in which each
    connection said hello, `ended` that in which the engine gave it up, `left` its end.
    """

    steps: list[Step] = attrs.Factory(list)
    facts: list[Fact] = attrs.Factory(list)
    jobs: dict[str, JobRecord] = attrs.Factory(dict)
    jobs_of: dict[str, list[JobRecord]] = attrs.Factory(lambda: collections.defaultdict(list))
    sent: dict[Generation, list[Sent]] = attrs.Factory(lambda: collections.defaultdict(list))
    session_of: dict[Generation, str] = attrs.Factory(dict)
    joined: dict[Generation, Step] = attrs.Factory(dict)
    left: dict[Generation, Step] = attrs.Factory(dict)
    ended: dict[Generation, Step] = attrs.Factory(dict)

    def observe(self, event: Event, effects: list[Effect]) -> None:
        """Write down one step; called by the shell."""
        step = Step(len(self.steps), trio.current_time(), event, effects)
        self.steps.append(step)
        match event:
            case SessionJoined() | NodeJoined():
                self.joined[event.connection] = step
            case Left():
                self.left[event.connection] = step
        for effect in effects:
            match effect:
                case Note():
                    self._note(step, effect)
                case Send():
                    self._sent(step, effect, replaces=False)
                case Replace():
                    self._sent(step, effect, replaces=True)
                case End():
                    self.ended.setdefault(effect.connection, step)
        for job_id in step.withdraws:
            self.jobs[job_id].withdrawn = step

    def _note(self, step: Step, note: Note) -> None:
        fact = Fact(step.number, step.at, note.name, note.detail)
        self.facts.append(fact)
        job_id = note.detail.get("job_id")
        if note.name == "accepted":
            record = JobRecord(note.detail["job_id"], note.detail["session_id"], fact)
            self.jobs[record.job_id] = record
            self.jobs_of[record.session_id].append(record)
        if job_id in self.jobs:
            self.jobs[job_id].facts.append(fact)

    def _sent(self, step: Step, effect: Send | Replace, *, replaces: bool) -> None:
        message = effect.message
        sent = Sent(step.number, step.at, effect.connection, message, effect.seq, replaces)
        self.sent[sent.connection].append(sent)
        if isinstance(message, SessionInitAck):
            self.session_of[sent.connection] = message.session_id
        job_id = getattr(message, "job_id", None)
        if job_id not in self.jobs:
            return
        record = self.jobs[job_id]
        if isinstance(message, JobAssign):
            record.assigned.append(sent)
        elif isinstance(message, TranslationResult | MissingResult):
            record.outcomes.append(sent)
        else:
            record.told.append(sent)

    def all(self, *names: str) -> list[Fact]:
        """The facts of these names, in order."""
        return [fact for fact in self.facts if fact.name in names]
