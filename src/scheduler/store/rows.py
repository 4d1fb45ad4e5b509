"""Records to rows of the SQLite journal, and rows back to what is remembered.

Plain functions on an open connection, run in the journal's thread. Writing the same records
again changes nothing, so a batch of which nobody knows whether it was kept can be repeated.

What is read was written here: it is held to its types, but not to the bounds that peers are
held to. They are asked when something is accepted, and may be others in a later version.

One row that cannot be read makes the whole file unreadable (:exc:`Unreadable`). To go on
without it would break a promise in silence, and nobody could look at it any more.
"""

import contextlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, assert_never

import attrs

from scheduler.core.job import Cut, OutcomeKind
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
from scheduler.wire.codec import decode_own, encode
from scheduler.wire.session import (
    TO_SESSION,
    MissingResult,
    SessionInit,
    TranslationResult,
    Utterance,
)

M = TypeVar("M")
OUTCOMES: Mapping[str, type[TranslationResult | MissingResult]] = {
    tag: kind
    for tag, kind in TO_SESSION.items()
    if issubclass(kind, TranslationResult | MissingResult)
}


class Unreadable(Exception):
    """A row makes no sense; the text names it and says what is wrong, without its content."""


def write(
    connection: sqlite3.Connection, records: Iterable[Record], *, audio_at_rest: bool
) -> None:
    """Execute what the records say, in order. The caller begins and commits."""
    run = connection.execute
    for record in records:
        match record:
            case SessionBegan():
                run(
                    "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, 0)",
                    (record.session_id, record.resume_token, encode(record.hello),
                     record.trace_id, record.joined_at_ms),
                )  # fmt: skip
            case SessionForgotten():
                _forget_session(connection, record.session_id)
            case JobAccepted():
                _accept(connection, record, audio_at_rest)
            case JobAttempted():
                run(
                    "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?)",
                    (record.job_id, record.attempt, record.node_id, record.assigned_at_ms,
                     record.deadline_ms),
                )  # fmt: skip
            case JobSettled():
                run(
                    "UPDATE jobs SET kind = ?, code = ?, hint = ?, settled_at_ms = ?, message = ?,"
                    " dropped = ? WHERE job_id = ?",
                    (record.kind, record.code, record.hint, record.settled_at_ms,
                     encode(record.message), record.dropped, record.job_id),
                )  # fmt: skip
                run("DELETE FROM audio WHERE job_id = ?", (record.job_id,))
            case OutcomesReceived():
                run(
                    "UPDATE sessions SET acked_seq = max(acked_seq, ?) WHERE session_id = ?",
                    (record.seq, record.session_id),
                )
                connection.executemany(
                    "UPDATE jobs SET received = 1, utterance = NULL, message = NULL,"
                    " hint = NULL WHERE job_id = ?",
                    [(job_id,) for job_id in record.job_ids],
                )
                connection.executemany(
                    "DELETE FROM attempts WHERE job_id = ?",
                    [(job_id,) for job_id in record.job_ids],
                )
            case JobForgotten():
                run("DELETE FROM audio WHERE job_id = ?", (record.job_id,))
                run("DELETE FROM attempts WHERE job_id = ?", (record.job_id,))
                run("DELETE FROM jobs WHERE job_id = ?", (record.job_id,))
            case _:
                assert_never(record)


def _accept(connection: sqlite3.Connection, record: JobAccepted, audio_at_rest: bool) -> None:
    said = record.utterance
    connection.execute(
        "INSERT OR IGNORE INTO jobs (job_id, session_id, place, utterance_index, trace_id,"
        " accepted_at_ms, utterance, cut) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (record.job_id, record.session_id, record.order, said.utterance_index, record.trace_id,
         record.accepted_at_ms, encode(attrs.evolve(said, audio="")), record.cut),
    )  # fmt: skip
    if audio_at_rest:
        connection.execute(
            "INSERT OR REPLACE INTO audio VALUES (?, ?)", (record.job_id, said.audio)
        )


