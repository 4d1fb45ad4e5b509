"""What must never be of nodes, attempts, connections and memory: as in `safety_of_outcomes.py`."""

from __future__ import annotations

import collections
from collections.abc import Iterator

from simulation.models import Attempts, attempts
from simulation.safety_of_outcomes import Property
from simulation.world import Run

from scheduler.core.events import ClearTimer, Left, Note, Received, Send, SetTimer
from scheduler.errors import Close
from scheduler.wire import node as from_node
from scheduler.wire.common import Error
from scheduler.wire.session import Utterance

JOB_MESSAGES = (
    from_node.JobResult, from_node.JobAck, from_node.JobStarted, from_node.JobProgress,
    from_node.AsrPartial,
)  # fmt: skip


def only_the_current_attempt_counts(run: Run) -> Iterator[str]:
    """What names no current attempt changes nothing but the counter and the story."""
    for step, model in attempts(run.history):
        event = step.event
        if not isinstance(event, Received) or not isinstance(event.message, JOB_MESSAGES):
            continue
        job_id = event.message.job_id
        if model.names(model.current, event) or model.names(model.canaries, event):
            continue
        if "salvaged" in step.facts:
            yield from _rightly_salvaged(run, model, event)
            continue
        for effect in step.effects:
            match effect:
                case Send(message=from_node.JobResultAck() | Error()) | Note(name="stale"):
                    pass
                case Send() | SetTimer() | ClearTimer() | Note():
                    yield f"stale {type(event.message).__name__} of {job_id} did {effect}"


def _rightly_salvaged(run: Run, model: Attempts, event: Received) -> Iterator[str]:
    message = event.message
    assert isinstance(message, from_node.JobResult)
    job = run.history.jobs.get(message.job_id)
    settled = job.settled if job else None
    late = settled is not None and settled.detail["outcome"] == "job_timeout"
    if not (late and message.success and model.names(model.last, event)):
        yield f"{message.job_id} was salvaged by a result that is not its own"


def a_good_result_settles(run: Run) -> Iterator[str]:
    """A good result of the current attempt is the outcome, in that very step."""
    for step, model in attempts(run.history):
        event = step.event
        if not isinstance(event, Received) or not isinstance(event.message, from_node.JobResult):
            continue
        result = event.message
        if not result.success or not model.names(model.current, event):
            continue
        kind = "translated" if result.text_asr or result.text_translated else "silence_detected"
        settled = [
            effect.detail["outcome"]
            for effect in step.effects
            if isinstance(effect, Note)
            and effect.name == "settled"
            and effect.detail["job_id"] == result.job_id
        ]
        if settled != [kind]:
            yield f"a {kind} result of {result.job_id} settled it as {settled} at {step.at}"


def slots_are_the_current_attempts(run: Run) -> Iterator[str]:
    """A slot is taken by exactly the current attempts on a node: never more than it has."""
    slots: dict[str, int] = {}
    taken: dict[str, set[str]] = collections.defaultdict(set)
    for fact in run.history.all("node_joined", "assigned", "attempt_lost", "settled"):
        job_id, node_id = fact.detail.get("job_id", ""), fact.detail.get("node_id", "")
        if fact.name == "node_joined":
            slots[node_id] = fact.detail["slots"]
        elif fact.name == "assigned":
            taken[node_id].add(job_id)
            if len(taken[node_id]) > slots[node_id]:
                yield f"{node_id} has {slots[node_id]} slots for {sorted(taken[node_id])}"
        else:
            for jobs in taken.values():
                jobs.discard(job_id)


def a_node_is_never_overrun(run: Run) -> Iterator[str]:
    """No node is asked to do more at once than it has slots, as it counts itself."""
    yield from run.scene.overrun
    for step in run.history.steps:
        event = step.event
        if not isinstance(event, Received) or not isinstance(event.message, from_node.JobResult):
            continue
        error = event.message.error
        if error is not None and error.message == "every slot is taken":
            yield f"{event.message.node_id} refuses {event.message.job_id} at {step.at}"


