"""What must never be of nodes, attempts, connections and memory: as in `safety_of_outcomes.py`."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from math import inf

from simulation.models import Attempts, attempts
from simulation.safety_of_outcomes import Property
from simulation.world import Run

from scheduler.core.events import (
    ClearTimer,
    Left,
    Note,
    Received,
    Send,
    SessionJoined,
    SetTimer,
    Writing,
    Written,
)
from scheduler.errors import Close
from scheduler.wire import node as from_node
from scheduler.wire.common import Error
from scheduler.wire.session import ResultAck, SessionInitAck, Utterance

JOB_MESSAGES = (
    from_node.JobResult, from_node.JobAck, from_node.JobStarted, from_node.JobProgress,
    from_node.AsrPartial,
)  # fmt: skip
IDLE = frozenset({"nothing", "half a request", "not http", "a slow head"})
"""Attacks that never get through the front door."""


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
    over = {job.job_id: job.withdrawn.number for job in run.history.jobs.values() if job.withdrawn}
    for fact in run.history.all("node_joined", "assigned", "attempt_lost", "settled"):
        job_id, node_id = fact.detail.get("job_id", ""), fact.detail.get("node_id", "")
        if fact.name == "node_joined":
            slots[node_id] = fact.detail["slots"]
        elif fact.name == "assigned":
            taken[node_id] = {j for j in taken[node_id] if over.get(j, inf) > fact.step}
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


def only_fit_nodes_get_jobs(run: Run) -> Iterator[str]:
    """No job is given to a node that is silent or in quarantine, and to none during a drain."""
    unfit: dict[str, str] = {}
    draining = False
    names = ("node_joined", "node_heard", "readmitted", "on_probation")
    for fact in run.history.facts:
        node_id = fact.detail.get("node_id", "")
        if fact.name in ("node_silent", "quarantined", "still_quarantined"):
            unfit[node_id] = fact.name
        elif fact.name in names:
            unfit.pop(node_id, None)
        elif fact.name == "drain_started":
            draining = True
        elif fact.name == "assigned" and (draining or node_id in unfit):
            why = "draining" if draining else unfit[node_id]
            yield f"{fact.detail['job_id']} is given to {node_id} at {fact.at}: {why}"


def the_jobs_of_a_lost_node_go_on_at_once(run: Run) -> Iterator[str]:
    """A node's connection ends, and each of its jobs is at its next attempt in that very step."""
    for step, model in attempts(run.history):
        if not isinstance(step.event, Left):
            continue
        over = {
            effect.detail["job_id"]
            for effect in step.effects
            if isinstance(effect, Note) and effect.name in ("attempt_lost", "settled")
        }
        for job_id, current in model.current.items():
            if current.connection == step.event.connection and job_id not in over:
                yield f"{job_id} stays with {current.node_id}, which left at {step.at}"


def an_utterance_runs_once(run: Run) -> Iterator[str]:
    """The same index of a session is one job, and each attempt begins once on one node."""
    jobs: dict[tuple[str, int], str] = {}
    for step in run.history.steps:
        for job_id in step.withdraws:
            jobs = {key: name for key, name in jobs.items() if name != job_id}
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


def strangers_are_shown_out(run: Run) -> Iterator[str]:
    """A connection that does not become a conversation is closed, in bounded time."""
    config = run.scene.config
    for talk in run.scene.talks:
        if talk.role != "hostile" or run.plan.hostiles[int(talk.owner[8:])].attack not in IDLE:
            continue
        latest = talk.opened_at + config.handshake_timeout + config.close_timeout + run.slack_s
        latest += config.write_timeout + 2 * talk.link.plan.latency + 1
        if min(talk.link.server.closed_at, run.ended_at) > latest:
            yield f"{talk.owner} is still there at {latest}"


def who_may_resume_does(run: Run) -> Iterator[str]:
    """A session is resumed by whoever has its token, whatever its connection before is doing."""
    tokens: dict[str, str] = {}
    for step in run.history.steps:
        if isinstance(step.event, SessionJoined) and (wanted := step.event.hello.resume):
            right = tokens.get(wanted.session_id) == wanted.resume_token
            if right != ("session_resumed" in step.facts):
                yield f"{wanted.session_id} at {step.at}: {'right' if right else 'wrong'} token"
        for effect in step.effects:
            match effect:
                case Send(message=SessionInitAck() as ack) if ack.resume_token is not None:
                    tokens[ack.session_id] = ack.resume_token
                case Note(name="session_closed", detail=detail):
                    tokens.pop(detail["session_id"], None)


def who_never_answers_is_given_up(run: Run) -> Iterator[str]:
    """A session that was told something and acknowledges nothing loses its connection."""
    config = run.scene.config
    most = config.client_receipt_timeout + config.write_timeout + run.slack_s + 1
    since: dict[int, float] = {}
    writing: dict[int, int] = {}
    told: dict[int, int] = {}
    heard: dict[int, int] = {}  # a peer may be quicker than our own note of what it was told
    for step in run.history.steps:
        event = step.event
        match event:
            case Writing(connection, seq):
                writing[connection] = seq
            case Written(connection, seq) if _acknowledges(run, connection):
                told[connection] = max(seq, told.get(connection, 0))
                if seq > heard.get(connection, 0):
                    since.setdefault(connection, step.at)
            case Received(connection, ResultAck(seq=seq)) if seq <= writing.get(connection, 0):
                heard[connection] = max(seq, heard.get(connection, 0))
                since.pop(connection, None)
                if heard[connection] < told.get(connection, 0):
                    since[connection] = step.at
            case Left(connection) if connection in since:
                if step.at - since.pop(connection) > most:
                    yield f"connection {connection} acknowledged nothing, and ended at {step.at}"


def _acknowledges(run: Run, connection: int) -> bool:
    joined = run.history.joined[connection].event
    return isinstance(joined, SessionJoined) and bool(joined.hello.receipts)


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
    only_fit_nodes_get_jobs,
    the_jobs_of_a_lost_node_go_on_at_once,
    an_utterance_runs_once,
    nobody_is_failed_early,
    the_registry_is_the_live_connections,
    the_state_agrees_with_itself,
    strangers_are_shown_out,
    who_may_resume_does,
    who_never_answers_is_given_up,
    memory_is_bounded,
    no_frame_is_torn,
    only_peers_are_harmed_by_themselves,
    nothing_is_left,
)
