"""Where accepted work is remembered: the face of a journal, and the one that is only memory.

A journal takes records in order and gives each a *position*. Everything up to ``committed``
survives what the journal is made to survive. Appending never waits; what must not be said
before it is remembered waits for its position (see ``runtime.outbox``).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
import trio

from scheduler.core.records import JobAccepted, Record, RememberedSession
from scheduler.errors import SchedulerError


class JournalError(SchedulerError):
    """A journal cannot be used; the text says why and what to do. Its file was left untouched."""


@attrs.frozen(kw_only=True)
class JournalEvents:
    """Whom a journal tells what happens to it. All are plain functions that do not wait.

    ``committed``: more records survive now. ``failed``: nothing can be written at present, why,
    and the jobs whose acceptance waits; told again for records that came since. ``mended``: it
    works again.
    """

    committed: Callable[[], None]
    failed: Callable[[str, tuple[str, ...]], None]
    mended: Callable[[], None]


class Journal(Protocol):
    """A place to remember. ``durable`` says whether its content survives the process.

    ``position`` is that of the last record appended, ``committed`` that of the last one kept.
    """

    name: str
    durable: bool
    position: int
    committed: int

    async def recover(self) -> tuple[RememberedSession, ...]:
        """What an earlier process left. To be called once, before :meth:`run`."""

    def append(self, records: Iterable[Record]) -> None:
        """Take records; never waits, never fails."""

    async def run(
        self,
        events: JournalEvents,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Keep what is appended until cancelled; then keep what is left, and close."""


class MemoryJournal:
    """Remembers exactly as long as the process lives: the engine's own state is its content."""

    name = "memory"
    durable = False

    def __init__(self) -> None:
        self.position = self.committed = 0

    async def recover(self) -> tuple[RememberedSession, ...]:
        """Nothing: there is no earlier process."""
        await trio.lowlevel.checkpoint()
        return ()

    def append(self, records: Iterable[Record]) -> None:
        """What is appended is kept, as far as that goes here."""
        self.position = self.committed = self.position + sum(1 for _ in records)

    async def run(
        self,
        events: JournalEvents,  # noqa: ARG002  # nothing ever happens to it
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """There is nothing to do."""
        task_status.started()
        await trio.sleep_forever()


def acceptances(records: Iterable[Record]) -> tuple[str, ...]:
    """The ids of the jobs that these records accept."""
    return tuple(record.job_id for record in records if isinstance(record, JobAccepted))
