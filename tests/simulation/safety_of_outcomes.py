"""What must never be of outcomes: each property a function whose docstring is the sentence.

A property gives one line for each way in which a run breaks it. Claims are in `run.history`;
the truth is what peers read from their links (`run.scene.talks`), what nodes began
(`run.scene.begun`) and what people were told (`run.scene.wishes`).
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from simulation.history import JobRecord
from simulation.models import deliveries
from simulation.nodes import ANSWER
from simulation.taps import OUTCOMES, Heard, Talk
from simulation.world import Run

from scheduler.core.events import Event, Note, Received, Written
from scheduler.wire.session import ResultAck, UiEvent

Property = Callable[[Run], Iterator[str]]
AFTERLIFE = frozenset({
    "settled", "salvaged", "stale", "written", "delivered", "expired", "played",
})  # fmt: skip
"""What may still be noted of a job that has its outcome."""


def session_talks(run: Run) -> Iterator[Talk]:
    """The connections of clients that were welcomed."""
    return (talk for talk in run.scene.talks if talk.session_id is not None)


def outcomes_heard(talk: Talk) -> Iterator[Heard]:
    """The outcomes that a client read, as often as it read them."""
    return (heard for heard in talk.heard if heard.message.get("type") in OUTCOMES)


def is_honest(run: Run, owner: str) -> bool:
    """Whether a client never says that it has what it has not."""
    name, _, number = owner.partition("-")
    if name != "client":
        return name == "witness"
    plan = run.plan.sessions[int(number)]
    return plan.receipts != "beyond" and plan.resumes != "ahead"


def content(message: dict[str, Any]) -> tuple[Any, ...]:
    """What an outcome says, apart from its number."""
    return (message["type"], message.get("reason"), message.get("text_asr"))


# -- outcomes -------------------------------------------------------------------------


def a_job_has_one_outcome(run: Run) -> Iterator[str]:
    """A job has at most one outcome; once it has one, nothing changes it but an untold salvage."""
    for job in run.history.jobs.values():
        settled, salvaged = job.all("settled"), job.all("salvaged")
        if len(settled) > 1:
            yield f"{job.job_id} was settled as {[f.detail['outcome'] for f in settled]}"
        late = settled and settled[0].detail["outcome"] == "job_timeout"
        if len(salvaged) > 1 or (salvaged and not late):
            yield f"{job.job_id} was salvaged {len(salvaged)} times"
        if len({sent.seq for sent in job.outcomes}) > 1:
            yield f"{job.job_id} has the numbers {[sent.seq for sent in job.outcomes]}"


def nobody_hears_two_outcomes(run: Run) -> Iterator[str]:
    """A client hears one outcome of a job, however often; later perhaps that it is kept no more."""
    said: dict[tuple[str, str], dict[tuple[Any, ...], int]] = collections.defaultdict(dict)
    for talk in session_talks(run):
        for heard in outcomes_heard(talk):
            message = heard.message
            if message.get("reason") != "gap":
                said[talk.owner, message["job_id"]][content(message)] = message["seq"]
    for (owner, job_id), contents in said.items():
        if len(contents) > 1 or len(set(contents.values())) > 1:
            yield f"{owner} was told of {job_id}: {contents}"


def delivered_means_received(run: Run) -> Iterator[str]:
    """*Delivered* is said only of what the session had received by then."""
    has: dict[tuple[str, int, str], float] = {}
    owners: dict[str, str] = {}
    for talk in session_talks(run):
        assert talk.session_id is not None
        owners[talk.session_id] = talk.owner
        for heard in outcomes_heard(talk):
            key = (talk.session_id, heard.message["seq"], heard.message["job_id"])
            has[key] = min(heard.at, has.get(key, heard.at))
    for fact in run.history.all("delivered"):
        session_id, job_id, seq = (fact.detail[k] for k in ("session_id", "job_id", "seq"))
        if not is_honest(run, owners.get(session_id, "witness")):
            continue
        at = has.get((session_id, seq, job_id))
        if at is None or at > fact.at:
            yield f"{job_id} ({session_id}, {seq}) delivered at {fact.at}, received at {at}"


def written_means_written(run: Run) -> Iterator[str]:
    """*Written* is said only of what a connection took whole that was current at that moment.

    That it did is told by the writer, or by a receipt that is read before the writer has said so.
    """
    yield from run.unwritten
    current: dict[str, int] = {}
    for step in run.history.steps:
        for effect in step.effects:
            if not isinstance(effect, Note):
                continue
            if effect.name in ("session_joined", "session_resumed"):
                current[effect.detail["session_id"]] = effect.detail["connection"]
            elif effect.name == "written":
                live = current.get(effect.detail["session_id"])
                told = _tells_of_a_write(step.event, live)
                if not told or effect.detail["connection"] != live:
                    yield f"{effect.detail} is noted while {live} is current"


def _tells_of_a_write(event: Event, live: int | None) -> bool:
    match event:
        case Written(connection) | Received(connection, ResultAck()):
            return connection == live
    return False


def nothing_follows_the_outcome(run: Run) -> Iterator[str]:
    """No timeout, warning or failure is recorded or sent for a job after its outcome."""
    for job in run.history.jobs.values():
        names = [fact.name for fact in job.facts]
        if "settled" not in names:
            continue
        after = [name for name in names[names.index("settled") + 1 :] if name not in AFTERLIFE]
        if after:
            yield f"{job.job_id} was settled, and then: {after}"
        yield from _told_after(job)


def _told_after(job: JobRecord) -> Iterator[str]:
    settled = job.settled
    assert settled is not None
    failed = settled.detail["outcome"] not in ("translated", "silence_detected", "cancelled")
    for sent in job.told:
        late = sent.step > settled.step or (sent.step == settled.step and failed)
        if isinstance(sent.message, UiEvent) and late:
            error = sent.message.event == "ERROR"
            played = sent.message.event in ("TTS_PLAY_STARTED", "TTS_PLAY_ENDED")
            if not (played or (error and failed)):
                yield f"{job.job_id} was settled, and then {sent.message.event} was sent"
    if [s for s in job.told if isinstance(s.message, UiEvent) and s.message.event == "ERROR"][1:]:
        yield f"{job.job_id} was called an error twice"


def acknowledged_is_never_sent_again(run: Run) -> Iterator[str]:
    """What a session acknowledged is never sent to it again."""
    for due in deliveries(run.history):
        again = [seq for seq in due.sent if seq <= due.acked]
        if again:
            yield f"{due.session_id} has {due.acked} and is sent {again} at {due.step.at}"


def what_is_owed_is_replayed(run: Run) -> Iterator[str]:
    """A resumed session is sent exactly what it has not acknowledged, in order."""
    for due in deliveries(run.history):
        if due.resumed and due.sent != due.expected:
            yield f"{due.session_id} resumed at {due.step.at}: {due.expected} owed, {due.sent} sent"


def nothing_is_held_back(run: Run) -> Iterator[str]:
    """An outcome is sent in the very step in which its turn has come, and none before."""
    for due in deliveries(run.history):
        if not due.resumed and due.sent != due.expected:
            yield f"{due.session_id} at {due.step.at}: {due.expected} due, {due.sent} sent"


def outcomes_come_in_order(run: Run) -> Iterator[str]:
    """Outcomes come in the order of acceptance, numbered from 1 without a gap."""
    for session_id, jobs in run.history.jobs_of.items():
        jobs = [job for job in jobs if not job.withdrawn]
        place = {job.job_id: number for number, job in enumerate(jobs, 1)}
        for job in jobs:
            wrong = {sent.seq for sent in job.outcomes} - {place[job.job_id]}
            if wrong:
                yield f"{job.job_id} is number {place[job.job_id]} of {session_id}, sent as {wrong}"
    for sent in run.history.sent.values():
        seqs = [s.seq for s in sent if s.seq is not None and not s.replaces]
        if any(later != earlier + 1 for earlier, later in pairwise(seqs)):
            yield f"on one connection: {seqs}"


def clients_hear_in_order(run: Run) -> Iterator[str]:
    """What a client reads for the first time is always the next number."""
    heard: dict[str, list[Heard]] = collections.defaultdict(list)
    for talk in session_talks(run):
        if is_honest(run, talk.owner):
            heard[talk.session_id or ""] += outcomes_heard(talk)
    for session_id, outcomes in heard.items():
        highest = 0
        for one in sorted(outcomes, key=lambda o: o.at):
            seq = one.message["seq"]
            if seq > highest + 1:
                yield f"{session_id} hears {seq} after {highest}"
            highest = max(seq, highest)


def receipts_move_forward(run: Run) -> Iterator[str]:
    """Each session's acknowledged position moves forward only."""
    last: dict[str, int] = collections.defaultdict(int)
    for fact in run.history.all("delivered"):
        name, seq = fact.detail["session_id"], fact.detail["seq"]
        if seq <= last[name]:
            yield f"{name}: {seq} is delivered after {last[name]}"
        last[name] = max(seq, last[name])
    if run.monitor is not None:
        yield from run.monitor.broken.get("receipts", ())


