"""What sessions do: join, resume, submit, acknowledge, cancel, close, leave."""

import hmac
from functools import partial
from typing import Any

import attrs

from scheduler.core import delivery, dispatch, receipts, segments, story
from scheduler.core.events import Generation, Left, SessionJoined, Timer
from scheduler.core.job import Cut, Job, OutcomeKind
from scheduler.core.placement import need_of
from scheduler.core.records import JobAccepted, JobForgotten, SessionBegan, SessionForgotten
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.core.states import Move
from scheduler.errors import Close, Code
from scheduler.wire import session as wire
from scheduler.wire.common import Error

PROTOCOL_VERSION = "1.0"


def join(step: Step, event: SessionJoined) -> None:
    """A connection says who it is: a session begins, or a known one goes on."""
    wanted = event.hello.resume
    if wanted is not None:
        known = step.state.sessions.get(wanted.session_id)
        if known is not None and hmac.compare_digest(
            known.resume_token.encode(), wanted.resume_token.encode()
        ):
            _resume(step, known, event, wanted.last_seq)
            return
        # One answer for a wrong id, a wrong token and an expired session: it tells nothing.
        _refuse(step, event.connection, Code.RESUME_REFUSED, "there is nothing to resume")
        step.note("resume_refused", connection=event.connection)
    _begin(step, event)


def _begin(step: Step, event: SessionJoined) -> None:
    state, hello = step.state, event.hello
    full = len(state.sessions) >= step.config.sessions_max
    if full or state.draining or state.journal_failed:
        code = Code.DRAINING if state.draining else Code.OVERLOADED
        _refuse(step, event.connection, code, "no new sessions are taken now")
        step.end(event.connection, Close.TRY_LATER)
        return
    session = Session(
        session_id=state.ids.session(),
        resume_token=state.ids.token(),
        hello=hello,
        trace_id=hello.trace_id or state.ids.trace(),
        joined_at=step.now,
        connection=event.connection,
    )
    state.sessions[session.session_id] = session
    state.peers[event.connection] = session
    began = SessionBegan(
        session_id=session.session_id,
        resume_token=session.resume_token,
        hello=attrs.evolve(hello, resume=None),
        trace_id=session.trace_id,
        joined_at_ms=step.unix_ms,
    )
    step.remember(session, began)
    _welcome(step, session, resumed=False, recovered=hello.resume is None)
    step.note("session_joined", session_id=session.session_id, connection=event.connection)


def _resume(step: Step, session: Session, event: SessionJoined, last_seq: int) -> None:
    """Take the session over at once, even from a predecessor that still looks alive."""
    replaced = session.connection
    if replaced is not None:
        step.end(replaced, Close.REPLACED)
    receipts.unexpect(step, session)
    session.connection, session.resumable_until = event.connection, None
    step.state.peers[event.connection] = session
    step.clear_timer(Timer("session", session.session_id))
    delivery.acknowledged(step, session, min(last_seq, session.sent_seq))
    recovered = not any(owed.dropped for owed in session.owed.values())
    _welcome(step, session, resumed=True, recovered=recovered)
    step.note(
        "session_resumed", session_id=session.session_id, connection=event.connection,
        owed=len(session.owed), recovered=recovered,
    )  # fmt: skip
    story.resumed(step, session, replaced)
    delivery.replay(step, session)
    for job in session.order:
        if job.needs_audio:
            _ask_for_audio(step, session, job)


def _ask_for_audio(step: Step, session: Session, job: Job) -> None:
    step.send(
        session.connection,
        wire.UtteranceNeeded(
            session_id=session.session_id,
            utterance_index=job.utterance_index,
            job_id=job.job_id,
            trace_id=job.trace_id,
        ),
    )