def an_utterance_runs_once(run: Run) -> Iterator[str]:
    """The same index of a session is one job, and each attempt begins once on one node."""
    jobs: dict[tuple[str, int], str] = {}
    for step in run.history.steps:
        if not isinstance(step.event, Received) or "accepted" not in step.facts:
            continue
        message = step.event.message
        if not isinstance(message, Utterance):
            continue
        key = (message.session_id, message.utterance_index)
        note = next(e for e in step.effects if isinstance(e, Note) and e.name == "accepted")
        if key in jobs:
            yield f"{key} is {jobs[key]} and {note.detail['job_id']}"
        jobs[key] = note.detail["job_id"]
    begun: dict[tuple[str, int], str] = {}
    for one in run.scene.begun:
        run_key = (one.job_id, one.attempt_id)
        if run_key in begun:
            yield f"{run_key} was begun by {begun[run_key]} and by {one.node}"
        begun[run_key] = one.node


def nobody_is_failed_early(run: Run) -> Iterator[str]:
    """No job fails before its deadline for want of a node or of time: start order is no matter."""
    config = run.scene.config
    for job in run.history.jobs.values():
        settled = job.settled
        if settled is None:
            continue
        waits = [job.accepted.at, *(f.at for f in job.all("attempt_lost"))]
        given = [f.at for f in job.all("assigned")]
        overall = given[0] + config.dispatched_timeout if given else float("inf")
        outcome = settled.detail["outcome"]
        if outcome == "no_available_node" and settled.at < max(waits) + config.pending_timeout:
            yield f"{job.job_id} waits since {max(waits)}, given up at {settled.at}"
        if outcome == "job_timeout" and settled.at < overall:
            yield f"{job.job_id} has time until {overall}, timed out at {settled.at}"


# -- connections, memory, tasks -------------------------------------------------------


def the_registry_is_the_live_connections(run: Run) -> Iterator[str]:
    """The registry holds exactly the live connections, and no old one removes its successor."""
    if run.monitor is not None:
        yield from run.monitor.broken.get("registry", ())


def the_state_agrees_with_itself(run: Run) -> Iterator[str]:
    """Each invariant of the engine's state holds: no two records contradict each other."""
    if run.monitor is not None:
        yield from run.monitor.broken.get("state", ())


def memory_is_bounded(run: Run) -> Iterator[str]:
    """What a peer can make the scheduler keep is bounded, in messages and in bytes."""
    if run.monitor is not None:
        yield from run.monitor.broken.get("bounds", ())


def no_frame_is_torn(run: Run) -> Iterator[str]:
    """Whatever a peer reads is whole frames: an interrupted send was its connection's last."""
    for talk in run.scene.talks:
        if talk.torn is not None:
            yield f"{talk.owner}: {talk.torn}"


def only_peers_are_harmed_by_themselves(run: Run) -> Iterator[str]:
    """The scheduler survives everything: no peer ends it, and no handler of ours fails."""
    if run.fault is not None:
        yield f"the server ended: {run.fault}"
    yield from run.faults
    for step in run.history.steps:
        if isinstance(step.event, Left) and step.event.close is Close.INTERNAL_ERROR:
            yield f"connection {step.event.connection} was ended by a fault of ours at {step.at}"


def nothing_is_left(run: Run) -> Iterator[str]:
    """When all have gone nothing is left: no task, scope, slot, session, entry or timer."""
    yield from run.left_over


THE_REST_IS_SOUND: tuple[Property, ...] = (
    only_the_current_attempt_counts,
    a_good_result_settles,
    slots_are_the_current_attempts,
    a_node_is_never_overrun,
    an_utterance_runs_once,
    nobody_is_failed_early,
    the_registry_is_the_live_connections,
    the_state_agrees_with_itself,
    memory_is_bounded,
    no_frame_is_torn,
    only_peers_are_harmed_by_themselves,
    nothing_is_left,
)
