"""What must never be, in any schedule: each property a function whose docstring is the sentence.

A property gives one line for each way in which a run breaks it. Claims are in `run.history`;
the truth is what peers read from their links (`run.scene.talks`), what nodes began
(`run.scene.begun`) and what people were told (`run.scene.wishes`).
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from simulation.history import JobRecord
from simulation.models import Attempts, attempts, deliveries
from simulation.nodes import ANSWER
from simulation.taps import OUTCOMES, Heard, Talk
from simulation.world import Run

from scheduler.core.events import (
    ClearTimer,
    Left,
    Note,
    Received,
    Send,
    SetTimer,
    Written,
)
from scheduler.errors import Close
from scheduler.wire import node as from_node
from scheduler.wire.common import Error
from scheduler.wire.session import UiEvent, Utterance

Property = Callable[[Run], Iterator[str]]
JOB_MESSAGES = (
    from_node.JobResult, from_node.JobAck, from_node.JobStarted, from_node.JobProgress,
    from_node.AsrPartial,
)  # fmt: skip
AFTERLIFE = frozenset({
    "settled", "salvaged", "stale", "written", "delivered", "expired", "played",
})  # fmt: skip
"""What may still be noted of a job that has its outcome."""


def session_talks(run: Run) -> Iterator[Talk]:
    """The connections of clients that were welcomed."""
    return (talk for talk in run.scene.talks if talk.session_id is not None)


def outcomes_heard(talk: Talk) -> Iterator[Heard]:
    """The outcomes that a client read, as often as it read them."""
    return (heard for heard in talk.heard if heard.message.get("type") in OUTCOMES)


def is_honest(run: Run, owner: str) -> bool:
    """Whether a client never says that it has what it has not."""
    name, _, number = owner.partition("-")
    if name != "client":
        return name == "witness"
    plan = run.plan.sessions[int(number)]
    return plan.receipts != "beyond" and plan.resumes != "ahead"


def content(message: dict[str, Any]) -> tuple[Any, ...]:
    """What an outcome says, apart from its number."""
    return (message["type"], message.get("reason"), message.get("text_asr"))


# -- outcomes -------------------------------------------------------------------------


def a_job_has_one_outcome(run: Run) -> Iterator[str]:
    """A job has at most one outcome; once it has one, nothing changes it but an untold salvage."""
    for job in run.history.jobs.values():
        settled, salvaged = job.all("settled"), job.all("salvaged")
        if len(settled) > 1:
            yield f"{job.job_id} was settled as {[f.detail['outcome'] for f in settled]}"
        late = settled and settled[0].detail["outcome"] == "job_timeout"
        if len(salvaged) > 1 or (salvaged and not late):
            yield f"{job.job_id} was salvaged {len(salvaged)} times"
        if len({sent.seq for sent in job.outcomes}) > 1:
            yield f"{job.job_id} has the numbers {[sent.seq for sent in job.outcomes]}"


def nobody_hears_two_outcomes(run: Run) -> Iterator[str]:
    """A client hears one outcome of a job, however often; later perhaps that it is kept no more."""
    said: dict[tuple[str, str], dict[tuple[Any, ...], int]] = collections.defaultdict(dict)
    for talk in session_talks(run):
        for heard in outcomes_heard(talk):
            message = heard.message
            if message.get("reason") != "gap":
                said[talk.owner, message["job_id"]][content(message)] = message["seq"]
    for (owner, job_id), contents in said.items():
        if len(contents) > 1 or len(set(contents.values())) > 1:
            yield f"{owner} was told of {job_id}: {contents}"


def delivered_means_received(run: Run) -> Iterator[str]:
    """*Delivered* is said only of what the session had received by then."""
    has: dict[tuple[str, int, str], float] = {}
    owners: dict[str, str] = {}
    for talk in session_talks(run):
        assert talk.session_id is not None
        owners[talk.session_id] = talk.owner
        for heard in outcomes_heard(talk):
            key = (talk.session_id, heard.message["seq"], heard.message["job_id"])
            has[key] = min(heard.at, has.get(key, heard.at))
    for fact in run.history.all("delivered"):
        session_id, job_id, seq = (fact.detail[k] for k in ("session_id", "job_id", "seq"))
        if not is_honest(run, owners.get(session_id, "witness")):
            continue
        at = has.get((session_id, seq, job_id))
        if at is None or at > fact.at:
            yield f"{job_id} ({session_id}, {seq}) delivered at {fact.at}, received at {at}"


def written_means_written(run: Run) -> Iterator[str]:
    """*Written* is said only of what a connection took whole that was current at that moment."""
    yield from run.unwritten
    current: dict[str, int] = {}
    for step in run.history.steps:
        for effect in step.effects:
            if not isinstance(effect, Note):
                continue
            if effect.name in ("session_joined", "session_resumed"):
                current[effect.detail["session_id"]] = effect.detail["connection"]
            elif effect.name == "written":
                live = current.get(effect.detail["session_id"])
                assert isinstance(step.event, Written)
                if not live == step.event.connection == effect.detail["connection"]:
                    yield f"{effect.detail} is noted while {live} is current"


def nothing_follows_the_outcome(run: Run) -> Iterator[str]:
    """No timeout, warning or failure is recorded or sent for a job after its outcome."""
    for job in run.history.jobs.values():
        names = [fact.name for fact in job.facts]
        if "settled" not in names:
            continue
        after = [name for name in names[names.index("settled") + 1 :] if name not in AFTERLIFE]
        if after:
            yield f"{job.job_id} was settled, and then: {after}"
        yield from _told_after(job)


def _told_after(job: JobRecord) -> Iterator[str]:
    settled = job.settled
    assert settled is not None
    failed = settled.detail["outcome"] not in ("translated", "silence_detected", "cancelled")
    for sent in job.told:
        late = sent.step > settled.step or (sent.step == settled.step and failed)
        if isinstance(sent.message, UiEvent) and late:
            error = sent.message.event == "ERROR"
            played = sent.message.event in ("TTS_PLAY_STARTED", "TTS_PLAY_ENDED")
            if not (played or (error and failed)):
                yield f"{job.job_id} was settled, and then {sent.message.event} was sent"
    if [s for s in job.told if isinstance(s.message, UiEvent) and s.message.event == "ERROR"][1:]:
        yield f"{job.job_id} was called an error twice"


def acknowledged_is_never_sent_again(run: Run) -> Iterator[str]:
    """What a session acknowledged is never sent to it again."""
    for due in deliveries(run.history):
        again = [seq for seq in due.sent if seq <= due.acked]
        if again:
            yield f"{due.session_id} has {due.acked} and is sent {again} at {due.step.at}"


def what_is_owed_is_replayed(run: Run) -> Iterator[str]:
    """A resumed session is sent exactly what it has not acknowledged, in order."""
    for due in deliveries(run.history):
        if due.resumed and due.sent != due.expected:
            yield f"{due.session_id} resumed at {due.step.at}: {due.expected} owed, {due.sent} sent"


def nothing_is_held_back(run: Run) -> Iterator[str]:
    """An outcome is sent in the very step in which its turn has come, and none before."""
    for due in deliveries(run.history):
        if not due.resumed and due.sent != due.expected:
            yield f"{due.session_id} at {due.step.at}: {due.expected} due, {due.sent} sent"


def outcomes_come_in_order(run: Run) -> Iterator[str]:
    """Outcomes come in the order of acceptance, numbered from 1 without a gap."""
    for session_id, jobs in run.history.jobs_of.items():
        place = {job.job_id: number for number, job in enumerate(jobs, 1)}
        for job in jobs:
            wrong = {sent.seq for sent in job.outcomes} - {place[job.job_id]}
            if wrong:
                yield f"{job.job_id} is number {place[job.job_id]} of {session_id}, sent as {wrong}"
    for sent in run.history.sent.values():
        seqs = [s.seq for s in sent if s.seq is not None and not s.replaces]
        if any(later != earlier + 1 for earlier, later in pairwise(seqs)):
            yield f"on one connection: {seqs}"


def clients_hear_in_order(run: Run) -> Iterator[str]:
    """What a client reads for the first time is always the next number."""
    heard: dict[str, list[Heard]] = collections.defaultdict(list)
    for talk in session_talks(run):
        if is_honest(run, talk.owner):
            heard[talk.session_id or ""] += outcomes_heard(talk)
    for session_id, outcomes in heard.items():
        highest = 0
        for one in sorted(outcomes, key=lambda o: o.at):
            seq = one.message["seq"]
            if seq > highest + 1:
                yield f"{session_id} hears {seq} after {highest}"
            highest = max(seq, highest)


def receipts_move_forward(run: Run) -> Iterator[str]:
    """Each session's acknowledged position moves forward only."""
    last: dict[str, int] = collections.defaultdict(int)
    for fact in run.history.all("delivered"):
        name, seq = fact.detail["session_id"], fact.detail["seq"]
        if seq <= last[name]:
            yield f"{name}: {seq} is delivered after {last[name]}"
        last[name] = max(seq, last[name])
    if run.monitor is not None:
        yield from run.monitor.broken.get("receipts", ())


