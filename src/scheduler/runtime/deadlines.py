"""One cancel scope per timer, in the job nursery.

A timer's expiry is just one more event; whoever gets it must look at the present state,
because a result may have been handled in the same instant.

If this process itself was frozen, deadlines pass before the input is read that came in time.
So a deadline that fires much too late lets the readers have their turn first.
"""

from collections.abc import Callable

import structlog
import trio

from scheduler.core.events import Timer

log = structlog.get_logger()


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
        self._scopes: dict[Timer, trio.CancelScope] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def set(self, timer: Timer, at: float) -> None:
        """Let ``timer`` expire at ``at`` (trio's clock); an earlier setting is replaced."""
        at = max(at, trio.current_time())
        if (scope := self._scopes.get(timer)) is not None and not scope.cancel_called:
            scope.deadline = at
            return
        scope = self._scopes[timer] = trio.CancelScope(deadline=at)
        self._nursery.start_soon(self._watch, timer, scope)

    def clear(self, timer: Timer) -> None:
        """Forget ``timer``; it will not expire any more."""
        if (scope := self._scopes.pop(timer, None)) is not None:
            scope.cancel()

    async def _watch(self, timer: Timer, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep_forever()
        if trio.current_time() - scope.deadline > self._stall_threshold:
            await trio.sleep(self._stall_threshold)
        if self._scopes.get(timer) is not scope:  # cleared or replaced in the meantime
            return
        del self._scopes[timer]
        try:
            self._on_expired(timer)
        except Exception:  # a fault in one job must not end all the others
            log.exception("deadline_fault", timer=timer.key)
