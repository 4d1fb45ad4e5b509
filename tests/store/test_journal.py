"""What every journal must do, whatever it writes to: a further one joins by one more factory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from messages import hello, utterance

from scheduler.config import Config
from scheduler.core.records import (
    JobAccepted,
    JobAttempted,
    JobForgotten,
    JobSettled,
    OutcomesReceived,
    Record,
    RememberedJob,
    RememberedSession,
    SessionBegan,
    SessionForgotten,
)
from scheduler.store.journal import Journal, JournalEvents, MemoryJournal, acceptances
from scheduler.store.sqlite import open_sqlite
from scheduler.wire.session import MissingResult, TranslationResult

Factory = Callable[[Path], Awaitable[Journal]]

BEGAN = SessionBegan(
    session_id="s-1",
    resume_token="secret",
    hello=attrs.evolve(hello(), features={"depth": [1, "ü"]}),
    trace_id="t-1",
    joined_at_ms=1_000,
)


def accepted(number: int, session_id: str = "s-1", audio: str = "AAAA") -> JobAccepted:
    return JobAccepted(
        job_id=f"job-{number}",
        session_id=session_id,
        order=number,
        trace_id="t-1",
        accepted_at_ms=1_000 + number,
        utterance=utterance(session_id, number - 1, audio=audio, dialect="über"),
        cut="pause" if number % 2 else None,
    )


def attempted(number: int, attempt: int = 1) -> JobAttempted:
    return JobAttempted(
        job_id=f"job-{number}",
        attempt=attempt,
        node_id=f"node-{attempt}",
        assigned_at_ms=2_000 + attempt,
        deadline_ms=32_000,
    )


def settled(number: int, *, text: str = "hola", dropped: bool = False) -> JobSettled:
    message = TranslationResult(
        session_id="s-1",
        utterance_index=number - 1,
        job_id=f"job-{number}",
        text_asr="hello",
        text_translated=text,
        tts_audio="UklG",
        tts_format="wav",
        trace_id="t-1",
        extra={"service_timings": {"asr_ms": 1}},
    )
    return JobSettled(
        job_id=f"job-{number}",
        kind="translated",
        settled_at_ms=3_000,
        message=message,
        dropped=dropped,
    )


def failed(number: int) -> JobSettled:
    message = MissingResult(
        session_id="s-1",
        utterance_index=number - 1,
        reason="job_timeout",
        created_at_ms=3_000,
        job_id=f"job-{number}",
        code="JOB_TIMEOUT",
        hint="too late",
    )
    return JobSettled(
        job_id=f"job-{number}",
        kind="job_timeout",
        settled_at_ms=3_000,
        message=message,
        code="JOB_TIMEOUT",
        hint="too late",
    )


def ignore(*told: object) -> None:
    """For journals from which nothing is expected but their work."""


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[None]:
    """Run the journal for the block; at its end everything appended has been kept."""
    async with trio.open_nursery() as nursery:
        events = JournalEvents(committed=ignore, failed=ignore, mended=ignore)
        await nursery.start(journal.run, events)
        yield
        nursery.cancel_scope.cancel()


async def memory(path: Path) -> Journal:
    return MemoryJournal()


async def sqlite(path: Path) -> Journal:
    return open_sqlite(path / "journal.sqlite3", Config())


async def sqlite_full(path: Path) -> Journal:
    return open_sqlite(path / "journal.sqlite3", Config(journal_sync="full"))


ALL = pytest.mark.parametrize("open_it", [memory, sqlite, sqlite_full])
DURABLE = pytest.mark.parametrize("open_it", [sqlite, sqlite_full])


async def remembered(
    open_it: Factory, path: Path, *batches: Sequence[Record]
) -> tuple[RememberedSession, ...]:
    """What another process finds after one that was given ``batches``, each its own commit."""
    journal = await open_it(path)
    async with running(journal):
        for batch in batches:
            journal.append(batch)
            while journal.committed < journal.position:
                await trio.lowlevel.checkpoint()
    later = await open_it(path)
    async with running(later):
        return await later.recover()


@ALL
async def test_positions_count_records(open_it: Factory, tmp_path: Path) -> None:
    """A position is the number of records appended; it is committed once all of them are kept."""
    journal = await open_it(tmp_path)
    async with running(journal):
        journal.append([BEGAN])
        journal.append([accepted(1), accepted(2)])
        assert journal.position == 3
        while journal.committed < 3:
            await trio.lowlevel.checkpoint()
        assert journal.committed == journal.position == 3


@ALL
async def test_a_new_journal_remembers_nothing(open_it: Factory, tmp_path: Path) -> None:
    """Without an earlier process there is nothing to recover."""
    journal = await open_it(tmp_path)
    async with running(journal):
        assert await journal.recover() == ()


@DURABLE
async def test_what_is_owed_comes_back_whole(open_it: Factory, tmp_path: Path) -> None:
    """Sessions, unfinished jobs with their last attempt, and outcomes come back as they were."""
    sessions = await remembered(
        open_it,
        tmp_path,
        [BEGAN, accepted(1), accepted(2), accepted(3)],
        [attempted(1, 1), attempted(2, 1), settled(2), attempted(1, 2), failed(3)],
    )

    assert sessions == (
        RememberedSession(
            began=BEGAN,
            jobs=(
                RememberedJob(accepted=accepted(1), attempted=(attempted(1, 1), attempted(1, 2))),
                RememberedJob(
                    accepted=accepted(2, audio=""), attempted=(attempted(2),), settled=settled(2)
                ),
                RememberedJob(accepted=accepted(3, audio=""), settled=failed(3)),
            ),
        ),
    )


@DURABLE
async def test_what_was_received_is_known_but_not_kept(open_it: Factory, tmp_path: Path) -> None:
    """Of an acknowledged outcome only the index stays, so that the utterance never runs again."""
    received = OutcomesReceived(session_id="s-1", seq=2, job_ids=("job-1", "job-2"))
    stale = OutcomesReceived(session_id="s-1", seq=1, job_ids=("job-1",))
    batch: list[Record] = [BEGAN, accepted(1), accepted(2), settled(1), settled(2), received]
    batch += [stale, accepted(3)]
    (session,) = await remembered(open_it, tmp_path, batch)

    assert session.acked_seq == 2
    assert session.received == ((0, "job-1"), (1, "job-2"))
    assert session.jobs == (RememberedJob(accepted=accepted(3)),)


@DURABLE
async def test_the_later_outcome_counts(open_it: Factory, tmp_path: Path) -> None:
    """An outcome that took another's place (salvaged, or dropped) is the one that comes back."""
    batch: list[Record] = [BEGAN, accepted(1), failed(1), settled(1, dropped=True)]
    (session,) = await remembered(open_it, tmp_path, batch)

    assert session.jobs[0].settled == settled(1, dropped=True)


