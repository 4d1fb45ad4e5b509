"""What sessions do: join, resume, submit, acknowledge, cancel, close, leave."""

import hmac
from functools import partial

import attrs

from scheduler.core import admission, delivery, dispatch, receipts, segments, story
from scheduler.core.events import Left, SessionJoined, Timer
from scheduler.core.job import Cut, OutcomeKind
from scheduler.core.records import SessionBegan, SessionForgotten
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.errors import Close, Code
from scheduler.wire import session as wire

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
        step.refuse(event.connection, Code.RESUME_REFUSED, "there is nothing to resume")
        step.note("resume_refused", connection=event.connection)
    _begin(step, event)


def _begin(step: Step, event: SessionJoined) -> None:
    state, hello = step.state, event.hello
    full = len(state.sessions) >= step.config.sessions_max
    if full or state.draining or state.journal_failed is not None:
        code = Code.DRAINING if state.draining else Code.OVERLOADED
        step.refuse(event.connection, code, "no new sessions are taken now")
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
        step.replace_connection(replaced)
    receipts.unexpect(step, session)
    session.connection, session.resumable_until = event.connection, None
    session.collected.resumed = True
    step.state.peers[event.connection] = session
    step.clear_timer(Timer("session", session.session_id))
    if last_seq > session.acked_seq and not delivery.acknowledged(step, session, last_seq):
        step.note("stale", input="last_seq", session_id=session.session_id, seq=last_seq)
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
            admission.ask_for_audio(step, session, job)


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
                outcome_retention=config.outcome_retention,
                result_ack=config.client_receipt_timeout,
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
        step.refuse(connection, Code.INVALID_SESSION, "this connection already has a session")
        return
    if message.session_id != session.session_id:
        step.refuse(connection, Code.INVALID_SESSION, "not the session of this connection")
        step.note("stale", input="foreign_session", session_id=session.session_id)
        return
    match message:
        case wire.Utterance():
            admission.submit(step, session, message)
        case wire.ResultAck():
            if not delivery.acknowledged(step, session, message.seq):
                text = f"$.seq: no outcome {message.seq} has been sent"
                step.refuse(connection, Code.INVALID_MESSAGE, text)
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
        step.refuse(session.connection, Code.INVALID_MESSAGE, f"$.payload: {error}")


def paused(step: Step, session: Session) -> None:
    """No chunk came for the length of a pause: what was collected is an utterance.

    It is one as well if the connection broke in the middle of it and did not come back.
    """
    segments.paused(step, session, partial(_submit_cut, step, session))


def _submit_cut(step: Step, session: Session, why: Cut, utterance: wire.Utterance) -> None:
    admission.submit(step, session, utterance, why)


def _cancel(step: Step, session: Session, job_id: str) -> None:
    job = step.state.jobs.get(job_id)
    if job is None or job.session_id != session.session_id or not job.live:
        step.note("stale", input="job_cancel", session_id=session.session_id)
        return
    hint = "cancelled by the session"
    dispatch.finish(step, job, OutcomeKind.CANCELLED, actor=session.session_id, hint=hint)


def _played(step: Step, session: Session, message: wire.TtsPlayEnded) -> None:
    job = step.state.jobs.get(message.group_id)
    if job is None or job.session_id != session.session_id or job.live or job.played_at is not None:
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
    """End a session for good: cancel what runs, let expire what is owed.

    What waits is cancelled first, lest it gets the slot of what runs.
    """
    session.connection = None
    segments.discard(step, session)
    for job in sorted(session.order, key=lambda job: job.attempt is not None):
        if job.live:
            hint = f"the session ended: {why[:100]}"
            dispatch.finish(step, job, OutcomeKind.CANCELLED, actor=session.session_id, hint=hint)
    delivery.forget(step, session, f"the session ended: {why[:100]}")
    del step.state.sessions[session.session_id]
    step.remember(session, SessionForgotten(session_id=session.session_id))
    step.note("session_closed", session_id=session.session_id)
