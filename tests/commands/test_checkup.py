"""The doctor finds the first step that fails, says why, and is done in ten seconds."""

import pytest
from ailments import AILMENTS, diagnose

from scheduler.commands.checkup import STEPS

EXPECTED = {
    "well": (0, "Delivered: node-1 translated it", ""),
    "nobody_listens": (1, "no scheduler listening", "start the scheduler"),
    "another_program": (2, "what answers there is no scheduler", "another program has that port"),
    "no_websocket": (2, "the WebSocket upgrade was refused with HTTP 400", "a proxy at"),
    "frozen_scheduler": (2, "the port takes connections, and nobody answers", "kill -CONT PID"),
    "no_welcome": (3, "no answer to the hello in 3.00 s", "the disk of its journal"),
    "journal_full": (3, "the scheduler's journal cannot be written", "make room on the disk"),
    "journal_failing": (3, "the scheduler's journal cannot be written", "make room on the disk"),
    "draining": (3, "[DRAINING]", "is being restarted"),
    "no_node": (4, "no node is connected, and none has been", "start a node"),
    "node_gone": (4, "no node is connected any more; since the scheduler started", "start a node"),
    "other_languages": (5, "node-1: cannot do en→es; it has en-fr", "start a node that has"),
    "not_ready": (6, "node-1: tts is not ready: espeak-ng is not installed", "mend what is named"),
    "silent_node": (6, "node-1: has gone silent", "it is frozen or cut off"),
    "all_busy": (7, "node-1: its slot is taken", "more slots"),
    "refused": (8, "[TOO_LARGE]", "look at the scheduler's settings"),
    "slow_node": (9, "Running: node-1 started it at 0.03 s.", "the node is slow"),
    "frozen_node": (9, "node-1 did not receipt the job in time", "it is frozen or cut off"),
    "node_froze_in_its_job": (9, "node-1 disconnected: no sign of life", "it is frozen or cut off"),
    "node_died_in_its_job": (9, "node-1 disconnected: the connection broke", "node-1 ended"),
    "scheduler_froze": (9, "the port takes connections, and nobody answers", "kill -CONT PID"),
    "failing_node": (9, "node-1 failed with MODEL_NOT_AVAILABLE: nmt: no model", "the node's log"),
    "deaf_node": (9, "nobody speak", "the node's log"),
    "lost_receipt": (10, "that is open and was pinged for an answer", "the network between"),
}


@pytest.mark.parametrize("name", AILMENTS)
def test_the_first_step_that_fails_is_named(name: str) -> None:
    """Every step before it is well, it is the last one, and it has its cause and an advice."""
    number, cause, advice = EXPECTED[name]
    report = diagnose(name)
    last = report.found[-1]
    assert report.failed == number
    assert cause in last.text
    assert [found.number for found in report.found] == list(range(1, (number or len(STEPS)) + 1))
    assert [found.well for found in report.found] == [True] * (len(report.found) - 1) + [not number]
    assert advice in last.advice
    assert bool(last.advice) == (number > 0)


@pytest.mark.parametrize("name", AILMENTS)
def test_it_takes_ten_seconds_at_the_most(name: str) -> None:
    """Whatever is wrong, the answer is there in ten seconds, the start of Python included."""
    assert diagnose(name).took <= 9.5


def test_every_step_is_seen_to_fail() -> None:
    """There is an ailment for each step."""
    assert {number for number, *_ in EXPECTED.values()} == set(range(len(STEPS) + 1))