@DURABLE
async def test_what_is_forgotten_is_gone(open_it: Factory, tmp_path: Path) -> None:
    """A closed session leaves nothing; nor does a job that was never promised."""
    other = attrs.evolve(BEGAN, session_id="s-2")
    begun: list[Record] = [BEGAN, other, accepted(1), accepted(2, "s-2"), accepted(3)]
    forgotten: list[Record] = [SessionForgotten(session_id="s-2"), JobForgotten(job_id="job-3")]
    sessions = await remembered(open_it, tmp_path, begun, forgotten)

    assert sessions == (
        RememberedSession(began=BEGAN, jobs=(RememberedJob(accepted=accepted(1)),)),
    )


@DURABLE
async def test_records_may_be_repeated(open_it: Factory, tmp_path: Path) -> None:
    """A batch of which nobody knows whether it was kept can be written again."""
    batch: list[Record] = [BEGAN, accepted(1), attempted(1), settled(1)]
    once = await remembered(open_it, tmp_path / "once", batch)
    twice = await remembered(open_it, tmp_path / "twice", batch, batch)

    assert once == twice


def test_acceptances_are_told_apart() -> None:
    """Only what accepts a job is an acceptance."""
    assert acceptances([BEGAN, accepted(1), settled(2), accepted(3)]) == ("job-1", "job-3")
