"""What a scheduler owes after it was killed, and that it owes nothing twice."""

import pytest
from messages import job_ack, result, utterance
from restarts import Restarts

from scheduler.core.events import JournalFailed, JournalMended, Withdraw
from scheduler.wire import node, session
from scheduler.wire.common import Error

PENDING, DISPATCHED = 8.0, 32.0


@pytest.fixture
def book() -> Restarts:
    return Restarts(pending_timeout=PENDING, dispatched_timeout=DISPATCHED)


def test_an_accepted_job_gets_its_next_attempt(book: Restarts) -> None:
    """A job that ran when the scheduler was killed runs again, under a number never given."""
    client, ack = book.join_session()
    first, _ = book.join_node(node_id="node-a")
    book.say(client, utterance(ack.session_id))
    book.kill(downtime=1.0)

    client = book.resume(ack)
    second, name = book.join_node(node_id="node-b")
    assignment = book.last(second, node.JobAssign)
    assert assignment.attempt_id > book.last(first, node.JobAssign).attempt_id
    assert assignment.audio == "AAAA"
    assert assignment.deadline_ms == (DISPATCHED - 1.0) * 1000
    book.say(second, result(assignment, name))
    (outcome,) = book.outcomes(client)
    assert (outcome.job_id, outcome.seq) == (assignment.job_id, 1)


def test_a_node_that_still_has_the_job_goes_on(book: Restarts) -> None:
    """An attempt that its node still holds is not run again, and its result counts."""
    client, ack = book.join_session()
    connection, name = book.join_node()
    book.say(client, utterance(ack.session_id))
    assignment = book.last(connection, node.JobAssign)
    book.kill()

    client = book.resume(ack)
    held = ((assignment.job_id, assignment.attempt_id),)
    connection, _ = book.join_node(node_id=name, in_flight=held)
    assert book.all(connection, node.JobAssign) == []
    book.say(connection, result(assignment, name))
    assert [outcome.job_id for outcome in book.outcomes(client)] == [assignment.job_id]


def test_a_result_of_an_earlier_attempt_is_stale(book: Restarts) -> None:
    """What was given to another node after the restart is not ended by the first one."""
    client, ack = book.join_session()
    connection, name = book.join_node()
    book.say(client, utterance(ack.session_id))
    old = book.last(connection, node.JobAssign)
    book.kill()

    client = book.resume(ack)
    book.join_node(node_id="node-b")
    late, _ = book.join_node(node_id=name, in_flight=((old.job_id, old.attempt_id),))
    assert book.last(late, node.JobCancel).attempt_id == old.attempt_id
    book.say(late, result(old, name))
    assert book.outcomes(client) == []
    assert book.last(late, node.JobResultAck).status == "stale"


@pytest.mark.parametrize("received", [0, 1, 2])
def test_unacknowledged_outcomes_are_replayed_once(book: Restarts, received: int) -> None:
    """After a restart a session gets exactly the outcomes that it has not received, in order."""
    client, ack = book.join_session()
    connection, name = book.join_node(slots=3)
    for index in range(3):
        book.say(client, utterance(ack.session_id, index))
    for assignment in book.all(connection, node.JobAssign):
        book.say(connection, result(assignment, name))
    book.write_all(client)
    book.say(client, session.ResultAck(session_id=ack.session_id, seq=1))
    book.kill()

    client = book.resume(ack, last_seq=received)
    told = [(outcome.seq, outcome.utterance_index) for outcome in book.outcomes(client)]
    assert told == [(2, 1), (3, 2)][max(0, received - 1) :]


def test_sequence_numbers_go_on(book: Restarts) -> None:
    """What was finished out of turn before the restart waits for its turn after it."""
    client, ack = book.join_session()
    connection, name = book.join_node(slots=2)
    for index in range(2):
        book.say(client, utterance(ack.session_id, index))
    first, second = book.all(connection, node.JobAssign)
    book.say(connection, result(second, name))
    book.kill()

    client = book.resume(ack)
    assert book.outcomes(client) == []
    connection, name = book.join_node()
    again = book.last(connection, node.JobAssign)
    assert again.job_id == first.job_id
    book.say(connection, result(again, name))
    book.say(client, utterance(ack.session_id, 2))
    book.say(connection, result(book.last(connection, node.JobAssign), name))
    assert [(o.seq, o.utterance_index) for o in book.outcomes(client)] == [(1, 0), (2, 1), (3, 2)]


