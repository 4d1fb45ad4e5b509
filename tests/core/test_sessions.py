"""Sessions join, come back, are cut and close, and see nothing but what is their own."""

import pytest
from messages import hello, job_started, result, utterance
from playbook import Playbook

from scheduler.core.events import Received, SessionJoined
from scheduler.errors import Close
from scheduler.wire import node, session
from scheduler.wire.common import Error, Resume


def with_outcomes(book: Playbook, count: int) -> tuple[int, session.SessionInitAck]:
    """A session that was sent ``count`` outcomes and has acknowledged none."""
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=count)
    for index in range(count):
        book.say(person, utterance(ack.session_id, index))
    for job in book.all(machine, node.JobAssign):
        book.say(machine, result(job, node_id, text=f"text {job.utterance_index}"))
    return person, ack


def seqs(book: Playbook, person: int) -> list[int]:
    return [outcome.seq for outcome in book.outcomes(person)]


def view(book: Playbook, session_id: str) -> dict[str, object]:
    (found,) = (s for s in book.engine.snapshot(0).sessions() if s["session_id"] == session_id)
    return found


def test_a_resumed_session_takes_over_from_a_predecessor_that_looks_alive() -> None:
    """The new connection wins at once, the old one is closed with 4003, nothing is lost."""
    book = Playbook()
    person, ack = with_outcomes(book, 2)

    again = book.resume(ack)

    assert book.ended[person] is Close.REPLACED
    assert book.cut == [person]
    assert seqs(book, again) == [1, 2]
    book.apply(Received(person, session.ResultAck(session_id=ack.session_id, seq=2)))
    assert view(book, ack.session_id)["acked_seq"] == 0
    book.leave(person)
    assert view(book, ack.session_id)["connected"] is True


def test_resuming_works_before_anything_was_received() -> None:
    """A session that was sent nothing yet resumes all the same, and its jobs go on."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    book.leave(person)

    again = book.resume(ack)

    welcome = book.last(again, session.SessionInitAck)
    assert (welcome.session_id, welcome.resumed, welcome.recovered) == (ack.session_id, True, True)
    machine, node_id = book.join_node()
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    assert seqs(book, again) == [1]


@pytest.mark.parametrize("last_seq", [3, 99, 2**53])
def test_a_cursor_of_the_future_acknowledges_nothing(last_seq: int) -> None:
    """Who claims to have what was never sent is believed nothing: all is replayed."""
    book = Playbook()
    person, ack = with_outcomes(book, 2)
    book.write_all(person)
    book.leave(person)

    again = book.resume(ack, last_seq)

    assert seqs(book, again) == [1, 2]
    assert book.noted("delivered") == []


def test_an_old_cursor_takes_nothing_back() -> None:
    """A cursor behind what was acknowledged replays only what is still owed."""
    book = Playbook()
    person, ack = with_outcomes(book, 3)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=2))
    book.leave(person)

    assert seqs(book, book.resume(ack, 1)) == [3]


@pytest.mark.parametrize("wrong", ["token", "session", "closed"])
def test_who_may_not_resume_gets_a_fresh_session_and_learns_nothing(wrong: str) -> None:
    """A wrong token, an unknown and a closed session get the same answer."""
    book = Playbook()
    person, ack = with_outcomes(book, 1)
    token = str(ack.resume_token)
    session_id = ack.session_id
    if wrong == "closed":
        book.say(person, session.SessionClose(session_id=session_id, reason="done"))
    connection = book.open()
    resume = Resume(
        session_id="s-unknown" if wrong == "session" else session_id,
        resume_token="guess" if wrong == "token" else token,
        last_seq=0,
    )
    book.apply(SessionJoined(connection, hello(resume=resume)))

    refusal, welcome = book.told[connection]
    assert refusal == Error(code="RESUME_REFUSED", message="there is nothing to resume")
    assert welcome.session_id != session_id
    assert welcome.resume_token != token
    assert (welcome.resumed, welcome.recovered) == (False, False)
    assert book.outcomes(connection) == []


def test_a_token_opens_its_own_session_only() -> None:
    """The token of one session does not resume another."""
    book = Playbook()
    _, ack = with_outcomes(book, 1)
    _, foreign = book.join_session()

    again = book.resume(ack, token=foreign.resume_token)

    assert book.last(again, Error).code == "RESUME_REFUSED"
    assert book.outcomes(again) == []


def test_a_session_without_receipts_gets_no_token_and_ends_with_its_connection() -> None:
    """Who cannot acknowledge cannot resume; what runs for it is cancelled at once."""
    book = Playbook()
    person, ack = book.join_session(receipts=None)
    assert ack.resume_token is None
    machine, _ = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.leave(person)

    assert book.engine.snapshot(0).sessions() == []
    assert book.last(machine, node.JobCancel).reason == "cancelled"


def test_messages_for_another_session_are_refused() -> None:
    """A session id that is not this connection's is INVALID_SESSION and changes nothing."""
    book = Playbook()
    person, ack = with_outcomes(book, 1)
    thief, _ = book.join_session()
    book.say(thief, session.ResultAck(session_id=ack.session_id, seq=1))
    book.say(thief, utterance(ack.session_id, 5))
    book.say(thief, session.SessionClose(session_id=ack.session_id, reason="mine now"))

    assert [e.code for e in book.all(thief, Error)] == ["INVALID_SESSION"] * 3
    assert view(book, ack.session_id)["acked_seq"] == 0
    assert book.engine.unfinished == 0
    assert person not in book.ended


