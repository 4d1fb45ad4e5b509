"""One cancel scope per timer, in the job nursery.

A timer's expiry is just one more event; whoever gets it must look at the present state,
because a result may have been handled in the same instant.

A scope may wake up too early: a deadline that moves away leaves it where it is, and what it
finds then is the time to sleep on to. The timers that a session sets and clears with every
utterance keep theirs for a while after a clear, since they will want it again. Both cost less
than a task for each setting (``benchmarks/NOTES.md``).

If this process itself was frozen, deadlines pass before the input is read that came in time.
So a deadline that fires much too late lets the readers have their turn first.
"""

from collections.abc import Callable

import structlog
import trio

from scheduler.core.events import Timer

log = structlog.get_logger()

LASTING = frozenset({"receipt", "retention"})
"""The kinds of timers that come and go with every utterance of a session."""
LINGER_SECONDS = 10.0
"""How long the scope of such a timer waits for the next setting."""


class Deadlines:
    """Named deadlines. :meth:`set` and :meth:`clear` are synchronous and take effect at once.

    The scope is made by :meth:`set`, not by its task: a :meth:`clear` in the same breath
    finds it. Cancelling the nursery reports nothing. One that fires more than
    ``stall_threshold`` seconds late is put off by as much, once.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        on_expired: Callable[[Timer], None],
        *,
        stall_threshold: float,
    ) -> None:
        self._nursery = nursery
        self._on_expired = on_expired
        self._stall_threshold = stall_threshold
        self._due: dict[Timer, float] = {}
        self._scopes: dict[Timer, trio.CancelScope] = {}

    def __len__(self) -> int:
        return len(self._due)

    def set(self, timer: Timer, at: float) -> None:
        """Let ``timer`` expire at ``at`` (trio's clock); an earlier setting is replaced."""
        self._due[timer] = at = max(at, trio.current_time())
        if (scope := self._scopes.get(timer)) is None:
            scope = self._scopes[timer] = trio.CancelScope(deadline=at)
            self._nursery.start_soon(self._watch, timer, scope)
        elif at < scope.deadline:
            scope.deadline = at

    def clear(self, timer: Timer) -> None:
        """Forget ``timer``; it will not expire any more."""
        if self._due.pop(timer, None) is None:
            return
        if timer.kind not in LASTING:
            self._scopes.pop(timer).cancel()
        elif (scope := self._scopes[timer]).deadline > (end := _linger_until()):
            scope.deadline = end

    async def _watch(self, timer: Timer, scope: trio.CancelScope) -> None:
        if await self._came_due(timer, scope):
            try:
                self._on_expired(timer)
            except Exception:  # a fault in one job must not end all the others
                log.exception("deadline_fault", timer=timer.key)

    async def _came_due(self, timer: Timer, scope: trio.CancelScope) -> bool:
        """Sleep until ``timer`` is due, and forget it then; False once nobody wants that."""
        while True:
            with scope:
                await trio.sleep_forever()
            now = trio.current_time()
            if now - self._due.get(timer, now) > self._stall_threshold:
                await trio.sleep(self._stall_threshold)
            if self._scopes.get(timer) is not scope:  # cleared in the meantime
                return False
            due = self._due.get(timer)
            if due is None or due <= now:
                del self._scopes[timer]
                return self._due.pop(timer, None) is not None
            scope = self._scopes[timer] = trio.CancelScope(deadline=due)


def _linger_until() -> float:
    return trio.current_time() + LINGER_SECONDS
