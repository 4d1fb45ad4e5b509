"""A state that contradicts itself does not pass, and the story of the job is told."""

from collections.abc import Callable

import pytest
from messages import result, utterance
from playbook import Playbook

from scheduler.core.check import FOUND_IN, check
from scheduler.core.job import Attempt
from scheduler.core.state import State
from scheduler.core.states import JobState
from scheduler.wire import node


def busy_state() -> State:
    """One job on a node, one that waits, one that is finished behind both, one that is owed."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=3)
    for index in range(5):
        book.say(person, utterance(ack.session_id, index))
    jobs = book.all(machine, node.JobAssign)
    book.say(machine, result(jobs[0], node_id))
    book.say(machine, result(jobs[2], node_id))
    state = book.engine._state
    assert [str(job.state) for job in state.jobs.values()] == [
        "finished", "assigned", "finished", "assigned", "assigned",
    ]  # fmt: skip
    book.say(person, utterance(ack.session_id, 5))
    return state


def spoil_slot(state: State) -> None:
    next(iter(state.nodes.values())).running.pop("job-2")


def spoil_ghost(state: State) -> None:
    next(iter(state.nodes.values())).running["job-9"] = 1


def spoil_attempt(state: State) -> None:
    state.jobs["job-2"].attempts.append(
        Attempt(number=2, node_id="node-1", connection=2, assigned_at=0.0)
    )


def spoil_connection(state: State) -> None:
    attempt = state.jobs["job-2"].attempt
    assert attempt is not None
    attempt.connection = 77


def spoil_outcome(state: State) -> None:
    state.jobs["job-3"].outcome = None


def spoil_audio(state: State) -> None:
    state.jobs["job-2"].utterance = None


def spoil_queue(state: State) -> None:
    (queue,) = state.waiting.values()
    queue["job-2"] = state.jobs["job-2"]


def spoil_free_slot(state: State) -> None:
    next(iter(state.nodes.values())).slots += 1


def spoil_turn(state: State) -> None:
    session = next(iter(state.sessions.values()))
    session.order.rotate(-1)


def spoil_bytes(state: State) -> None:
    next(iter(state.sessions.values())).owed_bytes += 1


def spoil_total(state: State) -> None:
    state.owed_bytes += 1


def spoil_acknowledged(state: State) -> None:
    next(iter(state.sessions.values())).acked_seq = 1


def spoil_peer(state: State) -> None:
    state.peers[99] = next(iter(state.sessions.values()))


def spoil_registry(state: State) -> None:
    state.peers.pop(next(iter(state.nodes.values())).connection)


def spoil_deadline(state: State) -> None:
    state.jobs["job-2"].deadline = 1000.0


def spoil_settled(state: State) -> None:
    state.settled.popleft()


def spoil_reason(state: State) -> None:
    state.waiting_because.clear()


def spoil_attempts_max(state: State) -> None:
    job = state.jobs["job-3"]
    job.attempts[:] = [
        Attempt(number=n, node_id="node-1", connection=2, assigned_at=0.0, ended_at=1.0)
        for n in range(1, state.config.attempts_max + 2)
    ]
    job.next_attempt = len(job.attempts) + 1


SPOILS: dict[Callable[[State], None], str] = {
    spoil_slot: "the slot is the attempt's",
    spoil_ghost: "4 running",
    spoil_attempt: "the slot is the attempt's|every past attempt has its end",
    spoil_connection: "the attempt is on a live link",
    spoil_outcome: "settled exactly when it has an outcome",
    spoil_audio: "audio is kept exactly while needed",
    spoil_queue: "is in",
    spoil_free_slot: "although",
    spoil_turn: "held back",
    spoil_bytes: "s-1: 521 bytes, not 520",
    spoil_total: "521 bytes owed, not 520",
    spoil_acknowledged: "owed what was acknowledged",
    spoil_peer: "is not on connection",
    spoil_registry: "has no live connection",
    spoil_deadline: "no phase outlives the whole",
    spoil_settled: "should be in",
    spoil_reason: "nobody knows why",
    spoil_attempts_max: "attempts are bounded",
}


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_contradiction_is_found(spoil: Callable[[State], None]) -> None:
    """Each of these changes behind the engine's back is noticed, in words."""
    state = busy_state()
    check(state)
    spoil(state)
    with pytest.raises(AssertionError, match=SPOILS[spoil]):
        check(state)


def test_a_broken_job_tells_its_story() -> None:
    """What is raised for a job shows everything that ever named it."""
    state = busy_state()
    spoil_outcome(state)
    with pytest.raises(AssertionError) as caught:
        check(state)
    text = str(caught.value)
    for what in ("job-3", "accepted", "pending", "assigned", "finished", "node-1"):
        assert what in text


def test_every_state_has_its_places() -> None:
    """There is no state of which it is not said where its jobs are."""
    assert set(FOUND_IN) == set(JobState)