def test_a_job_is_cancelled_by_its_own_session_only() -> None:
    """Cancelling somebody else's job, an unknown one or a finished one changes nothing."""
    book = Playbook()
    person, ack = book.join_session()
    other, other_ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)

    for job_id in (job.job_id, "job-unknown"):
        book.say(other, session.JobCancel(session_id=other_ack.session_id, job_id=job_id))
    assert book.state(job.job_id) == "assigned"
    book.say(machine, result(job, node_id))
    book.say(person, session.JobCancel(session_id=ack.session_id, job_id=job.job_id))

    assert [o.text_asr for o in book.outcomes(person)] == ["hola"]
    assert len(book.noted("stale")) == 3
    assert book.all(machine, node.JobCancel) == []


def test_a_cancelled_job_reaches_its_node_at_once_and_has_its_outcome() -> None:
    """Cancelling a running job frees its slot, tells the node, and takes the job's turn."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id, 0))
    book.say(person, utterance(ack.session_id, 1))
    first = book.last(machine, node.JobAssign)
    book.say(machine, job_started(first, node_id))
    book.say(person, session.JobCancel(session_id=ack.session_id, job_id=first.job_id))

    cancel = book.last(machine, node.JobCancel)
    assert (cancel.job_id, cancel.attempt_id, cancel.reason) == (first.job_id, 1, "cancelled")
    assert book.last(machine, node.JobAssign).utterance_index == 1
    assert [o.reason for o in book.outcomes(person)] == ["cancelled"]
    book.say(machine, result(first, node_id))
    assert len(book.outcomes(person)) == 1


def test_closing_a_session_cancels_everything_and_starts_nothing() -> None:
    """What waits does not get the slot of what runs while its session closes."""
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node()
    for index in range(3):
        book.say(person, utterance(ack.session_id, index))

    book.say(person, session.SessionClose(session_id=ack.session_id, reason="bye"))

    assert len(book.all(machine, node.JobAssign)) == 1
    assert len(book.all(machine, node.JobCancel)) == 1
    assert isinstance(book.told[person][-1], session.SessionCloseAck)
    assert book.ended[person] is Close.NORMAL
    assert book.engine.unfinished == 0
    assert {fact["why"] for fact in book.noted("expired")} == {"the session ended: bye"}
    assert not [t for t in book.timers if t.key in (ack.session_id, "job-1", "job-2", "job-3")]


def test_a_second_hello_on_a_connection_is_refused() -> None:
    """A connection has one session for its whole life."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, hello())

    assert book.last(person, Error).code == "INVALID_SESSION"
    assert len(book.engine.snapshot(0).sessions()) == 1
    assert view(book, ack.session_id)["connected"] is True


def test_a_full_house_refuses_new_sessions_but_no_resuming_one() -> None:
    """Sessions beyond the limit are turned away with 1013; known ones are let in."""
    book = Playbook(sessions_max=1)
    _, ack = book.join_session()
    stranger = book.open()
    book.apply(SessionJoined(stranger, hello()))
    assert book.last(stranger, Error).code == "OVERLOADED"
    assert book.ended[stranger] is Close.TRY_LATER

    again = book.resume(ack)
    assert book.last(again, session.SessionInitAck).resumed is True


def test_a_played_result_is_noted_once() -> None:
    """The end of playback is the end of the receipt chain, for one's own outcome only."""
    book = Playbook()
    person, ack = with_outcomes(book, 1)
    other, other_ack = book.join_session()

    def played(who: int, session_id: str) -> None:
        book.say(
            who,
            session.TtsPlayEnded(session_id=session_id, trace_id="", group_id="job-1", ts_end_ms=1),
        )

    played(other, other_ack.session_id)
    assert book.noted("played") == []
    for _ in range(2):
        played(person, ack.session_id)
    assert len(book.noted("played")) == 1
