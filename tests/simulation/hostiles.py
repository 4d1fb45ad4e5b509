"""Peers that mean no good, one attack each. None of them may harm anybody but itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from simulation import frames
from simulation.network import LinkStream
from simulation.nodes_by_hand import abilities, result_of
from simulation.scene import Scene, message_of
from simulation.taps import Talk
from simulation.worldplan import HostilePlan, Work

SLOW_S = 0.25
MANY = 64
SESSION, NODE = frames.handshake("/ws/session"), frames.handshake("/ws/node")
HELLO = message_of("session_init", client_version="1", platform="x", src_lang="en", tgt_lang="es")
GARBAGE = (
    "", "{", "[]", "null", '"utterance"', "{}", '{"type":7}', '{"type":"no such thing"}',
    '{"type":"utterance"}', '{"type":"result_ack","session_id":"x","seq":"7"}',
    '{"type":"result_ack","session_id":"x","seq":true}',
    '{"type":"result_ack","session_id":"x","seq":NaN}',
    '{"type":"result_ack","session_id":"x","seq":' + "9" * 5000 + "}",
    '{"type":"client_heartbeat","session_id":"\\ud800","timestamp":1}',
    "[" * 5000, '{"type":' * 2000,
)  # fmt: skip


class Hostile:
    """One attack on one connection; it lingers until it is cut off or everybody leaves."""

    def __init__(self, scene: Scene, name: str, plan: HostilePlan) -> None:
        self.scene = scene
        self.name = name
        self.plan = plan
        self._upgraded = trio.Event()

    async def upgrade(self, stream: LinkStream, request: bytes = SESSION) -> None:
        """Become a WebSocket properly."""
        await stream.send_all(request)
        await self._upgraded.wait()

    async def run(self) -> None:
        """Wait for the moment, attack, and read what comes until the connection ends."""
        await trio.sleep_until(self.plan.at)
        try:
            stream, talk = await self.scene.dial(self.name, "hostile", (self.plan.link,))
        except ConnectionRefusedError:
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._attack, stream)
                while data := await stream.receive_some(65_536):
                    found = talk.read(data)
                    if talk.upgraded:
                        self._upgraded.set()
                    await self._react(stream, talk, found)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass
        finally:
            talk.end()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _attack(self, stream: LinkStream) -> None:
        await ATTACKS[self.plan.attack](self, stream)

    async def _react(self, stream: LinkStream, talk: Talk, found: list[tuple[int, Any]]) -> None:
        """What some attacks do when they hear something."""
        if self.plan.attack == "no hello":  # it is alive and well, it only says nothing
            for opcode, content in found:
                if opcode == frames.PING:
                    await stream.send_all(frames.frame(frames.PONG, content))
        if self.plan.attack == "a ping that crosses" and talk.close_code is not None:
            for _ in range(3):
                await stream.send_all(frames.frame(frames.PING, b"now"))


async def nothing(hostile: Hostile, stream: LinkStream) -> None:
    """A connection that is never used."""


async def half_a_request(hostile: Hostile, stream: LinkStream) -> None:
    """What a port scanner does, and then a reset."""
    await stream.send_all(b"GET /\r\n\r\n")
    stream.link.reset()


async def not_http(hostile: Hostile, stream: LinkStream) -> None:
    await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more")


async def a_slow_head(hostile: Hostile, stream: LinkStream) -> None:
    for byte in SESSION:
        await stream.send_all(bytes([byte]))
        await trio.sleep(SLOW_S)


async def no_hello(hostile: Hostile, stream: LinkStream) -> None:
    await stream.send_all(SESSION)


async def a_foreign_hello(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream, NODE)
    await stream.send_all(frames.text(HELLO))


async def garbage(hostile: Hostile, stream: LinkStream) -> None:
    """Things that are no messages, then a proper hello."""
    await hostile.upgrade(stream)
    for one in GARBAGE:
        await stream.send_all(frames.frame(frames.TEXT, one.encode()))
    await stream.send_all(frames.frame(frames.BINARY, b"\x00\xff"))
    await stream.send_all(frames.text(HELLO))


async def too_much_garbage(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream)
    await stream.send_all(frames.frame(frames.TEXT, b"{") * MANY)


async def half_a_frame(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream)
    await stream.send_all(frames.text(HELLO)[:20])
    await trio.sleep(SLOW_S)
    stream.link.close()


async def a_reserved_opcode(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream)
    await stream.send_all(frames.text(HELLO) + frames.frame(0x3, b"what"))


async def endless_fragments(hostile: Hostile, stream: LinkStream) -> None:
    """Parts of a message that never ends, many of them empty."""
    await hostile.upgrade(stream)
    await stream.send_all(frames.frame(frames.TEXT, b"", final=False))
    part = frames.frame(frames.CONTINUATION, b"", final=False) * 16
    part += frames.frame(frames.CONTINUATION, b"x" * 4096, final=False)
    while True:
        await stream.send_all(part)
        await trio.sleep(SLOW_S / 16)


async def bytes_one_by_one(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream)
    for byte in frames.text(HELLO):
        await stream.send_all(bytes([byte]))
        await trio.sleep(SLOW_S / 16)


async def a_message_too_large(hostile: Hostile, stream: LinkStream) -> None:
    size = hostile.scene.config.message_bytes_max + 1
    await hostile.upgrade(stream)
    await stream.send_all(frames.frame(frames.TEXT, b"x" * size))


async def a_forged_result(hostile: Hostile, stream: LinkStream) -> None:
    """A node without slots that claims the results of everybody's jobs."""
    register = message_of(
        "node_register", version="1", platform="x", hardware={"cpu_cores": 1, "memory_gb": 1},
        installed_models=[], features_supported={}, accept_public_jobs=True, node_id=hostile.name,
        slots=0, receipts=False, **abilities(),
    )  # fmt: skip
    await hostile.upgrade(stream, NODE)
    await stream.send_all(frames.text(register))
    for _ in range(MANY):
        for begun in hostile.scene.begun[-4:]:
            job: dict[str, Any] = {"utterance_index": 0}
            about = {
                "job_id": begun.job_id, "attempt_id": begun.attempt_id, "node_id": begun.node,
                "session_id": "s-1", "trace_id": "t",
            }  # fmt: skip
            for node_id in (begun.node, hostile.name):
                lie = result_of({**about, "node_id": node_id}, job, Work(), "a forged result")
                await stream.send_all(frames.text(lie))
        await trio.sleep(SLOW_S)


