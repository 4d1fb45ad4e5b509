"""A node that keeps failing gets no more of people's jobs until it has shown that it works."""

import base64

import pytest
from messages import job_ack, register, result, utterance
from playbook import Playbook

from scheduler.core import quarantine
from scheduler.core.node import new_node
from scheduler.core.quarantine import AWAY_MAX, AWAY_SECONDS, CANARY_SESSION
from scheduler.core.state import Step
from scheduler.wire import node, session


def quarantined(book: Playbook, **said: object) -> tuple[int, str]:
    """A node that has failed as often in a row as it takes."""
    person, ack = book.join_session()
    machine, node_id = book.join_node(**said)
    answered = 0
    while not book.noted("quarantined"):
        if len(jobs := book.all(machine, node.JobAssign)) == answered:
            book.say(person, utterance(ack.session_id, answered))
            continue
        book.say(machine, result(jobs[answered], node_id, error="PROCESSING_ERROR"))
        answered += 1
    book.leave(person)
    return machine, node_id


def canary(book: Playbook, machine: int) -> node.JobAssign:
    job = book.last(machine, node.JobAssign)
    assert job.session_id == CANARY_SESSION
    return job


def assigned_to_people(book: Playbook, machine: int) -> int:
    jobs = book.all(machine, node.JobAssign)
    return sum(job.session_id != CANARY_SESSION for job in jobs)


def test_a_node_that_keeps_failing_gets_no_more_jobs() -> None:
    """After so many failures in a row a node gets no jobs, and a waiting job is told so."""
    book = Playbook()
    machine, _ = quarantined(book)
    before = assigned_to_people(book, machine)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))

    assert assigned_to_people(book, machine) == before
    assert "quarantine" in (book.last(person, session.UiEvent).hint or "")
    (view,) = book.engine.snapshot(book.now).nodes()
    assert "setbacks in a row" in view["quarantined"]
    assert view["status"] == "degraded"


def test_a_waiting_job_is_told_when_its_node_falls_into_quarantine() -> None:
    """A job that waits for a busy node is told at once that the node is in quarantine now."""
    book = Playbook(quarantine_setbacks=1)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id, 0))
    book.say(person, utterance(ack.session_id, 1))
    job = book.last(machine, node.JobAssign)

    book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))

    told = [
        (event.utterance_index, (event.hint or "").split(";")[0])
        for event in book.all(person, session.UiEvent)
        if event.event == "WAITING"
    ]
    assert told == [
        (1, "the one node that can do en→es is busy"),
        (0, "every node that can do en→es is in quarantine after repeated failures"),
        (1, "every node that can do en→es is in quarantine after repeated failures"),
    ]


def test_one_success_forgives_all_setbacks() -> None:
    """Only failures in a row count."""
    book = Playbook(quarantine_setbacks=2, attempts_max=1)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    for index in range(6):
        book.say(person, utterance(ack.session_id, index))
        error = "PROCESSING_ERROR" if index % 2 else None
        book.say(machine, result(book.last(machine, node.JobAssign), node_id, error=error))

    assert book.noted("quarantined") == []


def test_what_any_node_would_refuse_is_no_setback() -> None:
    """A failure that is the utterance's own fault is not held against the node."""
    book = Playbook(quarantine_setbacks=1)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id, error="TOO_LARGE"))

    assert book.noted("quarantined") == []


def test_missing_receipts_and_results_are_setbacks() -> None:
    """A node that never receipts, or never answers, falls into quarantine like one that fails."""
    book = Playbook(quarantine_setbacks=2)
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.advance(book.config.node_receipt_timeout)
    book.say(machine, job_ack(book.last(machine, node.JobAssign), node_id))
    assert book.noted("quarantined") == []
    book.advance(book.config.dispatched_timeout)

    (fact,) = book.noted("quarantined")
    assert fact["why"] == "2 setbacks in a row, the last: no result in time"


def test_a_canary_that_comes_back_readmits_the_node() -> None:
    """After the pause the node gets a small job; a result, even of silence, lets it in again."""
    book = Playbook()
    machine, node_id = quarantined(book)
    person, ack = book.join_session()
    book.advance(book.config.canary_interval - 1)
    before = assigned_to_people(book, machine)
    book.say(person, utterance(ack.session_id))
    book.advance(1)
    assert assigned_to_people(book, machine) == before

    book.say(machine, result(canary(book, machine), node_id, text=""))

    assert book.noted("readmitted")
    assert assigned_to_people(book, machine) == before + 1
    assert book.last(machine, node.JobResultAck).status == "stored"


