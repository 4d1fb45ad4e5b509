"""Each end of a job has one true sentence and one word."""

import json

import pytest
from troubles import TROUBLES

from scheduler.observe.verdict import verdict

EXPECTED = {
    "delivered": ("DELIVERED", "and the session acknowledged the result 0.81 s after submission"),
    "silence": ("DELIVERED", "heard nobody speak in it"),
    "waiting": ("WAITING", "is busy (node-1: has no slots). It fails in 6.00 s"),
    "running": ("RUNNING", "started it at 0.00 s and has been silent since 3.00 s"),
    "no_node": ("NO_AVAILABLE_NODE", "10.0 s after submission: no node is connected."),
    "no_capable_node": ("NO_AVAILABLE_NODE", "node-2: cannot do en→es"),
    "not_ready": ("NO_AVAILABLE_NODE", "node-1: tts is not ready: espeak-ng is not installed"),
    "all_busy": ("NO_AVAILABLE_NODE", "node-1: its slot is taken"),
    "draining": ("NO_AVAILABLE_NODE", "node-1: is draining); attempt 1 was lost at 1.00 s"),
    "timeout": ("JOB_TIMEOUT", "its result came 0.50 s too late and changed nothing"),
    "timeout_unreceipted": ("JOB_TIMEOUT", "was given it at 0.00 s and had not answered"),
    "node_failed": ("MODEL_NOT_AVAILABLE", "node-2 failed with MODEL_NOT_AVAILABLE: it broke"),
    "failed_by_all": ("PROCESSING_ERROR", "(node-1 failed with MODEL_NOT_AVAILABLE: it broke)"),
    "failed_and_waited": ("PROCESSING_ERROR", "(node-2 failed with PROCESSING_ERROR: it broke)"),
    "failed_over": ("DELIVERED", "Attempt 1 was lost at 1.25 s (node-1 disconnected"),
    "no_receipt": ("DELIVERED", "(node-1 did not receipt the job in time)"),
    "salvaged": ("DELIVERED", "after the deadline, but before anybody had been told"),
    "restarted": ("DELIVERED", "(node-1 had it when the scheduler was restarted)"),
    "cancelled": ("CANCELLED", "Cancelled 2.50 s after submission: cancelled by the session."),
    "closed": ("CANCELLED", "the session ended: done."),
    "unanswered": (
        "UNACKNOWLEDGED",
        "had stopped answering pings at 27.0 s (the device was frozen",
    ),
    "frozen": ("UNACKNOWLEDGED", "will be replayed when session s-1 resumes (until 00:10:33 UTC)"),
    "frozen_and_thawed": ("DELIVERED", "having resumed at 92.0 s"),
    "frozen_for_good": ("EXPIRED", "expired at 152.0 s because the session ended: not resumed"),
    "too_old": ("GAP", "given up at 148.8 s, when it had been kept for as long as promised"),
    "frozen_after_the_write": ("UNACKNOWLEDGED", "that then stopped answering pings at 4.00 s"),
    "broke_after_the_write": ("UNACKNOWLEDGED", "that ended at 1.50 s (the connection broke)"),
    "away": ("UNWRITTEN", "had ended at 0.50 s (the connection broke); it is kept"),
    "queued": ("UNWRITTEN", "is ready since 1.00 s and waits to be written"),
    "stuck": ("UNWRITTEN", "since 2.00 s, and the connection does not take all of it"),
    "half": ("UNWRITTEN", "the connection took only a part of it and ended at 7.00 s (too slow"),
    "held": ("HELD", "waits for the outcome of an earlier utterance"),
    "gap": ("GAP", "and a gap takes its place"),
    "written": ("WRITTEN", "which is all that a session without receipts can tell"),
    "unheard": ("UNHEARD", "a session without receipts cannot get it again"),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_the_true_cause_is_named(name: str) -> None:
    """The verdict of each story has its code and names its cause."""
    code, phrase = EXPECTED[name]
    said = TROUBLES[name]()["jobs"][-1]["verdict"]
    assert said["code"] == code
    assert phrase in said["text"]


@pytest.mark.parametrize("name", TROUBLES)
def test_delivered_is_said_of_what_was_acknowledged_only(name: str) -> None:
    """No verdict claims more than the record: delivered exactly when acknowledged."""
    job = TROUBLES[name]()["jobs"][-1]
    said = job["verdict"]
    assert said["delivered"] == (job["state"] == "acknowledged")
    assert (said["text"].startswith("Delivered")) == (said["code"] == "DELIVERED")
    assert said["code"] != "DELIVERED" or said["delivered"]


@pytest.mark.parametrize("name", TROUBLES)
def test_an_explanation_holds_no_speech_and_no_token(name: str) -> None:
    """What people said, their audio and the resume tokens stand nowhere in it."""
    text = json.dumps(TROUBLES[name]())
    assert not [secret for secret in ("hola", "AAAA", "token-") if secret in text]


@pytest.mark.parametrize("name", TROUBLES)
def test_a_verdict_is_made_of_sentences(name: str) -> None:
    """It begins with a capital letter, ends with a full stop, and is not long."""
    text = TROUBLES[name]()["jobs"][-1]["verdict"]["text"]
    assert text[0].isupper()
    assert text.endswith(".")
    assert ".." not in text
    assert len(text) < 400


def test_the_last_line_of_a_kind_counts() -> None:
    """After coming back, the verdict speaks of the new connection, not of the first one."""
    job = TROUBLES["frozen"]()["jobs"][0]
    again = {**job["story"][-3], "at_ms": 90_000, "connection": 9, "heard_at_ms": 89_999}
    assert again["what"] == "written"
    del again["unanswered_since_ms"]
    job["story"].append(again)
    job["session"]["connected"] = True
    assert "to a connection that is open" in verdict(job).text
