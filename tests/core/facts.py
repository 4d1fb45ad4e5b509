"""Which facts may be recorded, and what they mean for the ledger."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.known import Broken, Machine, Person, Task, needed_pairs

from scheduler.core.events import Expired, Left, NodeJoined, Received, Recovered, Written
from scheduler.wire import session

if TYPE_CHECKING:
    from core.ledger import Ledger

Detail = dict[str, Any]


def take(ledger: "Ledger", name: str, detail: Detail) -> None:
    """Count a fact, and check whether it is one."""
    ledger.facts[name] += 1
    if (handler := HANDLERS.get(name)) is not None:
        handler(ledger, detail)


def _task(ledger: "Ledger", detail: Detail) -> Task:
    task = ledger.tasks.get(detail["job_id"])
    if task is None or task.session_id != detail["session_id"]:
        raise Broken("nothing is recorded of a job that is not there", (detail, ledger.event))
    return task


def _timer_ran_out(ledger: "Ledger", kind: str, key: str) -> bool:
    """A deadline that passed while nobody was here is found on recovering."""
    event = ledger.event
    if kind == "job" and isinstance(event, Recovered):
        return True
    return isinstance(event, Expired) and (event.timer.kind, event.timer.key) == (kind, key)


def _accepted(ledger: "Ledger", detail: Detail) -> None:
    event, job_id = ledger.event, detail["job_id"]
    person = ledger.persons[detail["session_id"]]
    said = getattr(event, "message", None)
    own = isinstance(event, Received) and ledger.at.get(event.connection) is person
    paused = _timer_ran_out(ledger, "pause", person.session_id)
    if not paused and not (own and isinstance(said, session.Utterance | session.AudioChunk)):
        raise Broken("a job is accepted for whoever said it", (detail, event))
    if isinstance(said, session.Utterance):
        index, pairs = said.utterance_index, needed_pairs(said)
    else:  # speech that was cut here is numbered after all that was said before
        index, pairs = max(person.indexes, default=-1) + 1, person.pairs
    if index in person.indexes:
        raise Broken("the same index is the same job", detail)
    if person.receipts and job_id not in ledger.kept:
        raise Broken("nothing is promised before it is remembered", detail)
    person.accepted += 1
    task = Task(
        job_id=job_id,
        session_id=person.session_id,
        index=index,
        place=person.accepted,
        pairs=pairs,
        accepted_at=ledger.now,
        waiting_since=ledger.now,
        remembered=job_id in ledger.kept,
    )
    person.tasks[task.place] = ledger.tasks[job_id] = task
    person.indexes[task.index] = job_id


def _waiting(ledger: "Ledger", detail: Detail) -> None:
    task = _task(ledger, detail)
    if not task.live or task.on is not None:
        raise Broken("nothing is told about a job after its outcome", detail)
    if task.why == detail["why"]:
        raise Broken("a reason is told when it changes", (task, detail))
    task.why = detail["why"]
    if ledger.persons[task.session_id].connection is not None:
        ledger.to_tell.add(task.job_id)


def _free(ledger: "Ledger", task: Task) -> None:
    """The current attempt is over; its slot is free if its node is still there."""
    assert task.on is not None
    machine = ledger.at.get(task.on)
    if isinstance(machine, Machine):
        del machine.held[task.job_id]
    elif ledger.predecessor is not None and ledger.predecessor.connection == task.on:
        del ledger.predecessor.held[task.job_id]
    task.on, task.why = None, None


def _attempt_lost(ledger: "Ledger", detail: Detail) -> None:
    task, event = _task(ledger, detail), ledger.event
    if not task.live or task.on is None or task.attempt != detail["attempt"]:
        raise Broken("a job has one outcome", ("lost", task, detail))
    old = ledger.predecessor
    left = isinstance(event, Left) and event.connection == task.on
    restarted = isinstance(event, NodeJoined) and old is not None and old.connection == task.on
    failed = ledger.reported is not None and ledger.reported[0] is task
    failed = failed and ledger.reported is not None and not ledger.reported[1].success
    silent = _timer_ran_out(ledger, "job", task.job_id) and ledger.now >= ledger.deadline(task)
    if not (left or restarted or failed or silent):
        raise Broken("an attempt is lost for a reason", (task, event))
    if silent:
        ledger.to_cancel.add((task.on, task.job_id, task.attempt))
    _free(ledger, task)
    task.waiting_since = ledger.now


def _settled(ledger: "Ledger", detail: Detail) -> None:
    task = _task(ledger, detail)
    kind = detail["outcome"]
    if not task.live:
        raise Broken("a job has one outcome", (task, detail))
    if not _is_due(ledger, task, kind):
        raise Broken("an outcome has its cause", (kind, task, ledger.event))
    if task.on is not None:
        if kind in ("job_timeout", "cancelled"):
            ledger.to_cancel.add((task.on, task.job_id, task.attempt))
        _free(ledger, task)
    task.kind = kind
    ledger.outcomes[kind] += 1
    person = ledger.persons[task.session_id]
    while (following := person.tasks.get(person.turn + 1)) is not None and not following.live:
        person.turn += 1


def _is_due(ledger: "Ledger", task: Task, kind: str) -> bool:
    now, timer = ledger.now, _timer_ran_out(ledger, "job", task.job_id)
    result = ledger.reported[1] if ledger.reported and ledger.reported[0] is task else None
    match kind:
        case "translated":
            return result is not None and result.success and bool(result.text_asr)
        case "silence_detected":
            return result is not None and result.success and not result.text_asr
        case "node_failed":
            failed = result is not None and not result.success
            tried_out = _has_waited(ledger, task) and bool(task.base_nodes)
            return failed or tried_out or _has_no_attempt_left(ledger, task)
        case "no_available_node":
            return _has_waited(ledger, task)
        case "job_timeout":
            return timer and task.overall is not None and now >= task.overall
        case "cancelled":
            return _is_unwanted(ledger, task)
    return False


def _has_no_attempt_left(ledger: "Ledger", task: Task) -> bool:
    return task.on is None and task.tries == ledger.config.attempts_max


def _has_waited(ledger: "Ledger", task: Task) -> bool:
    """Whether the job's time to wait for a node is over, and not its time at all."""
    now, over = ledger.now, _timer_ran_out(ledger, "job", task.job_id)
    waited = task.on is None and now >= task.waiting_since + ledger.config.pending_timeout
    return over and waited and now < (task.overall or now + 1)


