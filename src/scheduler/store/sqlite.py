"""The embedded journal: one SQLite file, one writer, many records to a commit.

Records collect while a commit is under way and go into the next one together (group
commit), so that a slow disk makes batches larger and not the queue longer. The commits run in
a thread, one at a time, and one that was begun is never abandoned: its batch would be neither
kept nor not kept.

``normal`` survives the end of the process, however it ends; ``full`` also waits for the disk
and survives the loss of power (sqlite.org/pragma.html#pragma_synchronous).
"""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import structlog
import trio

from scheduler.config import Config
from scheduler.core.records import Record, RememberedSession
from scheduler.store import rows, schema
from scheduler.store.claim import Claim, claim
from scheduler.store.journal import JournalError, JournalEvents, acceptances

log = structlog.get_logger()

BUSY_TIMEOUT_SECONDS = 1.0
"""How long a commit waits for somebody who reads the file at that moment."""
FREE_PAGES_MAX = 1024
"""How many free pages (of 4 KiB) the file may keep for what comes next."""
SHRINK_STEP_PAGES = 256
"""How many of the others are given back at a time, before the next commit has its turn."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; transactions are begun by hand."""
    uri = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False,
        timeout=BUSY_TIMEOUT_SECONDS,
    )  # fmt: skip
    connection.row_factory = sqlite3.Row
    return connection


