"""What is in a journal's file, in numbers and names: never speech, texts or tokens."""

import contextlib
import sqlite3
from pathlib import Path

import attrs

from scheduler.store import schema
from scheduler.store.claim import unusable
from scheduler.store.journal import JournalError
from scheduler.store.sqlite import connect


@attrs.frozen(kw_only=True)
class SessionSurvey:
    """One session: how much is still to be done for it, and how much it has not received."""

    session_id: str
    joined_at_ms: int
    unfinished: int
    unacknowledged: int
    received: int
    acked_seq: int


@attrs.frozen(kw_only=True)
class Survey:
    """A whole file. ``file_bytes`` includes what waits in the write-ahead log beside it."""

    path: str
    version: int
    file_bytes: int
    audio_chars: int
    outcome_chars: int
    sessions: tuple[SessionSurvey, ...]


def survey(path: Path) -> Survey:
    """Look at the journal at ``path``, also while a scheduler is using it.

    Raises :class:`~scheduler.store.journal.JournalError` if there is none, or it cannot be read.
    """
    try:
        path = path.resolve()
        if not path.exists():
            raise JournalError(f"there is no journal at {path}")
        if not path.is_file():  # to open a pipe would wait for somebody who writes into it
            raise JournalError(f"{path} is no file; name another one with --journal")
        with contextlib.closing(connect(path, read_only=True)) as connection:
            return _survey(connection, path, schema.check(connection, path))
    except (OSError, RuntimeError, ValueError) as error:
        raise unusable(path, error) from None
    except sqlite3.Error as error:
        raise JournalError(f"{path} cannot be read ({error})") from None


def _survey(connection: sqlite3.Connection, path: Path, version: int) -> Survey:
    if version != schema.VERSION:
        text = f"{path} has content of version {version}; a scheduler that opens it brings it"
        raise JournalError(f"{text} to version {schema.VERSION}")
    (audio,) = connection.execute("SELECT coalesce(sum(length(audio)), 0) FROM audio").fetchone()
    (outcomes,) = connection.execute(
        "SELECT coalesce(sum(length(message)), 0) FROM jobs"
    ).fetchone()
    rows = connection.execute(
        "SELECT session_id, joined_at_ms, acked_seq,"
        " count(job_id) FILTER (WHERE kind IS NULL) AS unfinished,"
        " count(job_id) FILTER (WHERE kind IS NOT NULL AND NOT received) AS unacknowledged,"
        " count(job_id) FILTER (WHERE received) AS received"
        " FROM sessions LEFT JOIN jobs USING (session_id)"
        " GROUP BY session_id ORDER BY joined_at_ms, session_id"
    )
    files = (path, path.with_name(f"{path.name}-wal"))
    return Survey(
        path=str(path),
        version=version,
        file_bytes=sum(file.stat().st_size for file in files if file.exists()),
        audio_chars=audio,
        outcome_chars=outcomes,
        sessions=tuple(SessionSurvey(**row) for row in rows),
    )
