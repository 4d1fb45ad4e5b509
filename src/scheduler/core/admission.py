"""Admission: an utterance becomes a job, or is refused at once with a reason.

The same index is the same job, however often it is sent. What cannot be served is never let in
to wait for its failure.
"""

import attrs

from scheduler.core import delivery, dispatch
from scheduler.core.job import Cut, Job
from scheduler.core.placement import need_of
from scheduler.core.records import JobAccepted, JobForgotten
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.core.states import Move
from scheduler.errors import Code
from scheduler.wire import session as wire


def submit(step: Step, session: Session, said: wire.Utterance, cut: Cut | None = None) -> None:
    """Admission: the same index is the same job; what cannot be served is refused at once."""
    state, config = step.state, step.config
    if (known := session.by_index.get(said.utterance_index)) is not None:
        _accepted(step, session, said.utterance_index, known)
        _give_audio(step, session, known, said)
        return
    if (refusal := _refusal(step, session, said)) is not None:
        code, text = refusal
        step.note("refused", session_id=session.session_id, code=code)
        step.refuse(session.connection, code, text, utterance_index=said.utterance_index)
        return
    state.jobs_accepted += 1
    job = Job(
        job_id=state.ids.job(),
        session_id=session.session_id,
        order=state.jobs_accepted,
        utterance_index=said.utterance_index,
        trace_id=said.trace_id or session.hello.trace_id or state.ids.trace(),
        need=need_of(said),
        accepted_at=step.now,
        cut=cut,
        traceparent=said.traceparent or session.hello.traceparent,
    )
    state.keep_audio(job, said)
    state.jobs[job.job_id] = job
    session.order.append(job)
    session.by_index[said.utterance_index] = job.job_id
    if len(session.by_index) > config.utterances_remembered_max:
        index, forgotten = session.by_index.popitem(last=False)
        session.forgotten_index = max(session.forgotten_index, index)
        step.remember(session, JobForgotten(job_id=forgotten))
    step.remember(session, _acceptance(step, job, said))
    job.tell(
        step.now, str(job.state), session.session_id, need=job.need.text, receipts=session.receipts
    )
    step.note("accepted", job, need=job.need.text)
    _accepted(step, session, said.utterance_index, job.job_id)
    job.move(Move.WAIT, step.now, "scheduler")
    dispatch.place(step, job)


def _refusal(step: Step, session: Session, said: wire.Utterance) -> tuple[Code, str] | None:
    state, config = step.state, step.config
    if said.utterance_index <= session.forgotten_index:
        text = f"$.utterance_index: {said.utterance_index} is too old to tell whether it ran"
        return Code.INVALID_MESSAGE, text
    if state.draining:
        return Code.DRAINING, "the scheduler is draining; connect again in a moment"
    if state.journal_failed is not None:
        return Code.OVERLOADED, "utterances cannot be kept now; try again in a moment"
    if len(said.audio) > config.audio_chars_max:
        text = f"the audio has {len(said.audio)} characters, at most {config.audio_chars_max} fit"
        return Code.TOO_LARGE, text
    if len(session.order) >= config.jobs_per_session_max:
        return Code.OVERLOADED, f"{len(session.order)} utterances of this session are unfinished"
    if (owed := len(session.order) + len(session.owed)) >= config.retained_outcomes_max:
        return Code.OVERLOADED, f"{owed} outcomes of this session are still to be acknowledged"
    if state.audio_chars + len(said.audio) > config.audio_total_chars_max:
        return Code.OVERLOADED, "too much audio is waiting for nodes"
    if state.jobs_waiting >= config.jobs_waiting_max:
        return Code.OVERLOADED, "too many utterances are waiting for a node"
    return None


def _acceptance(step: Step, job: Job, said: wire.Utterance) -> JobAccepted:
    return JobAccepted(
        job_id=job.job_id,
        session_id=job.session_id,
        order=job.order,
        trace_id=job.trace_id,
        accepted_at_ms=step.unix_ms,
        utterance=said,
        cut=None if job.cut is None else str(job.cut),
    )


def _accepted(step: Step, session: Session, index: int, job_id: str) -> None:
    if session.receipts:
        job = step.state.jobs.get(job_id)
        step.send(
            session.connection,
            wire.UtteranceAccepted(
                session_id=session.session_id,
                utterance_index=index,
                job_id=job_id,
                trace_id=job.trace_id if job else session.trace_id,
            ),
        )


def _give_audio(step: Step, session: Session, job_id: str, said: wire.Utterance) -> None:
    """The session repeats an utterance whose audio was lost in a restart: now it can run."""
    job = step.state.jobs.get(job_id)
    if job is None or not job.needs_audio or not job.live or not said.audio:
        return
    assert job.utterance is not None
    job.needs_audio = False
    step.state.keep_audio(job, attrs.evolve(job.utterance, audio=said.audio))
    job.tell(step.now, "audio given again", session.session_id)
    dispatch.place_again(step, job)


def ask_for_audio(step: Step, session: Session, job: Job) -> None:
    """The audio of an accepted utterance did not survive a restart: ask for it again."""
    step.send(
        session.connection,
        wire.UtteranceNeeded(
            session_id=session.session_id,
            utterance_index=job.utterance_index,
            job_id=job.job_id,
            trace_id=job.trace_id,
        ),
    )


def unaccept(step: Step, job: Job) -> None:
    """The acceptance could not be kept and was never said: the utterance is refused instead.

    What has its ``seq`` already waits with its outcome until the journal works again.
    """
    session = step.state.sessions.get(job.session_id)
    if session is None or job not in session.order:
        return
    session.order.remove(job)
    session.by_index.pop(job.utterance_index, None)
    dispatch.abandon(step, job, "not kept")
    step.remember(session, JobForgotten(job_id=job.job_id))
    if session.connection is not None:
        step.withdraw(session.connection, job.job_id)
    step.note("refused", session_id=session.session_id, code=Code.OVERLOADED)
    text = "the utterance could not be kept; try again in a moment"
    index = job.utterance_index
    step.refuse(session.connection, Code.OVERLOADED, text, utterance_index=index)
    delivery.release(step, session)
