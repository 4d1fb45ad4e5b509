"""What can be said of a journal without telling what was said in it."""

import json
from pathlib import Path

import attrs
import pytest
from journal_support import BEGAN, SPEECH, accepted, keep, settled

from scheduler.config import Config
from scheduler.core.records import OutcomesReceived
from scheduler.store.journal import JournalError
from scheduler.store.sqlite import open_sqlite
from scheduler.store.survey import survey


async def test_a_survey_counts_what_is_there(tmp_path: Path) -> None:
    """Unfinished jobs, outcomes not acknowledged and received ones are told apart."""
    path = tmp_path / "j.sqlite3"
    received = OutcomesReceived(session_id="s-1", seq=1, job_ids=("job-1",))
    jobs = [accepted(1), accepted(2), accepted(3), accepted(4)]
    await keep(open_sqlite(path, Config()), BEGAN, *jobs, settled(1), settled(2), received)

    found = survey(path)
    (session,) = found.sessions
    assert (session.unfinished, session.unacknowledged, session.received) == (2, 1, 1)
    assert session.acked_seq == 1
    assert found.audio_chars == 2 * len(SPEECH)
    assert found.file_bytes > 0


async def test_a_survey_does_not_disturb_and_does_not_tell(tmp_path: Path) -> None:
    """It can be made while a scheduler has the file, and holds neither speech nor tokens."""
    path = tmp_path / "j.sqlite3"
    journal = open_sqlite(path, Config())
    await keep(journal, BEGAN, accepted(1))
    journal = open_sqlite(path, Config())
    text = json.dumps(attrs.asdict(survey(path)))
    await keep(journal, accepted(2))
    assert SPEECH not in text
    assert "secret" not in text


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Without a file there is nothing to look at, and none is made."""
    with pytest.raises(JournalError, match="there is no journal at"):
        survey(tmp_path / "j.sqlite3")
    assert list(tmp_path.iterdir()) == []
