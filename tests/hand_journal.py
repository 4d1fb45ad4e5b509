"""A journal that keeps, fails and forgets when a test says so."""

from collections.abc import Iterable

import trio
from restarts import what_is_kept_of

from scheduler.core.records import Record, RememberedSession
from scheduler.store.journal import JournalEvents, acceptances


class HandJournal:
    """``kept`` is what survives; a successor made with it goes on from there.

    Nothing is kept before :meth:`commit`, or all of it at once with ``at_once``.
    """

    name = "by hand"
    durable = True

    def __init__(self, kept: Iterable[Record] = (), *, at_once: bool = False) -> None:
        self.kept = list(kept)
        self.pending: list[Record] = []
        self.position = self.committed = 0
        self.at_once = at_once
        self._events: JournalEvents | None = None

    async def recover(self) -> tuple[RememberedSession, ...]:
        await trio.lowlevel.checkpoint()
        return what_is_kept_of(self.kept)

    def append(self, records: Iterable[Record]) -> None:
        self.pending.extend(records)
        self.position = self.committed + len(self.pending)
        if self.at_once:
            self.kept += self.pending
            self.pending = []
            self.committed = self.position

    async def run(
        self,
        events: JournalEvents,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._events = events
        task_status.started()
        await trio.sleep_forever()

    def commit(self, count: int | None = None) -> None:
        """Keep the first ``count`` pending records, or all."""
        batch = self.pending[: len(self.pending) if count is None else count]
        self.kept += batch
        del self.pending[: len(batch)]
        self.committed += len(batch)
        assert self._events is not None
        self._events.committed()

    def fail(self, why: str = "no room") -> None:
        """Say that nothing can be written, and why."""
        assert self._events is not None
        self._events.failed(why, acceptances(self.pending))

    def mend(self) -> None:
        """Say that everything can be written again, and keep it."""
        assert self._events is not None
        self._events.mended()
        self.commit()
