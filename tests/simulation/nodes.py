"""The nodes of a world: the real agent with scripted engines, and nodes that speak by hand."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable
from typing import Any

import trio
from messages import capabilities, languages
from simulation.rawpeer import RawPeer
from simulation.scene import Begun, Scene, message_of
from simulation.taps import Talk, Tap
from simulation.worldplan import TICK_S, NodePlan, Work

from scheduler.config import NodeConfig
from scheduler.core.quarantine import CANARY_SESSION
from scheduler.errors import ConnectionLost, StageFailed
from scheduler.node.agent import Agent, Description, Done
from scheduler.wire.common import Hardware
from scheduler.wire.node import JobAssign

HARDWARE = Hardware(cpu_cores=2, memory_gb=4)
ANSWER = "hola "
"""What a translation begins with; the words of the utterance follow."""
WELL = Work(TICK_S)
"""How a canary is done, and everything once the world has healed."""


def when_due(work: Work, time_left_s: float, latency_s: float) -> float:
    """Seconds from the assignment's arrival until the result must be sent."""
    if work.due == "start":
        return work.seconds
    return max(0.0, time_left_s - 2 * latency_s + work.seconds)


def whole_ticks(milliseconds: int) -> float:
    """Seconds, as they were before they were cut to whole milliseconds."""
    return math.ceil(milliseconds / 1000 / TICK_S) * TICK_S


class Shift:
    """The works of a node, one after the other, over all its lives."""

    def __init__(self, scene: Scene, name: str, plan: NodePlan) -> None:
        self._scene = scene
        self._name = name
        self._works = itertools.cycle(plan.works)

    def begin(self, job_id: str, attempt_id: int, session_id: str, text: str) -> Work:
        """Write down that a job was begun; how it is to be done."""
        if session_id == CANARY_SESSION:
            return WELL if self._scene.healed else next(self._works)
        self._scene.begun.append(Begun(trio.current_time(), self._name, job_id, attempt_id, text))
        return WELL if self._scene.healed else next(self._works)


class Engines:
    """Implements `scheduler.node.agent.Runner` by the plan."""

    def __init__(self, node: AgentNode, shift: Shift) -> None:
        self._node = node
        self._shift = shift

    def describe(self) -> Description:
        return Description(capabilities=capabilities(), services=(), languages=languages())

    async def run(self, job: JobAssign, on_stage: Callable[[str], None]) -> Done:
        canary = job.session_id == CANARY_SESSION
        text = "" if canary else base64.b64decode(job.audio).decode()
        work = self._shift.begin(job.job_id, job.attempt_id, job.session_id, text)
        on_stage("asr")
        assert job.deadline_ms is not None
        await trio.sleep(when_due(work, whole_ticks(job.deadline_ms), self._node.latency_s))
        match work.end:
            case "failure" | "final failure":
                retryable = work.end == "failure"
                raise StageFailed("asr", "PROCESSING_ERROR", "it broke", retryable=retryable)
            case "nothing":
                await trio.sleep_forever()
            case "crash":
                self._node.crash()
                await trio.sleep_forever()
            case "silence":
                return Done()
        return Done(text_asr=text, text_translated=ANSWER + text if text else "")


