"""One life of a client that may be killed at any instant: life.py URL DIRECTORY

It keeps its resumption and what it had in DIRECTORY, so that the next life can go on: the first
one submits, a later one gets what is still to come. It ends when it has had every outcome.
"""

import json
import os
import sys
from pathlib import Path

import attrs
import trio

from scheduler.client import Resumption, Session, Translation, connect

WORDS = ("one", "two", "three")


class Diary:
    """What survives: ``resumption.json``, and ``outcomes`` with an index and a text a line."""

    def __init__(self, place: Path) -> None:
        self._resumption = place / "resumption.json"
        self._outcomes = place / "outcomes"

    def keep(self, session: Session) -> None:
        assert session.resumption is not None
        draft = self._resumption.with_suffix(".draft")
        draft.write_text(json.dumps(attrs.asdict(session.resumption)))
        draft.replace(self._resumption)

    def earlier(self) -> Resumption | None:
        if not self._resumption.exists():
            return None
        return Resumption(**json.loads(self._resumption.read_text()))

    def note(self, result: Translation) -> None:
        with self._outcomes.open("a") as lines:
            lines.write(f"{result.utterance_index} {result.text_translated}\n")
            lines.flush()
            os.fsync(lines.fileno())

    @property
    def outcomes(self) -> list[str]:
        return self._outcomes.read_text().splitlines() if self._outcomes.exists() else []


async def live(url: str, place: Path) -> None:
    diary = Diary(place)
    earlier = diary.earlier()
    async with connect(url, src_lang="en", tgt_lang="es", resume=earlier) as session:
        if earlier is None:
            async for _ in session.events():
                if session.resumption is not None:
                    break
            submissions = [session.submit(w.encode(), audio_format="pcm16") for w in WORDS]
            diary.keep(session)
            for submission in submissions:
                diary.note(await submission.result())
        else:
            async for outcome in session.outcomes():
                diary.note(outcome.translation())
                if len(diary.outcomes) == len(WORDS):
                    break


if __name__ == "__main__":
    trio.run(live, sys.argv[1], Path(sys.argv[2]))
