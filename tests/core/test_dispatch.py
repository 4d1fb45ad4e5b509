"""Jobs find slots, lose them, and are settled once."""

import pytest
from messages import job_ack, job_started, result, utterance
from playbook import Playbook

from scheduler.wire import node, session


def test_a_job_waits_for_a_node_and_gets_the_late_one_at_once() -> None:
    """A client that was there before its node gets its result."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    waiting = book.last(person, session.UiEvent)
    assert (waiting.event, waiting.hint) == ("WAITING", "no node is connected; waiting up to 10 s")

    book.advance(5)
    machine, node_id = book.join_node()
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id))

    (outcome,) = book.outcomes(person)
    assert isinstance(outcome, session.TranslationResult)
    assert (outcome.text_translated, outcome.seq) == ("hola", 1)


def test_without_a_node_the_pending_deadline_is_the_end() -> None:
    """Without a node the outcome is NO_AVAILABLE_NODE, at the pending deadline and not before."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))

    book.advance(9.99)
    assert book.outcomes(person) == []
    book.advance(0.01)

    (outcome,) = book.outcomes(person)
    assert (outcome.reason, outcome.code) == ("no_available_node", "NO_AVAILABLE_NODE")
    assert "no node is connected" in outcome.hint


def test_the_reason_for_waiting_is_told_again_when_it_changes() -> None:
    """While a job waits the session is told why, and again when that changes."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    machine, _ = book.join_node(pairs=(("de", "fr"),))
    book.leave(machine)

    hints = [e.hint.split(";")[0] for e in book.all(person, session.UiEvent) if e.hint]
    assert hints == [
        "no node is connected",
        "none of the 1 connected nodes can do en→es",
        "no node is connected",
    ]


def test_a_dead_nodes_job_gets_its_next_attempt_at_once() -> None:
    """A node that leaves in the middle of a job costs an attempt, not the job, and no time."""
    book = Playbook()
    person, ack = book.join_session()
    first, first_id = book.join_node()
    second, second_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(first, node.JobAssign)
    book.say(first, job_started(job, first_id))

    book.leave(first)

    again = book.last(second, node.JobAssign)
    assert (again.job_id, again.attempt_id) == (job.job_id, 2)
    book.say(second, result(again, second_id))
    assert [o.text_translated for o in book.outcomes(person)] == ["hola"]


def test_a_late_result_of_a_dead_attempt_changes_nothing() -> None:
    """A result of an attempt that is not current is receipted as stale and changes nothing."""
    book = Playbook()
    person, ack = book.join_session()
    first, first_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(first, node.JobAssign)
    book.leave(first)
    second, second_id = book.join_node()
    back, _ = book.join_node(node_id=first_id)

    book.say(back, result(job, first_id, text="old"))

    assert book.outcomes(person) == []
    assert book.last(back, node.JobResultAck).status == "stale"
    book.say(second, result(book.last(second, node.JobAssign), second_id, text="new"))
    assert [o.text_translated for o in book.outcomes(person)] == ["new"]


def test_the_dispatched_deadline_does_not_restart() -> None:
    """All attempts together have the dispatched timeout, counted from the first assignment."""
    book = Playbook()
    person, ack = book.join_session()
    first, first_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(first, job_ack(book.last(first, node.JobAssign), first_id))
    book.advance(20)
    second, second_id = book.join_node()
    book.leave(first)
    job = book.last(second, node.JobAssign)
    assert job.deadline_ms == 10_000
    book.say(second, job_ack(job, second_id))

    book.advance(9.99)
    assert book.outcomes(person) == []
    book.advance(0.01)

    (outcome,) = book.outcomes(person)
    assert (outcome.reason, outcome.code) == ("job_timeout", "JOB_TIMEOUT")
    assert book.last(second, node.JobCancel).reason == "job_timeout"
    assert book.noted("settled")[0]["seconds"] == 30


def test_no_result_is_sent_after_the_timeout() -> None:
    """A result that comes after the failure was told is stale: it stays the only outcome."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, job_ack(job, node_id))
    book.advance(30)
    book.write_all(person)

    book.say(machine, result(job, node_id))

    assert book.last(machine, node.JobResultAck).status == "stale"
    assert [o.reason for o in book.outcomes(person)] == ["job_timeout"]


