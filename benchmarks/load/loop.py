"""One thread, one epoll, one heap of timers: the loop under every process that makes load.

Neither asyncio nor trio: their timers are rounded to milliseconds or cost as much as the server
that is measured. ``epoll`` itself waits in milliseconds as well, so the wait is a ``select`` on
the epoll's own descriptor, which takes microseconds.
"""

import heapq
import itertools
import select
import time
from collections.abc import Callable

now = time.perf_counter


class Loop:
    """Runs callbacks: of descriptors that are ready, and of instants that have come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self._stopped = False

    def watch(self, fd: int, handler: Callable[[int], None], *, write: bool = False) -> None:
        """Call ``handler(events)`` whenever ``fd`` can be read, or written as well."""
        events = select.EPOLLIN | (select.EPOLLOUT if write else 0)
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def forget(self, fd: int) -> None:
        """Watch ``fd`` no more; to be called before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Call back at an instant of :func:`now`, or as soon after it as can be."""
        heapq.heappush(self._timers, (when, next(self._ties), callback))

    def stop(self) -> None:
        """End :meth:`run` after this round."""
        self._stopped = True

    def run(self) -> None:
        """Go round until stopped."""
        self._stopped = False
        while not self._stopped:
            self._fire()
            wait = self._timers[0][0] - now() if self._timers else None
            if wait is None or wait > 0:
                select.select([self._epoll], [], [], wait)
            for fd, events in self._epoll.poll(0):
                if (handler := self._handlers.get(fd)) is not None:
                    handler(events)

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= now():
            heapq.heappop(self._timers)[2]()
