"""How much of what a session has not acknowledged is kept, and for how long.

Bounded in number (at admission), in bytes (per session and in total) and in age. What is given
up is given up visibly: a ``gap`` stays in its place under its own ``seq``, and the job's state
is ``expired`` from then on.
"""

import attrs

from scheduler.core.events import Timer
from scheduler.core.job import OutcomeKind
from scheduler.core.records import JobSettled
from scheduler.core.session import OwedOutcome, Session
from scheduler.core.state import Step
from scheduler.core.states import JobState, Move
from scheduler.wire.session import MissingResult, TranslationResult

OUTCOME_OVERHEAD_BYTES = 512
"""What an outcome counts besides its texts and audio."""


def keep(
    step: Step,
    session: Session,
    job_id: str,
    message: TranslationResult | MissingResult,
    decided_at: float,
) -> OwedOutcome:
    """Keep an outcome that has its ``seq``, until it is acknowledged or its time is over."""
    assert message.seq is not None
    before = next(reversed(session.owed.values()), None)
    owed = OwedOutcome(
        seq=message.seq,
        job_id=job_id,
        message=message,
        size_bytes=_size_bytes(message),
        since=max(decided_at, before.since) if before else decided_at,
    )
    session.owed[owed.seq] = owed
    _count(step, session, owed.size_bytes)
    return owed


def exchange(
    step: Step, session: Session, owed: OwedOutcome, message: TranslationResult | MissingResult
) -> None:
    """Put another message in an outcome's place."""
    before, owed.size_bytes = owed.size_bytes, _size_bytes(message)
    owed.message = message
    _count(step, session, owed.size_bytes - before)


def let_go(step: Step, session: Session, owed: OwedOutcome) -> None:
    """The outcome is owed no more."""
    del session.owed[owed.seq]
    _count(step, session, -owed.size_bytes)


def _count(step: Step, session: Session, size_bytes: int) -> None:
    session.owed_bytes += size_bytes
    step.state.owed_bytes += size_bytes


def _size_bytes(message: TranslationResult | MissingResult) -> int:
    if isinstance(message, MissingResult):
        return OUTCOME_OVERHEAD_BYTES
    contents = (message.text_asr, message.text_translated, message.tts_audio)
    return OUTCOME_OVERHEAD_BYTES + sum(len(part) for part in contents if part)


def bound(step: Step, session: Session) -> None:
    """Give up the oldest contents beyond what may be kept, here and in all sessions together."""
    while session.owed_bytes > step.config.retained_bytes_max and _drop_oldest(step, session):
        pass
    while step.state.owed_bytes > step.config.retained_total_bytes_max:
        largest = max(step.state.sessions.values(), key=_content_bytes)
        if not _drop_oldest(step, largest):
            break
        watch_age(step, largest)
    watch_age(step, session)


def _content_bytes(session: Session) -> int:
    """What could be given up of a session's outcomes."""
    return session.owed_bytes - OUTCOME_OVERHEAD_BYTES * len(session.owed)


def watch_age(step: Step, session: Session) -> None:
    """Let one timer follow the oldest outcome whose content is still kept.

    A session without receipts is owed an outcome only until it is written.
    """
    oldest = next((owed for owed in session.owed.values() if not owed.dropped), None)
    until = oldest.since + step.config.outcome_retention if oldest and session.receipts else None
    if until == session.retained_until:
        return
    session.retained_until = until
    timer = Timer("retention", session.session_id)
    if until is None:
        step.clear_timer(timer)
    else:
        step.set_timer(timer, until)


def aged(step: Step, session: Session) -> None:
    """The timer ran out: give up what was kept for as long as promised."""
    session.retained_until = None
    for owed in session.owed.values():
        if not owed.dropped and owed.since + step.config.outcome_retention <= step.now:
            _drop(step, session, owed, "age")
    watch_age(step, session)


def _drop_oldest(step: Step, session: Session) -> bool:
    kept = (o for o in session.owed.values() if isinstance(o.message, TranslationResult))
    owed = next(kept, None)
    if owed is None:
        return False
    _drop(step, session, owed, "retention")
    return True


def _drop(step: Step, session: Session, owed: OwedOutcome, why: str) -> None:
    gap = MissingResult(
        session_id=session.session_id,
        utterance_index=owed.message.utterance_index,
        reason="gap",
        created_at_ms=step.unix_ms,
        trace_id=owed.message.trace_id,
        job_id=owed.job_id,
        seq=owed.seq,
        hint="the outcome was not fetched while it could be kept",
    )
    exchange(step, session, owed, gap)
    owed.dropped = True
    job = step.state.jobs.get(owed.job_id)
    kind = job.outcome.kind if job is not None and job.outcome else OutcomeKind.TRANSLATED
    step.remember(
        session,
        JobSettled(
            job_id=owed.job_id,
            kind=str(kind),
            settled_at_ms=step.unix_ms,
            message=attrs.evolve(gap, seq=None),
            dropped=True,
        ),
    )
    expire(step, owed.job_id, why)
    if session.connection is not None:  # what its writer has taken already stays as it is
        step.replace(session.connection, gap, owed.seq)


def expire(step: Step, job_id: str, why: str) -> None:
    """Record that an outcome will not be fetched any more."""
    job = step.state.jobs.get(job_id)
    if job is not None and job.state in (JobState.FINISHED, JobState.WRITTEN):
        job.move(Move.EXPIRE, step.now, "scheduler", why=why)
        step.note("expired", job, why=why)
