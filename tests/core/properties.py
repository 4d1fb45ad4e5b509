"""What must hold between the steps, by what the ledger knows; each property has its name."""

from typing import TYPE_CHECKING

from core.known import Broken, why_waiting

from scheduler.core.engine import Engine
from scheduler.core.events import Timer

if TYPE_CHECKING:
    from core.ledger import Ledger


def check(ledger: "Ledger", engine: Engine, *, lateness: float) -> None:
    """Raise :exc:`Broken` if any of the properties below does not hold.

    ``lateness`` is how long timers could not run because the process was stalled.
    """
    engine.check()
    registry_is_the_live_connections(ledger, engine)
    no_free_slot_beside_a_waiting_job(ledger)
    waiting_sessions_know_why(ledger)
    slots_are_derived(ledger, engine)
    nothing_is_held_back(ledger)
    every_job_ends_in_time(ledger, engine, lateness)
    timers_follow_what_they_are_for(ledger)


def registry_is_the_live_connections(ledger: "Ledger", engine: Engine) -> None:
    registered = set(engine._state.peers)
    if registered != set(ledger.at):
        raise Broken("the registry holds exactly the live connections", (registered, ledger.at))


def no_free_slot_beside_a_waiting_job(ledger: "Ledger") -> None:
    free = [machine for machine in ledger.machines.values() if machine.free]
    for task in ledger.tasks.values() if free else ():
        if task.live and task.on is None:
            for machine in free:
                if machine.why_not(task) is None:
                    raise Broken("a free slot and a waiting job never coexist", (task, machine))


def waiting_sessions_know_why(ledger: "Ledger") -> None:
    """A job that was tried before may have a reason of its own, which is not followed."""
    for task in ledger.tasks.values():
        if task.live and task.on is None and not task.attempt:
            reason = why_waiting(task, ledger.machines.values())
            if task.why != reason:
                raise Broken("a reason is told when it changes", (reason, task))


def slots_are_derived(ledger: "Ledger", engine: Engine) -> None:
    for view in engine.snapshot(ledger.now).nodes():
        machine = ledger.machines[view["node_id"]]
        known = (view["slots_free"], view["running"])
        if known != (machine.free, sorted(machine.held)):
            raise Broken("a slot is taken by exactly the current attempts", (view, machine))
        if len(machine.held) > machine.slots:
            raise Broken("slots are never overbooked", machine)


def nothing_is_held_back(ledger: "Ledger") -> None:
    for person in ledger.persons.values():
        if person.connection is not None and person.sent_here < person.turn:
            raise Broken("nothing is held back once its turn has come", person)


def every_job_ends_in_time(ledger: "Ledger", engine: Engine, lateness: float) -> None:
    limit = ledger.config.pending_timeout + ledger.config.dispatched_timeout + lateness
    live = [task for task in ledger.tasks.values() if task.live]
    for task in live:
        if ledger.deadline(task) > task.accepted_at + limit:
            raise Broken("every accepted job ends by its deadline", task)
    if engine.unfinished != len(live):
        raise Broken("every accepted job ends by its deadline", (engine.unfinished, live))


def timers_follow_what_they_are_for(ledger: "Ledger") -> None:
    exactly = dict(_timers_with_their_instants(ledger))
    demanded = _timers_known_to_be_set(ledger)
    waits_for_receipt = {
        Timer("receipt", person.session_id): person
        for person in ledger.persons.values()
        if person.receipts and person.connection is not None and person.acked < person.sent
    }
    for timer, at in ledger.timers.items():
        allowed = timer in demanded or timer in waits_for_receipt or exactly.get(timer) == at
        if timer.kind == "pause":
            allowed = timer.key in ledger.persons
        if not allowed:
            raise Broken("no timer is left without its state", (timer, at, exactly.get(timer)))
    demanded |= exactly.keys()
    demanded |= {
        timer
        for timer, person in waits_for_receipt.items()
        if person.written_here and person.connection not in ledger.ended
    }
    if missing := demanded - ledger.timers.keys():
        raise Broken("no state is without its timer", missing)


def _timers_with_their_instants(ledger: "Ledger") -> list[tuple[Timer, float]]:
    live = [task for task in ledger.tasks.values() if task.live]
    timers = [(Timer("job", task.job_id), ledger.deadline(task)) for task in live]
    for person in ledger.persons.values():
        if person.connection is None:
            until = person.left_at + ledger.config.session_retention
            timers.append((Timer("session", person.session_id), until))
    return timers


def _timers_known_to_be_set(ledger: "Ledger") -> set[Timer]:
    keeping = [p for p in ledger.persons.values() if p.receipts and p.owes_content()]
    watched = [machine for machine in ledger.machines.values() if machine.quarantined]
    return {Timer("retention", person.session_id) for person in keeping} | {
        Timer("canary", machine.node_id) for machine in watched
    }


def nothing_is_left(ledger: "Ledger", engine: Engine) -> None:
    """After everybody has gone for good there is nothing that anybody waits for."""
    state = engine._state
    left = [state.sessions, state.nodes, state.peers, state.waiting, state.waiting_because]
    left += [ledger.timers, ledger.tasks, ledger.persons, ledger.machines]
    if any(left) or state.owed_bytes or engine.unfinished:
        raise Broken("nothing is left when everybody has gone", left)
