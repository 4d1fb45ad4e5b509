"""The nodes of a world that run the real agent, and what any node does with its jobs."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Callable
from typing import Any

import trio
from messages import capabilities, languages
from simulation.scene import Begun, Scene
from simulation.taps import Talk, Tap
from simulation.worldplan import TICK_S, NodeCrash, NodePlan, Work

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
        return max(0.0, work.seconds)
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


class Fate:
    """When a node dies: it is told of what the node hears and says, over all its lives."""

    def __init__(self, crashes: tuple[NodeCrash, ...]) -> None:
        self._due = {(one.when, one.nth) for one in crashes}
        self._assigned = self._stored = 0
        self._after: list[str] = []

    def hears(self, message: dict[str, Any]) -> bool:
        """Whether the node dies before it can act on that."""
        match message.get("type"):
            case "job_assign":
                self._assigned += 1
                self._after += self._take("after receipt", self._assigned)
                return bool(self._take("before receipt", self._assigned))
            case "job_result_ack":
                self._stored += 1
                self._after += self._take("after stored", self._stored)
                return bool(self._take("before stored", self._stored))
        return False

    def has_said_more(self) -> bool:
        """Whether the node dies now that it has said something more."""
        due, self._after = bool(self._after), []
        return due

    def _take(self, when: Any, nth: int) -> list[str]:
        due = (when, nth) in self._due
        self._due.discard((when, nth))
        return [when] if due else []


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
        self._fate = Fate(plan.crashes)

    async def run(self) -> None:
        """From its first process until `over` is set."""
        plan = self.plan
        await until(plan.at, self.over)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._freeze)
            leaves = plan.leaves
            while not self.over.is_set():
                with trio.CancelScope() as self._process:
                    await self._live(leaves)
                if self._process.cancelled_caught:
                    await until(trio.current_time() + plan.pause, self.over)
                elif plan.returns is not None:
                    await until(trio.current_time() + plan.returns, self.over)
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
            await until(math.inf if leaves is None else self.plan.at + leaves, self.over)
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
        return Tap(stream, talk, on_message=self._heard, on_sent=self._sent)

    def _heard(self, talk: Talk, message: dict[str, Any]) -> None:
        if self._fate.hears(message) and not self.scene.healed:
            self.crash()

    def _sent(self, talk: Talk) -> None:
        if self._fate.has_said_more() and not self.scene.healed:
            self.crash()


async def until(instant: float, over: trio.Event) -> None:
    with trio.move_on_at(instant):
        await over.wait()
