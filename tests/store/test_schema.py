"""How the content of a journal becomes that of a newer version."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from messages import hello, utterance

from scheduler.store import rows, schema
from scheduler.wire.codec import encode


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    found = sqlite3.connect(tmp_path / "journal.sqlite3", isolation_level=None)
    found.row_factory = sqlite3.Row
    yield found
    found.close()


def first_version(connection: sqlite3.Connection) -> None:
    """A journal as the first version left it: one unfinished job, one with its outcome."""
    connection.executescript(schema.STEPS[0])
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute(
        "INSERT INTO sessions VALUES ('s-1', 'secret', ?, 't', 1000, 0)", (encode(hello()),)
    )
    said = encode(attrs.evolve(utterance("s-1", 1), audio=""))
    insert = (
        "INSERT INTO jobs (job_id, session_id, place, utterance_index, trace_id, accepted_at_ms,"
        " utterance, audio, attempt, node_id, assigned_at_ms, deadline_ms, kind, settled_at_ms,"
        " message) VALUES (?, 's-1', ?, 1, 't', 1, ?, ?, 2, 'node-a', 5, 9"
    )
    missing = '{"type":"missing_result","session_id":"s-1","utterance_index":0,'
    missing += '"reason":"cancelled","created_at_ms":1}'
    connection.execute(f"{insert}, 'cancelled', 2, ?)", ("job-1", 1, said, "OLD1", missing))
    connection.execute(f"{insert}, NULL, NULL, NULL)", ("job-2", 2, said, "OLD2"))


def test_an_older_journal_is_brought_up_to_date(connection: sqlite3.Connection) -> None:
    """From the first version on, everything that is owed comes through each step."""
    first_version(connection)
    schema.migrate(connection, schema.check(connection, Path("x")))

    assert schema.check(connection, Path("x")) == schema.VERSION
    (session,) = rows.read(connection)
    cancelled, unfinished = session.jobs
    assert cancelled.settled is not None
    assert unfinished.settled is None
    assert unfinished.accepted.utterance.audio == "OLD2"
    assert [(a.attempt, a.node_id, a.deadline_ms) for a in unfinished.attempted] == [
        (2, "node-a", 9)
    ]
    assert connection.execute("SELECT job_id FROM audio").fetchall()[0]["job_id"] == "job-2"


def test_a_step_that_fails_changes_nothing(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration is done as a whole or not at all."""
    first_version(connection)
    before = list(connection.iterdump())
    steps = (*schema.STEPS[:-1], f"{schema.STEPS[-1]}; CREATE TABLE sessions (twice)")
    monkeypatch.setattr(schema, "STEPS", steps)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, 1)

    assert list(connection.iterdump()) == before
    assert schema.check(connection, Path("x")) == 1


def test_what_cannot_be_read_afterwards_is_not_brought_up_to_date(
    connection: sqlite3.Connection,
) -> None:
    """An older journal with a row that makes no sense stays as it is."""
    first_version(connection)
    connection.execute("UPDATE jobs SET utterance = '{}' WHERE job_id = 'job-2'")
    before = list(connection.iterdump())
    with pytest.raises(rows.Unreadable, match="job 'job-2'"):
        schema.migrate(connection, 1)

    assert list(connection.iterdump()) == before


def test_a_new_file_gets_the_present_version(connection: sqlite3.Connection) -> None:
    """An empty file becomes a journal of the present version, known as one of ours."""
    assert schema.check(connection, Path("x")) == 0
    schema.migrate(connection, 0)
    assert schema.check(connection, Path("x")) == schema.VERSION
