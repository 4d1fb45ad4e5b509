"""What the engine keeps, and for how long."""

from messages import result, utterance
from playbook import Playbook

from scheduler.wire import node, session


def test_an_owed_outcome_keeps_its_record() -> None:
    """A record is not forgotten while its outcome is owed, so that its end can be explained."""
    book = Playbook(finished_retention=10, session_retention=60)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
        book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))
    book.leave(person)
    book.advance(20)
    book.leave(machine)
    assert [j["job_id"] for j in book.engine.snapshot(book.now).jobs()] == ["job-2"]

    person = book.resume(ack, 2)
    assert book.state("job-2") == "acknowledged"
    book.leave(person)
    assert book.engine.snapshot(book.now).jobs() == []


def test_what_is_owed_does_not_keep_the_rest() -> None:
    """Old records behind one that is owed are forgotten all the same."""
    book = Playbook(finished_jobs_max=1)
    slow, slow_ack = book.join_session()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(slow, utterance(slow_ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    for index in range(5):
        book.say(person, utterance(ack.session_id, index))
        book.say(machine, result(book.last(machine, node.JobAssign), node_id))
        book.say(person, session.ResultAck(session_id=ack.session_id, seq=index + 1))
    book.drain()
    assert len(book.engine.snapshot(book.now).jobs()) == 1
    assert book.state("job-1") == "finished"


def test_a_record_holds_no_content() -> None:
    """Once an outcome has its turn, only the session's bounded store has its text and audio."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    outcome = book.engine._state.jobs["job-1"].outcome
    assert outcome is not None
    assert outcome.message is None
    assert book.outcomes(person)[0].text_asr == "hola"
