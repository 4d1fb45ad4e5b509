"""Bringing outcomes back: in the order of acceptance, numbered, kept until received.

The three words that must not be mixed up: an outcome is *owed* from the moment its turn
has come; it is *written* when a live connection took its bytes; it is *delivered* only
when the session acknowledged it. A session without receipts can never get further than
*written*, and its outcome is let go there.
"""

import attrs

from scheduler.core import receipts, retention
from scheduler.core.events import SignsOfLife, Timer
from scheduler.core.job import Job, Outcome, OutcomeKind
from scheduler.core.records import JobSettled, OutcomesReceived
from scheduler.core.session import OwedOutcome, Session
from scheduler.core.state import Step
from scheduler.core.states import JobState, Move
from scheduler.wire.session import MissingResult, UiEvent


def release(step: Step, session: Session) -> None:
    """Number and send every finished outcome whose turn has come.

    Nothing waits for a timer here: the head of the line ends by its own deadline.
    """
    while session.order and session.order[0].outcome is not None:
        job = session.order.popleft()
        assert job.outcome is not None
        _owe(step, session, job, job.outcome)
    retention.bound(step, session)


def _owe(step: Step, session: Session, job: Job, outcome: Outcome) -> None:
    job.seq, session.next_seq = session.next_seq, session.next_seq + 1
    assert outcome.message is not None
    message = attrs.evolve(outcome.message, seq=job.seq)
    job.outcome = attrs.evolve(outcome, message=None)
    owed = retention.keep(step, session, job.job_id, message, outcome.at)
    if outcome.kind.is_failure and not session.receipts:
        tell(step, session, job, "ERROR", error_code=outcome.code, hint=outcome.hint)
    _send(step, session, owed)


def _send(step: Step, session: Session, owed: OwedOutcome) -> None:
    if session.connection is not None:
        session.sent_seq = max(session.sent_seq, owed.seq)
        step.send(session.connection, owed.message, seq=owed.seq)


def replay(step: Step, session: Session) -> None:
    """Send everything owed again, oldest first: the session has a new connection."""
    for owed in session.owed.values():
        _send(step, session, owed)


def writing(session: Session, seq: int) -> None:
    """The writer has taken the outcome: from here on it may be known to the client."""
    if (owed := session.owed.get(seq)) is not None:
        owed.told = "gap" if owed.dropped else "content"
        owed.told_on = session.connection


def written(step: Step, session: Session, seq: int, signs: SignsOfLife | None = None) -> None:
    """The session's current connection took the whole outcome."""
    owed = session.owed.get(seq)
    if owed is None:  # acknowledged already: the peer was quicker than our own note
        return
    job = step.state.jobs.get(owed.job_id)
    if job is not None and owed.content_told:
        detail = {
            "connection": session.connection,
            "seq": seq,
            "heard_at": signs and signs.heard_at,
            "unanswered_since": signs and signs.unanswered_since,
        }
        if owed.dropped:  # given up while it was being written
            job.tell(step.now, "written", "scheduler", **detail)
        else:
            job.move(Move.WRITE, step.now, "scheduler", **detail)
        step.note("written", job, seq=seq, connection=session.connection, need=job.need.text)
    if not session.receipts:
        retention.let_go(step, session, owed)
    elif session.receipt_by is None:
        receipts.expect(step, session)


def acknowledged(step: Step, session: Session, seq: int) -> bool:
    """The session has every outcome up to ``seq``. Only moves forward.

    False, and nothing changed, if that is beyond anything that was ever sent.
    """
    if seq > session.sent_seq:
        return False
    if seq <= session.acked_seq:
        step.note("stale", input="result_ack", session_id=session.session_id, seq=seq)
        return True
    session.acked_seq = seq
    received = [o for o in session.owed.values() if o.seq <= seq]
    job_ids = tuple(owed.job_id for owed in received)
    record = OutcomesReceived(session_id=session.session_id, seq=seq, job_ids=job_ids)
    step.remember(session, record)
    for owed in received:
        _prove_written(step, session, owed)
        retention.let_go(step, session, owed)
        job = step.state.jobs.get(owed.job_id)
        if job is not None and owed.content_told:
            job.move(Move.ACKNOWLEDGE, step.now, session.session_id, seq=owed.seq)
            step.note(
                "delivered", job, seq=owed.seq, seconds=round(step.now - job.accepted_at, 3),
                need=job.need.text, attempts=len(job.attempts),
            )  # fmt: skip
    receipts.unexpect(step, session)
    waits = session.receipts and session.connection is not None
    if waits and any(owed.told for owed in session.owed.values()):
        receipts.expect(step, session)
    retention.watch_age(step, session)
    return True


