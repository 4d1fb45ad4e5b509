"""What happens to peers, told in the stories of the jobs that it concerns.

A job's own moves write their receipts themselves. What stands here is the rest of what is
needed to explain an end: the fate of the session's connections, the silence of a node, and
why each node was turned down. None of it decides anything.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from scheduler.core.events import Generation, Left, SignsOfLife
from scheduler.core.job import Job
from scheduler.core.node import Node
from scheduler.core.placement import Need, Rejection, feasible
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.core.states import JobState

NODES_TOLD_MAX = 5
"""So many rejected nodes are named one by one; the rest is in the count of each reason."""
REASON_CHARS_MAX = 120


def disconnected(step: Step, session: Session, event: Left) -> None:
    """The session's connection has ended: whoever waits for an outcome shall know how."""
    signs = event.signs or SignsOfLife(step.now)
    jobs = [*_unfinished_and_owed(step, session)]
    if not session.receipts:
        jobs += _written_into_silence(step, session, signs.heard_at)
    for job in jobs:
        job.tell(
            step.now,
            "disconnected",
            session.session_id,
            connection=event.connection,
            why=event.close.text,
            close_code=event.close.code,
            heard_at=signs.heard_at,
            unanswered_since=signs.unanswered_since,
            resumable_until=session.resumable_until,
            unfinished_write=being_written(session, job) or None,
        )


def being_written(session: Session, job: Job) -> bool:
    """Whether a writer has taken the outcome and has not got it out yet."""
    owed = session.owed.get(job.seq) if job.seq is not None else None
    return owed is not None and owed.told is not None and job.state is JobState.FINISHED


def resumed(step: Step, session: Session, replaced: Generation | None) -> None:
    """The session is back; ``replaced`` is a connection that still looked alive."""
    for job in _unfinished_and_owed(step, session):
        job.tell(
            step.now,
            "resumed",
            session.session_id,
            connection=session.connection,
            replaced=replaced,
        )


def probed(step: Step, session: Session) -> None:
    """The session was told an outcome, says nothing, and is asked for a sign of life."""
    for owed in session.owed.values():
        if owed.told and (job := step.state.jobs.get(owed.job_id)) is not None:
            job.tell(step.now, "probed", "scheduler", connection=session.connection)


def silence(step: Step, node: Node) -> None:
    """The node has gone silent, or was heard again: its jobs are concerned."""
    for job_id in node.running:
        what = "node silent" if node.suspect else "node heard"
        step.state.jobs[job_id].tell(step.now, what, node.node_id)


def _unfinished_and_owed(step: Step, session: Session) -> Iterator[Job]:
    for owed in session.owed.values():
        if (job := step.state.jobs.get(owed.job_id)) is not None:
            yield job
    yield from session.order


def _written_into_silence(step: Step, session: Session, heard_at: float) -> Iterator[Job]:
    """A session of the base is owed nothing once it was written, but may not have got it."""
    for job_id in reversed(session.by_index.values()):
        job = step.state.jobs.get(job_id)
        if job is None or (job.settled_at is not None and job.settled_at < heard_at):
            return
        if job.state is JobState.WRITTEN:
            yield job


def rejected(job: Job, nodes: Iterable[Node]) -> dict[str, str]:
    """Why each of the first few nodes cannot take the job now, by node id, for people."""
    why = ((node, feasible(job, node)) for node in islice(nodes, NODES_TOLD_MAX))
    return {node.node_id: why_not(job.need, node, reason) for node, reason in why if reason}


def why_not(need: Need, node: Node, reason: Rejection) -> str:
    """What ``reason`` means for this node, as the rest of a sentence that begins with its name."""
    match reason:
        case Rejection.SERVICE:
            return f"offers no {', '.join(sorted(need.services - node.abilities.offered))}"
        case Rejection.NOT_READY:
            return "; ".join(_not_ready(need, node))
        case Rejection.LANGUAGE:
            return f"cannot do {need.text}"
        case Rejection.TRIED:
            return "has already had this job"
        case Rejection.DRAINING:
            return "is draining"
        case Rejection.QUARANTINED:
            return f"is in quarantine: {node.quarantined}"
        case Rejection.SUSPECT:
            return "has gone silent"
        case Rejection.NO_AUDIO:
            return "has no audio to work on"
        case Rejection.BUSY:
            if not node.slots:
                return "has no slots"
            return f"all {node.slots} slots are taken" if node.slots != 1 else "its slot is taken"


def _not_ready(need: Need, node: Node) -> Iterator[str]:
    for capability in node.capabilities:
        if capability.type in need.services and not capability.ready:
            reason = (capability.reason or "no reason given")[:REASON_CHARS_MAX]
            yield f"{capability.type} is not ready: {reason}"
