"""What can be looked at: derived from the records, plain, and without anything private."""

import json
from typing import Any

import pytest
from messages import capabilities, job_ack, job_started, result, utterance
from playbook import Playbook

from scheduler.wire import node, session

SECRETS = ("U1BFRUNI", "said in confidence", "en confianza", "U09VTkQ=", "token-1")
"""The audio, both texts, the speech, and the resume token of the conversation below."""


def conversation() -> tuple[Playbook, int, str]:
    """One outcome acknowledged, one owed, one job running, one waiting."""
    book = Playbook()
    person, ack = book.join_session()
    machine, node_id = book.join_node(slots=1)
    for index in range(4):
        book.say(person, utterance(ack.session_id, index, audio="U1BFRUNI"))
        if index < 2:
            job = book.last(machine, node.JobAssign)
            said: dict[str, Any] = {"text_translated": "en confianza", "tts_audio": "U09VTkQ="}
            book.say(machine, job_ack(job, node_id))
            book.say(machine, result(job, node_id, text="said in confidence", **said))
    book.write_all(person)
    book.say(person, session.ResultAck(session_id=ack.session_id, seq=1))
    book.say(machine, job_started(book.last(machine, node.JobAssign), node_id))
    return book, person, ack.session_id


def test_the_numbers_are_those_of_the_records() -> None:
    """Sessions, slots, jobs by state, what is owed: each is counted where it is."""
    book, _, _ = conversation()
    stats = book.engine.snapshot(book.now).stats()

    assert stats["sessions"] == {"total": 1, "connected": 1}
    assert stats["nodes"] == {"total": 1, "slots": 1, "slots_free": 0}
    jobs = stats["jobs"]
    assert (jobs["waiting"], jobs["running"], jobs["owed_outcomes"]) == (1, 1, 1)
    assert jobs["by_state"] == {"acknowledged": 1, "pending": 1, "started": 1, "written": 1}
    assert stats["facts"]["delivered"] == 1


def test_a_job_is_shown_with_its_attempts_times_and_outcome() -> None:
    """Instants are Unix milliseconds, durations milliseconds; what is not yet is None."""
    book, _, session_id = conversation()
    book.advance(1.25)
    snapshot = book.engine.snapshot(book.now)
    done, running = snapshot.job("job-1"), snapshot.job("job-3")
    assert done is not None
    assert running is not None

    assert (done["state"], done["outcome"], done["seq"]) == ("acknowledged", "translated", 1)
    assert (done["session_id"], done["utterance_index"]) == (session_id, 0)
    assert done["time_left_ms"] is None
    assert [line["what"] for line in done["story"]] == [
        "accepted", "pending", "assigned", "received", "finished", "written", "acknowledged",
    ]  # fmt: skip
    (attempt,) = running["attempts"]
    assert (attempt["attempt_id"], attempt["node_id"], attempt["ended_at_ms"]) == (
        1,
        "node-1",
        None,
    )
    assert running["time_left_ms"] == 28_750
    assert snapshot.job("job-unknown") is None


@pytest.mark.parametrize("by", ["job_id", "session_id", "trace_id"])
def test_a_job_is_found_by_any_of_its_names(by: str) -> None:
    """The id of the job, of its session, or of its trace leads to it; another leads nowhere."""
    book, _, _ = conversation()
    snapshot = book.engine.snapshot(book.now)
    job = snapshot.job("job-3")
    assert job is not None

    found = snapshot.trace(job[by])

    assert found is not None
    assert found["kind"] == by.removesuffix("_id")
    assert "job-3" in [one["job_id"] for one in found["jobs"]]
    assert snapshot.trace("nothing") is None


def test_everything_that_is_shown_is_plain_and_holds_nothing_private() -> None:
    """No view, no fact and no refusal has speech, its text, or a token in it; all is JSON."""
    book, person, session_id = conversation()
    book.say(person, utterance("s-other", 9, audio="U1BFRUNI"))
    book.say(person, utterance(session_id, 9, audio="U1BFRUNI" * 2**20))
    book.leave(person)
    book.advance(book.config.session_retention)
    snapshot = book.engine.snapshot(book.now)
    views: list[Any] = [
        snapshot.stats(), snapshot.load(), snapshot.nodes(), snapshot.sessions(),
        snapshot.jobs(), *(snapshot.job(f"job-{n}") for n in range(1, 5)),
    ]  # fmt: skip
    shown = json.dumps(views) + "".join(repr(note) for note in book.notes)

    assert "job-1" in shown
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_newest_jobs_are_shown_first_and_not_too_many() -> None:
    """A list is bounded, and begins with what happened last."""
    book, _, _ = conversation()
    jobs = book.engine.snapshot(book.now).jobs(most=2)
    assert [job["job_id"] for job in jobs] == ["job-4", "job-3"]


def test_a_waiting_job_says_why_and_until_when() -> None:
    """The reason stands there as a word and as a sentence; both are gone once the job runs."""
    book = Playbook()
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    (job,) = book.engine.snapshot(book.now).jobs()
    assert (job["waiting_because"], job["waiting_text"]) == ("no_node", "no node is connected")
    assert job["deadline_at_ms"] == 10_000
    book.join_node()
    (job,) = book.engine.snapshot(book.now).jobs()
    assert job["waiting_text"] is None


def test_what_needs_attention_is_shown_before_the_rest() -> None:
    """With too many nodes to show, those that are not ready come first."""
    book = Playbook()
    names = [book.join_node()[1] for _ in range(3)]
    _, ill = book.join_node(capability_by_type=capabilities(ready=False))
    shown = [view["node_id"] for view in book.engine.snapshot(0).nodes(most=2)]
    assert shown == [ill, names[0]]


def test_the_newest_sessions_are_shown_first_and_not_too_many() -> None:
    """With too many sessions to show, the oldest are left out."""
    book = Playbook()
    names = [book.join_session()[1].session_id for _ in range(3)]
    shown = [view["session_id"] for view in book.engine.snapshot(0).sessions(most=2)]
    assert shown == names[:0:-1]


def test_a_node_shows_what_it_hears_and_speaks() -> None:
    """Languages are shown as the node says them."""
    book = Playbook()
    book.join_node(pairs=(("en", "es"), ("en", "fr")))
    (view,) = book.engine.snapshot(0).nodes()
    assert (view["hears"], view["speaks"]) == (("en",), ("es", "fr"))
    assert view["pairs"] == ["en-es", "en-fr"]
