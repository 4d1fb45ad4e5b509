"""The journal alone: paced work, how long until it is kept, and whether the loop stands still."""

import json
import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import trio

from scheduler.config import Config
from scheduler.core.records import JobAccepted, JobAttempted, JobSettled, OutcomesReceived, Record
from scheduler.store.journal import Journal, JournalEvents, MemoryJournal
from scheduler.store.sqlite import open_sqlite
from scheduler.wire.session import TranslationResult, Utterance

TICK_S = 0.002
WORK_S = 0.05


class Bench:
    """A journal, the positions that are waited for, and when they were kept."""

    def __init__(self, journal: Journal, audio_chars: int) -> None:
        self._journal = journal
        self._audio = "A" * audio_chars
        self._waiting: deque[tuple[int, float]] = deque()
        self.commit_s: list[float] = []
        self.lag_s: list[float] = []
        self.jobs = 0

    def committed(self) -> None:
        """The journal has kept more."""
        while self._waiting and self._waiting[0][0] <= self._journal.committed:
            self.commit_s.append(trio.current_time() - self._waiting.popleft()[1])

    def append(self, *records: Record) -> None:
        """Give the journal records, and wait for them without waiting."""
        self._journal.append(records)
        self._waiting.append((self._journal.position, trio.current_time()))
        self.committed()

    async def tick(self) -> None:
        """How much too late this task wakes up."""
        while True:
            due = trio.current_time() + TICK_S
            await trio.sleep_until(due)
            self.lag_s.append(trio.current_time() - due)

    async def pace(self, rate: float, seconds: float) -> None:
        """Jobs at the instants of a Poisson process, each with the records of one whole job."""
        chance = random.Random(1)  # noqa: S311  # the same instants for all
        at = trio.current_time()
        until = at + seconds
        finishing: deque[tuple[float, int]] = deque()
        while (at := at + chance.expovariate(rate)) < until:
            while finishing and finishing[0][0] < at:
                due, number = finishing.popleft()
                await trio.sleep_until(due)
                self._finish(number)
            await trio.sleep_until(at)
            self.jobs += 1
            self._begin(self.jobs)
            finishing.append((at + WORK_S, self.jobs))

    def _begin(self, number: int) -> None:
        said = Utterance(
            session_id="s-1", utterance_index=number, manual_cut=True, src_lang="en",
            tgt_lang="es", audio=self._audio, audio_format="pcm16", sample_rate=16000,
        )  # fmt: skip
        job_id = f"job-{number:016X}"
        self.append(
            JobAccepted(
                job_id=job_id, session_id="s-1", order=number, trace_id="t", accepted_at_ms=0,
                utterance=said,
            ),
            JobAttempted(
                job_id=job_id, attempt=1, node_id="node-1", assigned_at_ms=0, deadline_ms=0
            ),
        )  # fmt: skip

    def _finish(self, number: int) -> None:
        job_id = f"job-{number:016X}"
        message = TranslationResult(
            session_id="s-1", utterance_index=number, job_id=job_id, text_asr="go",
            text_translated="va", tts_audio=self._audio, tts_format="wav", trace_id="t",
        )  # fmt: skip
        self.append(JobSettled(job_id=job_id, kind="translated", settled_at_ms=0, message=message))
        self.append(OutcomesReceived(session_id="s-1", seq=number, job_ids=(job_id,)))


async def measure(
    path: str, sync: str, rate: float, seconds: float, audio_chars: int
) -> dict[str, Any]:
    """One window with one journal."""
    config = Config(journal_sync=sync or "normal")
    journal: Journal = open_sqlite(Path(path), config) if path else MemoryJournal()
    await journal.recover()
    bench = Bench(journal, audio_chars)
    events = JournalEvents(
        committed=bench.committed, failed=lambda why, _: sys.exit(why), mended=lambda: None
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(journal.run, events)
        nursery.start_soon(bench.tick)
        before = time.process_time()
        await bench.pace(rate, seconds)
        cpu = time.process_time() - before
        nursery.cancel_scope.cancel()
    return {
        "jobs": bench.jobs,
        "cpu_ms": cpu / bench.jobs * 1000,
        "commit_ms": [round(s * 1000, 3) for s in bench.commit_s],
        "lag_ms": [round(s * 1000, 3) for s in bench.lag_s],
    }


if __name__ == "__main__":
    print(json.dumps(trio.run(lambda: measure(**json.loads(sys.stdin.readline())))))
