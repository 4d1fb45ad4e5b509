"""The live feed: everything once, then what has changed, as server-sent events.

Nothing is queued for anybody. A reader remembers the view that it was told last and gets the
difference to the present one when it is ready to read again, however long that took. So a
stalled reader costs one view in memory, misses what came and went in between, and delays
nobody; the write timeout of its connection ends it.

A view is made at most once per ``feed_interval`` for all readers together, and only while
there are any.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import attrs
import trio

from scheduler.config import Config
from scheduler.core.snapshot import Snapshot

TABLES = {"nodes": "node_id", "sessions": "session_id", "jobs": "job_id"}
"""The lists of a view, and what names an entry of each."""

Row = dict[str, Any]
Table = dict[str, Row]


@attrs.frozen
class View:
    """What there is to see at one instant (Unix milliseconds), by name."""

    now_ms: int
    stats: Row
    tables: Mapping[str, Table]


class Feed:
    """The source of all readers' events.

    ``snapshot`` gives the present state, ``changed`` an event that the next change will set.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], changed: Callable[[], trio.Event], config: Config
    ) -> None:
        self._snapshot = snapshot
        self._changed = changed
        self._config = config
        self._view: View | None = None
        self._made_at = 0.0
        self._next_change: trio.Event | None = None
        self.readers = 0

    @property
    def full(self) -> bool:
        """Whether there are as many readers as there may be."""
        return self.readers >= self._config.feed_readers_max

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The events for one reader, without end. Closing the generator takes the reader off.

        Between changes a comment is sent now and then, which shows whether anybody is there.
        """
        self.readers += 1
        try:
            told = self._present()
            yield _event("snapshot", _whole(told))
            while True:
                if not await self._something_new(told):
                    yield b": still here\n\n"
                    continue
                present = self._present()
                if difference := _difference(told, present):
                    yield _event("change", difference)
                told = present
        finally:
            self.readers -= 1

    async def _something_new(self, told: View) -> bool:
        """Wait for a change since ``told``, but not for ever; rests between two views."""
        with trio.move_on_after(self._config.feed_keepalive):
            if told is self._view and self._next_change is not None:
                await self._next_change.wait()
            await trio.sleep_until(self._made_at + self._config.feed_interval)
            return True
        return False

    def _present(self) -> View:
        fresh = trio.current_time() < self._made_at + self._config.feed_interval
        unchanged = self._next_change is not None and not self._next_change.is_set()
        if self._view is None or not (fresh or unchanged):
            self._next_change = self._changed()
            self._made_at = trio.current_time()
            self._view = _view(self._snapshot(), self._config.feed_rows_max)
        return self._view


def _view(snapshot: Snapshot, rows_max: int) -> View:
    lists = {
        "nodes": snapshot.nodes(most=rows_max),
        "sessions": snapshot.sessions(most=rows_max),
        "jobs": snapshot.jobs(most=rows_max),
    }
    tables = {
        name: {row[TABLES[name]]: _lasting(row) for row in rows} for name, rows in lists.items()
    }
    return View(snapshot.now_ms, snapshot.stats(), tables)


def _lasting(row: Row) -> Row:
    """Without what changes by itself: the time left follows from the deadline."""
    return {name: value for name, value in row.items() if name != "time_left_ms"}


def _whole(view: View) -> Row:
    rows = {name: list(table.values()) for name, table in view.tables.items()}
    return {"now_ms": view.now_ms, "stats": view.stats, **rows}


def _difference(told: View, present: View) -> Row | None:
    """The new and changed rows, and the names of those that are gone; None if all is as it was."""
    changed: dict[str, list[Row]] = {}
    gone: dict[str, list[str]] = {}
    for name, table in present.tables.items():
        before = told.tables[name]
        changed[name] = [row for key, row in table.items() if before.get(key) != row]
        gone[name] = [key for key in before if key not in table]
    if told.stats == present.stats and not any(changed.values()) and not any(gone.values()):
        return None
    return {"now_ms": present.now_ms, "stats": present.stats, **changed, "gone": gone}


def _event(name: str, data: Row) -> bytes:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n".encode()
