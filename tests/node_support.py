"""A real node agent in virtual time, and a scheduler that does what the test says."""

import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import trio
from fakes import ScriptedRunner
from simulation.network import Link, LinkPlan, Network

from scheduler.config import Config, NodeConfig
from scheduler.errors import ConnectionLost
from scheduler.node.agent import Agent, Runner
from scheduler.runtime.connection import Connection, accept
from scheduler.runtime.dialer import Address, explain
from scheduler.wire import node as wire
from scheduler.wire.codec import decode_from_node, encode
from scheduler.wire.common import Hardware, Pipeline

M = TypeVar("M", bound=wire.FromNode)

NODE_ID = "node-1"
LATENCY = 1 / 64
VIRTUAL_SECONDS_MAX = 3600.0
TIMERS = {"heartbeat_ms": 1000, "result_stored_ms": 5000}


def assignment(job_id: str = "job-1", attempt: int = 1, **more: Any) -> wire.JobAssign:
    said: dict[str, Any] = {
        "job_id": job_id,
        "attempt_id": attempt,
        "session_id": "s-1",
        "utterance_index": 0,
        "src_lang": "en",
        "tgt_lang": "es",
        "dialect": None,
        "pipeline": Pipeline(),
        "audio": base64.b64encode(f"words of {job_id}".encode()).decode(),
        "audio_format": "pcm16",
        "sample_rate": 16000,
        "trace_id": "trace-1",
        "deadline_ms": 30_000,
    }
    return wire.JobAssign(**(said | more))


class Line:
    """One connection of the node, from the scheduler's end; ``heard`` is all that came."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.heard: list[wire.FromNode] = []
        self.heard_at: list[float] = []
        self._taken: set[int] = set()
        self._changed = trio.Event()

    def receive(self, raw: str | bytes) -> None:
        self.heard.append(decode_from_node(raw))
        self.heard_at.append(trio.current_time())
        self._changed.set()
        self._changed = trio.Event()

    async def hear(self, kind: type[M]) -> M:
        """The next message of this kind, which may have come already; others stay for later."""
        while True:
            for place, message in enumerate(self.heard):
                if isinstance(message, kind) and place not in self._taken:
                    self._taken.add(place)
                    return message
            await self._changed.wait()

    def all(self, kind: type[M]) -> list[M]:
        return [message for message in self.heard if isinstance(message, kind)]

    def say(self, message: wire.ToNode) -> None:
        self.connection.put(encode(message))

    def say_raw(self, text: str) -> None:
        self.connection.put(text)

    def register(self, **more: Any) -> None:
        said: dict[str, Any] = {
            "node_id": NODE_ID, "message": "", "status": "ready", "timers": TIMERS,
        }  # fmt: skip
        self.say(wire.NodeRegisterAck(**(said | more)))

    def receipt(self, result: wire.JobResult, status: Any = "stored") -> None:
        self.say(
            wire.JobResultAck(job_id=result.job_id, attempt_id=result.attempt_id, status=status)
        )


class World:
    """An agent at work. ``said`` are its lines for people; ``stop`` asks it to leave."""

    def __init__(self, network: Network, agent: Agent, said: list[str]) -> None:
        self.network = network
        self.agent = agent
        self.said = said
        self.stop = trio.Event()
        self.ended = trio.Event()
        self.error: ConnectionLost | None = None
        self._send, self._lines = trio.open_memory_channel[Line](100)

    @property
    def link(self) -> Link:
        """The link made last."""
        return self.network.links[-1]

    async def run_agent(self) -> None:
        try:
            await self.agent.run(self.stop)
        except ConnectionLost as error:
            self.error = error
        self.ended.set()

    async def serve(self, stream: trio.abc.Stream) -> None:
        async with accept(stream, Config()) as connection:
            line = Line(connection)

            def receive(raw: str | bytes) -> None:
                line.receive(raw)
                if len(line.heard) == 1:
                    self._send.send_nowait(line)

            await connection.run(receive)

    async def line(self) -> tuple[Line, wire.NodeRegister]:
        """The node's next connection and the hello on it."""
        line = await self._lines.receive()
        return line, await line.hear(wire.NodeRegister)

    async def registered(self, **more: Any) -> Line:
        """The node's next connection, registered."""
        line, _ = await self.line()
        line.register(**more)
        await line.hear(wire.NodeHeartbeat)
        return line


@contextlib.asynccontextmanager
async def node_at_work(
    runner: Runner | None = None,
    *,
    draw: Callable[[], float] = lambda: 0.5,
    listening: bool = True,
    plan: Callable[[], LinkPlan] = lambda: LinkPlan(latency=LATENCY),
    **settings: Any,
) -> AsyncIterator[World]:
    """A node's agent, for the block's length, and the network to a scripted scheduler."""
    network, said = Network(), list[str]()

    async def open_stream() -> trio.abc.Stream:
        try:
            return await network.connect(plan(), "node")
        except OSError as error:
            raise ConnectionLost(None, explain(Address("127.0.0.1", 5010, False), error)) from None

    agent = Agent(
        runner or ScriptedRunner(),
        open_stream=open_stream,
        node_config=NodeConfig(**settings),
        hardware=Hardware(cpu_cores=2, memory_gb=4),
        draw=draw,
        say=said.append,
    )
    world = World(network, agent, said)
    if not listening:
        network.refusing.add("server")
    # What waits for ever in virtual time would wait for ever in real time too.
    with trio.fail_after(VIRTUAL_SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            await nursery.start(_listen, world)
            nursery.start_soon(world.run_agent)
            yield world
            nursery.cancel_scope.cancel()


async def _listen(world: World, *, task_status: trio.TaskStatus[None]) -> None:
    async def handler(stream: trio.abc.Stream) -> None:
        # A link that breaks while hands are shaken ends that connection and nothing else.
        with contextlib.suppress(Exception):
            await world.serve(stream)

    await trio.serve_listeners(handler, [world.network.listener()], task_status=task_status)  # type: ignore[arg-type]
