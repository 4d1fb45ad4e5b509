"""Which journal the settings mean."""

from pathlib import Path

import pytest
from journal_support import keep

from scheduler.config import Config
from scheduler.store.journal import MemoryJournal
from scheduler.store.locate import default_path, journal_path, open_journal
from scheduler.store.sqlite import SqliteJournal


def test_memory_is_a_word_and_anything_else_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """``memory`` names no file, nothing names the default, ``~`` is the user's home."""
    monkeypatch.setenv("HOME", "/nowhere")
    assert journal_path("memory") is None
    assert journal_path("") == default_path()
    assert journal_path("~/x.sqlite3") == Path("/nowhere/x.sqlite3")


def test_the_default_is_below_the_users_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default follows the XDG directory for state."""
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_path() == Path("/state/lingua-scheduler/journal.sqlite3")


async def test_the_setting_decides(tmp_path: Path) -> None:
    """A path opens a file that survives, ``memory`` one that does not."""
    assert isinstance(open_journal(Config(journal="memory")), MemoryJournal)
    journal = open_journal(Config(journal=str(tmp_path / "j.sqlite3")))
    assert isinstance(journal, SqliteJournal)
    await keep(journal)
    assert journal.durable
