"""What must hold of a scheduler whose journal takes its time: as in `safety_of_outcomes.py`.

The truth about what is remembered is the disk's: `run.scene.disk` knows since when it has what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import inf
from typing import Any

from simulation.disk import Disk
from simulation.safety_of_outcomes import Property, content, outcomes_heard, session_talks
from simulation.taps import OUTCOMES, Heard, Talk
from simulation.world import Run

from scheduler.core.events import (
    JournalFailed,
    JournalMended,
    Received,
    Send,
)
from scheduler.wire.common import Error
from scheduler.wire.node import JobResult
from scheduler.wire.session import MissingResult, TranslationResult, Utterance, UtteranceAccepted

ANSWERS = (Error, UtteranceAccepted, TranslationResult, MissingResult)
"""What an utterance may be answered with at once."""


def said_too_early(talks: Iterable[Talk], disk: Disk) -> Iterator[str]:
    """The promises that clients read before what they promise was kept."""
    talks = [talk for talk in talks if talk.role == "session"]
    lasting = {
        heard.message["session_id"]
        for talk in talks
        for heard in talk.heard
        if heard.message.get("type") == "session_init_ack" and heard.message.get("resume_token")
    }
    for talk in talks:
        for heard in talk.heard:
            if talk.session_id in lasting:
                since = _kept_since(disk, heard.message)
                if since > left_at(talk, heard):
                    yield f"{talk.owner} reads at {heard.at} what is kept since {since}: " + str(
                        heard.message
                    )


def left_at(talk: Talk, heard: Heard) -> float:
    """The last instant at which a message that was heard may have left the scheduler."""
    return heard.at - talk.link.plan.latency


def _kept_since(disk: Disk, message: dict[str, Any]) -> float:
    """When the disk had what a message promises: never (inf), or always, if that is nothing."""
    match message.get("type"):
        case "session_init_ack" if not message["resumed"]:
            return disk.began.get(message["session_id"], inf)
        case "session_close_ack":
            return disk.over.get(message["session_id"], inf)
        case "utterance_accepted":
            return disk.accepted.get(message["job_id"], inf)
        case kind if kind in OUTCOMES:
            kept = disk.settled.get(message["job_id"], ())
            same = (at for at, record in kept if _said(record.message) == content(message))
            return min(same, default=inf)
    return -inf


def _said(message: TranslationResult | MissingResult) -> tuple[Any, ...]:
    """The same as `content` of the message as it is heard."""
    if isinstance(message, MissingResult):
        return ("missing_result", message.reason, None)
    return ("translation_result", None, message.text_asr)


def promises_are_kept_before_they_leave(run: Run) -> Iterator[str]:
    """No welcome, acceptance, outcome, goodbye or stored receipt leaves before its commit."""
    disk = run.scene.disk
    if disk is None:
        return
    yield from said_too_early(run.scene.talks, disk)
    taken = {
        (step.event.message.job_id, step.event.message.attempt_id)
        for step in run.history.steps
        if isinstance(step.event, Received)
        and isinstance(step.event.message, JobResult)
        and {"settled", "salvaged"} & set(step.facts)
    }
    for talk in run.scene.talks:
        for heard in talk.heard if talk.role == "node" else ():
            if heard.message.get("status") != "stored":
                continue
            job_id = heard.message["job_id"]
            job = run.history.jobs.get(job_id)
            if job is None or (job_id, heard.message["attempt_id"]) not in taken:
                continue
            kept = disk.settled.get(job_id)
            if job_id in disk.accepted and (not kept or kept[0][0] > left_at(talk, heard)):
                yield f"{talk.owner} reads at {heard.at} that {job_id} is stored: {kept}"


def a_journal_that_fails_is_no_secret(run: Run) -> Iterator[str]:
    """While the journal fails what is new is refused at once, and nothing is called accepted."""
    failing = False
    known: set[tuple[str, int]] = set()
    for step in run.history.steps:
        event = step.event
        if isinstance(event, JournalFailed | JournalMended):
            failing = isinstance(event, JournalFailed)
        begun = [name for name in step.facts if name in ("accepted", "session_joined")]
        if failing and begun:
            yield f"at {step.at} the journal fails, and {event} is {begun}"
        if not isinstance(event, Received) or not isinstance(event.message, Utterance):
            continue
        key = (event.message.session_id, event.message.utterance_index)
        if "accepted" in step.facts:
            known.add(key)
        sent = (effect.message for effect in step.effects if isinstance(effect, Send))
        if failing and key not in known and not any(isinstance(one, ANSWERS) for one in sent):
            yield f"at {step.at} the journal fails, and {event} is not answered"


def what_could_not_be_kept_is_not_called_accepted(run: Run) -> Iterator[str]:
    """Of an utterance that was taken back because it could not be kept nobody hears a promise."""
    for talk in session_talks(run):
        for heard in talk.heard:
            job = run.history.jobs.get(heard.message.get("job_id", ""))
            promise = heard.message.get("type") in ("utterance_accepted", *OUTCOMES)
            if job is not None and job.withdrawn and promise:
                yield f"{talk.owner} hears of {job.job_id}, taken back at {job.withdrawn.at}"


def what_could_not_be_kept_is_not_begun(run: Run) -> Iterator[str]:
    """No job is given to a node in the step that takes it back."""
    for job in run.history.jobs.values():
        late = [
            sent for sent in job.assigned if job.withdrawn and sent.step == job.withdrawn.number
        ]
        if late:
            yield f"{job.job_id} is taken back at {late[0].at}, and given to a node then"


def outcomes_never_pass_each_other(run: Run) -> Iterator[str]:
    """On one connection the numbers of the outcomes that a client reads never go back."""
    for talk in session_talks(run):
        seqs = [heard.message["seq"] for heard in outcomes_heard(talk)]
        if any(later <= earlier for earlier, later in pairwise(seqs)):
            yield f"{talk.owner} reads on {talk.link.label}: {seqs}"


PROMISES_ARE_KEPT: tuple[Property, ...] = (
    promises_are_kept_before_they_leave,
    a_journal_that_fails_is_no_secret,
    what_could_not_be_kept_is_not_called_accepted,
    what_could_not_be_kept_is_not_begun,
    outcomes_never_pass_each_other,
)
