"""What attempts came to, in words."""

from typing import Any

import pytest
from troubles import TROUBLES

from scheduler.observe.attempts import all_lost, lost_attempts, node_of, running, timed_out


def job_of(name: str) -> dict[str, Any]:
    job: dict[str, Any] = TROUBLES[name]()["jobs"][-1]
    return job


def test_each_lost_attempt_has_its_cause() -> None:
    """Who disconnected and how, who failed with which code and in which words."""
    assert lost_attempts(job_of("node_failed")) == [
        "attempt 1 was lost at 1.25 s (node-1 disconnected: the connection broke)",
        "attempt 2 was lost at 1.75 s (node-2 failed with MODEL_NOT_AVAILABLE: it broke)",
    ]


@pytest.mark.parametrize("name", ["delivered", "silence", "cancelled", "timeout", "waiting"])
def test_an_end_that_is_nobody_s_fault_is_no_loss(name: str) -> None:
    """Attempts that gave a result, were cancelled or ran out of time were not lost."""
    assert lost_attempts(job_of(name)) == []
    assert all_lost(job_of(name)) == ""


def test_an_end_without_words_is_told_all_the_same() -> None:
    """A node that came back without the job has said nothing about it."""
    job = job_of("failed_over")
    job["attempts"][0] |= {"end": "node_restarted", "code": None}
    for line in job["story"]:
        line.pop("hint", None)
    assert all_lost(job) == "attempt 1 was lost at 1.25 s (node-1 came back without it)"


def test_the_node_that_has_it() -> None:
    """The last attempt's node, if there was any."""
    assert node_of(job_of("failed_over")) == "node-2"
    assert node_of(job_of("no_node")) == "no node"


def test_how_far_an_attempt_is() -> None:
    """Given, received or started; and whether its node is silent now, not whether it ever was."""
    job = job_of("running")
    assert running(job) == "node-1 started it at 0.00 s and has been silent since 3.00 s"
    job["story"].append({**job["story"][-1], "what": "node heard"})
    assert running(job) == "node-1 started it at 0.00 s"
    job["attempts"][-1]["started_at_ms"] = None
    assert running(job) == "node-1 received it at 0.00 s and has not started it yet"


def test_a_result_that_came_late_is_told() -> None:
    """What came after the end changed nothing; a stale input before it is no late result."""
    job = job_of("timeout")
    assert timed_out(job).endswith("its result came 0.50 s too late and changed nothing")
    job["story"][-1]["at_ms"] = job["settled_at_ms"] - 1
    assert timed_out(job) == "node-1 started it at 0.00 s"
