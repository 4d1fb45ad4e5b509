"""A process without a umask that makes a journal, and prints every right it ever gave away.

Whatever Python does to a file is told beforehand (sys.addaudithook), and what SQLite opens just
afterwards. Each time everything that is there is looked at, so that rights which are taken away
a moment later are seen as well.
"""

import json
import os
import sys
from pathlib import Path

import trio
from journal_support import BEGAN, Events, accepted

from scheduler.config import Config
from scheduler.store.sqlite import open_sqlite

root = Path(sys.argv[1])
seen: dict[str, set[str]] = {}
looking = False


def look(event: str, args: object) -> None:
    global looking
    if looking or not event.startswith(("os.", "open", "sqlite3.", "fcntl.")):
        return
    looking = True
    try:
        for path in root.rglob("*"):
            seen.setdefault(path.name, set()).add(f"{path.stat().st_mode & 0o777:o}")
    finally:
        looking = False


async def use() -> None:
    journal = open_sqlite(root / "made" / "too" / "journal.sqlite3", Config())
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, Events().listeners)
        journal.append([BEGAN, accepted(1)])
        while journal.committed < journal.position:
            await trio.lowlevel.checkpoint()
        look("os.", ())
        nursery.cancel_scope.cancel()
    look("os.", ())


os.umask(0)
sys.addaudithook(look)
trio.run(use)
print(json.dumps({name: sorted(modes) for name, modes in seen.items()}))
