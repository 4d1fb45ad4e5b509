"""A playbook whose engine can be killed: what a journal kept is all that the next one gets."""

import sqlite3
from typing import Any

from fakes import CountingIds
from playbook import Playbook

from scheduler.core.engine import Engine
from scheduler.core.events import Effect, Recovered, Remember
from scheduler.core.records import Record, RememberedSession
from scheduler.store import rows, schema


def what_is_kept_of(
    records: list[Record], *, audio_at_rest: bool = True
) -> tuple[RememberedSession, ...]:
    """What the SQLite journal gives back of these records."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    try:
        schema.migrate(connection, 0)
        rows.write(connection, records, audio_at_rest=audio_at_rest)
        return rows.read(connection)
    finally:
        connection.close()


class Restarts(Playbook):
    """``records`` is everything that the engines wanted remembered, in order."""

    def __init__(self, *, audio_at_rest: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.records: list[Record] = []
        self._audio_at_rest = audio_at_rest
        self._ids = CountingIds()
        self.engine = Engine(self.config, self._ids)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Remember):
            self.records.append(effect.record)
        super()._perform(effect)

    def kill(self, *, lost: int = 0, downtime: float = 0.0) -> None:
        """End the engine with all connections; its successor starts ``downtime`` later.

        The last ``lost`` records were not kept.
        """
        del self.records[len(self.records) - lost :]
        kept = what_is_kept_of(self.records, audio_at_rest=self._audio_at_rest)
        self.live.clear()
        self.ended.clear()
        self.unwritten.clear()
        self.timers.clear()
        self.now += downtime
        self.engine = Engine(self.config, self._ids)
        self.apply(Recovered(kept))
