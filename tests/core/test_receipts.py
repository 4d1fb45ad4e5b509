"""A session that was told something and stays silent is asked, and then given up."""

from messages import result, utterance
from playbook import Playbook

from scheduler.errors import Close
from scheduler.wire import node, session


def told(book: Playbook, count: int = 1) -> tuple[int, session.SessionInitAck]:
    """A session to which ``count`` outcomes have been written."""
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=count)
    for index in range(count):
        book.say(person, utterance(ack.session_id, index))
    for job in book.all(machine, node.JobAssign):
        book.say(machine, result(job, node_id))
    book.write_all(person)
    book.leave(machine)
    return person, ack


def test_a_silent_session_is_probed_and_then_cut() -> None:
    """After the probe timeout it is pinged, after the receipt timeout its connection is ended."""
    book = Playbook()
    person, _ = told(book)
    book.advance(book.config.client_probe_timeout - 0.01)
    assert book.probed == []
    book.advance(0.01)
    assert book.probed == [person]
    book.advance(book.config.client_receipt_timeout - book.config.client_probe_timeout - 0.01)
    assert person not in book.ended

    book.advance(0.01)

    assert book.ended[person] is Close.RECEIPT_TIMEOUT


def test_the_outcomes_of_a_cut_session_are_kept() -> None:
    """Who is cut for its silence resumes and gets all of it."""
    book = Playbook()
    person, ack = told(book, 2)
    book.advance(book.config.client_receipt_timeout)
    book.leave(person)

    again = book.resume(ack)

    assert [outcome.seq for outcome in book.outcomes(again)] == [1, 2]


def test_an_acknowledgement_that_crosses_the_cut_counts() -> None:
    """Until the connection has really ended, what the session says is heard."""
    book = Playbook()
    person, ack = told(book)
    book.advance(book.config.client_receipt_timeout)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))

    assert [fact["seq"] for fact in book.noted("delivered")] == [1]


def test_each_acknowledgement_gives_new_time() -> None:
    """A slow session that goes on acknowledging is not cut."""
    book = Playbook()
    person, ack = told(book, 4)
    for seq in range(1, 5):
        book.advance(book.config.client_receipt_timeout - 0.01)
        book.say(person, session.ResultAck(session_id=ack.session_id, seq=seq))
    book.advance(100)

    assert person not in book.ended
    assert not [timer for timer in book.timers if timer.kind == "receipt"]


def test_nothing_is_awaited_of_what_was_not_written() -> None:
    """An outcome that still waits for its writer is not awaited; the write has its own limit."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.advance(60)

    assert (book.probed, person in book.ended) == ([], False)


def test_nothing_is_awaited_of_a_session_without_receipts() -> None:
    """Who cannot acknowledge is not asked to."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.write_all(person)
    book.advance(60)

    assert (book.probed, person in book.ended) == ([], False)


def test_the_end_of_a_connection_ends_the_wait() -> None:
    """A session that has left, or whose connection was replaced, is awaited on the new one only."""
    book = Playbook()
    person, ack = told(book)
    again = book.resume(ack)
    book.leave(person)
    book.advance(60)
    assert again not in book.ended

    book.write_all(again)
    book.leave(again)
    assert not [timer for timer in book.timers if timer.kind == "receipt"]