def _is_unwanted(ledger: "Ledger", task: Task) -> bool:
    event = ledger.event
    if isinstance(event, Received):
        said = event.message
        return isinstance(said, session.JobCancel | session.SessionClose) and (
            getattr(said, "job_id", task.job_id) == task.job_id
            and said.session_id == task.session_id
        )
    return _may_close(ledger, ledger.persons[task.session_id])


def _may_close(ledger: "Ledger", person: Person) -> bool:
    event = ledger.event
    if isinstance(event, Received):
        said = event.message
        return isinstance(said, session.SessionClose) and said.session_id == person.session_id
    if isinstance(event, Left):
        return not person.receipts and person.connection is None
    late = ledger.now >= person.left_at + ledger.config.session_retention
    return _timer_ran_out(ledger, "session", person.session_id) and late


def _adopted(ledger: "Ledger", detail: Detail) -> None:
    """A node still holds the attempt that an earlier process gave it."""
    task, event = _task(ledger, detail), ledger.event
    assert isinstance(event, NodeJoined)
    machine = ledger.machines[detail["node_id"]]
    held = {(ref.job_id, ref.attempt_id) for ref in event.hello.in_flight or ()}
    if not task.live or task.on is not None or (task.job_id, task.attempt) not in held:
        raise Broken("only what a node holds goes on there", (task, event))
    task.on = task.last_on = machine.connection
    task.receipted, task.why = True, None
    task.tries += 1  # it has its chance after all
    machine.held[task.job_id] = task.attempt


