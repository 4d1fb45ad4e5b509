"""The nodes of a world that speak by hand: of the whole protocol, or of its base only."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import trio
from simulation.nodes import ANSWER, Fate, Shift, until, when_due, whole_ticks
from simulation.rawpeer import RawPeer
from simulation.scene import Scene, message_of
from simulation.worldplan import NodePlan, Work

from scheduler.core.quarantine import CANARY_SESSION


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
        self._fate = Fate(plan.crashes)
        self._running: dict[tuple[str, int], trio.CancelScope] = {}
        self._kept: dict[tuple[str, int], dict[str, Any]] = {}

    async def run(self) -> None:
        """From its first connection until `over` is set."""
        await until(self.plan.at, self.over)
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

    def send(self, data: bytes | Callable[[], None]) -> None:
        super().send(data)
        if isinstance(data, bytes) and self._fate.has_said_more() and not self.scene.healed:
            super().send(self._die)

    def _die(self) -> None:
        self._restart()
        self.crash()

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
        if self._fate.hears(message) and not self.scene.healed:
            self._die()
            return
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
            self._die()
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
