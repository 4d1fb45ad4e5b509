"""Whether trio's loop is crowded: whether it has much to do before it asks what else happened.

A turn of the loop begins when it has asked the operating system what is new, and runs all tasks
that are to run by then. When little is going on a turn handles one message; under a crowd it
handles hundreds, several of them for one connection.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import trio

CROWDED_STEPS: Final = 16
"""So many steps in a turn are a crowd: at a third of what a core can do there are three."""


class Turns(trio.abc.Instrument):
    """Counts the steps of the engine, turn by turn. Nothing counts as crowded before any."""

    def __init__(self) -> None:
        self._steps = self._steps_before = 0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002  # trio calls it like this
        """A turn begins."""
        self._steps, self._steps_before = 0, self._steps

    def step(self) -> None:
        """The engine takes an event."""
        self._steps += 1

    @property
    def crowded(self) -> bool:
        """Whether this turn, or the one before it, has many steps."""
        return self._steps > CROWDED_STEPS or self._steps_before > CROWDED_STEPS


@contextlib.contextmanager
def counted_turns() -> Iterator[Turns]:
    """Count the turns of the running loop for the length of the block."""
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    try:
        yield turns
    finally:
        trio.lowlevel.remove_instrument(turns)
