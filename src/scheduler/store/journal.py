"""Where accepted work is remembered across a restart, and whether it is at all."""

from typing import Protocol

from scheduler.errors import ConfigError


class Journal(Protocol):
    """A place to remember. ``durable`` says whether its content survives the process."""

    name: str
    durable: bool


class MemoryJournal:
    """Remembers exactly as long as the process lives: the engine's own state is its content."""

    name = "memory"
    durable = False


def open_journal(setting: str) -> Journal:
    """The journal that the setting names; raises ``ConfigError`` for one that does not exist."""
    if setting != MemoryJournal.name:
        raise ConfigError(f"journal must be 'memory', not {setting!r}")
    return MemoryJournal()