def test_downtime_counts(book: Restarts) -> None:
    """A job whose time ran out while nobody was there ends at once, and says so."""
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    book.kill(downtime=PENDING)

    client = book.resume(ack)
    assert [o.reason for o in book.outcomes(client)] == ["no_available_node"]


def test_what_time_is_left_is_left(book: Restarts) -> None:
    """A waiting job waits on until the moment at which it would have ended anyway."""
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    book.kill(downtime=PENDING - 1)

    client = book.resume(ack)
    book.advance(0.75)
    assert book.outcomes(client) == []
    book.advance(0.25)
    assert [o.reason for o in book.outcomes(client)] == ["no_available_node"]


def test_the_same_index_never_runs_twice(book: Restarts) -> None:
    """An utterance sent again after the restart is the job it was, received or not."""
    client, ack = book.join_session()
    connection, name = book.join_node()
    book.say(client, utterance(ack.session_id, 0))
    done = book.last(connection, node.JobAssign)
    book.say(connection, result(done, name))
    book.write_all(client)
    book.say(client, session.ResultAck(session_id=ack.session_id, seq=1))
    book.say(client, utterance(ack.session_id, 1))
    book.kill()

    client = book.resume(ack, last_seq=1)
    for index in range(2):
        book.say(client, utterance(ack.session_id, index))
    accepted = book.all(client, session.UtteranceAccepted)
    connection, name = book.join_node()
    assert [message.utterance_index for message in accepted] == [0, 1]
    assert accepted[0].job_id == done.job_id
    assert [a.job_id for a in book.all(connection, node.JobAssign)] == [accepted[1].job_id]


def test_a_wrong_token_learns_nothing(book: Restarts) -> None:
    """After a restart as before, nobody resumes a session without its token."""
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    book.kill()

    thief = book.resume(ack, token="guessed")
    assert book.last(thief, Error).code == "RESUME_REFUSED"
    assert book.last(thief, session.SessionInitAck).session_id != ack.session_id


def test_a_session_that_nobody_resumes_is_forgotten(book: Restarts) -> None:
    """A session is kept for its retention after the restart, and then leaves nothing behind."""
    book.join_session()
    book.kill()
    book.advance(book.config.session_retention)
    book.kill()
    assert book.engine.snapshot(book.now).sessions() == []


def test_sessions_without_receipts_are_not_kept(book: Restarts) -> None:
    """Nobody can come back for an outcome without a token, so nothing is written for nobody."""
    client, ack = book.join_session(receipts=False)
    book.say(client, utterance(ack.session_id))
    assert book.records == []


def test_restarts_do_not_use_up_attempts(book: Restarts) -> None:
    """However often the scheduler is killed, the job is tried again while it has time."""
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    numbers = [0]
    for _ in range(2 * book.config.attempts_max):
        connection, name = book.join_node()
        assignment = book.last(connection, node.JobAssign)
        numbers.append(assignment.attempt_id)
        book.say(connection, job_ack(assignment, name))
        book.kill(downtime=0.5)
    client = book.resume(ack)
    connection, name = book.join_node()
    book.say(connection, result(book.last(connection, node.JobAssign), name))
    assert [outcome.seq for outcome in book.outcomes(client)] == [1]
    assert numbers == sorted(set(numbers))


def test_an_assignment_that_was_not_kept_is_never_mixed_up(book: Restarts) -> None:
    """A node that still runs an attempt nobody knows of is told to stop, and gets another number.

    Its result of the attempt that was forgotten does not end the job.
    """
    client, ack = book.join_session()
    connection, name = book.join_node()
    book.say(client, utterance(ack.session_id))
    forgotten = book.last(connection, node.JobAssign)
    book.kill(lost=1)

    client = book.resume(ack)
    held = ((forgotten.job_id, forgotten.attempt_id),)
    connection, _ = book.join_node(node_id=name, in_flight=held)
    assert book.last(connection, node.JobCancel).attempt_id == forgotten.attempt_id
    assert book.last(connection, node.JobAssign).attempt_id != forgotten.attempt_id
    book.say(connection, result(forgotten, name))
    assert book.outcomes(client) == []


