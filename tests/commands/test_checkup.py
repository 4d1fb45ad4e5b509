"""The doctor finds the first step that fails, says why, and is done in ten seconds."""

import pytest
from ailments import AILMENTS, diagnose

from scheduler.commands.checkup import STEPS

EXPECTED = {
    "well": (0, "Delivered: node-1 translated it"),
    "nobody_listens": (1, "no scheduler listening"),
    "another_program": (2, "the WebSocket upgrade was refused with HTTP 404"),
    "mute_program": (2, "no answer to the WebSocket handshake"),
    "frozen_scheduler": (3, "no answer to the hello in 3.00 s"),
    "no_node": (4, "no node is connected, and none has been since the scheduler started"),
    "node_gone": (4, "no node is connected any more; 1 have been, and left"),
    "other_languages": (5, "node-1: cannot do en→es; node-2: cannot do en→es"),
    "not_ready": (6, "node-1: tts is not ready: espeak-ng is not installed"),
    "all_busy": (7, "node-1: its slot is taken"),
    "refused": (8, "[TOO_LARGE]"),
    "slow_node": (9, "Running: node-1 started it at 0.03 s."),
    "failing_node": (9, "node-1 failed with MODEL_NOT_AVAILABLE: nmt: no model for en-es"),
    "deaf_node": (9, "nobody speak"),
    "lost_receipt": (10, "that then stopped answering pings"),
}


@pytest.mark.parametrize("name", AILMENTS)
def test_the_first_step_that_fails_is_named(name: str) -> None:
    """Every step before it is well, it is the last one, and it has its cause and an advice."""
    number, cause = EXPECTED[name]
    report = diagnose(name)
    last = report.found[-1]
    assert report.failed == number
    assert cause in last.text
    assert [found.number for found in report.found] == list(range(1, (number or len(STEPS)) + 1))
    assert [found.well for found in report.found] == [True] * (len(report.found) - 1) + [not number]
    assert bool(last.advice) == (number > 0)


@pytest.mark.parametrize("name", AILMENTS)
def test_it_takes_ten_seconds_at_the_most(name: str) -> None:
    """Whatever is wrong, the answer is there in ten seconds."""
    assert diagnose(name).took <= 10


def test_every_step_is_seen_to_fail() -> None:
    """There is an ailment for each step."""
    assert {number for number, _ in EXPECTED.values()} == set(range(len(STEPS) + 1))
