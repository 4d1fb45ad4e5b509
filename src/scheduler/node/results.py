"""Finished results, kept until the scheduler has receipted them.

A write proves nothing, so a result is not forgotten when it was sent: it is sent again on
every new connection, and on the same one when no receipt came within ``result_stored``.
Only one of them at a time waits in the connection's outbox. However many have gathered
while the scheduler was away, heartbeats pass between them and the outbox never overflows.
"""

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable

import attrs
import structlog
import trio

log = structlog.get_logger()

Key = tuple[str, int]
"""A job id and an attempt number: what every message about a job carries."""


@attrs.define(eq=False)
class _Kept:
    """An encoded ``job_result``; the writer reports it by ``number``."""

    number: int
    text: str
    due_at: float = -math.inf


class Results:
    """At most ``number_max`` results and ``bytes_max`` bytes; beyond, the oldest are dropped.

    A dropped result is not lost work for anybody who waits: a scheduler that has not
    receipted it for so long has given its job to another node or ended it.
    """

    def __init__(self, *, number_max: int, bytes_max: int) -> None:
        self._number_max = number_max
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._numbers = itertools.count(1)
        self._put: Callable[[str, int], None] | None = None
        self._queued: int | None = None
        self._receipt_timeout = math.inf
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Whose results these are, the oldest first."""
        return tuple(self._kept)

    def keep(self, key: Key, text: str) -> None:
        """Keep an encoded result, and send it as soon as that can be done."""
        self.forget(key)
        self._kept[key] = _Kept(next(self._numbers), text)
        self.size_bytes += len(text)
        while len(self._kept) > 1 and (
            len(self._kept) > self._number_max or self.size_bytes > self._bytes_max
        ):
            dropped = next(iter(self._kept))
            log.warning("result_dropped", job_id=dropped[0], kept=len(self._kept) - 1)
            self.forget(dropped)
        self.send_due()

    def forget(self, key: Key) -> bool:
        """The scheduler has it, or does not want it; False if there is no such result."""
        kept = self._kept.pop(key, None)
        if kept is None:
            return False
        self.size_bytes -= len(kept.text)
        return True

    def repeat(self, key: Key) -> bool:
        """Send a result again, as it was asked for; False if there is no such result."""
        kept = self._kept.get(key)
        if kept is None:
            return False
        kept.due_at = -math.inf
        self.send_due()
        return True

    def connected(self, put: Callable[[str, int], None], receipt_timeout: float) -> None:
        """There is a connection: send everything through ``put(text, number)``.

        What was written ``receipt_timeout`` seconds ago and is still here is sent again.
        """
        self._put, self._receipt_timeout = put, receipt_timeout
        self._queued = None
        for kept in self._kept.values():
            kept.due_at = -math.inf
        self.send_due()

    def disconnected(self) -> None:
        """The connection is gone, with whatever its outbox held."""
        self._put = None

    def written(self, number: int) -> None:
        """The writer has handed a result to the operating system; the next one may go."""
        self._queued = None
        for kept in self._kept.values():
            if kept.number == number:
                kept.due_at = trio.current_time() + self._receipt_timeout
        self.send_due()

    def send_due(self) -> None:
        """Queue the oldest result that is due, unless one is queued already."""
        if self._put is None or self._queued is not None:
            return
        now = trio.current_time()
        for kept in self._kept.values():
            if kept.due_at <= now:
                self._queued = kept.number
                self._put(kept.text, kept.number)
                return