class AgentNode:
    """A machine that runs the real agent, one process after the other."""

    def __init__(self, scene: Scene, name: str, plan: NodePlan) -> None:
        self.scene = scene
        self.name = name
        self.plan = plan
        self.latency_s = 0.0
        self.over = trio.Event()
        self._process = trio.CancelScope()
        self._talk: Talk | None = None
        self._shift = Shift(scene, name, plan)

    async def run(self) -> None:
        """From its first process until `over` is set."""
        plan = self.plan
        await _until(plan.at, self.over)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._freeze)
            leaves = plan.leaves
            while not self.over.is_set():
                with trio.CancelScope() as self._process:
                    await self._live(leaves)
                if self._process.cancelled_caught:
                    await _until(trio.current_time() + plan.pause, self.over)
                elif plan.returns is not None:
                    await _until(trio.current_time() + plan.returns, self.over)
                    leaves = None
                else:
                    await self.over.wait()
            nursery.cancel_scope.cancel()

    async def _live(self, leaves: float | None) -> None:
        """One process, until it is told to stop or to leave. It drains."""
        config, stop = self.scene.config, trio.Event()
        agent = Agent(
            Engines(self, self._shift),
            open_stream=self._open_stream,
            node_config=NodeConfig(
                slots=self.plan.slots,
                node_id=self.name if self.plan.named else "",
                backoff_max=config.node_backoff_max,
                drain_timeout=config.drain_timeout,
            ),
            hardware=HARDWARE,
            draw=lambda: self.scene.draw() if self.plan.pause else 0.0,
            config=config,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve, agent, stop)
            await _until(math.inf if leaves is None else self.plan.at + leaves, self.over)
            stop.set()

    async def _serve(self, agent: Agent, stop: trio.Event) -> None:
        try:
            await agent.run(stop)
        except* ConnectionLost as lost:
            self.scene.sent_away.append(f"{self.name}: {lost.exceptions[0]!r}")

    def crash(self) -> None:
        """The process dies with everything that it was doing."""
        if self._talk is not None:
            self._talk.link.reset()
        self._process.cancel()

    async def _freeze(self) -> None:
        for one in sorted(self.plan.freezes, key=lambda f: f.at):
            await trio.sleep_until(self.plan.at + one.at)
            if self._talk is not None:
                self._talk.link.freeze("client", one.seconds)

    async def _open_stream(self) -> trio.abc.Stream:
        try:
            stream, talk = await self.scene.dial(self.name, "node", self.plan.links)
        except ConnectionRefusedError as error:
            raise ConnectionLost(None, str(error)) from None
        self._talk, self.latency_s = talk, stream.link.plan.latency
        return Tap(stream, talk, on_message=lambda talk, message: None, on_sent=lambda talk: None)


async def _until(instant: float, over: trio.Event) -> None:
    with trio.move_on_at(instant):
        await over.wait()