def _welcome(step: Step, session: Session, *, resumed: bool, recovered: bool) -> None:
    config = step.config
    step.send(
        session.connection,
        wire.SessionInitAck(
            session_id=session.session_id,
            assigned_node_id=None,
            message="session resumed" if resumed else "session created",
            trace_id=session.trace_id,
            protocol_version=PROTOCOL_VERSION,
            use_binary_frame=False,
            negotiated_codec="pcm16",
            resume_token=session.resume_token if session.receipts else None,
            resumed=resumed,
            recovered=recovered,
            timers=milliseconds(
                pending=config.pending_timeout,
                dispatched=config.dispatched_timeout,
                retention=config.session_retention,
                ping=config.ping_interval,
                pong=config.pong_timeout,
                backoff_max=config.client_backoff_max,
            ),
            limits={
                "message_bytes_max": config.message_bytes_max,
                "audio_chars_max": config.audio_chars_max,
                "jobs_per_session_max": config.jobs_per_session_max,
                "retained_outcomes_max": config.retained_outcomes_max,
            },
        ),
    )


def milliseconds(**seconds: float) -> dict[str, int]:
    """Durations as peers are told them: ``{"pending_ms": 10000, ...}``."""
    return {f"{name}_ms": int(value * 1000) for name, value in seconds.items()}


def received(step: Step, session: Session, message: wire.FromSession) -> None:
    """A message of a joined session. Its session id must be its own."""
    connection = session.connection
    assert connection is not None
    if isinstance(message, wire.SessionInit):
        _refuse(step, connection, Code.INVALID_SESSION, "this connection already has a session")
        return
    if message.session_id != session.session_id:
        _refuse(step, connection, Code.INVALID_SESSION, "not the session of this connection")
        step.note("stale", input="foreign_session", session_id=session.session_id)
        return
    match message:
        case wire.Utterance():
            _submit(step, session, message)
        case wire.ResultAck():
            if not delivery.acknowledged(step, session, message.seq):
                text = f"$.seq: no outcome {message.seq} has been sent"
                _refuse(step, connection, Code.INVALID_MESSAGE, text)
        case wire.ClientHeartbeat():
            step.send(
                connection,
                wire.ServerHeartbeat(session_id=session.session_id, timestamp=step.unix_ms),
                droppable=True,
            )
        case wire.JobCancel():
            _cancel(step, session, message.job_id)
        case wire.SessionClose():
            step.send(connection, wire.SessionCloseAck(session_id=session.session_id))
            close(step, session, message.reason)
            step.end(connection, Close.NORMAL)
        case wire.TtsPlayEnded():
            _played(step, session, message)
        case wire.TtsStarted():
            pass
        case wire.AudioChunk():
            _collect(step, session, message)


def _collect(step: Step, session: Session, chunk: wire.AudioChunk) -> None:
    try:
        segments.collect(step, session, chunk, partial(_submit_cut, step, session))
    except segments.BadPayload as error:
        _refuse(step, session.connection, Code.INVALID_MESSAGE, f"$.payload: {error}")


def paused(step: Step, session: Session) -> None:
    """No chunk came for the length of a pause: what was collected is an utterance.

    It is one as well if the connection broke in the middle of it and did not come back.
    """
    segments.paused(step, session, partial(_submit_cut, step, session))


def _submit_cut(step: Step, session: Session, why: Cut, utterance: wire.Utterance) -> None:
    _submit(step, session, utterance, why)


def _submit(step: Step, session: Session, said: wire.Utterance, cut: Cut | None = None) -> None:
    """Admission: the same index is the same job; what cannot be served is refused at once."""
    state, config = step.state, step.config
    if (known := session.by_index.get(said.utterance_index)) is not None:
        _accepted(step, session, said.utterance_index, known)
        _give_audio(step, session, known, said)
        return
    if (refusal := _no_room(step, session, said)) is not None:
        code, text = refusal
        step.note("refused", session_id=session.session_id, code=code)
        _refuse(step, session.connection, code, text, utterance_index=said.utterance_index)
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
        utterance=said,
        cut=cut,
    )
    state.jobs[job.job_id] = job
    session.order.append(job)
    session.by_index[said.utterance_index] = job.job_id
    if len(session.by_index) > config.utterances_remembered_max:
        _, forgotten = session.by_index.popitem(last=False)
        step.remember(session, JobForgotten(job_id=forgotten))
    step.remember(session, _acceptance(step, job, said))
    job.tell(
        step.now, str(job.state), session.session_id, need=job.need.text, receipts=session.receipts
    )
    step.note("accepted", job, need=job.need.text)
    _accepted(step, session, said.utterance_index, job.job_id)
    job.move(Move.WAIT, step.now, "scheduler")
    dispatch.place(step, job)


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


