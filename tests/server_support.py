"""The whole scheduler on a network in memory, and peers that say what a test tells them to.

The peers' messages are plain JSON, written down as the protocol has them, so that a mistake in
our own messages cannot hide itself.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import raw_peer
import trio
from fakes import CountingIds
from raw_peer import RawPeer
from simulation.network import LinkPlan, LinkStream, Network

from scheduler.config import Config
from scheduler.core.events import Effect, Event
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve

AT_ONCE = LinkPlan(latency=0.0)
Message = dict[str, Any]
PATIENCE_S = 3600.0
CAPABILITIES = [{"type": kind, "ready": True} for kind in ("asr", "nmt", "tts")]


def session_init(**more: Any) -> Message:
    return {
        "type": "session_init", "client_version": "1.0", "platform": "web", "src_lang": "en",
        "tgt_lang": "es", "receipts": True,
    } | more  # fmt: skip


def utterance(session_id: str, index: int = 0, **more: Any) -> Message:
    return {
        "type": "utterance", "session_id": session_id, "utterance_index": index,
        "manual_cut": True, "src_lang": "en", "tgt_lang": "es", "audio": "AAAA",
        "audio_format": "pcm16", "sample_rate": 16000,
    } | more  # fmt: skip


def node_register(node_id: str | None = None, **more: Any) -> Message:
    return {
        "type": "node_register", "node_id": node_id, "version": "1.0", "platform": "linux",
        "hardware": {"cpu_cores": 2, "memory_gb": 4}, "installed_models": [],
        "capability_by_type": CAPABILITIES,
        "features_supported": {}, "accept_public_jobs": True,
        "language_capabilities": {
            "asr_languages": ["en"], "tts_languages": ["es"],
            "supported_language_pairs": [{"src": "en", "tgt": "es"}],
        },
        "slots": 1, "receipts": True,
    } | more  # fmt: skip


def job_result(job: Message, node_id: str, **more: Any) -> Message:
    copied = ("job_id", "attempt_id", "session_id", "utterance_index", "trace_id")
    return {
        "type": "job_result", "node_id": node_id, "success": True, "text_asr": "hello",
        "text_translated": "hola", "tts_audio": "UklG", "tts_format": "wav",
        **{name: job[name] for name in copied},
    } | more  # fmt: skip


class Peer:
    """A live peer: it answers pings, reads at once, and remembers what it was told and when."""

    def __init__(self, raw: RawPeer) -> None:
        self.raw = raw
        self.told: list[tuple[float, Message]] = []
        self.close_code: int | None = None
        self.ended = trio.Event()
        self._next = 0
        self._sending = trio.Lock()
        self._changed = trio.Event()

    @classmethod
    async def open(cls, stream: trio.abc.Stream, path: str, nursery: trio.Nursery) -> Self:
        peer = cls(await RawPeer.upgrade(stream, path))
        nursery.start_soon(peer._read)
        return peer

    async def _read(self) -> None:
        try:
            while True:
                heard = await self.raw.hear()
                if heard.opcode == raw_peer.TEXT:
                    self.told.append((trio.current_time(), json.loads(heard.payload)))
                elif heard.opcode == raw_peer.PING:
                    await self._send(raw_peer.PONG, heard.payload)
                elif heard.opcode == raw_peer.CLOSE:
                    self.close_code = heard.code
                    await self._send(raw_peer.CLOSE, heard.payload)
                self._wake()
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.ended.set()
            self._wake()
            await trio.aclose_forcefully(self.raw.stream)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _send(self, opcode: int, payload: bytes) -> None:
        async with self._sending:
            await self.raw.send(opcode, payload)

    async def say(self, message: Message | str) -> None:
        async with self._sending:
            await self.raw.say(message)

    async def hear(self, *kinds: str, **like: Any) -> Message:
        """The next message of these types with these fields; what comes before is passed over."""
        while True:
            while self._next < len(self.told):
                _, message = self.told[self._next]
                self._next += 1
                if message["type"] in kinds and like.items() <= message.items():
                    return message
            assert not self.ended.is_set(), f"the connection ended without {kinds} {like}"
            await self._changed.wait()

    def all(self, *kinds: str) -> list[Message]:
        """Every message of these types that came so far."""
        return [message for _, message in self.told if message["type"] in kinds]

    def at(self, kind: str) -> list[float]:
        """When messages of this type came."""
        return [at for at, message in self.told if message["type"] == kind]

    @property
    def outcomes(self) -> list[Message]:
        return self.all("translation_result", "missing_result")

    async def drop(self) -> None:
        """Leave without a word, as a killed process does."""
        await trio.aclose_forcefully(self.raw.stream)


class SessionPeer(Peer):
    """A client with a session."""

    welcome: Message

    @property
    def session_id(self) -> str:
        return str(self.welcome["session_id"])

    async def submit(self, index: int = 0, **more: Any) -> None:
        await self.say(utterance(self.session_id, index, **more))

    async def beat(self) -> None:
        """Send one heartbeat, which is answered."""
        await self.say({"type": "client_heartbeat", "session_id": self.session_id, "timestamp": 1})

    async def acknowledge(self, seq: int) -> None:
        await self.say({"type": "result_ack", "session_id": self.session_id, "seq": seq})


class NodePeer(Peer):
    """A registered node that does nothing by itself."""

    node_id: str

    async def receipt(self, job: Message, kind: str = "job_ack") -> None:
        """Say ``job_ack`` or ``job_started``."""
        copied = ("job_id", "attempt_id", "session_id", "trace_id")
        await self.say({"type": kind, "node_id": self.node_id} | {n: job[n] for n in copied})

    async def give(self, job: Message, **more: Any) -> None:
        """Report the job's result, a good one unless told otherwise."""
        await self.say(job_result(job, self.node_id, **more))

    async def fail(self, job: Message, **error: Any) -> None:
        await self.give(
            job, success=False, error={"code": "PROCESSING_ERROR", "message": "no"} | error
        )

    async def beat(self) -> None:
        """Send heartbeats as a node with receipts does, until cancelled or cut off."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await trio.sleep(1)
                await self.say({
                    "type": "node_heartbeat", "node_id": self.node_id, "timestamp": 1,
                    "resource_usage": {"cpu_percent": 1, "mem_percent": 1, "running_jobs": 0},
                    "installed_services": [], "capability_by_type": CAPABILITIES,
                })  # fmt: skip


class House:
    """A running scheduler. ``events`` is everything its engine was told, with the effects."""

    shell: Shell

    def __init__(self, config: Config, nursery: trio.Nursery) -> None:
        self.config = config
        self.network = Network()
        self.shutdown = Shutdown()
        self.over = trio.Event()
        self.events: list[tuple[float, Event, list[Effect]]] = []
        self.nursery = nursery
        self.plant: Callable[[Event], None] = lambda event: None
        """What a test plants here is called with each event; what it raises is a fault of ours."""

    async def serve(self, *, task_status: trio.TaskStatus[Shell]) -> None:
        try:
            await serve(
                self.config,
                listeners=[self.network.listener()],
                ids=CountingIds(),
                epoch=1_000_000.0,
                shutdown=self.shutdown,
                observe=self._observe,
                task_status=task_status,
            )
        finally:
            self.over.set()

    def _observe(self, event: Event, effects: list[Effect]) -> None:
        self.events.append((trio.current_time(), event, effects))
        self.shell.engine.check()
        self.plant(event)

    async def stream(self, plan: LinkPlan = AT_ONCE) -> LinkStream:
        return await self.network.connect(plan, "peer")

    async def raw(self, path: str = "/ws/session", plan: LinkPlan = AT_ONCE) -> RawPeer:
        """A peer that does nothing by itself."""
        return await RawPeer.upgrade(await self.stream(plan), path)

    async def session(self, plan: LinkPlan = AT_ONCE, **hello: Any) -> SessionPeer:
        peer = await SessionPeer.open(await self.stream(plan), "/ws/session", self.nursery)
        await peer.say(session_init(**hello))
        peer.welcome = await peer.hear("session_init_ack")
        return peer

    async def node(
        self, node_id: str | None = None, plan: LinkPlan = AT_ONCE, **hello: Any
    ) -> NodePeer:
        peer = await NodePeer.open(await self.stream(plan), "/ws/node", self.nursery)
        await peer.say(node_register(node_id, **hello))
        peer.node_id = (await peer.hear("node_register_ack"))["node_id"]
        if hello.get("receipts", True):
            self.nursery.start_soon(peer.beat)
        return peer

    async def get(self, path: str) -> tuple[int, Any]:
        """The status and the JSON that HTTP answers."""
        stream = await self.stream()
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await RawPeer(stream).hear_end()
        head, _, body = answer.partition(b"\r\n\r\n")
        await stream.aclose()
        return int(head.split()[1]), json.loads(body)

    async def end(self) -> None:
        """Shut down in good order; fails if that takes longer than it may."""
        self.shutdown.request()
        longest = self.config.drain_timeout + self.config.write_timeout + self.config.close_timeout
        with trio.fail_after(longest):
            await self.over.wait()


@contextlib.asynccontextmanager
async def house(**settings: Any) -> AsyncIterator[House]:
    """A scheduler for the length of the block; leaving the block kills it and its peers.

    A block that waits for what never comes fails after ``PATIENCE_S`` of virtual time: heartbeats
    would keep it going for ever.
    """
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + PATIENCE_S
        here = House(Config(**settings), nursery)
        here.shell = await nursery.start(here.serve)
        yield here
        nursery.cancel_scope.cancel()
        return
    raise AssertionError(f"not done after {PATIENCE_S} s")