def test_the_canary_is_a_job_like_any_other() -> None:
    """It takes the same message and path, belongs to no person, and is told to nobody."""
    book = Playbook()
    machine, node_id = quarantined(book, pairs=(("en", "es"), ("de", "fr")))
    told = {connection: len(messages) for connection, messages in book.told.items()}
    book.advance(book.config.canary_interval)
    job = canary(book, machine)

    assert (job.src_lang, job.tgt_lang) == ("de", "fr")
    assert (job.pipeline.use_asr, job.pipeline.use_nmt, job.pipeline.use_tts) == (True, True, True)
    assert job.deadline_ms == book.config.canary_timeout * 1000
    book.say(machine, result(job, node_id))
    assert {c: len(m) for c, m in book.told.items() if c != machine} == {
        c: n for c, n in told.items() if c != machine
    }


def test_a_canary_that_fails_or_is_lost_is_tried_again() -> None:
    """A node stays in quarantine while its canaries fail, and gets another after each pause."""
    book = Playbook()
    machine, node_id = quarantined(book)
    book.advance(book.config.canary_interval)
    first = canary(book, machine)
    book.say(machine, result(first, node_id, error="PROCESSING_ERROR"))
    book.advance(book.config.canary_interval)
    second = canary(book, machine)
    assert second.job_id != first.job_id
    book.advance(book.config.canary_timeout)
    assert book.last(machine, node.JobCancel).job_id == second.job_id

    book.say(machine, result(second, node_id))
    assert book.noted("readmitted") == []
    book.advance(book.config.canary_interval)
    book.say(machine, result(canary(book, machine), node_id))
    assert len(book.noted("readmitted")) == 1


def test_another_nodes_word_about_the_canary_is_stale() -> None:
    """Only the node that was given the canary can pass it."""
    book = Playbook()
    machine, _ = quarantined(book)
    other, other_id = book.join_node()
    book.advance(book.config.canary_interval)

    book.say(other, result(canary(book, machine), other_id))

    assert book.noted("readmitted") == []
    assert book.last(other, node.JobResultAck).status == "stale"


def test_a_node_of_the_base_that_says_nothing_is_let_in_on_probation() -> None:
    """Silence proves nothing of a node of the base: it gets one job at a time, and is last."""
    book = Playbook()
    machine, node_id = quarantined(book, receipts=None, slots=None)
    person, ack = book.join_session()
    book.advance(book.config.canary_interval + book.config.canary_timeout)
    assert book.noted("on_probation")
    before = assigned_to_people(book, machine)

    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
    assert assigned_to_people(book, machine) == before + 1
    job = book.last(machine, node.JobAssign)
    book.say(machine, result(job, node_id))

    assert book.noted("readmitted")
    for index in range(2, 7):
        book.say(person, utterance(ack.session_id, index))
    assert assigned_to_people(book, machine) == before + 2 + 3


def test_a_node_on_probation_comes_after_all_others() -> None:
    """While any other node can take a job, one on probation does not get it."""
    book = Playbook()
    quarantined(book, receipts=None)
    book.advance(book.config.canary_interval + book.config.canary_timeout)
    other, _ = book.join_node()
    person, ack = book.join_session()

    book.say(person, utterance(ack.session_id))

    assert assigned_to_people(book, other) == 1


def test_a_failure_on_probation_leads_back_into_quarantine() -> None:
    """One failure on probation is enough, and then it begins again: pause, canary, probation."""
    book = Playbook()
    machine, node_id = quarantined(book, receipts=None)
    person, ack = book.join_session()
    for round_ in range(2, 4):
        book.advance(book.config.canary_interval + book.config.canary_timeout)
        book.say(person, utterance(ack.session_id, round_))
        job = book.last(machine, node.JobAssign)
        assert job.utterance_index == round_
        book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
        assert len(book.noted("quarantined")) == round_


def test_a_quarantined_node_that_leaves_leaves_no_timer() -> None:
    """The end of a connection ends the wait for its canary; a new one of the node begins anew."""
    book = Playbook()
    machine, node_id = quarantined(book)
    again, _ = book.join_node(node_id=node_id)
    assert [timer.key for timer in book.timers if timer.kind == "canary"] == [node_id]
    book.leave(machine)
    book.leave(again)
    assert not [timer for timer in book.timers if timer.kind == "canary"]


@pytest.mark.parametrize("leaves", [True, False])
def test_to_connect_again_forgives_nothing(leaves: bool) -> None:
    """A node that comes back under its id, or takes itself over, is in quarantine as before."""
    book = Playbook(canary_interval=5)
    machine, node_id = quarantined(book)
    person, ack = book.join_session()
    if leaves:
        book.leave(machine)
        book.advance(1)
    back, _ = book.join_node(node_id=node_id)
    book.say(person, utterance(ack.session_id))

    assert book.last(back, node.NodeRegisterAck).status == "degraded"
    assert assigned_to_people(book, back) == 0
    (fact,) = book.noted("still_quarantined")
    assert "setbacks in a row" in fact["why"]
    assert "quarantine" in (book.last(person, session.UiEvent).hint or "")
    book.advance(book.config.canary_interval - book.now)
    book.say(back, result(canary(book, back), node_id))
    assert book.noted("readmitted")
    assert assigned_to_people(book, back) == 1


