"""What nodes do: join (perhaps again), receipt, start, report, beat, leave."""

from collections.abc import Collection
from typing import Any

import attrs

from scheduler.core import delivery, dispatch, quarantine
from scheduler.core.events import Left, NodeJoined
from scheduler.core.job import RESTARTED, Job, Outcome, OutcomeKind
from scheduler.core.node import Node, in_flight_of, new_node
from scheduler.core.sessions import milliseconds
from scheduler.core.state import Step
from scheduler.core.states import JobState, Move
from scheduler.errors import Close, Code
from scheduler.wire import node as wire
from scheduler.wire import session as to_session
from scheduler.wire.common import JobError, Quality, ServiceTimings, shared

FINAL_CODES = frozenset({Code.INVALID_MESSAGE, Code.UNSUPPORTED_FEATURE, Code.TOO_LARGE})
"""Failures that another node would repeat; all others may be tried again."""

Held = Collection[tuple[str, int]]
"""The attempts, as job and number, that a node still has; of one job it may have several."""

DONE_WHEN_BEGINS = {"nmt": "ASR_FINAL", "tts": "NMT_DONE"}
"""What a session is told when a node says that it begins a stage: the one before is done."""


def join(step: Step, event: NodeJoined) -> None:
    """A node registers. A newer connection of the same node takes its place."""
    state = step.state
    if len(state.nodes) >= step.config.nodes_max and event.hello.node_id not in state.nodes:
        step.refuse(event.connection, Code.OVERLOADED, "too many nodes")
        step.end(event.connection, Close.TRY_LATER)
        return
    node_id = event.hello.node_id or state.ids.node()
    held = dict.fromkeys(in_flight_of(event.hello))
    if (old := state.nodes.pop(node_id, None)) is not None:
        state.fleet.remove(old)
        quarantine.leave(step, old)
    state.nodes_joined += 1
    node = new_node(
        event.hello, node_id, event.connection, state.nodes_joined, step.now, step.config
    )
    node.draining = state.draining
    state.nodes[node_id] = node
    state.fleet.add(node)
    state.peers[event.connection] = node
    step.note("node_joined", node_id=node_id, slots=node.slots, connection=node.connection)
    quarantine.come_back(step, node)
    step.send(node.connection, _welcome(step, node))
    lost: list[Job] = []
    if old is not None:
        step.replace_connection(old.connection)
        lost = _take_over(step, old, node, held)
    _adopt(step, node, held)
    _cancel_strays(step, node, held)
    dispatch.lose_all(step, lost, "node_restarted")
    dispatch.reconsider(step, node)


def _welcome(step: Step, node: Node) -> wire.NodeRegisterAck:
    config = step.config
    return wire.NodeRegisterAck(
        node_id=node.node_id,
        message="registered",
        status=node.status,  # type: ignore[arg-type]  # Node.status speaks the wire's words
        timers=milliseconds(
            heartbeat=config.heartbeat_interval,
            receipt=config.node_receipt_timeout,
            result_stored=config.result_stored_timeout,
            backoff_max=config.node_backoff_max,
        ),
        limits={"message_bytes_max": config.message_bytes_max, "slots": node.slots},
    )


def _take_over(step: Step, old: Node, node: Node, held: Held) -> list[Job]:
    """Move the attempts that the node still holds to its new connection; return the others.

    A node that comes back with fewer slots keeps as many as it has now.
    """
    lost = []
    for job_id, attempt in list(old.running.items()):
        job = step.state.jobs[job_id]
        assert job.attempt is not None
        if (job_id, attempt) in held and node.free > 0:
            old.give_back(job_id)
            node.take(job_id, attempt)
            job.attempt.connection = node.connection
            job.tell(step.now, "taken over", node.node_id, attempt=attempt)
        else:
            lost.append(job)
    return sorted(lost, key=lambda job: job.order)


def _adopt(step: Step, node: Node, held: Held) -> None:
    """What an earlier scheduler gave this node goes on, if it is still the last attempt."""
    for job_id, number in held:
        job = step.state.jobs.get(job_id)
        if job is None or not job.live or job.attempt is not None or not job.attempts:
            continue
        last = job.attempts[-1]
        same = (last.node_id, last.number) == (node.node_id, number)
        if same and last.end == RESTARTED and node.free > 0:
            dispatch.adopt(step, job, node)


