"""Reading a job as it is shown."""

from typing import Any

import pytest
from troubles import TROUBLES

from scheduler.observe.record import last, offset, unanswered_since


def test_the_last_line_of_a_kind() -> None:
    """The newest line of any of the kinds that are asked for, or nothing."""
    job = TROUBLES["frozen_and_thawed"]()["jobs"][0]
    found = last(job, "written")
    assert found is not None
    assert found["connection"] == 3
    found = last(job, "written", "acknowledged")
    assert found is not None
    assert found["what"] == "acknowledged"
    assert last(job, "stale") is None


def test_times_are_counted_from_the_submission() -> None:
    """A job that was submitted at one second was assigned after none."""
    job = TROUBLES["frozen"]()["jobs"][0]
    assert job["accepted_at_ms"] == 1000
    assert offset(job, 1500) == "0.50 s"


@pytest.mark.parametrize(
    ("line", "since"),
    [
        ({}, None),
        ({"heard_at_ms": 5}, None),
        ({"heard_at_ms": 5, "unanswered_since_ms": 9}, 9),
        ({"heard_at_ms": 9, "unanswered_since_ms": 9}, 9),
        ({"heard_at_ms": 10, "unanswered_since_ms": 9}, None),
        ({"unanswered_since_ms": 9}, 9),
    ],
)
def test_only_silence_after_the_ping_counts(line: dict[str, Any], since: int | None) -> None:
    """A peer that was heard after a ping is alive, whether or not it answered that one."""
    assert unanswered_since(line) == since
