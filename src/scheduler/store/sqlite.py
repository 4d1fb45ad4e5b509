"""The embedded journal: one SQLite file, one writer, many records to a commit.

Records collect while a commit is under way and go into the next one together (group
commit), so that a slow disk makes batches larger and not the queue longer. The commits run in
a thread, one at a time, and one that was begun is never abandoned: its batch would be neither
kept nor not kept.

``normal`` survives the end of the process, however it ends; ``full`` also waits for the disk
and survives the loss of power (sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import structlog
import trio

from scheduler.config import Config
from scheduler.core.records import Record, RememberedSession
from scheduler.store import rows, schema
from scheduler.store.journal import JournalError, JournalEvents, acceptances

log = structlog.get_logger()

BUSY_TIMEOUT_SECONDS = 1.0
"""How long a commit waits for somebody who reads the file at that moment."""


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
        self, path: Path, connection: sqlite3.Connection, lock: IO[bytes], config: Config
    ) -> None:
        self.name = str(path)
        self.position = self.committed = 0
        self.commits = 0
        self._connection = connection
        self._lock = lock
        self._audio_at_rest = config.audio_at_rest
        self._retry_interval = config.journal_retry_interval
        self._records_max = config.journal_records_max
        self._pending: list[Record] = []
        self._batch: list[Record] = []
        self._appended = trio.Event()
        self._crowded = trio.Event()
        self._thread = trio.CapacityLimiter(1)
        self._failing = False
        self._events: JournalEvents | None = None

    async def recover(self) -> tuple[RememberedSession, ...]:
        """Read the whole file. Raises ``JournalError`` if its content makes no sense."""
        try:
            return await trio.to_thread.run_sync(rows.read, self._connection, limiter=self._thread)
        except Exception as error:  # noqa: BLE001  # whatever is in the file, it is the file's fault
            raise JournalError(f"{self.name} cannot be read ({error})") from None

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
                        self._appended = trio.Event()
                        await self._appended.wait()
                    if not await self._commit():
                        await trio.sleep(self._retry_interval)
        finally:
            with trio.CancelScope(shield=True):
                if self._pending or self._batch:
                    await self._commit()
                await trio.to_thread.run_sync(self._close, limiter=self._thread)

    async def _tell_when_crowded(self) -> None:
        """A disk that hangs says nothing; that more waits than may wait says enough."""
        while True:
            await self._crowded.wait()
            self._crowded = trio.Event()
            self._fail("more records wait than journal_records_max", [])

    async def _commit(self) -> bool:
        """One transaction with everything that waits; False if it could not be written."""
        self._batch += self._pending
        self._pending = []
        batch = list(self._batch)
        with trio.CancelScope(shield=True):
            problem = await trio.to_thread.run_sync(self._write, batch, limiter=self._thread)
        if problem is not None:
            self._fail(problem, self._batch + self._pending)
            return False
        self._batch = []
        self.committed += len(batch)
        self.commits += 1
        assert self._events is not None
        if self._failing and len(self._pending) <= self._records_max:
            self._failing = False
            log.info("journal_mended", path=self.name)
            self._events.mended()
        self._events.committed()
        return True

    def _fail(self, problem: str, unkept: list[Record]) -> None:
        if not self._failing:
            log.error("journal_failed", path=self.name, problem=problem)
        self._failing = True
        assert self._events is not None
        self._events.failed(acceptances(unkept))

    def _write(self, batch: list[Record]) -> str | None:
        """In the thread: all of the batch or nothing. The problem, if there is one."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            rows.write(self._connection, batch, audio_at_rest=self._audio_at_rest)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return f"{error}"
        return None

    def _close(self) -> None:
        self._connection.close()
        self._lock.close()


def open_sqlite(path: Path, config: Config) -> SqliteJournal:
    """Open or make the journal at ``path``. Blocks for a moment; for before the start.

    Raises :class:`~scheduler.store.journal.JournalError` if another scheduler has it, if it is
    damaged, newer, or not ours, or if it cannot be made; what is there is left untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("wb")
    except OSError as error:
        raise JournalError(f"cannot make the journal {path} ({error.strerror})") from None
    try:
        _lock(lock, path)
        connection = _opened(path, config)
    except BaseException:
        lock.close()
        raise
    return SqliteJournal(path, connection, lock, config)


def _lock(lock: IO[bytes], path: Path) -> None:
    """The system gives the lock back when the process ends, however it ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = f"another scheduler is using the journal {path}"
        raise JournalError(f"{text}; stop it, or name another file with --journal") from None


def _opened(path: Path, config: Config) -> sqlite3.Connection:
    if path.exists():
        with_content = connect(path, read_only=True)
        try:
            version = schema.check(with_content, path)
        finally:
            with_content.close()
    else:
        version = 0
    try:
        connection = connect(path)
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {config.journal_sync}")
        schema.migrate(connection, version)
        connection.execute("PRAGMA incremental_vacuum")
    except sqlite3.Error as error:
        raise JournalError(f"the journal {path} cannot be written ({error})") from None
    path.chmod(0o600)
    return connection
