"""Whether the session has its outcome, and where that is if not."""

from typing import Any

import pytest
from troubles import TROUBLES

from scheduler.observe.homecoming import homecoming


def job_of(name: str) -> dict[str, Any]:
    job: dict[str, Any] = TROUBLES[name]()["jobs"][-1]
    return job


@pytest.mark.parametrize("name", TROUBLES)
def test_delivered_is_what_was_acknowledged(name: str) -> None:
    """In every story that has an outcome: home exactly when acknowledged."""
    job = job_of(name)
    if job["outcome"] is not None:
        assert homecoming(job, "it").delivered == (job["state"] == "acknowledged")


def test_the_outcome_is_named() -> None:
    """The sentence speaks of a result, a failure or whatever it is."""
    assert homecoming(job_of("timeout"), "the failure").text.startswith(
        "the session acknowledged the failure"
    )


def test_a_session_that_is_back_is_waited_for() -> None:
    """Once the session is connected again, nobody speaks of its resumption any more."""
    job = job_of("frozen")
    job["session"]["connected"] = True
    assert homecoming(job, "the result").text.endswith("its acknowledgement is awaited")


def test_a_session_that_is_over_is_not() -> None:
    """Of a session that is gone nothing is promised."""
    job = job_of("frozen")
    job["session"] = None
    assert homecoming(job, "the result").text.endswith("its session is over")


def test_only_the_connection_that_took_it_is_judged() -> None:
    """How another connection ended says nothing about what was written to this one."""
    job = job_of("broke_after_the_write")
    for line in job["story"]:
        if line["what"] == "disconnected":
            line["connection"] = 99
    assert "to a connection that is open" in homecoming(job, "the result").text


def test_silence_and_closing_are_told_apart() -> None:
    """For who cannot acknowledge: silent from the write on, or heard again after it."""
    job = job_of("unheard")
    assert homecoming(job, "the result").code == "UNHEARD"
    for line in job["story"]:
        if line["what"] in ("written", "disconnected"):
            line.pop("unanswered_since_ms", None)
            line["heard_at_ms"] = 13_000
    home = homecoming(job, "the result")
    assert home.code == "WRITTEN"
    assert "ended at 15.0 s (no sign of life)" in home.text
