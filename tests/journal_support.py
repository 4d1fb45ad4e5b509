"""Records and journals for tests of what outlives a process."""

from pathlib import Path

import attrs
import trio
from messages import hello, utterance

from scheduler.config import Config
from scheduler.core.records import (
    JobAccepted,
    JobSettled,
    Record,
    RememberedJob,
    SessionBegan,
)
from scheduler.store.journal import JournalEvents
from scheduler.store.sqlite import SqliteJournal, open_sqlite
from scheduler.wire.session import MissingResult

BEGAN = SessionBegan(
    session_id="s-1", resume_token="secret", hello=hello(), trace_id="t", joined_at_ms=0
)
SPEECH = "U3BlZWNo" * 20


def accepted(number: int, audio: str = SPEECH) -> JobAccepted:
    return JobAccepted(
        job_id=f"job-{number}",
        session_id="s-1",
        order=number,
        trace_id="t",
        accepted_at_ms=0,
        utterance=utterance("s-1", number, audio=audio),
    )


def settled(number: int) -> JobSettled:
    message = MissingResult(
        session_id="s-1", utterance_index=number, reason="cancelled", created_at_ms=0
    )
    return JobSettled(job_id=f"job-{number}", kind="cancelled", settled_at_ms=0, message=message)


@attrs.define
class Events:
    """What a journal told, in order, and why something failed."""

    told: list[str | tuple[str, ...]] = attrs.Factory(list)
    reasons: set[str] = attrs.Factory(set)

    @property
    def listeners(self) -> JournalEvents:
        return JournalEvents(
            committed=lambda: self.told.append("committed"),
            failed=self._failed,
            mended=lambda: self.told.append("mended"),
        )

    def _failed(self, why: str, job_ids: tuple[str, ...]) -> None:
        self.reasons.add(why)
        self.told.append(job_ids)


async def keep(journal: SqliteJournal, *records: Record) -> None:
    """Have the journal keep these records, and close it."""
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Events().listeners)
        journal.append(records)
        nursery.cancel_scope.cancel()


async def kept(path: Path) -> tuple[RememberedJob, ...]:
    """The unfinished and unreceived jobs of the one session in the file."""
    journal = open_sqlite(path, Config())
    (session,) = await journal.recover()
    await keep(journal)
    return session.jobs
