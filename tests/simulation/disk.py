"""A journal on a disk that takes its time, is full for a while, or loses what it was writing.

It has the face of the real one and its ways: records collect while a commit is under way and go
into the next one together, and a commit that failed is tried again after a pause. `Disk` is what
outlives it, and knows since when it has each record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import trio
from restarts import what_is_kept_of
from simulation.worldplan import TICK_S, DiskPlan

from scheduler.core.records import (
    JobAccepted,
    JobSettled,
    Record,
    RememberedSession,
    SessionBegan,
    SessionForgotten,
)
from scheduler.store.journal import JournalEvents, acceptances

RETRY_S = 0.25


@attrs.define(eq=False)
class Disk:
    """What was really kept. Each of the times is when the first such record was.

    `settled` has every outcome of a job that was kept, with its time. Once it is `healed` the
    disk is quick, and never full.
    """

    plan: DiskPlan
    healed: bool = False
    kept: list[Record] = attrs.Factory(list)
    began: dict[str, float] = attrs.Factory(dict)
    over: dict[str, float] = attrs.Factory(dict)
    accepted: dict[str, float] = attrs.Factory(dict)
    settled: dict[str, list[tuple[float, JobSettled]]] = attrs.Factory(dict)
    commits: int = 0

    def keep(self, batch: Iterable[Record]) -> None:
        """From now on these records survive."""
        now = trio.current_time()
        for record in batch:
            self.kept.append(record)
            match record:
                case SessionBegan(session_id=name):
                    self.began.setdefault(name, now)
                case SessionForgotten(session_id=name):
                    self.over.setdefault(name, now)
                case JobAccepted(job_id=name):
                    self.accepted.setdefault(name, now)
                case JobSettled(job_id=name):
                    self.settled.setdefault(name, []).append((now, record))

    def seconds_of(self, commit: int) -> float:
        """How long a commit takes, by its number."""
        times = self.plan.commit_s
        return TICK_S if self.healed else times[commit % len(times)]

    @property
    def full(self) -> bool:
        """Whether nothing can be written now."""
        now = trio.current_time()
        spans = () if self.healed else self.plan.full
        return any(at <= now < at + seconds for at, seconds in spans)

    @property
    def remembered(self) -> tuple[RememberedSession, ...]:
        """What a successor finds."""
        return what_is_kept_of(self.kept)


def unnoticed(what: str, position: int) -> None:
    """For journals that nobody watches."""


class SlowJournal:
    """A journal over a `disk`. `notice` is told what was decided and what was kept.

    Of the batch that is under way when it is cancelled the first part, `tail` of it, is kept.
    """

    name = "simulated"
    durable = True

    def __init__(
        self,
        disk: Disk,
        *,
        tail: float = 0.0,
        notice: Callable[[str, int], None] = unnoticed,
    ) -> None:
        self._disk = disk
        self._tail = tail
        self._notice = notice
        self._pending: list[Record] = []
        self._appended = trio.Event()
        self._crowded = trio.Event()
        self._failing = False
        self._commits = 0
        self.position = self.committed = 0

    async def recover(self) -> tuple[RememberedSession, ...]:
        await trio.lowlevel.checkpoint()
        return self._disk.remembered

    def append(self, records: Iterable[Record]) -> None:
        self._pending.extend(records)
        self.position = self.committed + len(self._pending)
        self._appended.set()
        if len(self._pending) > self._disk.plan.crowd:
            self._crowded.set()
        self._notice("decided", self.position)

    async def run(
        self,
        events: JournalEvents,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_when_crowded, events)
            while True:
                if not self._pending:
                    self._appended = trio.Event()
                    await self._appended.wait()
                if not await self._commit(events):
                    await trio.sleep(RETRY_S)

    async def _tell_when_crowded(self, events: JournalEvents) -> None:
        while True:
            await self._crowded.wait()
            self._crowded = trio.Event()
            if len(self._pending) > self._disk.plan.crowd:  # a commit may have been quicker
                self._failing = True
                events.failed("no room", ())

    async def _commit(self, events: JournalEvents) -> bool:
        batch = list(self._pending)
        await self._take_time(batch)
        if self._disk.full:
            self._failing = True
            events.failed("no room", acceptances(self._pending))
            return False
        self._keep(batch)
        if self._failing and len(self._pending) <= self._disk.plan.crowd:
            self._failing = False
            events.mended()
        self._notice("kept", self.committed)
        events.committed()
        return True

    async def _take_time(self, batch: list[Record]) -> None:
        try:
            await trio.sleep(self._disk.seconds_of(self._commits))
        except trio.Cancelled:
            self._keep(batch[: int(len(batch) * self._tail)])
            raise
        self._commits += 1

    def _keep(self, batch: list[Record]) -> None:
        self._disk.keep(batch)
        self._disk.commits += 1
        del self._pending[: len(batch)]
        self.committed += len(batch)
