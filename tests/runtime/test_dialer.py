"""Dialling again: which ends are final, what is said between tries, and how long it waits."""

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.errors import ConnectionLost
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.dialer import redial

LOST = ConnectionLost(None, "no scheduler listening")
FINAL = ConnectionLost(4501, "unauthorized", reconnect=False)


class Attempts:
    """An attempt that ends in one way after the other; ``made_at`` are the times of its tries."""

    def __init__(self, *ends: BaseException | None) -> None:
        self._ends = list(ends)
        self.made_at: list[float] = []

    async def __call__(self) -> None:
        self.made_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if (end := self._ends.pop(0)) is not None:
            raise end


def backoff(draw: Callable[[], float] = lambda: 0.5) -> Backoff:
    return Backoff(first=1.0, longest=4.0, draw=draw)


async def test_it_dials_until_the_end_is_final(autojump_clock: MockClock) -> None:
    """A loss is followed by the next try after its pause; the loss that forbids one is returned."""
    attempts, said = Attempts(LOST, LOST, LOST, LOST, FINAL), list[str]()
    assert await redial(attempts, backoff(), said.append) is FINAL
    pauses = [b - a for a, b in pairwise(attempts.made_at)]
    assert pauses == [0.5, 1.0, 2.0, 2.0]
    assert said[0] == "no scheduler listening, next try in 0.5 s"
    assert len(said) == 4


async def test_an_attempt_that_returns_was_the_last() -> None:
    """A conversation that was ended on purpose is not followed by another, and nothing is said."""
    attempts, said = Attempts(None), list[str]()
    assert await redial(attempts, backoff(), said.append) is None
    assert said == []


async def test_a_loss_is_found_in_groups() -> None:
    """What a nursery wraps into exception groups counts as what it is."""
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [FINAL])])
    assert await redial(Attempts(group), backoff(), lambda _: None) is FINAL


@pytest.mark.parametrize(
    "end",
    [
        RuntimeError("a bug"),
        ExceptionGroup("both", [RuntimeError("a bug"), LOST]),
    ],
)
async def test_a_fault_of_ours_is_logged_and_tried_again(
    end: Exception, autojump_clock: MockClock
) -> None:
    """An error that is no loss ends one attempt, not the dialling, and leaves its traceback."""
    attempts, said = Attempts(end, None), list[str]()
    with capture_logs() as logs:
        assert await redial(attempts, backoff(), said.append) is None
    assert [entry["event"] for entry in logs] == ["connection_fault"]
    assert len(said) == 1


async def test_cancelling_ends_the_attempt_and_the_pause(autojump_clock: MockClock) -> None:
    """A cancelled redial makes no further attempt, wherever it was."""

    async def for_ever() -> None:
        await trio.sleep_forever()

    ends: list[Callable[[], Awaitable[None]]] = [for_ever, Attempts(LOST, FINAL)]
    for attempt in ends:
        with trio.move_on_after(0.25) as scope:
            await redial(attempt, backoff(), lambda _: None)
        assert scope.cancelled_caught
