"""Jobs that no slot has: queued by need, oldest first, and each told why it waits.

The jobs of one need wait for the same reason, which is looked up once for all of them. Some
have a reason of their own: one whose audio was lost waits for that, and one that was tried
before may not go to the same node of the base again.
"""

from collections import OrderedDict

from scheduler.core import delivery, story
from scheduler.core.job import Job
from scheduler.core.node import Node
from scheduler.core.placement import (
    feasible,
    unable,
    unavailable,
    why_waiting,
)
from scheduler.core.state import Step


def enter(step: Step, job: Job, *, at_front: bool) -> None:
    """Let a pending job wait: it has ``pending_timeout`` from now, within its whole time."""
    queue = step.state.waiting.setdefault(job.need, OrderedDict())
    queue[job.job_id] = job
    if at_front:
        queue.move_to_end(job.job_id, last=False)
    job.deadline = step.now + step.config.pending_timeout
    if job.overall_deadline is not None:
        job.deadline = min(job.deadline, job.overall_deadline)
    step.set_timer(job.timer, job.deadline)
    reason = why(step, job)
    if _has_its_own_reason(job):
        step.state.waiting_because.setdefault(job.need, reason)
    else:
        step.state.waiting_because[job.need] = reason
    _tell(step, job, reason)


def leave(step: Step, job: Job) -> None:
    """The job waits no more."""
    queue = step.state.waiting[job.need]
    del queue[job.job_id]
    if not queue:
        del step.state.waiting[job.need], step.state.waiting_because[job.need]


def oldest_for(step: Step, node: Node) -> Job | None:
    """The job that was accepted first among all that ``node`` could take now."""
    if unavailable(node) is not None:
        return None
    heads = (
        next((job for job in queue.values() if feasible(job, node) is None), None)
        for need, queue in step.state.waiting.items()
        if unable(need, node.abilities) is None
    )
    return min((job for job in heads if job), key=lambda job: job.order, default=None)


def why(step: Step, job: Job) -> tuple[str, str]:
    """Why nobody can take the job at this moment: a word for programs, a text for people."""
    return why_waiting(job.need, step.state.fleet.rejections(job))


def tell_changes(step: Step) -> None:
    """Tell every waiting job whose reason is not the one that it was told."""
    for need, queue in list(step.state.waiting.items()):
        jobs = queue.values()
        usual = next((job for job in jobs if not _has_its_own_reason(job)), None)
        reason = why(step, usual or next(iter(jobs)))
        if reason[0] == step.state.waiting_because[need][0]:
            continue
        step.state.waiting_because[need] = reason
        for job in jobs:
            its_own = why(step, job) if _has_its_own_reason(job) else reason
            if its_own[0] != job.waiting_because:
                _tell(step, job, its_own)


def _has_its_own_reason(job: Job) -> bool:
    return job.needs_audio or bool(job.attempts)


def _tell(step: Step, job: Job, reason: tuple[str, str]) -> None:
    job.waiting_because, text = reason
    rejected = story.rejected(job, step.state.nodes.values()) or None
    job.tell(
        step.now, "waiting", "scheduler", why=job.waiting_because, text=text, rejected=rejected
    )
    step.note("waiting", job, why=job.waiting_because)
    left = max(0.0, job.deadline - step.now)
    session = step.state.sessions[job.session_id]
    delivery.tell(step, session, job, "WAITING", hint=f"{text}; waiting up to {left:.3g} s")
