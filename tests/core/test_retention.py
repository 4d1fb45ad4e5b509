"""What is not acknowledged is bounded in number, in bytes and in age, and goes visibly."""

from typing import Any

import pytest
from messages import result, utterance
from playbook import Playbook

from scheduler.config import Config
from scheduler.core.retention import OUTCOME_OVERHEAD_BYTES
from scheduler.wire import node, session
from scheduler.wire.common import Error


class Owing(Playbook):
    """A session with outcomes that it has not acknowledged, and the node that made them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**({"message_bytes_max": 100_000} | settings))
        self.machine, self.node_id = self.join_node(slots=50)

    def outcome(self, person: int, session_id: str, index: int, **content: Any) -> str:
        self.say(person, utterance(session_id, index))
        job = self.last(self.machine, node.JobAssign)
        self.say(self.machine, result(job, self.node_id, **content))
        return job.job_id

    def owed(self, session_id: str) -> int:
        (view,) = (s for s in self.engine.snapshot(0).sessions() if s["session_id"] == session_id)
        return int(view["owed"])


def reasons(outcomes: list[Any]) -> list[str]:
    return [getattr(outcome, "reason", "text") for outcome in outcomes]


def test_a_session_never_has_more_unacknowledged_outcomes_than_may_be_kept() -> None:
    """Admission counts what will be owed too: the number is never exceeded, and said when full."""
    book = Owing(retained_outcomes_max=3)
    person, ack = book.join_session()
    book.outcome(person, ack.session_id, 0)
    for index in range(1, 5):
        book.say(person, utterance(ack.session_id, index))

    assert [e.code for e in book.all(person, Error)] == ["OVERLOADED", "OVERLOADED"]
    for job in book.all(book.machine, node.JobAssign)[1:]:
        book.say(book.machine, result(job, book.node_id))
    assert book.owed(ack.session_id) == 3
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))
    book.outcome(person, ack.session_id, 5)
    assert book.owed(ack.session_id) == 3


def test_an_outcome_that_is_never_acknowledged_expires_although_its_session_comes_back() -> None:
    """Age counts from the outcome, not from the last connection."""
    book = Owing(outcome_retention=600.0, session_retention=600.0)
    person, ack = book.join_session()
    job_id = book.outcome(person, ack.session_id, 0)
    for _ in range(11):
        book.leave(person)
        book.advance(54)
        person = book.resume(ack)
        assert reasons(book.outcomes(person)) == ["text"]
    assert book.state(job_id) == "finished"
    book.leave(person)
    book.advance(6)

    assert book.state(job_id) == "expired"
    assert [(fact["job_id"], fact["why"]) for fact in book.noted("expired")] == [(job_id, "age")]
    again = book.resume(ack)
    assert book.last(again, session.SessionInitAck).recovered is False
    (gap,) = book.outcomes(again)
    assert (gap.reason, gap.seq, gap.job_id) == ("gap", 1, job_id)


def test_each_outcome_has_an_age_of_its_own() -> None:
    """One timer follows the oldest outcome that is still kept, however they are acknowledged."""
    book = Owing(outcome_retention=100.0)
    person, ack = book.join_session()
    book.outcome(person, ack.session_id, 0)
    book.advance(9)
    for index in (1, 2):
        book.outcome(person, ack.session_id, index)
    book.leave(person)
    book.advance(91)
    assert len(book.noted("expired")) == 1
    again = book.resume(ack, last_seq=2)
    book.leave(again)
    book.advance(8.99)
    assert len(book.noted("expired")) == 1

    book.advance(0.01)
    assert [fact["job_id"] for fact in book.noted("expired")] == ["job-1", "job-3"]
    assert not [timer for timer in book.timers if timer.kind == "retention"]


def test_what_was_acknowledged_in_time_does_not_expire() -> None:
    """An acknowledgement stops the age of what it covers."""
    book = Owing(outcome_retention=100.0)
    person, ack = book.join_session()
    job_id = book.outcome(person, ack.session_id, 0)
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))
    assert not [timer for timer in book.timers if timer.kind == "retention"]
    book.advance(200)
    assert book.state(job_id) == "acknowledged"
    assert book.noted("expired") == []


def test_the_bytes_of_a_session_are_bounded_and_the_oldest_goes_first() -> None:
    """Beyond its bytes a session keeps the newest contents; each gap keeps its number."""
    book = Owing(retained_bytes_max=10_000)
    person, ack = book.join_session()
    for index in range(4):
        book.outcome(person, ack.session_id, index, tts_audio="A" * 3500)

    again = book.resume(ack)
    told = book.outcomes(again)
    assert reasons(told) == ["gap", "gap", "text", "text"]
    assert [outcome.seq for outcome in told] == [1, 2, 3, 4]


def test_all_sessions_together_are_bounded_and_the_largest_gives() -> None:
    """Beyond the bytes of all sessions the one that holds most content gives its oldest."""
    book = Owing(retained_total_bytes_max=10_000)
    small, small_ack = book.join_session()
    large, large_ack = book.join_session()
    book.outcome(small, small_ack.session_id, 0, tts_audio="A" * 1000)
    for index in range(3):
        book.outcome(large, large_ack.session_id, index, tts_audio="A" * 3000)

    assert book.engine.snapshot(0).stats()["jobs"]["owed_bytes"] <= 10_000
    assert reasons(book.outcomes(book.resume(small_ack))) == ["text"]
    assert reasons(book.outcomes(book.resume(large_ack))) == ["gap", "text", "text"]


def test_a_session_of_gaps_does_not_protect_the_contents_of_others() -> None:
    """Who holds the most bytes but no content any more is passed over."""
    book = Owing(retained_total_bytes_max=20_000)
    gaps, gaps_ack = book.join_session()
    for index in range(30):
        book.say(gaps, utterance(gaps_ack.session_id, index, src="xx"))
        book.say(gaps, session.JobCancel(session_id=gaps_ack.session_id, job_id=f"job-{index + 1}"))
    person, ack = book.join_session()
    book.outcome(person, ack.session_id, 0, tts_audio="A" * 3000)
    book.outcome(person, ack.session_id, 1, tts_audio="A" * 3000)

    assert reasons(book.outcomes(book.resume(ack))) == ["gap", "text"]
    assert book.engine.snapshot(0).stats()["jobs"]["owed_bytes"] <= 20_000


def test_what_is_given_up_before_it_was_written_is_told_as_a_gap() -> None:
    """The client of a live connection hears what the record says, also if much waits for it."""
    book = Owing(retained_bytes_max=5000)
    person, ack = book.join_session()
    first = book.outcome(person, ack.session_id, 0, tts_audio="A" * 3000)
    book.outcome(person, ack.session_id, 1, tts_audio="A" * 3000)
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=2))

    assert reasons(book.outcomes(person)) == ["gap", "text"]
    assert book.state(first) == "expired"
    assert [fact["seq"] for fact in book.noted("delivered")] == [2]


@pytest.mark.parametrize("how", ["on its connection", "when it resumes"])
def test_what_arrived_before_it_was_given_up_is_delivered_when_that_is_said(how: str) -> None:
    """An acknowledgement before the gap was told speaks of the content: it had been taken."""
    book = Owing(retained_bytes_max=5000)
    person, ack = book.join_session()
    first = book.outcome(person, ack.session_id, 0, tts_audio="A" * 3000)
    book.write_all(person)
    book.outcome(person, ack.session_id, 1, tts_audio="A" * 3000)
    assert book.state(first) == "expired"
    if how == "when it resumes":
        book.leave(person)
        person = book.resume(ack, last_seq=1)
    else:
        book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))

    assert book.state(first) == "acknowledged"
    assert [fact["seq"] for fact in book.noted("delivered")] == [1]
    assert "gap" not in reasons(book.outcomes(person))


def test_the_largest_result_fits() -> None:
    """What a node may say in one message can be kept for its session."""
    config = Config()
    assert config.retained_bytes_max > config.message_bytes_max + OUTCOME_OVERHEAD_BYTES


def test_a_gap_is_not_called_delivered() -> None:
    """Acknowledging a gap acknowledges no content."""
    book = Owing(outcome_retention=100.0)
    person, ack = book.join_session()
    job_id = book.outcome(person, ack.session_id, 0)
    book.leave(person)
    book.advance(100)
    again = book.resume(ack)
    book.write_all(again)
    book.say(again, session.ResultAck(session_id=ack.session_id, seq=1))

    assert book.noted("delivered") == []
    assert book.state(job_id) == "expired"
    assert book.owed(ack.session_id) == 0
