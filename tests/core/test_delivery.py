"""Outcomes come back in order, numbered, once, and are kept until they were received."""

from typing import Any

import attrs
import pytest
from messages import job_ack, result, utterance
from playbook import Playbook

from scheduler.core.events import Writing, Written
from scheduler.wire import node, session
from scheduler.wire.common import Error


def two_running(book: Playbook) -> tuple[int, str, int, str, list[node.JobAssign]]:
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=2)
    book.say(person, utterance(ack.session_id, 7))
    book.say(person, utterance(ack.session_id, 8))
    return person, ack.session_id, machine, node_id, book.all(machine, node.JobAssign)


def one_answered(
    book: Playbook, *, receipts: bool | None = True
) -> tuple[int, session.SessionInitAck, node.JobAssign]:
    """A session that is owed one outcome."""
    person, ack = book.join_session(receipts=receipts)
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id))
    return person, ack, job


def test_results_go_back_in_the_order_of_acceptance() -> None:
    """A result waits for the outcomes of the utterances before it, and no longer."""
    book = Playbook()
    person, _, machine, node_id, (first, second) = two_running(book)

    book.say(machine, result(second, node_id, text="second"))
    assert book.outcomes(person) == []
    book.say(machine, result(first, node_id, text="first"))

    told = [(o.text_asr, o.seq, o.utterance_index) for o in book.outcomes(person)]
    assert told == [("first", 1, 7), ("second", 2, 8)]


def test_a_failure_before_it_does_not_hold_a_result_back() -> None:
    """A failed job takes its turn as an outcome, and what is behind it follows at once."""
    book = Playbook()
    person, _, machine, node_id, (first, second) = two_running(book)
    book.say(machine, job_ack(first, node_id))
    book.say(machine, result(second, node_id))
    book.advance(30)

    assert [o.seq for o in book.outcomes(person)] == [1, 2]
    assert book.outcomes(person)[0].reason == "job_timeout"


def test_delivered_is_said_of_acknowledged_outcomes_only() -> None:
    """Written is not delivered: only the session's acknowledgement makes it so."""
    book = Playbook()
    person, session_id, machine, node_id, (first, _) = two_running(book)
    book.say(machine, result(first, node_id))
    assert book.state(first.job_id) == "finished"
    book.write_all(person)
    assert book.state(first.job_id) == "written"
    assert book.noted("delivered") == []

    book.say(person, session.ResultAck(session_id=session_id, seq=1))

    assert book.state(first.job_id) == "acknowledged"
    assert [fact["job_id"] for fact in book.noted("delivered")] == [first.job_id]


def test_the_acknowledgement_may_overtake_our_own_note_of_the_write() -> None:
    """An acknowledgement that comes before the writer's note counts; the note changes nothing."""
    book = Playbook()
    person, session_id, machine, node_id, (first, _) = two_running(book)
    book.say(machine, result(first, node_id))

    book.say(person, session.ResultAck(session_id=session_id, seq=1))
    book.write_all(person)

    assert book.state(first.job_id) == "acknowledged"


def test_acknowledgements_only_move_forward() -> None:
    """An old acknowledgement takes nothing back, and one of the future is refused."""
    book = Playbook()
    person, session_id, machine, node_id, (first, second) = two_running(book)
    book.say(machine, result(first, node_id))
    book.say(machine, result(second, node_id))
    book.say(person, session.ResultAck(session_id=session_id, seq=2))
    book.say(person, session.ResultAck(session_id=session_id, seq=1))
    assert book.all(person, Error) == []
    assert book.engine.snapshot(book.now).sessions()[0]["acked_seq"] == 2

    book.say(person, session.ResultAck(session_id=session_id, seq=3))

    assert book.last(person, Error).code == "INVALID_MESSAGE"
    assert book.engine.snapshot(book.now).sessions()[0]["acked_seq"] == 2


def test_unacknowledged_outcomes_are_replayed_in_order() -> None:
    """A resuming session gets exactly what it has not acknowledged, in order."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=3)
    for index in range(3):
        book.say(person, utterance(ack.session_id, index))
    for job in book.all(machine, node.JobAssign):
        book.say(machine, result(job, node_id, text=f"text {job.utterance_index}"))
    book.write_all(person)
    book.leave(person)

    again = book.resume(ack, last_seq=1)

    welcome = book.last(again, session.SessionInitAck)
    assert (welcome.session_id, welcome.resumed, welcome.recovered) == (ack.session_id, True, True)
    assert [(o.seq, o.text_asr) for o in book.outcomes(again)] == [(2, "text 1"), (3, "text 2")]


def test_a_result_that_comes_while_nobody_is_there_waits_for_the_session() -> None:
    """What finishes without a connection is delivered on the next one."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.leave(person)
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))

    again = book.resume(ack)

    assert [o.text_asr for o in book.outcomes(again)] == ["hola"]


