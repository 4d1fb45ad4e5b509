"""Times and lists in words."""

import pytest

from scheduler.observe.words import clock, listed, seconds, sentence


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0.00 s"), (730, "0.73 s"), (9_994, "9.99 s"), (10_000, "10.0 s"), (31_240, "31.2 s")],
)
def test_durations(ms: int, text: str) -> None:
    """Short ones have two digits behind the point, long ones one."""
    assert seconds(ms) == text


def test_the_clock_is_that_of_utc() -> None:
    """An instant is named by the time of its day, with the zone."""
    assert clock(1_764_064_744_999) == "09:59:04 UTC"


def test_lists_and_sentences() -> None:
    """One, two, many; a capital letter and a full stop."""
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]
    assert sentence("it is so") == "It is so."
