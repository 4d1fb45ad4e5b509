"""Giving jobs to nodes, taking them back, and settling them once and for all."""

import attrs

from scheduler.core import delivery, quarantine, waiting
from scheduler.core.assignment import assignment, dispatched_timeout
from scheduler.core.job import Attempt, Job, Outcome, OutcomeKind
from scheduler.core.node import Node
from scheduler.core.placement import Rejection
from scheduler.core.records import JobAttempted
from scheduler.core.state import Step
from scheduler.core.states import Move
from scheduler.errors import Code
from scheduler.wire import node as to_node
from scheduler.wire.session import MissingResult, TranslationResult


def place(step: Step, job: Job, *, at_front: bool = False) -> None:
    """Assign a pending job to the best node, or let it wait and say why."""
    if not _try(step, job):
        waiting.enter(step, job, at_front=at_front)


def _try(step: Step, job: Job) -> bool:
    """Assign the job to the best node, if there is one."""
    affine = step.state.sessions[job.session_id].affine_node
    if (node := step.state.fleet.select(job, affine)) is None:
        return False
    _assign(step, job, node)
    return True


def fill(step: Step, node: Node) -> None:
    """Give a node's free slots to the jobs that wait for it, the oldest first."""
    while node.free > 0 and (job := waiting.oldest_for(step, node)) is not None:
        waiting.leave(step, job)
        _assign(step, job, node)


def reconsider(step: Step, node: Node | None = None) -> None:
    """What a node can do has changed: use it, then tell who still waits if the reason differs."""
    if node is not None:
        fill(step, node)
    waiting.tell_changes(step)


def _assign(step: Step, job: Job, node: Node) -> None:
    """Reserve the slot first, then ask the node."""
    attempt = Attempt(
        number=job.next_attempt,
        node_id=node.node_id,
        connection=node.connection,
        assigned_at=step.now,
    )
    job.attempts.append(attempt)
    job.next_attempt += 1
    node.take(job.job_id, attempt.number)
    job.waiting_because = None
    job.move(Move.ASSIGN, step.now, "scheduler", attempt=attempt.number, node_id=node.node_id)
    if job.overall_deadline is None:
        job.overall_deadline = step.now + dispatched_timeout(step, job)
    job.deadline = job.overall_deadline
    if node.receipts:
        job.deadline = min(job.deadline, step.now + step.config.node_receipt_timeout)
    step.set_timer(job.timer, job.deadline)
    session = step.state.sessions[job.session_id]
    attempted = JobAttempted(
        job_id=job.job_id,
        attempt=attempt.number,
        node_id=node.node_id,
        assigned_at_ms=step.unix_ms,
        deadline_ms=step.unix_ms_of(job.overall_deadline),
    )
    step.remember(session, attempted)
    session.affine_node = node.node_id
    step.send(node.connection, assignment(step, job, attempt.number))
    first = {"waited": round(step.now - job.accepted_at, 3)} if attempt.number == 1 else {}
    step.note(
        "assigned", job, attempt=attempt.number, node_id=node.node_id, need=job.need.text, **first
    )
    delivery.tell(step, session, job, "DISPATCHED")


def received(step: Step, job: Job) -> None:
    """The node has the assignment: its receipt timer gives way to the overall deadline."""
    assert job.overall_deadline is not None
    if job.deadline != job.overall_deadline:
        job.deadline = job.overall_deadline
        step.set_timer(job.timer, job.deadline)


def lose(
    step: Step, job: Job, why: str, *, code: str | None = None, hint: str | None = None
) -> None:
    """The current attempt is over without a result: the next one, if there may be one."""
    node = _take_back(step, job, why, code, hint)
    if job.live:
        place(step, job, at_front=True)
    if node is not None:
        fill(step, node)


def lose_all(step: Step, jobs: list[Job], why: str, *, hint: str | None = None) -> None:
    """A node is gone, and with it the attempts of all these jobs, which are oldest first.

    The oldest chooses first where it goes; those that find no slot wait before all others.
    """
    for job in jobs:
        _take_back(step, job, why, None, hint)
    without = [job for job in jobs if job.live and not _try(step, job)]
    for job in reversed(without):
        waiting.enter(step, job, at_front=True)


