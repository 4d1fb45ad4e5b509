"""The file of the SQLite journal: who may have it, what is refused, and what a full disk does."""

import sqlite3
from pathlib import Path

import pytest
import trio
from journal_support import BEGAN, SPEECH, Events, accepted, keep, kept, settled

from scheduler.config import Config
from scheduler.store.journal import JournalError
from scheduler.store.sqlite import open_sqlite


def content(path: Path) -> dict[str, bytes]:
    """The bytes of the journal's file, and of those that SQLite puts beside it."""
    found = path.parent.glob(f"{path.name}*")
    return {p.name: p.read_bytes() for p in found if not p.name.endswith(".lock")}


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


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A path below a file is refused in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot make the journal"):
        open_sqlite(tmp_path / "file" / "journal.sqlite3", Config())


async def test_only_its_owner_may_read_it(path: Path) -> None:
    """The file holds speech and tokens: nobody else may read it."""
    await keep(open_sqlite(path, Config()), BEGAN)
    assert path.stat().st_mode & 0o077 == 0


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
    journal = open_sqlite(path, Config(journal_records_max=10))
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
