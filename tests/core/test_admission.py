"""An utterance becomes one job or is refused at once; the same index is the same job."""

import pytest
from messages import result, utterance
from playbook import Playbook

from scheduler.wire import node, session
from scheduler.wire.common import Error


def accepted(book: Playbook, person: int) -> list[tuple[int, str]]:
    said = book.all(person, session.UtteranceAccepted)
    return [(message.utterance_index, message.job_id) for message in said]


def test_the_same_index_is_the_same_job() -> None:
    """However often an index is submitted, it runs once and has one job id."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=4)
    for _ in range(2):
        book.say(person, utterance(ack.session_id, 3))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.say(person, utterance(ack.session_id, 3, audio="BBBB"))

    assert accepted(book, person) == [(3, "job-1")] * 3
    assert len(book.all(machine, node.JobAssign)) == 1
    assert len(book.outcomes(person)) == 1


def test_the_same_index_of_another_session_is_another_job() -> None:
    """Indexes belong to their session."""
    book = Playbook()
    one, one_ack = book.join_session()
    two, two_ack = book.join_session()
    book.say(one, utterance(one_ack.session_id, 0))
    book.say(two, utterance(two_ack.session_id, 0))

    assert accepted(book, one) == [(0, "job-1")]
    assert accepted(book, two) == [(0, "job-2")]


def test_an_index_is_known_longer_than_its_job() -> None:
    """After the record of its job was forgotten an index still has its job id, and runs no more."""
    book = Playbook(finished_retention=5.0)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id, 0))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))
    book.advance(5)
    book.say(person, utterance(ack.session_id, 0))
    assert book.engine.snapshot(book.now).job("job-1") is None

    book.say(person, utterance(ack.session_id, 0))

    assert accepted(book, person) == [(0, "job-1")] * 3
    assert len(book.all(machine, node.JobAssign)) == 1


def test_an_index_too_old_to_be_remembered_is_refused() -> None:
    """What fell out of memory is refused by its number, so that it cannot run again."""
    book = Playbook(utterances_remembered_max=2)
    person, ack = book.join_session()
    machine, _ = book.join_node(slots=10)
    for index in (4, 5, 7, 8):
        book.say(person, utterance(ack.session_id, index))

    for index in (4, 5):
        book.say(person, utterance(ack.session_id, index))
        error = book.last(person, Error)
        assert error.code == "INVALID_MESSAGE"
        assert error.details == {"utterance_index": index}
    assert len(book.all(machine, node.JobAssign)) == 4
    book.say(person, utterance(ack.session_id, 7))
    assert accepted(book, person)[-1] == (7, "job-3")


@pytest.mark.parametrize(
    ("settings", "audio", "code"),
    [
        ({"jobs_per_session_max": 1}, "AAAA", "OVERLOADED"),
        ({"jobs_waiting_max": 1}, "AAAA", "OVERLOADED"),
        ({"retained_outcomes_max": 1}, "AAAA", "OVERLOADED"),
        ({"audio_chars_max": 8}, "A" * 12, "TOO_LARGE"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(
    settings: dict[str, int], audio: str, code: str
) -> None:
    """A refusal has its code and the index, and leaves neither a job nor a promise."""
    book = Playbook(**settings)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id, 0))

    book.say(person, utterance(ack.session_id, 1, audio=audio))

    error = book.last(person, Error)
    assert (error.code, error.details) == (code, {"utterance_index": 1})
    assert accepted(book, person) == [(0, "job-1")]
    assert book.engine.unfinished == 1


def test_a_refused_index_may_be_sent_again() -> None:
    """A refusal takes neither an index nor a number: what follows is not held back by it."""
    book = Playbook(jobs_per_session_max=1)
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=2)
    book.say(person, utterance(ack.session_id, 0))
    book.say(person, utterance(ack.session_id, 1))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    book.say(person, utterance(ack.session_id, 1))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))

    assert [(o.utterance_index, o.seq) for o in book.outcomes(person)] == [(0, 1), (1, 2)]


def test_a_draining_scheduler_accepts_nothing_new_and_repeats_what_it_accepted() -> None:
    """While draining a new utterance is refused, and a known one is still known."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id, 0))
    book.drain()

    book.say(person, utterance(ack.session_id, 1))
    book.say(person, utterance(ack.session_id, 0))

    assert book.last(person, Error).code == "DRAINING"
    assert accepted(book, person) == [(0, "job-1"), (0, "job-1")]


def test_a_session_without_receipts_is_told_no_acceptance() -> None:
    """utterance_accepted is for those who can use it."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    book.say(person, utterance(ack.session_id, 0))

    assert accepted(book, person) == []
    assert book.engine.unfinished == 1


def test_the_audio_of_all_sessions_together_is_bounded() -> None:
    """Beyond the bound an utterance is refused, until the audio of an earlier one is let go."""
    book = Playbook(
        audio_chars_max=100,
        audio_total_chars_max=100,
        message_bytes_max=10_000,
        chunked_bytes_max=48,
    )
    one, one_ack = book.join_session()
    two, two_ack = book.join_session()
    book.say(one, utterance(one_ack.session_id, 0, audio="A" * 60))
    book.say(two, utterance(two_ack.session_id, 0, audio="A" * 60))
    assert [error.code for error in book.all(two, Error)] == ["OVERLOADED"]

    book.say(one, session.JobCancel(session_id=one_ack.session_id, job_id="job-1"))
    book.say(two, utterance(two_ack.session_id, 0, audio="A" * 60))
    assert accepted(book, two) == [(0, "job-2")]
