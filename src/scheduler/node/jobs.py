"""The jobs on this node: receipted, started, cancelled, ended; each with one result at most.

Jobs run in a nursery that outlives connections, so that work goes on while the scheduler is
away. Everything here but the work itself is synchronous, so the records need no locks.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import structlog
import trio

from scheduler.errors import Code, StageFailed
from scheduler.node.results import Key, Results
from scheduler.wire import node as wire
from scheduler.wire.codec import encode
from scheduler.wire.common import (
    LIST_MAX,
    AttemptRef,
    Capability,
    InstalledService,
    JobError,
    LanguageCapabilities,
)

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class Description:
    """What the engines of this node can do now, in the words of the wire."""

    capabilities: tuple[Capability, ...]
    services: tuple[InstalledService, ...]
    languages: LanguageCapabilities


@attrs.frozen(kw_only=True)
class Done:
    """What a job gave. All three contents empty: the audio held only silence.

    ``tts_audio`` is base64; ``timings_ms`` has the keys of ``service_timings``.
    """

    text_asr: str = ""
    text_translated: str = ""
    tts_audio: str = ""
    tts_format: str = "wav"
    timings_ms: dict[str, int] = attrs.Factory(dict)


class Runner(Protocol):
    """Runs jobs on engines. Cancelling :meth:`run` must stop the work and free the engine."""

    def describe(self) -> Description:
        """What can be done now; asked again for each heartbeat."""

    async def run(self, job: wire.JobAssign, on_stage: Callable[[str], None]) -> Done:
        """Do one job; ``on_stage`` is told each stage's name as it begins.

        Raises :class:`~scheduler.errors.StageFailed`.
        """


@attrs.define(eq=False)
class _Running:
    """A job in its nursery; ``started`` is what was told about it."""

    started: wire.JobStarted
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)


class Jobs:
    """What runs, and how it ends. ``put`` sends a message, or drops it if nobody is there.

    ``draining`` refuses new jobs. ``result_bytes_max`` is the largest message that the
    scheduler takes: a larger result becomes a failure, for it would end the connection.
    """

    def __init__(
        self, runner: Runner, results: Results, *, slots: int, put: Callable[[wire.FromNode], None]
    ) -> None:
        self._runner = runner
        self._results = results
        self._slots = slots
        self._put = put
        self._running: dict[Key, _Running] = {}
        self._changed = trio.Event()
        self.draining = False
        self.result_bytes_max: float = math.inf

    # -- what there is -----------------------------------------------------------------

    @property
    def running(self) -> tuple[Key, ...]:
        """The jobs that run and are still wanted.

        One that was cancelled is over for the scheduler, which gives its slot to the next job
        in the same breath, while its engine is still being stopped here.
        """
        return tuple(
            key for key, running in self._running.items() if not running.scope.cancel_called
        )

    @property
    def in_flight(self) -> tuple[AttemptRef, ...]:
        """The attempts whose results this node still owes; as many as a message holds."""
        keys = (*self.running, *self._results.keys)[:LIST_MAX]
        return tuple(AttemptRef(job_id=job_id, attempt_id=attempt) for job_id, attempt in keys)

    async def settled(self) -> None:
        """Wait until nothing runs and every result is receipted."""
        while self._running or self._results:
            await self._changed.wait()

    # -- what the scheduler says ---------------------------------------------------------

    def take(self, job: wire.JobAssign, node_id: str, nursery: trio.Nursery) -> None:
        """Receipt a job and start it in ``nursery``; what is here already is told again."""
        key = (job.job_id, job.attempt_id)
        if self._results.repeat(key):
            return
        running = self.running
        if key not in running:
            if self.draining or len(running) >= self._slots:
                why = "the node is draining" if self.draining else "every slot is taken"
                failure = _failure(job, node_id, Code.NODE_OVERLOADED, why, retryable=True)
                self._results.keep(key, encode(failure))
                return
            entry = self._running[key] = _Running(wire.JobStarted(**_about(job, node_id)))
            if job.deadline_ms is not None:
                entry.scope.deadline = trio.current_time() + job.deadline_ms / 1000
            nursery.start_soon(self._work, job, entry)
        self._put(wire.JobAck(**_about(job, node_id)))

    def cancel(self, job_id: str, attempt_id: int | None) -> None:
        """Stop the attempt (without a number: all of the job) and forget its result."""
        for key in (*self._running, *self._results.keys):
            if key[0] == job_id and attempt_id in (None, key[1]):
                self._results.forget(key)
                if (entry := self._running.get(key)) is not None:
                    entry.scope.cancel()
        self._notify()

    def receipted(self, job_id: str, attempt_id: int) -> None:
        """The scheduler has the result of this attempt, or does not want it."""
        self._results.forget((job_id, attempt_id))
        self._notify()

    def tell_again(self) -> None:
        """Say of each running job that it runs: the connection before may have lost it."""
        for key in self.running:
            self._put(self._running[key].started)

    # -- one job ---------------------------------------------------------------------------

    async def _work(self, job: wire.JobAssign, entry: _Running) -> None:
        """Run the job and keep its result. A job that was cancelled, or is late, has none."""
        key, node_id, result = (job.job_id, job.attempt_id), entry.started.node_id, None
        begun = trio.current_time()
        try:
            with entry.scope:
                self._put(entry.started)
                done = await self._runner.run(job, lambda stage: self._progress(job, stage))
                elapsed_ms = round((trio.current_time() - begun) * 1000)
                result = self._encoded(job, node_id, _success(job, node_id, done, elapsed_ms))
        except StageFailed as failed:
            failure = _failure(job, node_id, failed.code, str(failed), retryable=failed.retryable)
            result = encode(failure)
        except Exception:
            log.exception("job_fault", job_id=job.job_id)
            why = "the node failed; its log says why"
            result = encode(_failure(job, node_id, Code.PROCESSING_ERROR, why, retryable=True))
        finally:
            # The same attempt may have been cancelled and have begun anew since.
            if self._running.get(key) is entry:
                del self._running[key]
            self._notify()
        if result is not None:
            self._results.keep(key, result)
        log.info("job_done" if result else "job_cancelled", job_id=job.job_id)

    def _progress(self, job: wire.JobAssign, stage: str) -> None:
        message = wire.JobProgress(job_id=job.job_id, attempt_id=job.attempt_id, stage=stage)
        self._put(message)

    def _encoded(self, job: wire.JobAssign, node_id: str, result: wire.JobResult) -> str:
        text = encode(result)
        if len(text.encode()) <= self.result_bytes_max:
            return text
        why = f"the result is larger than the {self.result_bytes_max} bytes the scheduler takes"
        return encode(_failure(job, node_id, Code.TOO_LARGE, why, retryable=False))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _about(job: wire.JobAssign, node_id: str) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "attempt_id": job.attempt_id,
        "node_id": node_id,
        "session_id": job.session_id,
        "trace_id": job.trace_id,
    }


def _success(job: wire.JobAssign, node_id: str, done: Done, elapsed_ms: int) -> wire.JobResult:
    return wire.JobResult(
        **_about(job, node_id),
        utterance_index=job.utterance_index,
        success=True,
        text_asr=done.text_asr,
        text_translated=done.text_translated,
        tts_audio=done.tts_audio,
        tts_format=done.tts_format,
        extra={"service_timings": done.timings_ms},
        processing_time_ms=elapsed_ms,
    )


def _failure(
    job: wire.JobAssign, node_id: str, code: str, text: str, *, retryable: bool
) -> wire.JobResult:
    return wire.JobResult(
        **_about(job, node_id),
        utterance_index=job.utterance_index,
        success=False,
        error=JobError(code=code, message=text, retryable=retryable),
    )