class SqliteJournal:
    """See :class:`~scheduler.store.journal.Journal`. Made by :func:`open_sqlite`."""

    durable = True

    def __init__(
        self,
        claimed: Claim,
        connection: sqlite3.Connection,
        left: tuple[RememberedSession, ...],
        config: Config,
    ) -> None:
        self.name = str(claimed.path)
        self.position = self.committed = 0
        self.commits = 0
        self._connection = connection
        self._claimed = claimed
        self._left = left
        self._audio_at_rest = config.audio_at_rest
        self._retry_interval = config.journal_retry_interval
        self._records_max = config.journal_records_max
        self._pending: list[Record] = []
        self._batch: list[Record] = []
        self._appended = trio.Event()
        self._crowded = trio.Event()
        self._thread = trio.CapacityLimiter(1)
        self._failing = False
        self._free_pages = 0
        self._events: JournalEvents | None = None

    async def recover(self) -> tuple[RememberedSession, ...]:
        """What was in the file when it was opened."""
        await trio.lowlevel.checkpoint()
        left, self._left = self._left, ()
        return left

    def append(self, records: Iterable[Record]) -> None:
        """Take records; they are kept by the next commit."""
        self._pending.extend(records)
        self.position = self.committed + len(self._batch) + len(self._pending)
        self._appended.set()
        if len(self._pending) > self._records_max:
            self._crowded.set()

    async def run(
        self,
        events: JournalEvents,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Commit what is appended, until cancelled; then commit the rest and close the file."""
        self._events = events
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell_when_crowded)
                while True:
                    if not self._pending and not self._batch:
                        await self._idle()
                    if not await self._commit():
                        await trio.sleep(self._retry_interval)
        finally:
            with trio.CancelScope(shield=True):
                await self._end()

    async def _idle(self) -> None:
        """Until something is appended. There is time now to give back what is not needed."""
        self._appended = trio.Event()
        while self._free_pages > FREE_PAGES_MAX and not self._appended.is_set():
            await trio.to_thread.run_sync(self._shrink, limiter=self._thread)
        await self._appended.wait()

    async def _tell_when_crowded(self) -> None:
        """A disk that hangs says nothing; that more waits than may wait says enough."""
        while True:
            await self._crowded.wait()
            self._crowded = trio.Event()
            if self._pending or self._batch:  # else nothing is to come that would tell its end
                self._fail("more records wait than journal_records_max", [])

    async def _commit(self) -> bool:
        """One transaction with everything that waits; False if it could not be written."""
        problem = await self._keep()
        await trio.lowlevel.checkpoint_if_cancelled()  # whom we would tell may have ended already
        if problem is not None:
            self._fail(problem, self._batch + self._pending)
            return False
        assert self._events is not None
        if self._failing and len(self._pending) <= self._records_max:
            self._failing = False
            log.info("journal_mended", path=self.name)
            self._events.mended()
        self._events.committed()
        return True

    async def _keep(self) -> str | None:
        """Write everything that waits. The problem, if that could not be done; then it waits on.

        Whatever the thread raises, nothing of the batch was kept: that is a commit that failed,
        and no end of the scheduler.
        """
        self._batch += self._pending
        self._pending = []
        batch = list(self._batch)
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write, batch, limiter=self._thread)
        except Exception as error:  # noqa: BLE001  # no memory, no thread, no text, no number
            return _named(error)
        self._batch = []
        self.committed += len(batch)
        self.commits += 1
        return None

    def _fail(self, problem: str, unkept: list[Record]) -> None:
        if not self._failing:
            log.error("journal_failed", path=self.name, problem=problem)
        self._failing = True
        assert self._events is not None
        self._events.failed(problem, acceptances(unkept))

    async def _end(self) -> None:
        """Keep what is left and close the file. Nobody is there any more who could be told."""
        if (self._pending or self._batch) and (problem := await self._keep()) is not None:
            log.error("journal_failed", path=self.name, problem=problem, lost=len(self._batch))
        await trio.to_thread.run_sync(self._close, limiter=self._thread)

    def _write(self, batch: list[Record]) -> None:
        """In the thread: all of the batch or nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            rows.write(self._connection, batch, audio_at_rest=self._audio_at_rest)
            free_pages = _free_pages(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            raise
        self._free_pages = free_pages

    def _shrink(self) -> None:
        """In the thread: give some of the free pages back. What cannot be done now is left."""
        try:
            vacuum(self._connection, SHRINK_STEP_PAGES)
            self._free_pages = _free_pages(self._connection)
            if self._free_pages <= FREE_PAGES_MAX:  # only now does the file itself get shorter
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            self._free_pages = 0  # as far as we know, until the next commit

    def _close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            vacuum(self._connection)
        self._connection.close()
        self._claimed.release()


def vacuum(connection: sqlite3.Connection, pages: int = 0) -> None:
    """Give so many free pages back to the system, or all of them.

    SQLite frees one page per step of this statement, which has rows without columns: of all
    ways to run it, only a script steps it to its end.
    """
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _named(error: Exception) -> str:
    """What went wrong. Only SQLite's own words are known to repeat nothing that was said."""
    return str(error) if isinstance(error, sqlite3.Error) else type(error).__name__


def open_sqlite(path: Path, config: Config) -> SqliteJournal:
    """Open or make the journal at ``path`` and read it. Blocks; for before the start.

    Raises :class:`~scheduler.store.journal.JournalError` if another scheduler has it, if it is
    damaged, newer, not ours, or has a row that cannot be read, or if it cannot be made; what is
    there is left untouched.
    """
    claimed = claim(path)
    try:
        connection, left = _opened(claimed, config)
    except BaseException:
        claimed.release()
        raise
    return SqliteJournal(claimed, connection, left, config)


def _opened(
    claimed: Claim, config: Config
) -> tuple[sqlite3.Connection, tuple[RememberedSession, ...]]:
    """The file, brought up to date, and what is in it: read before anything is written."""
    path = claimed.path
    version, left = _looked_at(path)
    claimed.to_owner_only()
    with contextlib.ExitStack() as undo:
        try:
            connection = connect(path)
            undo.callback(connection.close)
            if version == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {config.journal_sync}")
            if version != schema.VERSION:
                schema.migrate(connection, version)
                left = rows.read(connection)
            vacuum(connection)
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be written ({error})") from None
        except rows.Unreadable as error:
            raise unreadable(path, error) from None
        undo.pop_all()
    return connection, left


def _looked_at(path: Path) -> tuple[int, tuple[RememberedSession, ...]]:
    """The version of the content, and the content if it is of the present one. Reads only."""
    try:
        connection = connect(path, read_only=True)
    except sqlite3.Error as error:
        raise unreadable(path, error) from None
    try:
        version = schema.check(connection, path)
        return version, rows.read(connection) if version == schema.VERSION else ()
    except (sqlite3.Error, rows.Unreadable) as error:
        raise unreadable(path, error) from None
    finally:
        connection.close()


def unreadable(path: Path, error: Exception) -> JournalError:
    """The one sentence for a journal of which something cannot be read."""
    text = f"the journal {path} cannot be read ({error}); it was left untouched"
    return JournalError(f"{text}. Move it away, or name another file with --journal")