def _cancel_strays(step: Step, node: Node, held: Held) -> None:
    """What the node still runs and nobody wants from it any more is cancelled there."""
    for job_id, attempt in held:
        if node.running.get(job_id) == attempt:
            continue
        message = wire.JobCancel(job_id=job_id, reason="not_current", attempt_id=attempt)
        step.send(node.connection, message)


def received(step: Step, node: Node, message: wire.FromNode) -> None:
    """A message of a registered node. What names no current attempt of it changes nothing."""
    if quarantine.concerns(node, message):
        if quarantine.heard(step, node, message):
            dispatch.reconsider(step, node)
        return
    match message:
        case wire.NodeRegister():
            text = "this connection is already registered"
            step.refuse(node.connection, Code.NODE_ID_CONFLICT, text)
        case wire.NodeHeartbeat() | wire.NodeError() if message.node_id != node.node_id:
            step.note("stale", input=type(message).__name__, node_id=node.node_id)
        case wire.NodeHeartbeat():
            if node.heard(message):
                dispatch.reconsider(step, node)
        case wire.NodeError():
            step.note("node_error", node_id=node.node_id, code=message.code)
        case wire.JobResult():
            _result(step, node, message)
        case _:
            _progress(step, node, message)


def _progress(
    step: Step,
    node: Node,
    message: wire.JobAck | wire.JobStarted | wire.JobProgress | wire.AsrPartial,
) -> None:
    job = step.state.jobs.get(message.job_id)
    current = job is not None and job.is_current(node.connection, message.attempt_id)
    if job is None or not current or not _names_its_own(node, job, message):
        step.stale(type(message).__name__, job, node_id=node.node_id, attempt=message.attempt_id)
        return
    attempt, session = job.attempt, step.state.sessions[job.session_id]
    assert attempt is not None
    dispatch.received(step, job)
    match message:
        case wire.JobAck() if job.state is JobState.ASSIGNED:
            attempt.received_at = step.now
            job.move(Move.RECEIVE, step.now, node.node_id, attempt=attempt.number)
            step.note("received", job, attempt=attempt.number, node_id=node.node_id)
            delivery.tell(step, session, job, "NODE_ACCEPTED")
        case wire.JobStarted() if job.state is not JobState.STARTED:
            attempt.started_at = step.now
            job.move(Move.START, step.now, node.node_id, attempt=attempt.number)
            step.note("started", job, attempt=attempt.number, node_id=node.node_id)
        case wire.JobProgress(stage=stage) if stage in DONE_WHEN_BEGINS:
            delivery.tell(step, session, job, DONE_WHEN_BEGINS[stage])
        case wire.AsrPartial():
            step.send(
                session.connection,
                to_session.AsrPartial(
                    session_id=job.session_id,
                    utterance_index=job.utterance_index,
                    job_id=job.job_id,
                    text=message.text,
                    is_final=message.is_final,
                    trace_id=job.trace_id,
                ),
                droppable=True,
            )


def _names_its_own(node: Node, job: Job, message: wire.FromNode) -> bool:
    """Whether the node and the session a message names are its sender's and its job's.

    A node that mixes sessions up may have mixed up what was said in them as well.
    """
    names = getattr(message, "node_id", node.node_id), getattr(message, "session_id", None)
    return names[0] == node.node_id and names[1] in (job.session_id, None)


def _result(step: Step, node: Node, result: wire.JobResult) -> None:
    job = step.state.jobs.get(result.job_id)
    current = job is not None and job.is_current(node.connection, result.attempt_id)
    if job is None or not current or not _names_its_own(node, job, result):
        if _salvaged(step, node, job, result):
            return
        step.stale("job_result", job, node_id=node.node_id, attempt=result.attempt_id)
        _receipt(step, node, result, "stored" if _settled_by(job, node, result) else "stale")
        return
    _receipt(step, node, result, "stored")
    if result.success:
        node.completed += 1
        readmitted = quarantine.success(step, node)
        message = _translation(job, result)
        kind = OutcomeKind.TRANSLATED if message else OutcomeKind.SILENCE
        dispatch.finish(step, job, kind, actor=node.node_id, result=message)
        if readmitted:
            dispatch.reconsider(step, node)
        return
    _failed(step, node, job, result.error)
    if node.quarantined is not None:
        dispatch.reconsider(step)