def _take_back(step: Step, job: Job, why: str, code: str | None, hint: str | None) -> Node | None:
    """End the current attempt; the job is then pending, or settled if it was the last one."""
    attempt = job.attempt
    assert attempt is not None
    node = _free_slot(step, job, attempt, why)
    attempt.code, attempt.hint = code, hint
    step.note("attempt_lost", job, attempt=attempt.number, node_id=attempt.node_id, why=why)
    if job.tries >= step.config.attempts_max:
        finish(step, job, OutcomeKind.NODE_FAILED, actor=attempt.node_id, code=code, hint=hint)
    else:
        job.move(
            Move.LOSE, step.now, attempt.node_id, attempt=attempt.number, why=why, code=code,
            hint=hint,
        )  # fmt: skip
    return node


def _free_slot(step: Step, job: Job, attempt: Attempt, end: str) -> Node | None:
    """End the attempt and give back its slot; the node if it is still there."""
    attempt.ended_at, attempt.end = step.now, end
    node = step.state.nodes.get(attempt.node_id)
    if node is None or not node.give_back(job.job_id):
        return None
    return node


def expired(step: Step, job: Job) -> None:
    """The job's timer has run out. Looks at the job as it is now, not as it was."""
    if not job.live or step.now < job.deadline:
        return
    attempt = job.attempt
    overall = job.overall_deadline
    if job.needs_audio:
        hint = "the audio was not kept over a restart and did not come again"
        finish(step, job, OutcomeKind.NODE_FAILED, actor="scheduler", hint=hint)
    elif attempt is None and (overall is None or step.now < overall):
        _nobody_took_it(step, job)
    elif attempt is not None and overall is not None and step.now < overall:
        node = step.state.nodes[attempt.node_id]
        quarantine.setback(step, node, "no receipt")
        cancel_at_node(step, job, attempt, "no_receipt")
        lose(step, job, "no_receipt", hint=f"{node.node_id} did not receipt the job in time")
    else:
        if attempt is not None:
            quarantine.setback(step, step.state.nodes[attempt.node_id], "no result in time")
        spent = step.now - job.attempts[0].assigned_at
        hint = f"no result within {spent:.3g} s of the first of {len(job.attempts)} attempts"
        hint += _last_loss(job)
        finish(step, job, OutcomeKind.TIMEOUT, actor="scheduler", code=Code.JOB_TIMEOUT, hint=hint)
    if attempt is not None and step.state.nodes[attempt.node_id].quarantined is not None:
        waiting.tell_changes(step)


def _nobody_took_it(step: Step, job: Job) -> None:
    """Nothing but nodes that failed it already is a failure of those; else there was no node."""
    word, text = waiting.why(step, job)
    kind, code = OutcomeKind.NO_NODE, str(Code.NO_AVAILABLE_NODE)
    if word == Rejection.TRIED:
        kind, code = OutcomeKind.NODE_FAILED, job.attempts[-1].code or str(Code.NODE_UNAVAILABLE)
    hint = f"no node took the job within {step.config.pending_timeout:g} s: {text}"
    finish(step, job, kind, actor="scheduler", code=code, hint=hint + _last_loss(job))


def _last_loss(job: Job) -> str:
    """How the last attempt that was lost ended, as the rest of a hint."""
    lost = [attempt for attempt in job.attempts if attempt.hint]
    if not lost:
        return ""
    code = f" [{lost[-1].code}]" if lost[-1].code else ""
    return f"; attempt {lost[-1].number} was lost: {lost[-1].hint}{code}"


