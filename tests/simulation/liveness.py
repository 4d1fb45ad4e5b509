"""What must always come, once faults stop: properties, as in `safety_of_outcomes.py`."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from simulation.safety_of_nodes import THE_REST_IS_SOUND
from simulation.safety_of_outcomes import OUTCOMES_ARE_TRUE, Property
from simulation.safety_of_promises import PROMISES_ARE_KEPT
from simulation.scene import Wish
from simulation.world import Run


def every_job_ends_by_its_deadline(run: Run) -> Iterator[str]:
    """Every accepted job has its outcome by its deadline, in one scheduling step."""
    config = run.scene.config
    for job in run.history.jobs.values():
        if job.withdrawn:
            continue
        given = job.all("assigned")
        accepted = job.accepted.at
        latest = accepted + config.pending_timeout
        if given:
            if given[0].at > latest + run.slack_s:
                yield f"{job.job_id} waited from {accepted} to {given[0].at}"
            latest = given[0].at + config.dispatched_timeout
        latest += run.slack_s
        settled = job.settled
        if settled is None and run.stopped_at <= latest:
            continue  # the scheduler itself was ended first
        if settled is None or settled.at > latest:
            yield f"{job.job_id}, accepted at {accepted}, had to end by {latest}: {settled}"


def every_outcome_arrives_or_expires(run: Run) -> Iterator[str]:
    """Every outcome is acknowledged (or written, without receipts) or has visibly expired."""
    if run.drained:
        return
    for job in run.history.jobs.values():
        if job.withdrawn:
            continue
        ends = [fact.name for fact in job.all("delivered", "expired")]
        if len(ends) > 1 and ends != ["expired", "delivered"]:  # given up on its way, but arrived
            yield f"{job.job_id} had more than one end: {ends}"
        if not ends and job.settled is not None and not job.all("written"):
            yield f"{job.job_id} was settled and then forgotten: {[f.name for f in job.facts]}"
        if not ends and job.settled is not None and _has_receipts(run, job.session_id):
            yield f"{job.job_id} was neither delivered nor did it expire"


def _has_receipts(run: Run, session_id: str) -> bool:
    owner = next((t.owner for t in run.scene.talks if t.session_id == session_id), "witness")
    name, _, number = owner.partition("-")
    return name != "client" or run.plan.sessions[int(number)].kind in ("sdk", "raw")


def no_slot_idles_while_a_job_waits(run: Run) -> Iterator[str]:
    """A free feasible slot and a waiting job never coexist after a step."""
    yield from run.idle


def everybody_is_served(run: Run) -> Iterator[str]:
    """Whoever can reach the scheduler again is connected and served, in bounded time."""
    if run.drained:
        return
    yield from run.scene.sent_away
    yield from (f"{name} was still waiting at the end" for name in run.unserved)
    for wish in run.scene.wishes:
        if wish.ended is None or not _may_end(run, wish):
            yield f"{wish.client} said {wish.text[:20]!r} at {wish.said_at}: {wish.ended}"


def _may_end(run: Run, wish: Wish) -> bool:
    if wish.ended not in ("gave up", "lost"):
        return True
    name, _, number = wish.client.partition("-")
    if name != "client":
        return False
    plan = run.plan.sessions[int(number)]
    if wish.ended == "lost":
        return plan.kind == "base"
    impatient = any(said.cancelled_after is not None for said in plan.says)
    return impatient or plan.gives_up is not None or plan.resumes == "ahead"


def the_end_is_bounded(run: Run) -> Iterator[str]:
    """Draining ends by its timeout, and the shutdown shortly after, whatever the peers do."""
    config = run.scene.config
    asked = run.asked_to_end_at
    patience = config.drain_timeout
    if run.plan.hurries is not None:
        patience = min(patience, run.plan.hurries)
    latest = asked + patience + config.write_timeout + config.close_timeout + run.slack_s
    if asked == inf or run.stopped_at > latest:
        yield f"asked to end at {asked}, by {latest}; it did at {run.stopped_at}"


def who_works_again_is_readmitted(run: Run) -> Iterator[str]:
    """A quarantined node that works again is given work again."""
    yield from run.quarantined


LIVENESS: tuple[Property, ...] = (
    every_job_ends_by_its_deadline,
    every_outcome_arrives_or_expires,
    no_slot_idles_while_a_job_waits,
    everybody_is_served,
    the_end_is_bounded,
    who_works_again_is_readmitted,
)

PROPERTIES = OUTCOMES_ARE_TRUE + PROMISES_ARE_KEPT + THE_REST_IS_SOUND + LIVENESS


def violations(run: Run) -> dict[str, list[str]]:
    """What a run breaks, by the name of the property; empty when all is well."""
    found = {one.__name__: list(one(run)) for one in PROPERTIES}
    return {name: lines for name, lines in found.items() if lines}