# -- who hears what -------------------------------------------------------------------


def nothing_crosses(run: Run) -> Iterator[str]:
    """A session hears only of its own jobs; nothing crosses to another session or client."""
    for talk in run.scene.talks:
        if talk.role == "node":
            continue
        for heard in talk.heard:
            yield from _foreign(run, talk, heard.message)


def _foreign(run: Run, talk: Talk, message: dict[str, Any]) -> Iterator[str]:
    name = message.get("session_id")
    if name is not None and name != talk.session_id:
        yield f"{talk.owner} is {talk.session_id} and hears of {name}: {message}"
    job_id = message.get("job_id")
    if job_id is not None:
        job = run.history.jobs.get(job_id)
        if job is None or job.session_id != talk.session_id:
            yield f"{talk.owner} is {talk.session_id} and hears of {job_id}"
    if message.get("type") == "translation_result":
        heard, answer = message["text_asr"], message["text_translated"]
        if not heard.startswith(f"{talk.owner}/") or answer != ANSWER + heard:
            yield f"{talk.owner} hears {heard!r}, {answer!r}"
    if message.get("type") == "error":
        said = f"{message}"
        others = set(re.findall(r"\bs-\d+", said)) - {talk.session_id}
        if others or "token-" in said:
            yield f"{talk.owner} reads in an error: {said}"


def everybody_gets_his_own_words(run: Run) -> Iterator[str]:
    """The answer to an utterance is the answer to that utterance."""
    for wish in run.scene.wishes:
        if wish.ended == "translated" and wish.answer != wish.text:
            yield f"{wish.client} said {wish.text!r} and was told {wish.answer!r}"


def nothing_private_is_noted(run: Run) -> Iterator[str]:
    """Speech and tokens do not appear in what is noted for logs."""
    for fact in run.history.facts:
        for value in fact.detail.values():
            private = ("client-", "token-", ANSWER)
            if isinstance(value, str) and any(word in value for word in private):
                yield f"{fact.name}: {fact.detail}"


OUTCOMES_ARE_TRUE: tuple[Property, ...] = (
    a_job_has_one_outcome,
    nobody_hears_two_outcomes,
    delivered_means_received,
    written_means_written,
    nothing_follows_the_outcome,
    acknowledged_is_never_sent_again,
    what_is_owed_is_replayed,
    nothing_is_held_back,
    outcomes_come_in_order,
    clients_hear_in_order,
    receipts_move_forward,
    nothing_crosses,
    everybody_gets_his_own_words,
    nothing_private_is_noted,
)
