"""What nodes say counts only if it is about their own current attempts."""

import attrs
import pytest
from messages import heartbeat, job_ack, job_started, node_error, result, utterance
from playbook import Playbook

from scheduler.core.events import Received
from scheduler.wire import node
from scheduler.wire.common import Error


def one_running(book: Playbook, **said: object) -> tuple[int, int, str, node.JobAssign]:
    person, ack = book.join_session()
    machine, node_id = book.join_node(**said)
    book.say(person, utterance(ack.session_id))
    return person, machine, node_id, book.last(machine, node.JobAssign)


def test_what_names_another_node_changes_nothing() -> None:
    """A message that names a node which is not its sender is stale, whatever it says."""
    book = Playbook()
    person, machine, _, job = one_running(book)
    _, other_id = book.join_node(pairs=(("de", "fr"),))

    book.say(machine, job_ack(job, other_id))
    book.say(machine, job_started(job, other_id))
    book.say(machine, result(job, other_id))
    book.say(machine, heartbeat(other_id, draining=True))
    book.say(machine, node_error(other_id))

    assert book.state(job.job_id) == "assigned"
    assert book.outcomes(person) == []
    assert not any(view["draining"] for view in book.engine.snapshot(book.now).nodes())
    assert book.noted("node_error") == []
    assert len(book.noted("stale")) == 5


def test_what_names_another_session_changes_nothing() -> None:
    """A result under the wrong session may hold the words of another one: it is stale."""
    book = Playbook()
    person, machine, node_id, job = one_running(book)
    other, ack = book.join_session()
    foreign = attrs.evolve(job, session_id=ack.session_id)

    book.say(machine, job_ack(foreign, node_id))
    book.say(machine, result(foreign, node_id, text="said elsewhere"))

    assert book.state(job.job_id) == "assigned"
    assert book.outcomes(person) == book.outcomes(other) == []
    assert book.last(machine, node.JobResultAck).status == "stale"
    book.say(machine, result(job, node_id))
    assert [o.text_asr for o in book.outcomes(person)] == ["hola"]


def test_a_result_of_another_connection_changes_nothing() -> None:
    """Only the connection that holds the attempt can finish it."""
    book = Playbook()
    person, _, node_id, job = one_running(book)
    thief, thief_id = book.join_node()

    book.say(thief, result(job, node_id))
    book.say(thief, result(job, thief_id))

    assert book.outcomes(person) == []
    assert book.state(job.job_id) == "assigned"


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_result_of_another_attempt_changes_nothing(attempt: int) -> None:
    """A result of an earlier attempt, or of one that was never made, is stale."""
    book = Playbook()
    person, machine, node_id, job = one_running(book)
    book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
    assert book.last(machine, node.JobAssign).attempt_id == 2

    book.say(machine, result(attrs.evolve(job, attempt_id=attempt), node_id))

    assert book.outcomes(person) == []
    assert book.last(machine, node.JobResultAck).status == "stale"


def test_a_repeated_result_is_receipted_again_and_told_once() -> None:
    """A node that did not get our receipt sends its result again: stored, and not told twice."""
    book = Playbook()
    person, machine, node_id, job = one_running(book)
    for _ in range(3):
        book.say(machine, result(job, node_id))

    statuses = [ack.status for ack in book.all(machine, node.JobResultAck)]
    assert statuses == ["stored", "stored", "stored"]
    assert len(book.outcomes(person)) == 1


def test_a_full_house_takes_a_node_back_that_is_still_registered() -> None:
    """The limit on nodes never refuses a node because of its own dead predecessor."""
    book = Playbook(nodes_max=1)
    old, node_id = book.join_node()

    again, _ = book.join_node(node_id=node_id)
    assert old in book.ended
    stranger = book.open()
    book.apply_join_node(stranger, node_id="node-other")

    assert book.last(stranger, Error).code == "OVERLOADED"
    assert stranger in book.ended
    assert again not in book.ended