def _forget_session(connection: sqlite3.Connection, session_id: str) -> None:
    run, key = connection.execute, (session_id,)
    run("DELETE FROM audio WHERE job_id IN (SELECT job_id FROM jobs WHERE session_id = ?)", key)
    run("DELETE FROM attempts WHERE job_id IN (SELECT job_id FROM jobs WHERE session_id = ?)", key)
    run("DELETE FROM jobs WHERE session_id = ?", key)
    run("DELETE FROM sessions WHERE session_id = ?", key)


def read(connection: sqlite3.Connection) -> tuple[RememberedSession, ...]:
    """Everything that is remembered, in the order in which the sessions began.

    Raises :exc:`Unreadable` if that cannot be said of each row.
    """
    attempts: dict[str, list[JobAttempted]] = defaultdict(list)
    for row in connection.execute("SELECT * FROM attempts ORDER BY job_id, number"):
        attempts[row["job_id"]].append(_attempt(row))
    jobs: dict[str, list[RememberedJob]] = defaultdict(list)
    received: dict[str, list[tuple[int, str]]] = defaultdict(list)
    rows = connection.execute(
        "SELECT job_id, session_id, place, utterance_index, trace_id, accepted_at_ms, utterance,"
        " cut, kind, code, hint, settled_at_ms, message, dropped, received, audio"
        " FROM jobs LEFT JOIN audio USING (job_id)"
        " ORDER BY session_id, place"
    )
    for row in rows:
        if row["received"]:
            received[row["session_id"]].append((row["utterance_index"], row["job_id"]))
        else:
            with _named("job", row["job_id"]):
                jobs[row["session_id"]].append(_job(row, tuple(attempts[row["job_id"]])))
    sessions = connection.execute("SELECT * FROM sessions ORDER BY joined_at_ms, session_id")
    found = []
    for row in sessions:
        with _named("session", row["session_id"]):
            began = _session(row)
        remembered = RememberedSession(
            began=began,
            acked_seq=row["acked_seq"],
            jobs=tuple(jobs[row["session_id"]]),
            received=tuple(received[row["session_id"]]),
        )
        found.append(remembered)
    return tuple(found)


@contextlib.contextmanager
def _named(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is, the row is to blame
        raise Unreadable(f"{what} {name!r}: {str(error) or type(error).__name__}") from None


def _said(text: object, table: Mapping[str, type[M]]) -> M:
    if not isinstance(text, str):
        raise ValueError("expected the text of a message")
    return decode_own(text, table)


def _session(row: sqlite3.Row) -> SessionBegan:
    hello = _said(row["hello"], {"session_init": SessionInit})
    return SessionBegan(
        session_id=row["session_id"],
        resume_token=row["resume_token"],
        hello=hello,
        trace_id=row["trace_id"],
        joined_at_ms=row["joined_at_ms"],
    )


def _attempt(row: sqlite3.Row) -> JobAttempted:
    return JobAttempted(
        job_id=row["job_id"],
        attempt=row["number"],
        node_id=row["node_id"],
        assigned_at_ms=row["assigned_at_ms"],
        deadline_ms=row["deadline_ms"],
    )


def _job(row: sqlite3.Row, attempted: tuple[JobAttempted, ...]) -> RememberedJob:
    said = _said(row["utterance"], {"utterance": Utterance})
    settled = None
    if row["kind"] is not None:
        message = _said(row["message"], OUTCOMES)
        settled = JobSettled(
            job_id=row["job_id"],
            kind=OutcomeKind(row["kind"]).value,
            settled_at_ms=row["settled_at_ms"],
            message=message,
            code=row["code"],
            hint=row["hint"],
            dropped=bool(row["dropped"]),
        )
    accepted = JobAccepted(
        job_id=row["job_id"],
        session_id=row["session_id"],
        order=row["place"],
        trace_id=row["trace_id"],
        accepted_at_ms=row["accepted_at_ms"],
        utterance=attrs.evolve(said, audio=row["audio"] or ""),
        cut=None if row["cut"] is None else Cut(row["cut"]).value,
    )
    return RememberedJob(accepted=accepted, attempted=attempted, settled=settled)