def _salvaged(ledger: "Ledger", detail: Detail) -> None:
    task = _task(ledger, detail)
    if ledger.stale or task.kind != "job_timeout":
        raise Broken("a job has one outcome", ("salvaged", task, ledger.event))
    task.kind = "translated" if task.text else "silence_detected"
    ledger.salvaged = task


def _place(detail: Detail) -> tuple[str, int]:
    return detail["session_id"], detail["seq"]


def _written(ledger: "Ledger", detail: Detail) -> None:
    event, person = ledger.event, ledger.persons[detail["session_id"]]
    current = detail["connection"] == person.connection == getattr(event, "connection", None)
    if isinstance(event, Received):  # a receipt that was read before the writer's note
        if not current or ledger.delivered.get(_place(detail)) != detail["job_id"]:
            raise Broken("written is said only of what was taken or received", (detail, event))
        return
    task = _task(ledger, detail)
    if not (isinstance(event, Written) and current and event.seq == detail["seq"] == task.place):
        raise Broken("written is said only of a current connection", (detail, event))
    if not person.receipts:
        task.fate = "written"


def _delivered(ledger: "Ledger", detail: Detail) -> None:
    if ledger.delivered.pop(_place(detail), None) != detail["job_id"]:
        raise Broken("delivered is said only of what was acknowledged", (detail, ledger.event))


def _expired(ledger: "Ledger", detail: Detail) -> None:
    task = _task(ledger, detail)
    if task.live or task.fate is not None:
        raise Broken("a job has one outcome", ("expired", task))
    task.fate = "expired"
    ledger.gaps[detail["why"].partition(":")[0]] += 1
    person = ledger.persons[task.session_id]
    person.gaps.add(task.place)
    queued = person.connection is not None and task.place <= person.sent_here
    if queued and detail["why"] in ("age", "retention"):
        assert person.connection is not None
        ledger.to_replace.add((person.connection, task.place))


def _session_closed(ledger: "Ledger", detail: Detail) -> None:
    person = ledger.persons[detail["session_id"]]
    if not _may_close(ledger, person):
        raise Broken("a session ends for a reason", (person, ledger.event))
    for task in person.tasks.values():
        if task.live or task.fate is None:
            raise Broken("every end is explained", task)
        del ledger.tasks[task.job_id]
    del ledger.persons[person.session_id]


def _quarantined(ledger: "Ledger", detail: Detail) -> None:
    machine = ledger.machines[detail["node_id"]]
    machine.quarantined, machine.on_probation = True, False


def _canary_over(ledger: "Ledger", detail: Detail) -> None:
    ledger.machines[detail["node_id"]].canary = None


def _readmitted(ledger: "Ledger", detail: Detail) -> None:
    machine = ledger.machines[detail["node_id"]]
    said = getattr(ledger.event, "message", None)
    if not getattr(said, "success", False):
        raise Broken("a node is readmitted for a success", (machine, ledger.event))
    machine.quarantined, machine.on_probation, machine.canary = False, False, None


def _on_probation(ledger: "Ledger", detail: Detail) -> None:
    machine = ledger.machines[detail["node_id"]]
    silent = _timer_ran_out(ledger, "canary", machine.node_id)
    if machine.receipts or not machine.quarantined or not silent:
        raise Broken("probation is for base nodes whose canary was lost", machine)
    machine.quarantined, machine.on_probation = False, True


HANDLERS: Mapping[str, Callable[["Ledger", Detail], None]] = {
    "accepted": _accepted,
    "waiting": _waiting,
    "attempt_lost": _attempt_lost,
    "adopted": _adopted,
    "settled": _settled,
    "salvaged": _salvaged,
    "written": _written,
    "delivered": _delivered,
    "expired": _expired,
    "session_closed": _session_closed,
    "quarantined": _quarantined,
    "canary_failed": _canary_over,
    "readmitted": _readmitted,
    "on_probation": _on_probation,
}