def test_a_failure_per_connection_leads_into_quarantine() -> None:
    """A node that is started anew after each failure fails in a row all the same."""
    book = Playbook(attempts_max=1)
    person, ack = book.join_session()
    for index in range(book.config.quarantine_setbacks):
        assert book.noted("quarantined") == []
        machine, node_id = book.join_node(node_id="node-flapping")
        book.say(person, utterance(ack.session_id, index))
        job = book.last(machine, node.JobAssign)
        book.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
        book.leave(machine)
    (fact,) = book.noted("quarantined")
    assert fact["node_id"] == "node-flapping"


def test_a_node_that_was_away_for_the_pause_gets_its_canary_at_once() -> None:
    """Whoever was mended meanwhile may show it as soon as it is back."""
    book = Playbook()
    machine, node_id = quarantined(book)
    book.leave(machine)
    book.advance(book.config.canary_interval)
    back, _ = book.join_node(node_id=node_id)
    book.advance(0)
    book.say(back, result(canary(book, back), node_id))
    assert book.noted("readmitted")


def test_a_node_on_probation_comes_back_on_probation() -> None:
    """It has one job at a time still, and the next failure puts it back."""
    book = Playbook()
    machine, node_id = quarantined(book, receipts=None)
    book.advance(book.config.canary_interval)
    book.advance(book.config.canary_timeout)
    assert book.noted("on_probation")
    book.leave(machine)
    back, _ = book.join_node(node_id=node_id, receipts=None)
    person, ack = book.join_session()
    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
    assert assigned_to_people(book, back) == 1
    book.say(back, result(book.last(back, node.JobAssign), node_id, error="PROCESSING_ERROR"))
    assert len(book.noted("quarantined")) == 2


def test_what_is_held_against_nodes_is_bounded_in_number_and_age() -> None:
    """It is forgotten after an hour, and of more than so many absent nodes the first ones'."""
    book = Playbook(quarantine_setbacks=1)
    for late in range(2):
        machine, node_id = quarantined(book, node_id=f"node-{late}")
        book.leave(machine)
        book.advance(AWAY_SECONDS if not late else AWAY_SECONDS - 1)
        back, _ = book.join_node(node_id=node_id)
        assert len(book.noted("still_quarantined")) == late
        book.leave(back)
        book.notes.clear()

    away = book.engine._state.away
    away.clear()
    step = Step(book.engine._state, book.now)
    for number in range(AWAY_MAX + 1):
        one = new_node(register(), f"node-{number}", number, number, 0.0, book.config)
        one.setbacks = 1
        quarantine.leave(step, one)
    assert len(away) == AWAY_MAX
    assert "node-0" not in away


def test_a_made_up_attempt_at_the_canary_is_stale() -> None:
    """A result that names another attempt, or another node, does not pass the canary."""
    book = Playbook()
    machine, node_id = quarantined(book)
    book.advance(book.config.canary_interval)
    job = canary(book, machine)

    book.say(machine, result(job, node_id, attempt_id=2))
    book.say(machine, result(job, "node-other"))

    assert book.noted("readmitted") == []
    assert [said.status for said in book.all(machine, node.JobResultAck)[-2:]] == ["stale"] * 2


def test_a_canary_takes_no_slot_from_people() -> None:
    """A node let in by another job is told that its canary is wanted no more."""
    book = Playbook(quarantine_setbacks=1)
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=2)
    for index in range(2):
        book.say(person, utterance(ack.session_id, index))
    first, second = book.all(machine, node.JobAssign)
    for job in (first, second):
        book.say(machine, job_ack(job, node_id))
    book.say(machine, result(first, node_id, error="PROCESSING_ERROR"))
    book.advance(book.config.canary_interval)
    small = canary(book, machine)

    book.say(machine, result(second, node_id))

    assert book.noted("readmitted")
    assert book.last(machine, node.JobCancel).job_id == small.job_id


def test_a_canary_is_no_longer_than_an_utterance_may_be() -> None:
    """Its audio fits into a message, however small messages may be."""
    book = Playbook(message_bytes_max=4096)
    machine, _ = quarantined(book)
    book.advance(book.config.canary_interval)
    audio = canary(book, machine).audio
    assert len(audio) == book.config.audio_chars_max
    assert not any(base64.b64decode(audio, validate=True))