def test_what_was_received_was_written() -> None:
    """A receipt that is read before our own note of the write leaves no hole in the story."""
    book = Playbook()
    person, session_id, machine, node_id, (first, _) = two_running(book)
    book.say(machine, result(first, node_id))
    book.apply(Writing(person, 1))

    book.say(person, session.ResultAck(session_id=session_id, seq=1))

    job = book.engine.snapshot(book.now).job(first.job_id)
    assert job is not None
    assert [line["what"] for line in job["story"]][-3:] == ["finished", "written", "acknowledged"]
    assert [detail["seq"] for detail in book.noted("written")] == [1]
    book.apply(Written(person, 1))
    assert len(book.noted("written")) == 1


def test_what_was_written_elsewhere_is_not_called_written_here() -> None:
    """An acknowledgement by `last_seq` says nothing of the connection on which it comes."""
    book = Playbook()
    person, ack, job = one_answered(book)
    book.apply(Writing(person, 1))
    book.resume(ack, last_seq=1)
    assert book.state(job.job_id) == "acknowledged"
    assert book.noted("written") == []


def test_a_session_without_receipts_ends_at_written() -> None:
    """A base session's outcome is let go once written; its last state is written."""
    book = Playbook()
    person, _, job = one_answered(book, receipts=None)
    book.write_all(person)

    assert book.state(job.job_id) == "written"
    assert book.engine.snapshot(book.now).sessions()[0]["owed"] == 0


def test_a_base_session_is_told_a_failure_in_its_own_words_too() -> None:
    """A session of the base gets one ui_event ERROR with the code, beside missing_result."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    book.say(person, utterance(ack.session_id))
    book.advance(10)

    errors = [e for e in book.all(person, session.UiEvent) if e.event == "ERROR"]
    assert [(e.error_code, e.status) for e in errors] == [("NO_AVAILABLE_NODE", "error")]
    assert [o.reason for o in book.outcomes(person)] == ["no_available_node"]


def test_silence_is_an_outcome_and_no_error() -> None:
    """A success without content is told as silence_detected, without an error event."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id, text=""))

    assert [o.reason for o in book.outcomes(person)] == ["silence_detected"]
    assert not [e for e in book.all(person, session.UiEvent) if e.event == "ERROR"]
    book.advance(100)
    assert len(book.outcomes(person)) == 1


def test_too_much_unfetched_content_leaves_visible_gaps() -> None:
    """Retention gives up the oldest contents first; resume tells that and every number."""
    book = Playbook(retained_bytes_max=4200, message_bytes_max=100_000)
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=4)
    for index in range(4):
        book.say(person, utterance(ack.session_id, index))
    book.leave(person)
    jobs = book.all(machine, node.JobAssign)
    for job in jobs:
        book.say(machine, result(job, node_id, tts_audio="A" * 1000))

    again = book.resume(ack)

    assert book.last(again, session.SessionInitAck).recovered is False
    told = book.outcomes(again)
    assert [o.seq for o in told] == [1, 2, 3, 4]
    assert [getattr(o, "reason", "text") for o in told] == ["gap", "gap", "text", "text"]
    assert book.state(jobs[0].job_id) == "expired"


def test_a_session_that_does_not_come_back_expires_visibly() -> None:
    """After the retention the session is gone and its unfetched outcomes are expired."""
    book = Playbook()
    person, ack, _ = one_answered(book)
    book.leave(person)
    book.advance(book.config.session_retention - book.config.finished_retention)
    book.advance(book.config.finished_retention - 1)
    assert book.noted("expired") == []

    book.advance(1)
    again = book.resume(ack)

    assert book.last(again, Error).code == "RESUME_REFUSED"
    assert book.last(again, session.SessionInitAck).session_id != ack.session_id


