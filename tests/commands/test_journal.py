"""What the command shows of a journal."""

import json
from pathlib import Path

import pytest
from journal_support import BEGAN, SPEECH, accepted, keep, settled

from scheduler.cli import main
from scheduler.config import Config
from scheduler.store.sqlite import open_sqlite


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal with one session: a job to do, and an outcome to be fetched."""
    found = tmp_path / "journal.sqlite3"
    await keep(open_sqlite(found, Config()), BEGAN, accepted(1), accepted(2), settled(2))
    return found


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["journal", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


async def test_people_get_counts(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is unfinished and what is not acknowledged is told by session, and nothing is said."""
    text = shown(capsys, "--journal", str(path))
    assert "1 sessions that may resume" in text
    assert "1 unfinished jobs" in text
    assert "1 outcomes not acknowledged" in text
    assert "s-1" in text
    assert SPEECH not in text
    assert "secret" not in text


async def test_programs_get_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json gives the same as one object."""
    found = json.loads(shown(capsys, "--journal", str(path), "--json"))
    assert found["sessions"][0]["unfinished"] == 1
    assert found["sessions"][0]["unacknowledged"] == 1


@pytest.mark.parametrize(
    ("setting", "why"), [("memory", "only memory"), ("/nowhere/j.sqlite3", "there is no journal")]
)
def test_what_cannot_be_shown_is_said_in_a_line(setting: str, why: str) -> None:
    """No file, no traceback: one line that says why, and exit code 1."""
    with pytest.raises(SystemExit, match=why):
        main(["journal", "--journal", setting])
