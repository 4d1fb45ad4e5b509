"""The tables of the SQLite journal, by version, and how an older file becomes a newer one.

``PRAGMA user_version`` is the version of the content, ``PRAGMA application_id`` says that the
file is one of ours. A file that is neither empty nor ours, or newer than this program, is
refused and left as it is.
"""

import sqlite3
from pathlib import Path

from scheduler.store import rows
from scheduler.store.journal import JournalError

APPLICATION_ID = 0x4C53_4A31
"""The bytes ``LSJ1``."""

STEPS = (
    """
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        resume_token TEXT NOT NULL,
        hello TEXT NOT NULL,
        trace_id TEXT NOT NULL,
        joined_at_ms INTEGER NOT NULL,
        acked_seq INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        utterance_index INTEGER NOT NULL,
        trace_id TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        utterance TEXT,
        cut TEXT,
        audio TEXT,
        attempt INTEGER,
        node_id TEXT,
        assigned_at_ms INTEGER,
        deadline_ms INTEGER,
        kind TEXT,
        code TEXT,
        hint TEXT,
        settled_at_ms INTEGER,
        message TEXT,
        dropped INTEGER NOT NULL DEFAULT 0,
        received INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_session ON jobs (session_id, place);
    """,
    # Audio in a table of its own: rows that are rewritten at every step of a job stay small.
    """
    CREATE TABLE audio (job_id TEXT PRIMARY KEY, audio TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO audio SELECT job_id, audio FROM jobs WHERE audio IS NOT NULL AND kind IS NULL;
    ALTER TABLE jobs DROP COLUMN audio;
    """,
    # Every attempt, not only the last one: a node of the base never gets a job twice.
    """
    CREATE TABLE attempts (
        job_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        node_id TEXT NOT NULL,
        assigned_at_ms INTEGER NOT NULL,
        deadline_ms INTEGER NOT NULL,
        PRIMARY KEY (job_id, number)
    ) WITHOUT ROWID;
    INSERT INTO attempts SELECT job_id, attempt, node_id, assigned_at_ms, deadline_ms FROM jobs
        WHERE attempt IS NOT NULL;
    ALTER TABLE jobs DROP COLUMN attempt;
    ALTER TABLE jobs DROP COLUMN node_id;
    ALTER TABLE jobs DROP COLUMN assigned_at_ms;
    ALTER TABLE jobs DROP COLUMN deadline_ms;
    """,
)
"""Step ``n`` makes version ``n`` (from 1) of the one before it. Never changed, only added to."""

VERSION = len(STEPS)


def check(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file's content; 0 for a new one. Reads only.

    Raises :class:`~scheduler.store.journal.JournalError` if it is not to be touched, and
    :exc:`sqlite3.OperationalError` if the system does not let it be read at all.
    """
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        text = f"{path} is no journal, or a damaged one ({error}); it was left untouched"
        raise JournalError(f"{text}. Move it away, or name another file with --journal") from None
    if tables == 0 and version == 0:
        return 0
    if application != APPLICATION_ID:
        raise JournalError(
            f"{path} is a database of another program; name another file with --journal"
        )
    if version > VERSION:
        raise JournalError(
            f"{path} was written by a newer version of this program (content {version}, "
            f"this one knows {VERSION}); it was left untouched"
        )
    if problem != "ok":
        text = f"{path} is damaged ({problem}); it was left untouched"
        raise JournalError(f"{text}. Move it away, or name another file with --journal")
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the content from ``version`` to the present one; all of it or nothing.

    What came of it is read before it is kept: raises :exc:`~scheduler.store.rows.Unreadable`.
    """
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[version:]:
            for statement in step.split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        rows.read(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