def test_a_session_that_cannot_acknowledge_is_not_cut_for_its_silence() -> None:
    """A session without receipts that acknowledges all the same is owed nothing for it."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    machine, node_id = book.join_node(slots=2)
    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
    for job in book.all(machine, node.JobAssign):
        book.say(machine, result(job, node_id))
    book.write_one(person)
    book.apply(Writing(person, 2))
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))

    book.advance(60)

    assert person not in book.ended


# -- salvage: a good result that comes just too late ------------------------------------------


def timed_out(book: Playbook, *, receipts: bool | None = True) -> tuple[int, str, int, str, Any]:
    """A job whose node is about to answer, one instant after its time was over."""
    person, ack = book.join_session(receipts=receipts)
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, job_ack(job, node_id))
    book.advance(book.config.dispatched_timeout)
    assert [o.reason for o in book.outcomes(person)] == ["job_timeout"]
    return person, ack.session_id, machine, node_id, job


def test_a_late_result_takes_the_place_of_a_timeout_that_nobody_was_told() -> None:
    """While the failure waits for its writer, a good result of the last attempt replaces it."""
    book = Playbook()
    person, session_id, machine, node_id, job = timed_out(book)

    book.say(machine, result(job, node_id, text="late"))

    assert [(o.seq, o.text_asr) for o in book.outcomes(person)] == [(1, "late")]
    assert book.last(machine, node.JobResultAck).status == "stored"
    assert book.noted("salvaged")
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=session_id, seq=1))
    assert book.state(job.job_id) == "acknowledged"


def test_a_late_result_after_the_failure_was_taken_by_the_writer_is_stale() -> None:
    """From the moment in which the writer has it the failure may be known, and stays."""
    book = Playbook()
    person, _, machine, node_id, job = timed_out(book)
    book.apply(Writing(person, 1))

    book.say(machine, result(job, node_id, text="late"))

    assert [o.reason for o in book.outcomes(person)] == ["job_timeout"]
    assert book.last(machine, node.JobResultAck).status == "stale"


def test_a_late_result_is_salvaged_for_a_session_that_is_away() -> None:
    """A failure that was written to no connection is replaced; the session gets the result."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, job_ack(job, node_id))
    book.leave(person)
    book.advance(book.config.dispatched_timeout)
    book.say(machine, result(job, node_id, text="late"))

    assert [o.text_asr for o in book.outcomes(book.resume(ack))] == ["late"]


def test_what_was_told_on_an_earlier_connection_is_not_salvaged() -> None:
    """A failure that was once written stays, although the session has a new connection."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, job_ack(job, node_id))
    book.advance(book.config.dispatched_timeout)
    book.write_all(person)
    again = book.resume(ack)

    book.say(machine, result(job, node_id, text="late"))

    assert [o.reason for o in book.outcomes(again)] == ["job_timeout"]


def test_a_session_without_receipts_is_told_a_failure_at_once() -> None:
    """Its ui_event ERROR is out as soon as the failure has its turn: there is no salvage then."""
    book = Playbook()
    person, _, machine, node_id, job = timed_out(book, receipts=None)

    book.say(machine, result(job, node_id, text="late"))

    assert [o.reason for o in book.outcomes(person)] == ["job_timeout"]


@pytest.mark.parametrize("receipts", [True, None])
def test_a_timeout_that_still_waits_for_its_turn_is_salvaged(receipts: bool | None) -> None:
    """Behind an unfinished job nobody has been told anything yet, whoever the session is."""
    book = Playbook()
    person, ack = book.join_session(receipts=receipts)
    slow, slow_id = book.join_node()
    book.say(person, utterance(ack.session_id, 0, tgt="de"))
    book.say(person, utterance(ack.session_id, 1))
    job = book.last(slow, node.JobAssign)
    book.say(slow, job_ack(job, slow_id))
    book.advance(5)
    german, german_id = book.join_node(pairs=(("en", "de"),))
    first = book.last(german, node.JobAssign)
    book.say(german, job_ack(first, german_id))
    book.advance(25)
    assert book.outcomes(person) == []

    book.say(slow, result(job, slow_id, text="late"))
    book.say(german, result(first, german_id, text="first"))

    assert [(o.seq, o.text_asr) for o in book.outcomes(person)] == [(1, "first"), (2, "late")]


@pytest.mark.parametrize("late", ["failure", "other attempt", "other node", "other session"])
def test_only_a_good_result_of_the_last_attempt_is_salvaged(late: str) -> None:
    """A failure, an earlier attempt, another node or another session changes nothing."""
    book = Playbook()
    person, _, machine, node_id, job = timed_out(book)
    other, other_id = book.join_node()
    match late:
        case "failure":
            book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
        case "other attempt":
            book.say(machine, attrs.evolve(result(job, node_id), attempt_id=2))
        case "other node":
            book.say(other, result(job, other_id))
        case "other session":
            book.say(machine, attrs.evolve(result(job, node_id), session_id="s-other"))

    assert [o.reason for o in book.outcomes(person)] == ["job_timeout"]
    assert book.noted("salvaged") == []


def test_late_silence_is_salvaged_as_silence() -> None:
    """A late success without content takes the failure's place as silence_detected."""
    book = Playbook()
    person, _, machine, node_id, job = timed_out(book)
    book.say(machine, result(job, node_id, text=""))
    assert [o.reason for o in book.outcomes(person)] == ["silence_detected"]


def test_salvage_happens_once() -> None:
    """The same result again is receipted as stored and changes nothing."""
    book = Playbook()
    person, _, machine, node_id, job = timed_out(book)
    for text in ("late", "later"):
        book.say(machine, result(job, node_id, text=text))
    assert [o.text_asr for o in book.outcomes(person)] == ["late"]
    assert len(book.noted("salvaged")) == 1