async def a_foreign_session(hostile: Hostile, stream: LinkStream) -> None:
    """A session that acts in the name of every other one that it could know."""
    await hostile.upgrade(stream)
    await stream.send_all(frames.text(HELLO))
    for _ in range(8):
        known = {t.session_id for t in hostile.scene.talks if t.owner != hostile.name}
        for name in sorted(s for s in known if s is not None)[:2]:
            for said in (
                message_of("result_ack", session_id=name, seq=1),
                message_of("session_close", session_id=name, reason="x"),
                message_of("job_cancel", session_id=name, job_id="job-1"),
            ):
                await stream.send_all(frames.text(said))
        await trio.sleep(SLOW_S)


async def a_ping_that_crosses(hostile: Hostile, stream: LinkStream) -> None:
    """Provokes a close frame, and answers it with a ping instead of a close frame."""
    await hostile.upgrade(stream)
    await stream.send_all(frames.frame(frames.TEXT, b"{") * MANY)


async def glued_frames(hostile: Hostile, stream: LinkStream) -> None:
    """Does not wait for the answer to the handshake, as it must."""
    await stream.send_all(SESSION + frames.text(HELLO) + frames.frame(frames.PING, b"now"))


async def a_second_hello(hostile: Hostile, stream: LinkStream) -> None:
    await hostile.upgrade(stream)
    await stream.send_all(frames.text(HELLO) * 3)
    await trio.sleep(SLOW_S)
    await stream.send_all(frames.frame(frames.CLOSE, (1000).to_bytes(2, "big")))


async def a_bare_get(hostile: Hostile, stream: LinkStream) -> None:
    for path in ("/health", "/api/v1/stats", "/api/v1/sessions", "/api/v1/jobs", "/nothing"):
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: s\r\n\r\n".encode())


ATTACKS: dict[str, Callable[[Hostile, LinkStream], Awaitable[None]]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        nothing, half_a_request, not_http, a_slow_head, no_hello, a_foreign_hello, garbage,
        too_much_garbage, half_a_frame, a_reserved_opcode, endless_fragments, bytes_one_by_one,
        a_message_too_large, a_forged_result, a_foreign_session, a_ping_that_crosses,
        glued_frames, a_second_hello, a_bare_get,
    )
}  # fmt: skip
