"""The engine alone, with as many nodes and waiting jobs as asked for: what one job costs it.

Two ways of one job. *busy*: every slot is taken, a result comes in, the node gets the oldest job
that waits, and a new utterance joins the queue. *free*: a node has a slot, while all that wait
wait for a pair of languages that nobody does.
"""

import itertools
import json
import random
import resource
import sys
import time
from secrets import token_bytes
from typing import Any

from scheduler.config import Config
from scheduler.core.engine import Engine
from scheduler.core.events import Event, NodeJoined, Received, Send, SessionJoined, Written
from scheduler.runtime.ids import RandomIds
from scheduler.wire import node as from_node
from scheduler.wire import session as from_session
from scheduler.wire.common import Capability, Hardware, LanguageCapabilities, LanguagePair

PAIRS = [(src, tgt) for src in ("en", "de") for tgt in ("es", "it", "pt", "nl", "fr")]
NOBODY_DOES = ("en", "zh")
JOBS_PER_SESSION = 50
AUDIO = "A" * 200

Running = tuple[int, from_node.JobAssign]


class Bench:
    """One engine and the messages that keep it going."""

    def __init__(self, nodes: int, waiting: int, free: bool) -> None:
        config = Config(
            jobs_per_session_max=10**6, retained_outcomes_max=10**6, jobs_waiting_max=10**6,
            nodes_max=10**6, sessions_max=10**6, pending_timeout=1e6, dispatched_timeout=1e6,
            finished_retention=1.0, outbox_messages_max=10**7, outbox_bytes_max=10**11,
            journal_records_max=10**7,
        )  # fmt: skip
        self._engine = Engine(config, RandomIds(token_bytes))
        self._random = random.Random(1)  # noqa: S311  # the same jobs for everybody
        self._now = 0.0
        self._spent = 0.0
        self._generations = itertools.count(1)
        self._free = free
        self._running: list[Running] = []
        self._node_ids: dict[int, str] = {}
        self._session_of: dict[int, str] = {}
        self._indexes: dict[int, itertools.count[int]] = {}
        for number in range(nodes):
            self._join_node(PAIRS[number % len(PAIRS)])
        for _ in range(max(10, (nodes + waiting) // JOBS_PER_SESSION)):
            self._join_session()
        self._sessions = list(self._session_of)
        if free:
            for _ in range(waiting):
                self._speak(NOBODY_DOES)
        else:
            for number in range(nodes + waiting):
                self._speak(PAIRS[number % len(PAIRS)])

    def cycles(self, jobs: int) -> float:
        """CPU microseconds of the engine per job, over so many jobs."""
        self._spent = 0.0
        for _ in range(jobs):
            if self._free:
                self._speak(self._random.choice(PAIRS))
                self._finish(self._running.pop())
            else:
                place = self._random.randrange(len(self._running))
                self._running[place], last = self._running[-1], self._running[place]
                self._running.pop()
                self._finish(last)
                self._speak((last[1].src_lang, last[1].tgt_lang))
        return self._spent / jobs * 1e6

    def _handle(self, event: Event) -> None:
        self._now += 0.0001
        before = time.process_time()
        effects = self._engine.handle(event, self._now)
        self._spent += time.process_time() - before
        for effect in effects:
            if isinstance(effect, Send):
                self._sent(effect)

    def _sent(self, effect: Send) -> None:
        if isinstance(effect.message, from_node.JobAssign):
            job = effect.message
            self._running.append((effect.connection, job))
            about = self._about(effect.connection, job)
            self._handle(Received(effect.connection, from_node.JobAck(**about)))
            self._handle(Received(effect.connection, from_node.JobStarted(**about)))
        elif effect.seq is not None:
            self._handle(Written(effect.connection, effect.seq))
            session_id = self._session_of[effect.connection]
            ack = from_session.ResultAck(session_id=session_id, seq=effect.seq)
            self._handle(Received(effect.connection, ack))

    def _about(self, connection: int, job: from_node.JobAssign) -> dict[str, Any]:
        return {
            "job_id": job.job_id,
            "attempt_id": job.attempt_id,
            "node_id": self._node_ids[connection],
            "session_id": job.session_id,
            "trace_id": job.trace_id,
        }

    def _finish(self, running: Running) -> None:
        connection, job = running
        result = from_node.JobResult(
            **self._about(connection, job), utterance_index=job.utterance_index, success=True,
            text_asr="go forward", text_translated="adelante", tts_audio=AUDIO, tts_format="wav",
        )  # fmt: skip
        self._handle(Received(connection, result))

    def _speak(self, pair: tuple[str, str]) -> None:
        connection = self._random.choice(self._sessions)
        said = from_session.Utterance(
            session_id=self._session_of[connection],
            utterance_index=next(self._indexes[connection]),
            manual_cut=True, src_lang=pair[0], tgt_lang=pair[1], audio=AUDIO,
            audio_format="pcm16", sample_rate=16000,
        )  # fmt: skip
        self._handle(Received(connection, said))

    def _join_session(self) -> None:
        connection = next(self._generations)
        hello = from_session.SessionInit(
            client_version="1", platform="x", src_lang="en", tgt_lang="es", receipts=True
        )
        effects = self._engine.handle(SessionJoined(connection, hello), self._now)
        welcome = next(e.message for e in effects if isinstance(e, Send))
        assert isinstance(welcome, from_session.SessionInitAck)
        self._session_of[connection] = welcome.session_id
        self._indexes[connection] = itertools.count()

    def _join_node(self, pair: tuple[str, str]) -> None:
        connection = next(self._generations)
        self._node_ids[connection] = node_id = f"node-{connection:016X}"
        hello = from_node.NodeRegister(
            version="1", platform="x", hardware=Hardware(cpu_cores=1, memory_gb=1.0),
            installed_models=(), features_supported={}, accept_public_jobs=True, node_id=node_id,
            capability_by_type=tuple(Capability(type=t, ready=True) for t in ("asr", "nmt", "tts")),
            language_capabilities=LanguageCapabilities(
                asr_languages=(pair[0],), tts_languages=(pair[1],),
                supported_language_pairs=(LanguagePair(src=pair[0], tgt=pair[1]),),
            ),
            slots=1, receipts=True,
        )  # fmt: skip
        self._engine.handle(NodeJoined(connection, hello), self._now)


def main() -> None:
    """Obey commands: ``make`` an engine, then ``cycle`` so many jobs, again and again."""
    bench: Bench | None = None
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        if command.pop("do") == "make":
            bench = Bench(**command)
        else:
            assert bench is not None
            answer["cpu_us"] = bench.cycles(**command)
        answer["memory_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