class RawNode(RawPeer):
    """A node by hand. Its work goes on while it has no connection, as the agent's does."""

    path = "/ws/node"
    role = "node"

    def __init__(self, scene: Scene, name: str, plan: NodePlan) -> None:
        super().__init__(scene, name, plan.links, plan.pause)
        self.plan = plan
        self.receipts = plan.kind == "raw"
        self.node_id: str | None = name if plan.named else None
        self._shift = Shift(scene, name, plan)
        self._running: dict[tuple[str, int], trio.CancelScope] = {}
        self._kept: dict[tuple[str, int], dict[str, Any]] = {}

    async def run(self) -> None:
        """From its first connection until `over` is set."""
        await _until(self.plan.at, self.over)
        async with trio.open_nursery() as self._jobs:
            self._jobs.start_soon(self.freeze, self.plan.at, self.plan.freezes)
            self._jobs.start_soon(self._beat)
            if self.plan.leaves is not None:
                self._jobs.start_soon(self._leave)
            await self.keep_connected()
            self._jobs.cancel_scope.cancel()

    async def _leave(self) -> None:
        assert self.plan.leaves is not None
        await trio.sleep_until(self.plan.at + self.plan.leaves)
        self.pause = math.inf if self.plan.returns is None else self.plan.returns
        self._restart()
        self.hang_up()

    async def _beat(self) -> None:
        """Heartbeats, as often as the settings ask for."""
        while True:
            await trio.sleep(self.scene.config.heartbeat_interval)
            if self.receipts and self.talk is not None and self.talk.node_id is not None:
                self.say(
                    message_of(
                        "node_heartbeat", node_id=self.talk.node_id, timestamp=0,
                        resource_usage={"cpu_percent": 0, "mem_percent": 0,
                                        "running_jobs": len(self._running)},
                        installed_services=[], **abilities(),
                    )
                )  # fmt: skip

    def _restart(self) -> None:
        """A new process knows nothing of what the old one did."""
        for scope in self._running.values():
            scope.cancel()
        self._running.clear()
        self._kept.clear()

    def greet(self) -> None:
        said: dict[str, Any] = {
            "version": "1", "platform": "raw",
            "hardware": {"cpu_cores": 2, "memory_gb": 4}, "installed_models": [],
            "features_supported": {}, "accept_public_jobs": True, "node_id": self.node_id,
            **abilities(),
        }  # fmt: skip
        if self.receipts:
            held = [*self._running, *self._kept]
            said |= {
                "receipts": True,
                "slots": self.plan.slots,
                "in_flight": [{"job_id": j, "attempt_id": a} for j, a in held],
            }
        self.say(message_of("node_register", **said))

    def hear(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "node_register_ack":
                self.node_id = message["node_id"]
                for result in self._kept.values():
                    self.say(result)
            case "job_assign":
                self._assigned(message)
            case "job_cancel":
                self._cancelled(message)
            case "job_result_ack":
                self._kept.pop((message["job_id"], message["attempt_id"]), None)

    def _assigned(self, job: dict[str, Any]) -> None:
        key = (job["job_id"], job["attempt_id"])
        canary = job["session_id"] == CANARY_SESSION
        text = "" if canary else base64.b64decode(job["audio"]).decode()
        work = self._shift.begin(*key, job["session_id"], text)
        wanted = [k for k, scope in self._running.items() if not scope.cancel_called]
        if self.receipts and len(wanted) >= self.plan.slots:
            self.scene.overrun.append(f"{self.name} has {wanted} and gets {key}")
        if self.plan.forges and not self.scene.healed:
            self._forge(job)
        scope = self._running[key] = trio.CancelScope()
        self._jobs.start_soon(self._work, scope, key, job, work, text)

    async def _work(
        self,
        scope: trio.CancelScope,
        key: tuple[str, int],
        job: dict[str, Any],
        work: Work,
        text: str,
    ) -> None:
        about = self._about(job)
        with scope:
            if work.receipt and self.receipts:
                self.say(message_of("job_ack", **about))
                self.say(message_of("job_started", **about))
            latency_s = self.talk.link.plan.latency if self.talk else 0.0
            left_s = whole_ticks(job["deadline_ms"])
            await trio.sleep(when_due(work, left_s, latency_s))
            if work.end == "nothing":
                await trio.sleep_forever()
        if self._running.get(key) is scope:
            del self._running[key]
        if scope.cancelled_caught and not work.deaf:
            return
        if work.end == "crash":
            self._restart()
            self.crash()
            return
        result = result_of(about, job, work, text)
        if self.receipts:
            self._kept[key] = result
        for _ in range(work.copies):
            self.say(result)

    def _about(self, job: dict[str, Any]) -> dict[str, Any]:
        names = ("job_id", "attempt_id", "session_id", "trace_id")
        return {"node_id": self.node_id, **{name: job[name] for name in names}}

    def _cancelled(self, message: dict[str, Any]) -> None:
        for key, scope in list(self._running.items()):
            if key[0] == message["job_id"] and message.get("attempt_id") in (None, key[1]):
                scope.cancel()

    def _forge(self, job: dict[str, Any]) -> None:
        """Claim results that are not this node's to give, under names that exist."""
        about = self._about(job)
        lie = Work()
        given = [(b.job_id, b.attempt_id) for b in self.scene.begun if b.node != self.name]
        later = (job["job_id"], job["attempt_id"] + 100)
        for job_id, attempt_id in [*given[-8:], ("job-nobody's", 1), later]:
            forged = {**about, "job_id": job_id, "attempt_id": attempt_id}
            self.say(result_of(forged, job, lie, f"{self.name} made this up"))
        for name in sorted({b.node for b in self.scene.begun} - {self.name}):
            self.say(result_of({**about, "node_id": name}, job, lie, f"{self.name} made this up"))


def abilities() -> dict[str, Any]:
    kinds = ("asr", "nmt", "tts")
    return {
        "capability_by_type": [{"type": kind, "ready": True} for kind in kinds],
        "language_capabilities": {
            "asr_languages": ["en"],
            "tts_languages": ["es"],
            "supported_language_pairs": [{"src": "en", "tgt": "es"}],
        },
    }


def result_of(about: dict[str, Any], job: dict[str, Any], work: Work, text: str) -> dict[str, Any]:
    said = {**about, "utterance_index": job["utterance_index"]}
    if work.end in ("failure", "final failure"):
        retryable = work.end == "failure"
        error = {"code": "PROCESSING_ERROR", "message": "it broke", "retryable": retryable}
        return message_of("job_result", success=False, error=error, **said)
    silence = work.end == "silence" or not text
    return message_of(
        "job_result", success=True, text_asr="" if silence else text,
        text_translated="" if silence else ANSWER + text, tts_audio="", tts_format="wav", **said,
    )  # fmt: skip
