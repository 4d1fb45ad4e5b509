"""The file of the SQLite journal: who may have it, what is refused, and what a full disk does."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from journal_support import BEGAN, SPEECH, Events, accepted, keep, kept, settled
from process_support import PATIENCE_S

from scheduler.config import Config
from scheduler.core.records import JobAccepted
from scheduler.store.journal import JournalError
from scheduler.store.sqlite import open_sqlite


def content(path: Path) -> dict[str, bytes]:
    """The bytes of the journal's file, and of those that SQLite puts beside it."""
    return {p.name: p.read_bytes() for p in path.parent.glob(f"{path.name}*")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


async def test_a_second_scheduler_is_refused(path: Path) -> None:
    """Two schedulers never share a file; when the first has ended, the second may have it."""
    journal = open_sqlite(path, Config())
    with pytest.raises(JournalError, match="another scheduler is using"):
        open_sqlite(path, Config())
    await keep(journal)
    await keep(open_sqlite(path, Config()), BEGAN)


async def test_what_is_appended_before_the_end_is_kept(path: Path) -> None:
    """Ending a journal keeps everything that was appended until then."""
    await keep(open_sqlite(path, Config()), BEGAN, accepted(1))
    assert [job.accepted for job in await kept(path)] == [accepted(1)]


async def test_records_that_wait_share_a_commit(path: Path) -> None:
    """However many records wait, they go into one commit together."""
    journal = open_sqlite(path, Config())
    async with trio.open_nursery() as nursery:
        events = Events()
        journal.append([BEGAN])
        journal.append([accepted(number) for number in range(100)])
        await nursery.start(journal.run, events.listeners)
        while journal.committed < 101:
            await trio.lowlevel.checkpoint()
        assert journal.commits == 1
        assert events.told == ["committed"]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "damage", [b"not a database at all, but long enough to be looked at" * 20, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_journal_is_refused(path: Path, damage: bytes) -> None:
    """What is no database is refused in a sentence that names it, and left as it is."""
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(JournalError, match=r"journal\.sqlite3 is no journal.*left untouched"):
        open_sqlite(path, Config())
    assert content(path) == {path.name: damage}


async def test_a_damaged_journal_is_refused(path: Path) -> None:
    """A journal with a broken page is refused and left as it is."""
    await keep(open_sqlite(path, Config()), BEGAN, *map(accepted, range(50)))
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(JournalError, match="left untouched"):
        open_sqlite(path, Config())
    assert content(path)[path.name] == bytes(data)


async def test_a_newer_journal_is_refused(path: Path) -> None:
    """A journal of a later version is refused, with both versions, and left as it is."""
    await keep(open_sqlite(path, Config()), BEGAN)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match=r"newer version.*content 99"):
        open_sqlite(path, Config())
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    """A database that is not ours is never written to."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        open_sqlite(path, Config())
    assert path.read_bytes() == before


async def test_audio_goes_with_the_outcome(path: Path) -> None:
    """Once a job is settled its audio is in the file no more."""
    await keep(open_sqlite(path, Config()), BEGAN, accepted(1))
    assert SPEECH.encode() in path.read_bytes()
    await keep(open_sqlite(path, Config()), settled(1))
    (job,) = await kept(path)
    assert job.accepted.utterance.audio == ""


async def test_audio_may_be_kept_out(path: Path) -> None:
    """Without audio at rest no byte of it is ever in a file."""
    config = Config(audio_at_rest=False)
    journal = open_sqlite(path, config)
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Events().listeners)
        journal.append([BEGAN, accepted(1)])
        while journal.committed < journal.position:
            await trio.lowlevel.checkpoint()
        assert not any(SPEECH.encode() in data for data in content(path).values())
        nursery.cancel_scope.cancel()
    assert SPEECH.encode() not in path.read_bytes()


async def test_the_file_stays_bounded(path: Path) -> None:
    """What is settled makes room: a thousand jobs one after the other need the room of a few."""
    journal = open_sqlite(path, Config())
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Events().listeners)
        journal.append([BEGAN])
        for number in range(1000):
            journal.append([accepted(number, audio="A" * 10_000), settled(number)])
            if number % 50 == 0:
                while journal.committed < journal.position:
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert path.stat().st_size < 2_000_000


async def test_a_full_disk_is_told_and_forgiven(path: Path) -> None:
    """A commit that fails names what it would have accepted; nothing of it counts as kept until
    there is room again, and then all of it does, in order."""
    journal = open_sqlite(path, Config(journal_retry_interval=1 / 64))
    journal._connection.execute("PRAGMA max_page_count = 12")
    events = Events()
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events.listeners)
        journal.append([BEGAN, accepted(1, audio="A" * 100_000)])
        while ("job-1",) not in events.told:
            await trio.lowlevel.checkpoint()
        assert journal.committed == 0
        journal.append([accepted(2)])
        journal._connection.execute("PRAGMA max_page_count = 100000")
        while journal.committed < 3:
            await trio.lowlevel.checkpoint()
        assert events.told[-2:] == ["mended", "committed"]
        nursery.cancel_scope.cancel()
    assert [job.accepted.job_id for job in await kept(path)] == ["job-1", "job-2"]


async def test_a_disk_that_hangs_is_told(path: Path) -> None:
    """When more records wait than may, that is told as a failure: nothing more is to be taken."""
    journal = open_sqlite(path, Config(journal_records_max=10, jobs_per_session_max=9))
    events = Events()
    journal.append([accepted(number) for number in range(11)])
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events.listeners)
        while not events.told:
            await trio.lowlevel.checkpoint()
        while journal.committed < 11:
            await trio.lowlevel.checkpoint()
        assert () in events.told
        assert "mended" in events.told
        nursery.cancel_scope.cancel()


async def test_a_crowd_that_is_gone_is_no_failure(path: Path) -> None:
    """Told after its last commit, a failure would have no end: nothing comes that mends it."""
    journal = open_sqlite(path, Config(journal_records_max=10, jobs_per_session_max=9))
    events = Events()
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events.listeners)
        journal.append([accepted(1)])
        while journal.committed < 1:
            await trio.lowlevel.checkpoint()
        journal._crowded.set()
        await trio.testing.wait_all_tasks_blocked()
        assert () not in events.told
        nursery.cancel_scope.cancel()


async def test_a_row_that_cannot_be_read_refuses_the_file(path: Path) -> None:
    """Which row it is gets said, and the file and all beside it are left untouched."""
    await keep(open_sqlite(path, Config()), BEGAN, accepted(1), accepted(2))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE jobs SET utterance = '{}' WHERE job_id = 'job-2'")
        connection.commit()
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=r"job 'job-2': \$\.type.*left untouched"):
            open_sqlite(path, Config())
    assert path.read_bytes() == before


async def grown(path: Path, audio_chars: int) -> int:
    """The size of a journal that another scheduler left, full of speech and then done with it."""
    await keep(open_sqlite(path, Config()), BEGAN, accepted(1, audio="A" * audio_chars))
    size = path.stat().st_size
    assert size > audio_chars
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM audio")
        connection.commit()
    assert path.stat().st_size == size
    return size


async def test_a_file_gets_shorter_when_it_is_opened(path: Path) -> None:
    """Room that an earlier process left free is given back at the next start."""
    size = await grown(path, 1_000_000)
    journal = open_sqlite(path, Config())
    assert free_pages(path) == 0
    await keep(journal)
    assert path.stat().st_size < size / 10


async def test_a_file_gets_shorter_when_it_is_closed(path: Path) -> None:
    """What expired in the life of a scheduler takes no room after it."""
    journal = open_sqlite(path, Config())
    await keep(journal, BEGAN, accepted(1, audio="A" * 1_000_000), settled(1))
    assert path.stat().st_size < 100_000


async def test_a_file_gets_shorter_while_it_is_used(path: Path) -> None:
    """As soon as there is nothing to commit, a file that was large is made small again."""
    journal = open_sqlite(path, Config())
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Events().listeners)
        journal.append([BEGAN, accepted(1, audio="A" * 20_000_000)])
        while journal.committed < 2:
            await trio.lowlevel.checkpoint()
        assert sum(map(len, content(path).values())) > 20_000_000
        journal.append([settled(1)])
        with trio.fail_after(PATIENCE_S):
            while sum(map(len, content(path).values())) > 5_000_000:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


def free_pages(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (lambda job: attrs.evolve(job, order=2**63), "OverflowError"),
        (lambda job: attrs.evolve(job, trace_id="\ud800"), "UnicodeEncodeError"),
    ],
)
async def test_no_error_of_the_thread_ends_anything(
    path: Path, trouble: Callable[[JobAccepted], JobAccepted], why: str
) -> None:
    """What cannot be written, for whatever reason, is a commit that failed: told as that, with
    what it would have accepted, kept waiting, and nothing of its batch is in the file."""
    journal = open_sqlite(path, Config(journal_retry_interval=1 / 64))
    events = Events()
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events.listeners)
        journal.append([BEGAN])
        while journal.committed < 1:
            await trio.lowlevel.checkpoint()
        journal.append([accepted(1), trouble(accepted(2))])
        while events.told.count(("job-1", "job-2")) < 2:  # it is tried again, too
            await trio.lowlevel.checkpoint()
        assert journal.committed == 1
        assert events.reasons == {why}
        nursery.cancel_scope.cancel()
    assert await kept(path) == ()


async def test_an_end_without_room_is_an_end(path: Path) -> None:
    """What cannot be kept at the very end is told to nobody: there is nobody left to be told."""
    journal = open_sqlite(path, Config(journal_retry_interval=1 / 64))
    events = Events()
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events.listeners)
        journal.append([BEGAN, attrs.evolve(accepted(1), order=2**63)])
        nursery.cancel_scope.cancel()
    assert events.told == []
    await keep(open_sqlite(path, Config()), BEGAN)
