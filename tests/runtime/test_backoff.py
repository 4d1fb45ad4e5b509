"""Pauses grow, jitter in full, stay under their cap, and begin anew only after health."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.runtime.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    """With the dice at one half the pauses are half of 0.5, 1, 2, 4, 5, 5, ... seconds."""
    backoff = Backoff(first=0.5, longest=5.0, draw=lambda: 0.5)
    assert [backoff.pause() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.5, 2.5]


def test_health_begins_anew() -> None:
    """After a connection that did real work the next pause is a first one again."""
    backoff = Backoff(first=0.5, longest=5.0, draw=lambda: 0.5)
    for _ in range(5):
        backoff.pause()
    backoff.healthy()
    assert backoff.pause() == 0.25


@given(
    st.floats(0, 1, exclude_max=True),
    st.floats(0.001, 10),
    st.floats(0.001, 60),
    st.sampled_from([0, 1, 31, 32, 33, 5000]),
)
def test_no_pause_is_longer_than_the_cap(
    draw: float, first: float, longest: float, tries: int
) -> None:
    """However often and whatever is drawn, a pause lies between zero and the cap."""
    backoff = Backoff(first=first, longest=longest, draw=lambda: draw)
    for _ in range(tries):
        backoff.pause()
    assert 0 <= backoff.pause() <= longest


def test_the_dice_are_thrown_for_each_pause() -> None:
    """Peers that lost the same server at once do not come back at once: each pause is drawn."""
    draws = iter([0.0, 0.999, 0.25])
    backoff = Backoff(first=4.0, longest=4.0, draw=lambda: next(draws))
    assert [backoff.pause() for _ in range(3)] == [0.0, 3.996, 1.0]