def finish(
    step: Step,
    job: Job,
    kind: OutcomeKind,
    *,
    actor: str,
    code: str | None = None,
    hint: str | None = None,
    result: TranslationResult | None = None,
) -> None:
    """Settle a job: the one place where an outcome is decided.

    The table has no second ``finish``, so whoever comes later has to be turned away
    before: by :meth:`Job.is_current` for nodes, by :attr:`Job.live` for everybody else.
    """
    node = None
    if (attempt := job.attempt) is not None:
        if attempt.ended_at is None:
            node = _free_slot(step, job, attempt, str(kind))
            attempt.code = code
        if kind in (OutcomeKind.TIMEOUT, OutcomeKind.CANCELLED):
            cancel_at_node(step, job, attempt, str(kind))
    else:
        waiting.leave(step, job)
    if kind is OutcomeKind.NODE_FAILED:
        code = code or Code.NODE_UNAVAILABLE
    job.move(Move.FINISH, step.now, actor, outcome=str(kind), code=code)
    message: TranslationResult | MissingResult = result or delivery.missing(
        step, job, kind, code, hint
    )
    job.outcome = Outcome(kind=kind, at=step.now, message=message, code=code, hint=hint)
    job.settled_at, job.needs_audio = step.now, False
    step.state.drop_audio(job)
    step.clear_timer(job.timer)
    step.state.settled.append(job)
    step.note(
        "settled", job, outcome=str(kind), code=code, attempts=len(job.attempts),
        seconds=round(step.now - job.accepted_at, 3), need=job.need.text, **_running_times(job),
    )  # fmt: skip
    session = step.state.sessions[job.session_id]
    delivery.remember_outcome(step, session, job)
    delivery.release(step, session)
    if node is not None:
        fill(step, node)


def _running_times(job: Job) -> dict[str, float | int]:
    """How long it ran, in seconds from its first assignment, and what its stages took."""
    times: dict[str, float | int] = {}
    if job.attempts and job.settled_at is not None:
        times["ran"] = round(job.settled_at - job.attempts[0].assigned_at, 3)
    message = job.outcome and job.outcome.message
    if isinstance(message, TranslationResult) and message.service_timings is not None:
        stages = attrs.asdict(message.service_timings)
        times |= {name: ms for name, ms in stages.items() if ms is not None}
    return times


def place_again(step: Step, job: Job) -> None:
    """A pending job can be placed now that could not before; its deadline stays."""
    deadline = job.deadline
    waiting.leave(step, job)
    place(step, job, at_front=True)
    hold_to(step, job, deadline)


def hold_to(step: Step, job: Job, deadline: float) -> None:
    """A job that is still pending waits no longer than until ``deadline``."""
    if job.attempt is None and deadline < job.deadline:
        job.deadline = deadline
        step.set_timer(job.timer, deadline)


def abandon(step: Step, job: Job, why: str) -> None:
    """Forget a job that was never promised to anybody; its slot or its place is free again."""
    node = None
    if (attempt := job.attempt) is not None:
        node = _free_slot(step, job, attempt, why)
        cancel_at_node(step, job, attempt, why)
    elif job.live:
        waiting.leave(step, job)
    if not job.live:
        step.state.settled.remove(job)
    step.clear_timer(job.timer)
    step.state.drop_audio(job)
    del step.state.jobs[job.job_id]
    if node is not None:
        fill(step, node)


def adopt(step: Step, job: Job, node: Node) -> None:
    """The node still holds the attempt that an earlier scheduler gave it: it goes on there."""
    waiting.leave(step, job)
    attempt = job.attempts[-1]
    attempt.connection, attempt.ended_at, attempt.end = node.connection, None, None
    node.take(job.job_id, attempt.number)
    job.waiting_because = None
    job.move(Move.ASSIGN, step.now, node.node_id, attempt=attempt.number, taken_over=True)
    assert job.overall_deadline is not None
    job.deadline = job.overall_deadline
    step.set_timer(job.timer, job.deadline)
    step.note("adopted", job, attempt=attempt.number, node_id=node.node_id)


def cancel_at_node(step: Step, job: Job, attempt: Attempt, reason: str) -> None:
    """Tell the node that this attempt is wanted no more."""
    if attempt.connection in step.state.peers:
        step.send(
            attempt.connection,
            to_node.JobCancel(
                job_id=job.job_id, trace_id=job.trace_id, reason=reason, attempt_id=attempt.number
            ),
        )