def _prove_written(step: Step, session: Session, owed: OwedOutcome) -> None:
    """What was received was written, also if the receipt is read before our own note of that."""
    job = step.state.jobs.get(owed.job_id)
    here = owed.told == "content" and owed.told_on == session.connection
    if session.receipts and here and job is not None and job.state is JobState.FINISHED:
        written(step, session, owed.seq)


def salvage(step: Step, session: Session, job: Job, outcome: Outcome) -> bool:
    """Put a good result in the place of a timeout that nobody has been told of yet.

    False, and nothing changed, if it is too late for that. A session of the base may have been
    told by a ``ui_event`` as soon as the failure had its turn.
    """
    owed = session.owed.get(job.seq) if job.seq is not None else None
    if job.seq is not None and (owed is None or owed.told or owed.dropped or not session.receipts):
        return False
    job.move(Move.SALVAGE, step.now, "scheduler", outcome=str(outcome.kind), salvaged=True)
    job.outcome = outcome
    remember_outcome(step, session, job)
    step.note("salvaged", job)
    if owed is not None:
        assert outcome.message is not None
        job.outcome = attrs.evolve(outcome, message=None)
        message = attrs.evolve(outcome.message, seq=owed.seq)
        retention.exchange(step, session, owed, message)
        if session.connection is not None:
            step.replace(session.connection, message, owed.seq)
        retention.bound(step, session)
    return True


def remember_outcome(step: Step, session: Session, job: Job) -> None:
    """Keep the outcome: it is not said before that is done."""
    outcome = job.outcome
    assert outcome is not None
    assert outcome.message is not None
    settled = JobSettled(
        job_id=job.job_id,
        kind=str(outcome.kind),
        settled_at_ms=step.unix_ms,
        message=outcome.message,
        code=outcome.code,
        hint=outcome.hint,
    )
    step.remember(session, settled)


def forget(step: Step, session: Session, why: str) -> None:
    """The session is over: what it is still owed expires, visibly."""
    for owed in list(session.owed.values()):
        retention.expire(step, owed.job_id, why)
        retention.let_go(step, session, owed)
    retention.watch_age(step, session)
    receipts.unexpect(step, session)
    step.clear_timer(Timer("session", session.session_id))


def tell(
    step: Step,
    session: Session,
    job: Job,
    event: str,
    *,
    error_code: str | None = None,
    hint: str | None = None,
) -> None:
    """Tell the session how its job is getting on. May be dropped; is never an outcome."""
    step.send(
        session.connection,
        UiEvent(
            trace_id=job.trace_id,
            session_id=session.session_id,
            job_id=job.job_id,
            utterance_index=job.utterance_index,
            event=event,  # type: ignore[arg-type]  # the callers' words are those of the wire
            status="error" if event == "ERROR" else "ok",
            elapsed_ms=int((step.now - job.accepted_at) * 1000),
            error_code=error_code,
            hint=hint,
        ),
        droppable=event != "ERROR",
    )


def missing(
    step: Step, job: Job, kind: OutcomeKind, code: str | None, hint: str | None
) -> MissingResult:
    """The message of an outcome without content."""
    return MissingResult(
        session_id=job.session_id,
        utterance_index=job.utterance_index,
        reason=str(kind),
        created_at_ms=step.unix_ms,
        trace_id=job.trace_id,
        job_id=job.job_id,
        code=code,
        hint=hint,
    )