def test_a_node_that_does_not_receipt_loses_the_job() -> None:
    """An assignment without a receipt goes to the next node after the receipt timeout."""
    book = Playbook()
    person, ack = book.join_session()
    deaf, _ = book.join_node()
    other, _ = book.join_node()
    book.say(person, utterance(ack.session_id))
    assert book.all(other, node.JobAssign) == []

    book.advance(1.5)

    assert book.last(other, node.JobAssign).attempt_id == 2
    assert book.last(deaf, node.JobCancel).attempt_id == 1


def test_attempts_are_bounded() -> None:
    """A job that fails everywhere ends as node_failed after attempts_max attempts."""
    book = Playbook(attempts_max=2)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    for _ in range(2):
        job = book.last(machine, node.JobAssign)
        book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))

    (outcome,) = book.outcomes(person)
    assert (outcome.reason, outcome.code) == ("node_failed", "PROCESSING_ERROR")
    assert "it broke" in outcome.hint


@pytest.mark.parametrize(
    ("code", "retryable", "attempts"),
    [
        ("PROCESSING_ERROR", None, 2),
        ("MODEL_NOT_AVAILABLE", None, 2),
        ("UNSUPPORTED_FEATURE", None, 1),
        ("UNSUPPORTED_FEATURE", True, 2),
        ("PROCESSING_ERROR", False, 1),
    ],
)
def test_only_retryable_failures_are_retried(
    code: str, retryable: bool | None, attempts: int
) -> None:
    """A failure is tried on another node unless it says, or its code means, that it is final."""
    book = Playbook()
    person, ack = book.join_session()
    first, first_id = book.join_node()
    second, _ = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(first, node.JobAssign)

    book.say(first, result(job, first_id, error=code, retryable=retryable))

    assert len(book.all(second, node.JobAssign)) == attempts - 1
    assert len(book.outcomes(person)) == 2 - attempts