def _salvaged(step: Step, node: Node, job: Job | None, result: wire.JobResult) -> bool:
    """A good result of the last attempt that comes just too late, while nobody was told."""
    if job is None or job.outcome is None or job.outcome.kind is not OutcomeKind.TIMEOUT:
        return False
    last = job.attempts[-1]
    same = (last.connection, last.number) == (node.connection, result.attempt_id)
    session = step.state.sessions.get(job.session_id)
    if not (same and result.success and _names_its_own(node, job, result)) or session is None:
        return False
    content = _translation(job, result)
    outcome = Outcome(
        kind=OutcomeKind.TRANSLATED if content else OutcomeKind.SILENCE,
        at=step.now,
        message=content or delivery.missing(step, job, OutcomeKind.SILENCE, None, None),
    )
    if not delivery.salvage(step, session, job, outcome):
        return False
    _receipt(step, node, result, "stored")
    return True


def _settled_by(job: Job | None, node: Node, result: wire.JobResult) -> bool:
    """A repetition, because our receipt was lost, of the very result that was taken."""
    if job is None or job.live or not job.attempts or job.outcome is None:
        return False
    last = job.attempts[-1]
    taken = job.outcome.kind in (OutcomeKind.TRANSLATED, OutcomeKind.SILENCE)
    return taken and (last.node_id, last.number) == (node.node_id, result.attempt_id)


def _receipt(step: Step, node: Node, result: wire.JobResult, status: Any) -> None:
    if node.receipts:
        step.send(
            node.connection,
            wire.JobResultAck(job_id=result.job_id, attempt_id=result.attempt_id, status=status),
        )


def _failed(step: Step, node: Node, job: Job, error: JobError | None) -> None:
    """A node reports a failure: another try if that can help, else the outcome."""
    code = error.code if error else str(Code.PROCESSING_ERROR)
    hint = f"{node.node_id}: {error.message[:200]}" if error else f"{node.node_id} failed"
    retryable = code not in FINAL_CODES
    if error is not None and error.retryable is not None:
        retryable = error.retryable
    if retryable:  # what any node would refuse is no fault of this one
        quarantine.setback(step, node, code)
    if retryable and (node.receipts or step.state.fleet.can(job)):
        dispatch.lose(step, job, "failed", code=code, hint=hint)
    else:
        dispatch.finish(
            step, job, OutcomeKind.NODE_FAILED, actor=node.node_id, code=code, hint=hint
        )


def _translation(job: Job, result: wire.JobResult) -> to_session.TranslationResult | None:
    """The outcome for the session; None if the node heard only silence.

    The session id and index are the job's own: those a node names are not trusted.
    """
    if not (result.text_asr or result.text_translated or result.tts_audio):
        return None
    return to_session.TranslationResult(
        **shared(Quality, result),
        session_id=job.session_id,
        utterance_index=job.utterance_index,
        job_id=job.job_id,
        text_asr=result.text_asr or "",
        text_translated=result.text_translated or "",
        tts_audio=result.tts_audio or "",
        tts_format=result.tts_format or "wav",
        trace_id=job.trace_id,
        extra=result.extra,
        group_id=job.job_id,
        part_index=0,
        service_timings=_timings(result.extra),
    )


def _timings(extra: dict[str, Any] | None) -> ServiceTimings | None:
    said = extra.get("service_timings") if extra else None
    if not isinstance(said, dict):
        return None
    names = {field.name for field in attrs.fields(ServiceTimings)}
    return ServiceTimings(**{k: v for k, v in said.items() if k in names and type(v) is int})


def left(step: Step, node: Node, event: Left) -> None:
    """A node's connection has ended: its jobs go to their next attempt in this instant."""
    del step.state.nodes[node.node_id]
    step.state.fleet.remove(node)
    quarantine.leave(step, node)
    step.note(
        "node_left", node_id=node.node_id, connection=event.connection, why=event.close.text,
        jobs=len(node.running),
    )  # fmt: skip
    jobs = sorted((step.state.jobs[job_id] for job_id in node.running), key=lambda job: job.order)
    hint = f"{node.node_id} disconnected: {event.close.text}"
    dispatch.lose_all(step, jobs, "node_left", hint=hint)
    dispatch.reconsider(step)
