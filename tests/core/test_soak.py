"""A short soak: everything rare happens in it, and the same seed gives the same events."""

import pytest
from core.soak import Summary, episode, soak

EVENTS = 30_000

RARE = {
    "delivered", "written", "salvaged", "expired", "played", "refused", "stale",
    "session_resumed", "resume_refused", "session_closed", "receipt_overdue",
    "attempt_lost", "node_silent", "node_heard", "node_error", "drain_started",
    "recovered", "adopted", "speech_discarded", "utterance_cut",
    "quarantined", "canary_sent", "canary_failed", "readmitted", "on_probation",
}  # fmt: skip
OUTCOMES = {
    "translated", "silence_detected",
    "no_available_node", "job_timeout", "node_failed", "cancelled",
}  # fmt: skip


@pytest.fixture(scope="module")
def summary() -> Summary:
    return soak(EVENTS, seed=2, every=100)


def test_everything_rare_happens(summary: Summary) -> None:
    """No property is tested in a world in which what it forbids could never come up."""
    assert summary.events >= EVENTS
    assert RARE - summary.facts.keys() == set()
    assert OUTCOMES - summary.outcomes.keys() == set()
    assert summary.expired.keys() == {"age", "retention", "the session ended"}


def test_a_third_of_all_that_comes_is_stale(summary: Summary) -> None:
    """Inputs that name nothing current are as common as in a bad network, and not all there is."""
    assert summary.events / 4 < summary.stale < summary.events / 2


def test_the_same_seed_gives_the_same_events() -> None:
    """An episode can be run again from its seed and number."""
    first, again = (episode(7, 3, 1000) for _ in range(2))
    assert list(first.story) == list(again.story)
    assert first.ledger.facts == again.ledger.facts
    assert list(episode(8, 3, 1000).story) != list(first.story)


def test_the_summary_says_what_was_seen(summary: Summary) -> None:
    """The seed and the number of events are in the summary, so that it can be compared."""
    text = "\n".join(summary.lines(seconds=2.0))
    assert f"seed {summary.seed}" in text
    assert f"{summary.events:,}" in text
    assert f"{summary.events / 2:,.0f} events a second" in text
