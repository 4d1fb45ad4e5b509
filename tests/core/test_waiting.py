"""Jobs wait in the order of acceptance, and their sessions always know what for."""

from messages import capabilities, heartbeat, result, utterance
from playbook import Playbook

from scheduler.core.events import Heard, Silent
from scheduler.wire import node, session


def reasons(book: Playbook, person: int) -> list[str]:
    """What the session was told that its jobs wait for, in words for people."""
    told = [e for e in book.all(person, session.UiEvent) if e.event == "WAITING"]
    return [(event.hint or "").split(";")[0] for event in told]


def test_a_waiting_session_knows_why_and_how_long() -> None:
    """WAITING names the reason and the time that is left."""
    book = Playbook(pending_timeout=7.5)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))

    event = book.last(person, session.UiEvent)
    assert (event.event, event.status) == ("WAITING", "ok")
    assert event.hint == "no node is connected; waiting up to 7.5 s"


def test_each_change_of_the_reason_is_told_once() -> None:
    """No node, none able, not ready, silent, draining: each is told when it comes."""
    book = Playbook(pending_timeout=100)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    stranger, _ = book.join_node(pairs=(("de", "fr"),))
    machine, node_id = book.join_node(capability_by_type=capabilities(ready=False))
    for _ in range(2):
        book.say(machine, heartbeat(node_id, capability_by_type=capabilities(ready=False)))
    book.leave(machine)
    book.leave(stranger)
    book.drain()

    assert reasons(book, person) == [
        "no node is connected",
        "none of the 1 connected nodes can do en→es",
        "every node that can do en→es is not ready",
        "none of the 1 connected nodes can do en→es",
        "no node is connected",
    ]


def test_a_silent_node_is_given_as_the_reason_until_it_is_heard() -> None:
    """A job that is lost to no other node waits for the silent one, and gets it when it speaks."""
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node()
    book.apply(Silent(machine))
    book.say(person, utterance(ack.session_id))
    assert reasons(book, person) == ["every node that can do en→es has gone silent"]

    book.apply(Heard(machine))

    assert book.last(machine, node.JobAssign).utterance_index == 0


def test_the_reason_of_one_job_is_not_told_to_others() -> None:
    """A job that may not go to its base node again waits for another reason than the rest."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(receipts=None, slots=1)
    for index in range(3):
        book.say(person, utterance(ack.session_id, index))
    silent, _ = book.join_node(slots=0)
    book.apply(Silent(silent))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id, error="PROCESSING_ERROR"))

    told = [e for e in book.all(person, session.UiEvent) if e.event == "WAITING"]
    assert [(e.utterance_index, (e.hint or "").split(";")[0]) for e in told] == [
        (1, "the one node that can do en→es is busy"),
        (2, "the one node that can do en→es is busy"),
        (0, "every node that can do en→es has gone silent"),
    ]


def test_a_lost_job_waits_before_those_that_came_later() -> None:
    """Whoever lost its node is the first to get the next one."""
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node(slots=2)
    for index in range(4):
        book.say(person, utterance(ack.session_id, index))
    book.leave(machine)

    again, again_id = book.join_node(slots=1)
    for _ in range(4):
        book.say(again, result(book.last(again, node.JobAssign), again_id))

    assert [job.utterance_index for job in book.all(again, node.JobAssign)] == [0, 1, 2, 3]


def test_the_pending_deadline_says_what_it_was_that_did_not_come() -> None:
    """NO_AVAILABLE_NODE names the reason at that moment, not the first one."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    book.advance(5)
    book.join_node(pairs=(("de", "fr"),))
    book.advance(5)

    (outcome,) = book.outcomes(person)
    assert outcome.hint == (
        "no node took the job within 10 s: none of the 1 connected nodes can do en→es"
    )


def test_a_job_that_waits_no_more_leaves_no_queue() -> None:
    """Cancelled, expired or placed: the last one out takes the queue and its reason with it."""
    book = Playbook()
    person, ack = book.join_session()
    for index, (src, tgt) in enumerate((("en", "es"), ("es", "en"), ("de", "fr"))):
        book.say(person, utterance(ack.session_id, index, src=src, tgt=tgt))
    assert book.engine.snapshot(0).stats()["jobs"]["waiting"] == 3
    book.say(person, session.JobCancel(session_id=ack.session_id, job_id="job-1"))
    book.join_node(pairs=(("es", "en"),))
    book.advance(10)

    assert book.engine.snapshot(0).stats()["jobs"]["waiting"] == 0
