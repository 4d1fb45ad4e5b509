"""After a restart: sessions that may resume, outcomes still owed, jobs still to be done.

Time went on while nobody was here, and it counts: a job whose deadline is over ends now, and
says why. What is left waits for nodes and sessions, which come back by themselves.
"""

from scheduler.core import delivery, dispatch, retention
from scheduler.core.events import Recovered, Timer
from scheduler.core.job import RESTARTED, Attempt, Cut, Job, Outcome, OutcomeKind
from scheduler.core.placement import need_of
from scheduler.core.records import JobAttempted, JobSettled, RememberedJob, RememberedSession
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.core.states import JobState, Move

ACTOR = "journal"
NO_CONNECTION = 0
"""Generations begin with 1: an attempt on this one is on no connection."""


def recover(step: Step, event: Recovered) -> None:
    """Build the state from what was kept, then go on in the order of acceptance."""
    jobs = [job for kept in event.sessions for job in _session(step, kept)]
    for session in step.state.sessions.values():
        delivery.release(step, session)
        _mark_told(step, session)
    for job in sorted((job for job in jobs if job.live), key=lambda job: job.order):
        _go_on(step, job)
    live = sum(job.live for job in jobs)
    step.note("recovered", sessions=len(event.sessions), jobs=len(jobs), unfinished=live)


def _session(step: Step, kept: RememberedSession) -> list[Job]:
    began = kept.began
    session = Session(
        session_id=began.session_id,
        resume_token=began.resume_token,
        hello=began.hello,
        trace_id=began.trace_id,
        joined_at=step.instant_of(began.joined_at_ms),
        connection=None,
        next_seq=kept.acked_seq + 1,
        sent_seq=kept.acked_seq,
        acked_seq=kept.acked_seq,
    )
    session.by_index.update(kept.received)
    step.state.sessions[session.session_id] = session
    session.resumable_until = step.now + step.config.session_retention
    step.set_timer(Timer("session", session.session_id), session.resumable_until)
    jobs = [_job(step, session, remembered) for remembered in kept.jobs]
    if len(session.by_index) >= step.config.utterances_remembered_max:
        session.forgotten_index = min(session.by_index) - 1
    session.order.extend(jobs)
    return jobs


def _job(step: Step, session: Session, kept: RememberedJob) -> Job:
    accepted, said = kept.accepted, kept.accepted.utterance
    job = Job(
        job_id=accepted.job_id,
        session_id=session.session_id,
        order=accepted.order,
        utterance_index=said.utterance_index,
        trace_id=accepted.trace_id,
        need=need_of(said),
        accepted_at=step.instant_of(accepted.accepted_at_ms),
        cut=None if accepted.cut is None else Cut(accepted.cut),
        traceparent=said.traceparent or session.hello.traceparent,
        needs_audio=kept.settled is None and not said.audio,
    )
    job.tell(job.accepted_at, str(job.state), session.session_id)
    step.state.keep_audio(job, said)
    _restore_attempts(step, job, kept.attempted)
    step.state.jobs[job.job_id] = job
    step.state.jobs_accepted = max(step.state.jobs_accepted, job.order)
    session.by_index[job.utterance_index] = job.job_id
    job.move(Move.WAIT, step.now, ACTOR, restarted=True)
    if kept.settled is not None:
        _settle(step, job, kept.settled)
    return job


def _restore_attempts(step: Step, job: Job, kept: tuple[JobAttempted, ...]) -> None:
    """All that were kept have ended. Later ones may have been made and not been kept.

    One life makes at most ``attempts_max`` of them, so the numbers of those that nobody knows
    are left out: no number is ever given twice.
    """
    job.attempts = [
        Attempt(
            number=attempted.attempt,
            node_id=attempted.node_id,
            connection=NO_CONNECTION,
            assigned_at=step.instant_of(attempted.assigned_at_ms),
            ended_at=step.now,
            end=RESTARTED,
        )
        for attempted in kept
    ]
    last = kept[-1].attempt if kept else 0
    job.next_attempt = last + 1 + step.config.attempts_max
    if kept:
        job.overall_deadline = step.instant_of(kept[-1].deadline_ms)


def _settle(step: Step, job: Job, settled: JobSettled) -> None:
    at = step.instant_of(settled.settled_at_ms)
    kind = OutcomeKind(settled.kind)
    job.move(Move.FINISH, at, ACTOR, outcome=str(kind))
    job.outcome = Outcome(
        kind=kind, at=at, message=settled.message, code=settled.code, hint=settled.hint
    )
    job.settled_at = at
    step.state.drop_audio(job)
    step.state.settled.append(job)
    if settled.dropped:
        job.move(Move.EXPIRE, at, ACTOR, why="retention")


def _go_on(step: Step, job: Job) -> None:
    """Let an unfinished job wait for a node, for as long as it still may."""
    dispatch.place(step, job)
    if job.overall_deadline is None:
        dispatch.hold_to(step, job, job.accepted_at + step.config.pending_timeout)
    if job.deadline <= step.now:
        dispatch.expired(step, job)


def _mark_told(step: Step, session: Session) -> None:
    """An outcome that was due may have been sent: the client may know it, and acknowledge it."""
    for owed in session.owed.values():
        owed.dropped = step.state.jobs[owed.job_id].state is JobState.EXPIRED
        owed.told = "gap" if owed.dropped else "content"
    retention.watch_age(step, session)
    session.sent_seq = session.next_seq - 1