def test_jobs_in_flight_go_on_over_a_reconnect() -> None:
    """What a returning node still holds goes on there; the rest gets its next attempt."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=2)
    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
    jobs = book.all(machine, node.JobAssign)
    held = (jobs[0].job_id, 1)

    again, _ = book.join_node(node_id=node_id, slots=2, in_flight=(held, ("job-unknown", 1)))

    assert [(j.job_id, j.attempt_id) for j in book.all(again, node.JobAssign)] == [
        (jobs[1].job_id, 2)
    ]
    assert [c.job_id for c in book.all(again, node.JobCancel)] == ["job-unknown"]
    book.say(again, result(jobs[0], node_id, text="went on"))
    assert [o.text_asr for o in book.outcomes(person)] == ["went on"]


@pytest.mark.parametrize("first", [1, 2])
def test_a_node_may_hold_several_attempts_of_one_job(first: int) -> None:
    """The current one goes on and the others are cancelled, in whatever order they are named."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
    assert book.last(machine, node.JobAssign).attempt_id == 2

    claims = ((job.job_id, first), (job.job_id, 3 - first))
    again, _ = book.join_node(node_id=node_id, in_flight=claims)

    assert [said.attempt_id for said in book.all(again, node.JobCancel)] == [1]
    assert book.all(again, node.JobAssign) == []
    assert [lost["why"] for lost in book.noted("attempt_lost")] == ["failed"]


def test_a_node_that_returns_with_fewer_slots_keeps_no_more_than_it_has() -> None:
    """Slots are never overbooked, not even by what a node claims to hold."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=3)
    for index in range(3):
        book.say(person, utterance(ack.session_id, index))
    jobs = book.all(machine, node.JobAssign)

    claims = tuple((job.job_id, job.attempt_id) for job in jobs)
    again, _ = book.join_node(node_id=node_id, slots=1, in_flight=claims)

    (view,) = book.engine.snapshot(book.now).nodes()
    assert (view["slots"], view["slots_free"]) == (1, 0)
    assert [c.job_id for c in book.all(again, node.JobCancel)] == [j.job_id for j in jobs[1:]]


def test_the_oldest_job_of_a_lost_node_chooses_first() -> None:
    """When a node with several jobs is lost, the oldest gets the free slot, the others wait."""
    book = Playbook()
    person, ack = book.join_session()
    first, _ = book.join_node(slots=3)
    for index in range(3):
        book.say(person, utterance(ack.session_id, index))
    second, second_id = book.join_node(slots=1)

    book.leave(first)
    for _ in range(3):
        book.say(second, result(book.last(second, node.JobAssign), second_id))

    assert [job.utterance_index for job in book.all(second, node.JobAssign)] == [0, 1, 2]


def test_progress_and_partials_of_the_past_are_not_passed_on() -> None:
    """What a node says about a job that has its outcome is told to nobody."""
    book = Playbook()
    person, machine, node_id, job = one_running(book)
    book.say(machine, result(job, node_id))
    told = len(book.told[person])

    book.say(machine, node.JobProgress(job_id=job.job_id, attempt_id=1, stage="tts"))
    book.say(
        machine,
        node.AsrPartial(
            job_id=job.job_id, node_id=node_id, session_id=job.session_id, utterance_index=0,
            text="late", is_final=False, trace_id=job.trace_id,
        ),
    )  # fmt: skip

    assert len(book.told[person]) == told


def test_a_connection_that_was_replaced_is_not_heard_any_more() -> None:
    """What the old connection of a node still says, and its end, touch its successor in no way."""
    book = Playbook()
    person, old, node_id, job = one_running(book)
    again, _ = book.join_node(node_id=node_id, in_flight=((job.job_id, 1),))

    assert book.cut == [old]
    book.apply(Received(old, result(job, node_id, text="from the past")))
    assert book.outcomes(person) == []
    book.leave(old)

    assert [view["node_id"] for view in book.engine.snapshot(book.now).nodes()] == [node_id]
    book.say(again, result(job, node_id))
    assert [o.text_asr for o in book.outcomes(person)] == ["hola"]