def test_a_node_of_the_base_gets_no_job_twice(book: Restarts) -> None:
    """Also after a restart a node of the base is never given a job that it was given before."""
    client, ack = book.join_session()
    book.join_node(node_id="node-a", receipts=None)
    book.say(client, utterance(ack.session_id))
    book.kill()
    connection, _ = book.join_node(node_id="node-a", receipts=None)
    assert book.all(connection, node.JobAssign) == []


def test_audio_that_was_not_kept_is_asked_for() -> None:
    """Without audio at rest a resumed session is asked for the utterance, and it then runs."""
    book = Restarts(audio_at_rest=False)
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id, 4))
    book.kill()

    connection, _ = book.join_node()
    client = book.resume(ack)
    needed = book.last(client, session.UtteranceNeeded)
    assert needed.utterance_index == 4
    assert book.all(connection, node.JobAssign) == []
    book.say(client, utterance(ack.session_id, 4, audio="BBBB"))
    assignment = book.last(connection, node.JobAssign)
    assert (assignment.job_id, assignment.audio) == (needed.job_id, "BBBB")


def test_audio_that_does_not_come_again_is_a_failure_with_its_cause() -> None:
    """Without audio at rest, and without the session, the job ends as node_failed, and says why."""
    book = Restarts(audio_at_rest=False, pending_timeout=PENDING)
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    book.kill()
    book.join_node()
    book.advance(PENDING)

    (outcome,) = book.outcomes(book.resume(ack))
    assert outcome.reason == "node_failed"
    assert "audio" in outcome.hint


@pytest.mark.parametrize("lost", range(9))
def test_any_tail_may_be_lost(book: Restarts, lost: int) -> None:
    """Whatever tail of the records is lost, each utterance sent again comes to its one end."""
    client, ack = book.join_session()
    connection, name = book.join_node(slots=2)
    for index in range(2):
        book.say(client, utterance(ack.session_id, index))
    for assignment in book.all(connection, node.JobAssign):
        book.say(connection, result(assignment, name))
    assert len(book.records) == 7
    book.write_all(client)
    book.say(client, session.ResultAck(session_id=ack.session_id, seq=2))
    book.kill(lost=lost)

    client = book.resume(ack)
    session_id = book.last(client, session.SessionInitAck).session_id
    assert (session_id == ack.session_id) == (lost < 8)
    for index in range(2):
        book.say(client, utterance(session_id, index))
    connection, name = book.join_node(slots=2)
    for assignment in book.all(connection, node.JobAssign):
        book.say(connection, result(assignment, name))
    jobs = {job["utterance_index"]: job for job in book.engine.snapshot(book.now).jobs()}
    received = set(range(2)) if lost == 0 else set()
    assert set(jobs) | received == {0, 1}
    assert [o.utterance_index for o in book.outcomes(client)] == sorted({0, 1} - received)


def test_what_cannot_be_kept_is_refused(book: Restarts) -> None:
    """While the journal fails nothing new is accepted, and what was not promised is refused."""
    client, ack = book.join_session()
    connection, _ = book.join_node()
    book.say(client, utterance(ack.session_id, 0))
    job_id = book.last(connection, node.JobAssign).job_id
    effects = book.apply(JournalFailed("no room", (job_id,)))

    assert Withdraw(client, job_id) in effects
    assert book.last(connection, node.JobCancel).job_id == job_id
    refusal = book.last(client, Error)
    assert (refusal.code, refusal.details) == ("OVERLOADED", {"utterance_index": 0})
    book.say(client, utterance(ack.session_id, 1))
    assert book.last(client, Error).details == {"utterance_index": 1}
    book.apply(JournalMended())
    book.say(client, utterance(ack.session_id, 0))
    assert book.last(connection, node.JobAssign).job_id != job_id


def test_what_recovering_itself_decided_was_told_to_nobody(book: Restarts) -> None:
    """A deadline that passed meanwhile ends a job now: no cursor can have received that."""
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id))
    book.kill(downtime=PENDING + 1)

    client = book.resume(ack, last_seq=1)

    assert [outcome.reason for outcome in book.outcomes(client)] == ["no_available_node"]
    assert book.noted("delivered") == []