def test_a_base_node_is_never_asked_twice_for_the_same_job() -> None:
    """The same job never goes to the same base node again: it would refuse or ignore it."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(receipts=None, slots=None)
    book.say(person, utterance(ack.session_id))
    book.leave(machine)
    back, _ = book.join_node(receipts=None, slots=None, node_id=node_id)

    assert book.all(back, node.JobAssign) == []
    book.advance(10)
    (outcome,) = book.outcomes(person)
    assert (outcome.reason, outcome.code) == ("node_failed", "NODE_UNAVAILABLE")
    assert f"attempt 1 was lost: {node_id} disconnected" in (outcome.hint or "")


def test_when_all_nodes_of_the_base_have_failed_it_the_last_error_is_told() -> None:
    """Nobody is waited for who would refuse the job: it ends with what the last node said."""
    book = Playbook()
    person, ack = book.join_session()
    machines = [book.join_node(receipts=None, slots=None) for _ in range(2)]
    book.say(person, utterance(ack.session_id))
    for code, (machine, node_id) in zip(
        ("MODEL_NOT_AVAILABLE", "PROCESSING_ERROR"), machines, strict=True
    ):
        assert book.outcomes(person) == []
        job = book.last(machine, node.JobAssign)
        book.say(machine, result(job, node_id, error=code))

    (outcome,) = book.outcomes(person)
    assert book.now == 0
    assert (outcome.reason, outcome.code) == ("node_failed", "PROCESSING_ERROR")
    assert outcome.hint == f"{machines[1][1]}: it broke"
    view = book.engine.snapshot(book.now).job("job-1")
    assert view is not None
    assert [a["code"] for a in view["attempts"]] == ["MODEL_NOT_AVAILABLE", "PROCESSING_ERROR"]


def test_a_job_that_waited_for_another_node_in_vain_ends_with_its_failure() -> None:
    """A node that could have taken it is gone: what is left to tell is what the first one said."""
    book = Playbook()
    person, ack = book.join_session()
    busy, _ = book.join_node(slots=0)
    machine, node_id = book.join_node(receipts=None, slots=None)
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
    assert book.outcomes(person) == []
    book.leave(busy)
    book.advance(10)

    (outcome,) = book.outcomes(person)
    assert (outcome.reason, outcome.code) == ("node_failed", "PROCESSING_ERROR")
    assert outcome.hint == (
        "no node took the job within 10 s: every node that can do en→es has already had this "
        f"job; attempt 1 was lost: {node_id}: it broke [PROCESSING_ERROR]"
    )


def test_an_end_by_another_cause_tells_the_failure_before_it() -> None:
    """No node and no time left are the cause; what an attempt had said stands behind them."""
    for ends, reason in (("drains", "no_available_node"), ("is slow", "job_timeout")):
        book = Playbook()
        person, ack = book.join_session()
        first, first_id = book.join_node()
        book.say(person, utterance(ack.session_id))
        job = book.last(first, node.JobAssign)
        if ends == "drains":
            book.drain()
        else:
            book.join_node(receipts=None)
        book.say(first, result(job, first_id, error="NODE_OVERLOADED", retryable=True))
        book.advance(30)

        (outcome,) = book.outcomes(person)
        assert outcome.reason == reason
        said = f"attempt 1 was lost: {first_id}: it broke [NODE_OVERLOADED]"
        assert (outcome.hint or "").endswith(said)


def test_waiting_jobs_start_in_the_order_of_acceptance() -> None:
    """A freed slot goes to the job that was accepted first, across sessions and needs."""
    book = Playbook()
    one, ack_one = book.join_session()
    two, ack_two = book.join_session()
    book.say(one, utterance(ack_one.session_id, 0))
    book.say(two, utterance(ack_two.session_id, 0, src="es", tgt="en"))
    book.say(one, utterance(ack_one.session_id, 1))
    machine, node_id = book.join_node(pairs=(("en", "es"), ("es", "en")))
    for _ in range(3):
        book.say(machine, result(book.last(machine, node.JobAssign), node_id))

    order = [(job.session_id, job.utterance_index) for job in book.all(machine, node.JobAssign)]
    assert order == [(ack_one.session_id, 0), (ack_two.session_id, 0), (ack_one.session_id, 1)]


def test_the_dispatched_timeout_may_grow_with_the_audio() -> None:
    """The dispatched timeout grows by the named factor, up to the named maximum."""
    book = Playbook(dispatched_timeout_per_audio=2.0, dispatched_timeout_max=40.0)
    person, ack = book.join_session()
    machine, _ = book.join_node(slots=2)
    second_of_audio = "A" * (32000 * 4 // 3)
    book.say(person, utterance(ack.session_id, 0, audio=second_of_audio))
    book.say(person, utterance(ack.session_id, 1, audio=second_of_audio * 9))

    left_ms = [job.deadline_ms for job in book.all(machine, node.JobAssign)]
    assert left_ms[0] in (31_999, 32_000)
    assert left_ms[1] == 40_000


def test_a_session_sees_how_far_its_utterance_is() -> None:
    """When a node begins a stage, the session is told that the one before is done."""
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    for stage in ("asr", "nmt", "tts", "something_new"):
        book.say(
            machine,
            node.JobProgress(job_id=job.job_id, attempt_id=job.attempt_id, stage=stage),
        )
    assert [event.event for event in book.all(person, session.UiEvent)] == [
        "DISPATCHED",
        "ASR_FINAL",
        "NMT_DONE",
    ]