# -- who hears what -------------------------------------------------------------------


def nothing_crosses(run: Run) -> Iterator[str]:
    """A session hears only of its own jobs; nothing crosses to another session or client."""
    for talk in run.scene.talks:
        if talk.role == "node":
            continue
        for heard in talk.heard:
            yield from _foreign(run, talk, heard.message)


def _foreign(run: Run, talk: Talk, message: dict[str, Any]) -> Iterator[str]:
    name = message.get("session_id")
    if name is not None and name != talk.session_id:
        yield f"{talk.owner} is {talk.session_id} and hears of {name}: {message}"
    job_id = message.get("job_id")
    if job_id is not None:
        job = run.history.jobs.get(job_id)
        if job is None or job.session_id != talk.session_id:
            yield f"{talk.owner} is {talk.session_id} and hears of {job_id}"
    if message.get("type") == "translation_result":
        heard, answer = message["text_asr"], message["text_translated"]
        if not heard.startswith(f"{talk.owner}/") or answer != ANSWER + heard:
            yield f"{talk.owner} hears {heard!r}, {answer!r}"
    if message.get("type") == "error":
        said = f"{message}"
        others = set(re.findall(r"\bs-\d+", said)) - {talk.session_id}
        if others or "token-" in said:
            yield f"{talk.owner} reads in an error: {said}"


def everybody_gets_his_own_words(run: Run) -> Iterator[str]:
    """The answer to an utterance is the answer to that utterance."""
    for wish in run.scene.wishes:
        if wish.ended == "translated" and wish.answer != wish.text:
            yield f"{wish.client} said {wish.text!r} and was told {wish.answer!r}"


def nothing_private_is_noted(run: Run) -> Iterator[str]:
    """Speech and tokens do not appear in what is noted for logs."""
    for fact in run.history.facts:
        for value in fact.detail.values():
            private = ("client-", "token-", ANSWER)
            if isinstance(value, str) and any(word in value for word in private):
                yield f"{fact.name}: {fact.detail}"


# -- nodes and attempts ---------------------------------------------------------------


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


SAFETY: tuple[Property, ...] = (
    a_job_has_one_outcome,
    nobody_hears_two_outcomes,
    delivered_means_received,
    written_means_written,
    nothing_follows_the_outcome,
    acknowledged_is_never_sent_again,
    what_is_owed_is_replayed,
    nothing_is_held_back,
    outcomes_come_in_order,
    clients_hear_in_order,
    receipts_move_forward,
    nothing_crosses,
    everybody_gets_his_own_words,
    nothing_private_is_noted,
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
