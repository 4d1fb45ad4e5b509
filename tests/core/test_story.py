"""A job's story holds what is needed to explain its end, also what befell others."""

from typing import Any

from messages import capabilities, job_ack, register, result, utterance
from playbook import Playbook

from scheduler.core.events import Heard, Left, NodeJoined, SignsOfLife, Silent, Writing, Written
from scheduler.errors import Close
from scheduler.wire import node
from scheduler.wire.common import Capability


def story(book: Playbook, job_id: str, what: str) -> list[dict[str, Any]]:
    """The lines of one kind in a job's story, as they are shown."""
    job = book.engine.snapshot(book.now).job(job_id)
    assert job is not None
    return [line for line in job["story"] if line["what"] == what]


def answered(book: Playbook, *, receipts: bool = True) -> tuple[int, str]:
    """A session whose one job has its result at 2 s, and the job."""
    person, ack = book.join_session(receipts=receipts)
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    job = book.last(machine, node.JobAssign)
    book.say(machine, job_ack(job, node_id))
    book.advance(2)
    book.say(machine, result(job, node_id))
    return person, job.job_id


def test_a_write_is_told_with_the_silence_it_went_into() -> None:
    """The story of a written outcome says when its connection was last heard and last pinged."""
    book = Playbook()
    person, job_id = answered(book)
    book.apply(Writing(person, 1))
    book.apply(Written(person, 1, SignsOfLife(0.5, 1.5)))

    (line,) = story(book, job_id, "written")
    assert (line["heard_at_ms"], line["unanswered_since_ms"]) == (500, 1500)


def test_the_end_of_its_connection_is_in_the_story_of_what_is_owed() -> None:
    """A job that is owed says how its session's connection ended and how long it is kept."""
    book = Playbook(session_retention=600)
    person, job_id = answered(book)
    book.apply(Written(person, 1))
    book.advance(3)
    book.live.discard(person)
    book.apply(Left(person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(0.5, 1.5)))

    (line,) = story(book, job_id, "disconnected")
    assert line["why"] == Close.KEEPALIVE_TIMEOUT.text
    assert (line["heard_at_ms"], line["unanswered_since_ms"]) == (500, 1500)
    assert line["resumable_until_ms"] == 605_000


def test_coming_back_is_in_the_story_of_what_is_owed() -> None:
    """A job that is owed says that its session resumed, and which connection it replaced."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.say(machine, result(book.last(machine, node.JobAssign), node_id))
    again = book.resume(ack)

    (line,) = story(book, "job-1", "resumed")
    assert (line["connection"], line["replaced"]) == (again, person)


def test_what_a_base_session_may_not_have_got_says_so() -> None:
    """Without receipts, only what was written after the last sign of life is in doubt."""
    book = Playbook()
    person, job_id = answered(book, receipts=False)
    book.apply(Written(person, 1, SignsOfLife(1.0)))
    book.say(person, utterance(book.engine.snapshot(0).sessions()[0]["session_id"], 1))
    book.live.discard(person)
    book.apply(Left(person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(1.0, 1.75)))
    assert [line["unanswered_since_ms"] for line in story(book, job_id, "disconnected")] == [1750]

    book = Playbook()
    person, job_id = answered(book, receipts=False)
    book.apply(Written(person, 1))
    book.live.discard(person)
    book.apply(Left(person, Close.NORMAL, SignsOfLife(2.5)))
    assert story(book, job_id, "disconnected") == []


def test_a_probe_is_in_the_story_of_what_was_told() -> None:
    """A session that does not acknowledge is asked for a sign of life, and the story says it."""
    book = Playbook(client_probe_timeout=3, client_receipt_timeout=10)
    person, job_id = answered(book)
    book.apply(Writing(person, 1))
    book.apply(Written(person, 1))
    book.advance(3)
    assert [line["at_ms"] for line in story(book, job_id, "probed")] == [5000]


def test_a_silent_node_is_in_the_story_of_its_jobs() -> None:
    """A running job says when its node fell silent and when it was heard again."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node()
    book.say(person, utterance(ack.session_id))
    book.apply(Silent(machine))
    book.advance(1)
    book.apply(Heard(machine))
    lines = [*story(book, "job-1", "node silent"), *story(book, "job-1", "node heard")]
    assert [(line["at_ms"], line["actor"]) for line in lines] == [(0, node_id), (1000, node_id)]


def test_a_waiting_job_says_why_each_node_was_turned_down() -> None:
    """Each of the first few nodes has its reason, with the cause that the node itself gave."""
    book = Playbook()
    person, ack = book.join_session()
    book.join_node(pairs=(("en", "fr"),))
    book.join_node(capability_by_type=capabilities()[:2])
    broken = Capability(type="tts", ready=False, reason="espeak-ng is not installed")
    book.join_node(capability_by_type=(*capabilities()[:2], broken))
    book.join_node(slots=0)
    silent, _ = book.join_node()
    book.apply(Silent(silent))
    book.join_node(slots=0)  # one more than is told
    book.say(person, utterance(ack.session_id))

    assert story(book, "job-1", "waiting")[0]["rejected"] == {
        "node-1": "cannot do en→es",
        "node-2": "offers no tts",
        "node-3": "tts is not ready: espeak-ng is not installed",
        "node-4": "has no slots",
        "node-5": "has gone silent",
    }


def test_a_lost_attempt_says_what_ended_it() -> None:
    """The story of a lost attempt has the node's code, or how its connection ended."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=1)
    book.say(person, utterance(ack.session_id))
    first = book.last(machine, node.JobAssign)
    book.say(machine, result(first, node_id, error="MODEL_NOT_AVAILABLE", retryable=True))
    book.leave(machine)

    lines = [(line["why"], line.get("code"), line["hint"]) for line in story(book, "job-1", "lost")]
    assert lines == [
        ("failed", "MODEL_NOT_AVAILABLE", f"{node_id}: it broke"),
        ("node_left", None, f"{node_id} disconnected: {Close.PEER_GONE.text}"),
    ]


def test_nodes_are_asked_about_a_need() -> None:
    """The list of nodes says, for a need, which of them could take a job now and why others not."""
    book = Playbook()
    person, ack = book.join_session()
    book.apply(NodeJoined(book.open(), register(slots=1)))
    book.apply(NodeJoined(book.open(), register(pairs=(("en", "fr"),))))
    book.say(person, utterance(ack.session_id))
    need = next(iter(book.engine._state.jobs.values())).need
    found = [n["rejection"] for n in book.engine.snapshot(book.now).nodes(need)]
    assert found == [
        {"reason": "no_free_slot", "text": "its slot is taken"},
        {"reason": "language_missing", "text": "cannot do en→es"},
    ]