def _give_audio(step: Step, session: Session, job_id: str, said: wire.Utterance) -> None:
    """The session repeats an utterance whose audio was lost in a restart: now it can run."""
    job = step.state.jobs.get(job_id)
    if job is None or not job.needs_audio or not job.live or not said.audio:
        return
    assert job.utterance is not None
    job.needs_audio, job.utterance = False, attrs.evolve(job.utterance, audio=said.audio)
    job.tell(step.now, "audio given again", session.session_id)
    dispatch.place_again(step, job)


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
    _refuse(step, session.connection, Code.OVERLOADED, text, utterance_index=index)
    delivery.release(step, session)


def _no_room(step: Step, session: Session, said: wire.Utterance) -> tuple[Code, str] | None:
    state, config = step.state, step.config
    if state.draining:
        return Code.DRAINING, "the scheduler is draining; connect again in a moment"
    if state.journal_failed:
        return Code.OVERLOADED, "utterances cannot be kept now; try again in a moment"
    if len(said.audio) > config.audio_chars_max:
        text = f"the audio has {len(said.audio)} characters, at most {config.audio_chars_max} fit"
        return Code.TOO_LARGE, text
    if len(session.order) >= config.jobs_per_session_max:
        return Code.OVERLOADED, f"{len(session.order)} utterances of this session are unfinished"
    if len(session.owed) >= config.retained_outcomes_max:
        return Code.OVERLOADED, f"{len(session.owed)} outcomes of this session are unacknowledged"
    if state.jobs_waiting >= config.jobs_waiting_max:
        return Code.OVERLOADED, "too many utterances are waiting for a node"
    return None


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


def _cancel(step: Step, session: Session, job_id: str) -> None:
    job = step.state.jobs.get(job_id)
    if job is None or job.session_id != session.session_id or not job.live:
        step.note("stale", input="job_cancel", session_id=session.session_id)
        return
    hint = "cancelled by the session"
    dispatch.finish(step, job, OutcomeKind.CANCELLED, actor=session.session_id, hint=hint)


def _played(step: Step, session: Session, message: wire.TtsPlayEnded) -> None:
    job = step.state.jobs.get(message.group_id)
    if job is None or job.session_id != session.session_id or job.live or job.played_at:
        step.note("stale", input="tts_play_ended", session_id=session.session_id)
        return
    job.played_at = step.now
    job.tell(step.now, "played", session.session_id)
    step.note("played", job)


def left(step: Step, session: Session, event: Left) -> None:
    """The session's connection has ended. It is kept if it can come back for its outcomes."""
    session.connection = None
    receipts.unexpect(step, session)
    step.note(
        "session_left", session_id=session.session_id, connection=event.connection,
        why=event.close.text, owed=len(session.owed),
    )  # fmt: skip
    if session.receipts:
        session.resumable_until = step.now + step.config.session_retention
        step.set_timer(Timer("session", session.session_id), session.resumable_until)
    story.disconnected(step, session, event)
    if not session.receipts:
        close(step, session, "disconnected")


def close(step: Step, session: Session, why: str) -> None:
    """End a session for good: cancel what runs, let expire what is owed."""
    session.connection = None
    segments.discard(step, session)
    for job in list(session.order):
        if job.live:
            hint = f"the session ended: {why[:100]}"
            dispatch.finish(step, job, OutcomeKind.CANCELLED, actor=session.session_id, hint=hint)
    delivery.forget(step, session, f"the session ended: {why[:100]}")
    del step.state.sessions[session.session_id]
    step.remember(session, SessionForgotten(session_id=session.session_id))
    step.note("session_closed", session_id=session.session_id)


def _refuse(
    step: Step, connection: Generation | None, code: Code, text: str, **details: Any
) -> None:
    step.send(connection, Error(code=str(code), message=text, details=details or None))
