"""Which journal the settings mean, and where the one is that they do not name."""

from pathlib import Path

import platformdirs

from scheduler.config import Config
from scheduler.store.claim import unusable
from scheduler.store.journal import Journal, MemoryJournal
from scheduler.store.sqlite import open_sqlite


def default_path() -> Path:
    """The journal of a scheduler that was told no other: in the user's state directory."""
    return platformdirs.user_state_path("lingua-scheduler") / "journal.sqlite3"


def journal_path(setting: str) -> Path | None:
    """The file that ``--journal`` means; None for ``memory``.

    Raises :class:`~scheduler.store.journal.JournalError` for the home of nobody.
    """
    if setting == MemoryJournal.name:
        return None
    try:
        return Path(setting).expanduser() if setting else default_path()
    except RuntimeError as error:  # there is no such user
        raise unusable(Path(setting), error) from None


def open_journal(config: Config) -> Journal:
    """The journal of these settings. Blocks for a moment; for before the start.

    Raises :class:`~scheduler.store.journal.JournalError`, see :func:`open_sqlite`.
    """
    path = journal_path(config.journal)
    return MemoryJournal() if path is None else open_sqlite(path, config)
