"""The node agent: dials out, registers, runs jobs, and keeps a result until it is stored.

Two lifetimes, two nurseries: jobs run in a nursery that outlives connections, so that work
goes on while the scheduler is away; each connection is a block within one turn of the
dialling loop. Messages are handled synchronously, so the records below need no locks.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
import structlog
import trio

from scheduler import __version__
from scheduler.config import Config, NodeConfig
from scheduler.errors import Close, Code, ConnectionLost, ProtocolError, StageFailed
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.connection import Connection, dial
from scheduler.wire import node as wire
from scheduler.wire.codec import decode_to_node, encode
from scheduler.wire.common import (
    AttemptRef,
    Capability,
    Error,
    Hardware,
    InstalledService,
    JobError,
    LanguageCapabilities,
    ResourceUsage,
)

log = structlog.get_logger()

Key = tuple[str, int]
"""A job id and an attempt number: what every message about a job carries."""


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


class Agent:
    """One node. ``open_stream`` reaches the scheduler or raises ``ConnectionLost``."""

    def __init__(
        self,
        runner: Runner,
        *,
        open_stream: Callable[[], Awaitable[trio.abc.Stream]],
        node_config: NodeConfig,
        hardware: Hardware,
        draw: Callable[[], float],
        config: Config | None = None,
        platform: str = "python",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._runner = runner
        self._open_stream = open_stream
        self._node_config = node_config
        self._config = config or Config()
        self._hardware = hardware
        self._platform = platform
        self._say = say
        self._backoff = Backoff(
            first=node_config.backoff_first, longest=node_config.backoff_max, draw=draw
        )
        self.node_id: str | None = node_config.node_id or None
        self._running: dict[Key, trio.CancelScope] = {}
        self._finished: OrderedDict[Key, wire.JobResult] = OrderedDict()
        self._connection: Connection | None = None
        self._timers: dict[str, int] = {}
        self._draining = False
        self._changed = trio.Event()

    # -- its life -------------------------------------------------------------------

    async def run(self, stop: trio.Event) -> None:
        """Serve until ``stop`` is set, then drain for at most ``drain_timeout`` seconds.

        Cancelling ends it at once, with the jobs that run.
        """
        async with trio.open_nursery() as jobs:
            async with trio.open_nursery() as dialling:
                dialling.start_soon(self._dial_for_ever, jobs)
                await stop.wait()
                self._draining = True
                self._say(f"draining: {len(self._running)} jobs are running")
                self._beat()
                with trio.move_on_after(self._node_config.drain_timeout):
                    while self._running or (self._finished and self._connection is not None):
                        await self._changed.wait()
                if self._connection is not None:
                    self._connection.end(Close.NORMAL)
                    with trio.move_on_after(self._config.write_timeout):
                        while self._connection is not None:
                            await self._changed.wait()
                dialling.cancel_scope.cancel()
            jobs.cancel_scope.cancel()

    async def _dial_for_ever(self, jobs: trio.Nursery) -> None:
        while True:
            try:
                stream = await self._open_stream()
                await self._converse(stream, jobs)
            except* ConnectionLost as group:
                lost: BaseException = group
                while isinstance(lost, BaseExceptionGroup):
                    lost = lost.exceptions[0]
                reason = str(lost)
            except* Exception as group:
                log.exception("connection_fault", exc_info=group)
                reason = "the connection failed; see the log"
            pause = self._backoff.pause()
            self._say(f"{reason}, next try in {pause:.1f} s")
            await trio.sleep(pause)

    async def _converse(self, stream: trio.abc.Stream, jobs: trio.Nursery) -> None:
        """One connection, from registering to its end; always raises ``ConnectionLost``."""
        async with dial(stream, "scheduler", "/ws/node", self._config) as connection:
            self._connection = connection
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._repeat)
                    connection.put(encode(self._hello()))
                    await connection.run(lambda raw: self._receive(raw, jobs))
                    nursery.cancel_scope.cancel()
            finally:
                self._connection = None
                self._timers = {}
                self._notify()
        raise connection.lost

    def _hello(self) -> wire.NodeRegister:
        able = self._runner.describe()
        return wire.NodeRegister(
            version=__version__,
            platform=self._platform,
            hardware=self._hardware,
            installed_models=(),
            capability_by_type=able.capabilities,
            features_supported={},
            accept_public_jobs=True,
            node_id=self.node_id,
            capability_schema_version="2.0",
            installed_services=able.services,
            language_capabilities=able.languages,
            slots=self._node_config.slots,
            in_flight=self._in_flight(),
            receipts=True,
        )

    def _in_flight(self) -> tuple[AttemptRef, ...]:
        keys = [*self._running, *self._finished]
        return tuple(AttemptRef(job_id=job_id, attempt_id=attempt) for job_id, attempt in keys)

    # -- what repeats: heartbeats, and results that were not receipted ------------------

    async def _repeat(self) -> None:
        """Beat at the pace the scheduler asks for; resend what it has not receipted."""
        beats = 0
        while True:
            if not self._timers:
                await self._changed.wait()
                continue
            heartbeat = self._timers.get("heartbeat_ms", 1000) / 1000
            await trio.sleep(heartbeat)
            self._beat()
            beats += 1
            if (
                beats % max(1, round(self._timers.get("result_stored_ms", 5000) / 1000 / heartbeat))
                == 0
            ):
                self._resend()

    def _beat(self) -> None:
        if self._connection is None or not self._timers or self.node_id is None:
            return
        able = self._runner.describe()
        message = wire.NodeHeartbeat(
            node_id=self.node_id,
            timestamp=int(trio.current_time() * 1000),
            resource_usage=ResourceUsage(
                cpu_percent=0.0, mem_percent=0.0, running_jobs=len(self._running)
            ),
            installed_services=able.services,
            capability_by_type=able.capabilities,
            language_capabilities=able.languages,
            in_flight=self._in_flight(),
            draining=self._draining,
        )
        self._put(message)

    def _resend(self) -> None:
        for result in self._finished.values():
            self._put(result)

    def _put(self, message: wire.FromNode) -> None:
        if self._connection is not None:
            self._connection.put(encode(message))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- what the scheduler says ---------------------------------------------------------

    def _receive(self, raw: str | bytes, jobs: trio.Nursery) -> None:
        try:
            message = decode_to_node(raw)
        except ProtocolError as error:
            log.warning("invalid_message", error=str(error))
            return
        match message:
            case wire.NodeRegisterAck():
                self._registered(message)
            case wire.JobAssign():
                self._assigned(message, jobs)
            case wire.JobCancel():
                self._cancelled(message)
            case wire.JobResultAck():
                if self._finished.pop((message.job_id, message.attempt_id), None) is not None:
                    log.debug("result_receipted", job_id=message.job_id, status=message.status)
                self._notify()
            case wire.NodeControl():
                self._controlled(message)
            case Error():
                log.warning("scheduler_error", code=message.code, text=message.message)

    def _registered(self, ack: wire.NodeRegisterAck) -> None:
        self.node_id = ack.node_id
        self._timers = ack.timers or {"heartbeat_ms": 1000}
        self._backoff.healthy()
        self._say(
            f"registered as {ack.node_id} with {self._node_config.slots} slots ({ack.status})"
        )
        self._resend()
        self._notify()

    def _assigned(self, job: wire.JobAssign, jobs: trio.Nursery) -> None:
        key = (job.job_id, job.attempt_id)
        if (result := self._finished.get(key)) is not None:
            self._put(result)
            return
        receipt: dict[str, Any] = {
            "job_id": job.job_id,
            "attempt_id": job.attempt_id,
            "node_id": self.node_id,
            "session_id": job.session_id,
            "trace_id": job.trace_id,
        }
        if key not in self._running:
            if len(self._running) >= self._node_config.slots or self._draining:
                text = "the node is draining" if self._draining else "every slot is taken"
                self._finish(
                    job, _failure(job, self.node_id or "", Code.NODE_OVERLOADED, text, True)
                )
                return
            scope = self._running[key] = trio.CancelScope()
            if job.deadline_ms is not None:
                scope.deadline = trio.current_time() + job.deadline_ms / 1000
            jobs.start_soon(self._work, job, scope, wire.JobStarted(**receipt))
        self._put(wire.JobAck(**receipt))

    def _cancelled(self, message: wire.JobCancel) -> None:
        for key in [*self._running, *self._finished]:
            if key[0] == message.job_id and message.attempt_id in (None, key[1]):
                self._finished.pop(key, None)
                if (scope := self._running.get(key)) is not None:
                    scope.cancel()
        self._notify()

    def _controlled(self, message: wire.NodeControl) -> None:
        log.info("node_control", command=message.command, reason=message.reason)
        if message.command == "shutdown" and self._connection is not None:
            self._connection.end(Close.NORMAL)

    # -- one job ---------------------------------------------------------------------------

    async def _work(
        self, job: wire.JobAssign, scope: trio.CancelScope, started: wire.JobStarted
    ) -> None:
        key, result, begun = (job.job_id, job.attempt_id), None, trio.current_time()
        node_id = started.node_id
        try:
            with scope:
                self._put(started)
                done = await self._runner.run(job, lambda stage: self._progress(job, stage))
                elapsed_ms = int((trio.current_time() - begun) * 1000)
                result = _success(job, node_id, done, elapsed_ms)
        except StageFailed as failed:
            result = _failure(job, node_id, failed.code, str(failed), failed.retryable)
        except Exception:
            log.exception("job_fault", job_id=job.job_id)
            text = "the node failed; its log says why"
            result = _failure(job, node_id, Code.PROCESSING_ERROR, text, True)
        finally:
            del self._running[key]
        if result is not None:
            self._finish(job, result)
        log.info("job_done" if result else "job_cancelled", job_id=job.job_id)
        self._notify()

    def _progress(self, job: wire.JobAssign, stage: str) -> None:
        message = wire.JobProgress(job_id=job.job_id, attempt_id=job.attempt_id, stage=stage)
        self._put(message)

    def _finish(self, job: wire.JobAssign, result: wire.JobResult) -> None:
        """Keep the result until it is receipted, and send it if there is somebody to send it to."""
        self._finished[job.job_id, job.attempt_id] = result
        if len(self._finished) > self._node_config.results_kept_max:
            self._finished.popitem(last=False)
            log.warning("result_dropped", kept=self._node_config.results_kept_max)
        self._put(result)


def _success(job: wire.JobAssign, node_id: str, done: Done, elapsed_ms: int) -> wire.JobResult:
    return wire.JobResult(
        job_id=job.job_id,
        attempt_id=job.attempt_id,
        node_id=node_id,
        session_id=job.session_id,
        utterance_index=job.utterance_index,
        success=True,
        trace_id=job.trace_id,
        text_asr=done.text_asr,
        text_translated=done.text_translated,
        tts_audio=done.tts_audio,
        tts_format=done.tts_format,
        extra={"service_timings": done.timings_ms},
        processing_time_ms=elapsed_ms,
    )


def _failure(
    job: wire.JobAssign, node_id: str, code: str, text: str, retryable: bool
) -> wire.JobResult:
    return wire.JobResult(
        job_id=job.job_id,
        attempt_id=job.attempt_id,
        node_id=node_id,
        session_id=job.session_id,
        utterance_index=job.utterance_index,
        success=False,
        trace_id=job.trace_id,
        error=JobError(code=code, message=text, retryable=retryable),
    )
