"""All deadlines in one heap, watched by one task of the job nursery.

A timer's expiry is just one more event; whoever gets it must look at the present state,
because a result may have been handled in the same instant.

If this process itself was frozen, deadlines pass before the input is read that came in time.
So a deadline that fires much too late lets the readers have their turn first.

A job sets and clears half a dozen deadlines and lets none of them pass. A task and a scope for
each cost more than the decisions they were set by, so what is cleared stays in the heap as a
dead entry until it comes to the top or there are too many.
"""

import heapq
import itertools
import math
from collections.abc import Callable

import structlog
import trio

from scheduler.core.events import Timer

log = structlog.get_logger()

DEAD_ENTRIES_MAX = 64
"""So many, and as many again as there are deadlines, before the heap is made anew."""


class Deadlines:
    """Named deadlines. :meth:`set` and :meth:`clear` are synchronous and take effect at once.

    Those that are due at the same instant fire in the order in which they were set. Cancelling
    the nursery reports nothing. One that fires more than ``stall_threshold`` seconds late is put
    off by as much, once.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        on_expired: Callable[[Timer], None],
        *,
        stall_threshold: float,
    ) -> None:
        self._on_expired = on_expired
        self._stall_threshold = stall_threshold
        self._at: dict[Timer, float] = {}
        self._put_off: set[Timer] = set()
        self._heap: list[tuple[float, int, Timer]] = []
        self._ties = itertools.count()
        self._sleep = trio.CancelScope()
        nursery.start_soon(self._watch)

    def __len__(self) -> int:
        return len(self._at)

    def set(self, timer: Timer, at: float) -> None:
        """Let ``timer`` expire at ``at`` (trio's clock); an earlier setting is replaced."""
        self._put_off.discard(timer)
        self._put(timer, max(at, trio.current_time()))

    def clear(self, timer: Timer) -> None:
        """Forget ``timer``; it will not expire any more."""
        self._at.pop(timer, None)
        self._put_off.discard(timer)

    def _put(self, timer: Timer, at: float) -> None:
        self._at[timer] = at
        heapq.heappush(self._heap, (at, next(self._ties), timer))
        if len(self._heap) > 2 * len(self._at) + DEAD_ENTRIES_MAX:
            self._heap = [entry for entry in self._heap if self._lives(entry)]
            heapq.heapify(self._heap)
        if at < self._sleep.deadline:
            self._sleep.deadline = at

    def _lives(self, entry: tuple[float, int, Timer]) -> bool:
        at, _, timer = entry
        return self._at.get(timer) == at

    async def _watch(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._next()) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            while (at := self._next()) <= now:
                _, _, timer = heapq.heappop(self._heap)
                if now - at > self._stall_threshold and timer not in self._put_off:
                    self._put(timer, now + self._stall_threshold)
                    self._put_off.add(timer)
                else:
                    self._fire(timer)

    def _next(self) -> float:
        """When the next deadline is due that has not been cleared or moved."""
        while self._heap and not self._lives(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def _fire(self, timer: Timer) -> None:
        self.clear(timer)
        try:
            self._on_expired(timer)
        except Exception:  # a fault in one job must not end all the others
            log.exception("deadline_fault", timer=timer.key)
