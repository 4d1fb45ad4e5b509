"""Stand-ins for chance and for models: everything a test may not leave to the world."""

import base64
import itertools
from collections import deque
from collections.abc import Callable, Iterable

import trio

from messages import EN_ES, capabilities, languages
from scheduler.node.agent import Description, Done
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
