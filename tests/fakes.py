"""Stand-ins for chance and for models: everything a test may not leave to the world."""

import base64
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import trio
from messages import EN_ES, capabilities, languages

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.node.agent import Description, Done
from scheduler.node.audio import Audio
from scheduler.node.services import Services, Span
from scheduler.wire.common import ServiceType
from scheduler.wire.node import JobAssign


class CountingIds:
    """Ids that can be read: s-1, node-1, job-1, ... and tokens that belong to one engine."""

    def __init__(self) -> None:
        self._counts = {name: itertools.count(1) for name in ("s", "node", "job", "token", "trace")}

    def _next(self, name: str) -> str:
        return f"{name}-{next(self._counts[name])}"

    def session(self) -> str:
        return self._next("s")

    def node(self) -> str:
        return self._next("node")

    def job(self) -> str:
        return self._next("job")

    def token(self) -> str:
        return self._next("token")

    def trace(self) -> str:
        return self._next("trace")


class ScriptedRunner:
    """Engines that need no models: the text is the audio's, upper-cased after ``seconds``.

    ``script`` may hold, per job in the order they come, seconds to take or an exception to
    raise; when it is used up, every job takes ``seconds``. ``ran`` lists what was begun.
    """

    def __init__(
        self,
        *,
        seconds: float = 0.0,
        script: Iterable[float | Exception] = (),
        pairs: tuple[tuple[str, str], ...] = EN_ES,
    ) -> None:
        self._seconds = seconds
        self._script = deque(script)
        self._pairs = pairs
        self.ran: list[tuple[str, int]] = []
        self.cancelled: list[tuple[str, int]] = []

    def describe(self) -> Description:
        return Description(
            capabilities=capabilities(), services=(), languages=languages(self._pairs)
        )

    async def run(self, job: JobAssign, on_stage: Callable[[str], None]) -> Done:
        key = (job.job_id, job.attempt_id)
        self.ran.append(key)
        on_stage("asr")
        step = self._script.popleft() if self._script else self._seconds
        if isinstance(step, Exception):
            raise step
        try:
            await trio.sleep(step)
        except trio.Cancelled:
            self.cancelled.append(key)
            raise
        text = base64.b64decode(job.audio).decode()
        return Done(text_asr=text, text_translated=text.upper(), timings_ms={"total_ms": 1})


class ScriptedEngines:
    """Every engine of a node in one: each stage adds its name, so that its text tells its way.

    ``spoken`` is whether there is speech; ``faults`` has the services that are not ready by
    their id; ``asked`` lists what was asked of whom.
    """

    def __init__(self, *, spoken: bool = True) -> None:
        self.spoken = spoken
        self.faults: dict[str, EngineUnavailable] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.heard = "hello"
        self.languages = {"en", "es"}
        self.pairs = {("en", "es"), ("es", "en"), ("ca", "es")}
        self.services = Services(
            detector=_Scripted(self, "detector", "asr"),
            recognizer=_Scripted(self, "recognizer", "asr"),
            repairer=_Scripted(self, "repairer", None),
            translator=_Scripted(self, "translator", "nmt"),
            synthesizer=_Scripted(self, "synthesizer", "tts"),
        )


class _Scripted:
    """One of the :class:`ScriptedEngines`; it can do what any of them can."""

    version = "1.0"

    def __init__(self, engines: ScriptedEngines, service_id: str, kind: ServiceType | None) -> None:
        self._engines = engines
        self.service_id = service_id
        self.type = kind
        self.languages = engines.languages
        self.pairs = engines.pairs
        self.probed = 0

    @property
    def fault(self) -> EngineUnavailable | None:
        return self._engines.faults.get(self.service_id)

    def _ask(self, *what: Any) -> None:
        self._engines.asked.append((self.service_id, *what))
        if (fault := self.fault) is not None:
            raise StageFailed(self.service_id, Code.MODEL_NOT_AVAILABLE, str(fault), retryable=True)

    async def probe(self) -> None:
        self.probed += 1

    async def detect(self, audio: Audio) -> tuple[Span, ...]:
        self._ask(audio)
        return (Span(100, 200), Span(300, 400)) if self._engines.spoken else ()

    async def recognize(self, audio: Audio, language: str) -> str:
        self._ask(audio, language)
        return self._engines.heard

    async def repair(self, text: str, language: str) -> str:
        self._ask(text, language)
        return f"{text} repaired"

    async def translate(self, text: str, pair: tuple[str, str]) -> str:
        self._ask(text, pair)
        return f"{text} translated"

    async def synthesize(self, text: str, language: str) -> bytes:
        self._ask(text, language)
        return text.encode()
