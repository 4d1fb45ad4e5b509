"""How long to wait before trying again: full jitter, capped, reset only after health.

The method is "full jitter" (Marc Brooker, *Exponential Backoff and Jitter*, AWS
Architecture Blog, 2015): a uniform draw between zero and the exponential ceiling, so that
peers that lost the same server do not come back at the same instant.
"""

from collections.abc import Callable


class Backoff:
    """Pauses in seconds. ``draw()`` gives uniform numbers in [0, 1).

    ``longest`` is the ceiling of every pause; it may be changed at any time.
    """

    def __init__(self, *, first: float, longest: float, draw: Callable[[], float]) -> None:
        self._first = first
        self.longest = longest
        self._draw = draw
        self._tries = 0

    def pause(self) -> float:
        """The next pause, already counting it."""
        ceiling = min(self.longest, self._first * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return ceiling * self._draw()

    def healthy(self) -> None:
        """The connection did real work: the next pause is a first one again."""
        self._tries = 0
