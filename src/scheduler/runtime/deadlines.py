"""One cancel scope per timer, in the job nursery.

A timer's expiry is just one more event; whoever gets it must look at the present state,
because a result may have been handled in the same instant.
"""

from collections.abc import Callable

import structlog
import trio

from scheduler.core.events import Timer

log = structlog.get_logger()


class Deadlines:
    """Named deadlines. :meth:`set` and :meth:`clear` are synchronous and take effect at once.

    The scope is made by :meth:`set`, not by its task: a :meth:`clear` in the same breath
    finds it. Cancelling the nursery reports nothing.
    """

    def __init__(self, nursery: trio.Nursery, on_expired: Callable[[Timer], None]) -> None:
        self._nursery = nursery
        self._on_expired = on_expired
        self._scopes: dict[Timer, trio.CancelScope] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def set(self, timer: Timer, at: float) -> None:
        """Let ``timer`` expire at ``at`` (trio's clock); an earlier setting is replaced."""
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
        if self._scopes.get(timer) is not scope:  # cleared or replaced in the meantime
            return
        del self._scopes[timer]
        try:
            self._on_expired(timer)
        except Exception:  # a fault in one job must not end all the others
            log.exception("deadline_fault", timer=timer.key)
