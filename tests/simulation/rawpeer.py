"""A peer that speaks WebSocket by hand, one connection after the other, on links of a plan."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import trio
from simulation import frames
from simulation.network import LinkStream
from simulation.pipes import LinkPlan
from simulation.scene import Scene
from simulation.taps import Talk
from simulation.worldplan import Freeze

READ_BYTES = 65_536


class RawPeer:
    """Dials, says hello, hears and says messages, and dials again after a pause."""

    path = "/ws/session"
    role = "session"

    def __init__(self, scene: Scene, name: str, links: tuple[LinkPlan, ...], pause: float) -> None:
        self.scene = scene
        self.name = name
        self.links = links
        self.pause = pause
        self.over = trio.Event()
        self.talk: Talk | None = None
        self._outgoing: collections.deque[bytes | Callable[[], None]] = collections.deque()
        self._wake = trio.Event()
        self._connection = trio.CancelScope()
        self.gone = trio.Event()
        """Set when the present connection is over."""

    # -- what a kind of peer fills in -------------------------------------------------

    def greet(self) -> None:
        """The upgrade was accepted: say hello."""

    def hear(self, message: dict[str, Any]) -> None:
        """A message has come."""

    # -- what it may do ---------------------------------------------------------------

    def say(self, message: dict[str, Any]) -> None:
        """Send a message when its turn has come; without a connection it is forgotten."""
        self.send(frames.text(message))

    def send(self, data: bytes | Callable[[], None]) -> None:
        """Send bytes, whatever they are; or do something once all before it has been sent."""
        if self.talk is not None:
            self._outgoing.append(data)
            self._wake.set()

    def hang_up(self) -> None:
        """Close the connection without a word; the next one comes after the pause."""
        self._connection.cancel()

    def crash(self) -> None:
        """Die with the connection: what is under way is destroyed."""
        if self.talk is not None:
            self.talk.link.reset()
            self.talk.end()
        self.hang_up()

    # -- its connections --------------------------------------------------------------

    async def keep_connected(self) -> None:
        """Connect again and again until `over` is set."""
        while not self.over.is_set():
            try:
                stream, talk = await self.scene.dial(self.name, self.role, self.links)
            except ConnectionRefusedError:
                await self.rest()
                continue
            await self._converse(stream, talk)
            await self.rest()

    async def rest(self) -> None:
        """The pause before the next connection; it ends early when all is over."""
        if not self.over.is_set():
            with trio.move_on_after(self.pause):
                await self.over.wait()

    async def _converse(self, stream: LinkStream, talk: Talk) -> None:
        self._outgoing.clear()
        self.talk, self.gone = talk, trio.Event()
        try:
            with trio.CancelScope() as self._connection:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    nursery.start_soon(self._end_when_over)
                    self.send(frames.handshake(self.path))
                    await self._read(stream, talk)
                    nursery.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass
        finally:
            self.talk = None
            self.gone.set()
            talk.end()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _end_when_over(self) -> None:
        await self.over.wait()
        self._connection.cancel()

    async def _read(self, stream: LinkStream, talk: Talk) -> None:
        """Until the end, or until the scheduler was silent for longer than it ever is."""
        config = self.scene.config
        patience_s = 2 * config.ping_interval + config.pong_timeout
        with trio.move_on_after(patience_s) as patience:
            while data := await stream.receive_some(READ_BYTES):
                patience.deadline = trio.current_time() + patience_s
                self._take(talk, data)
        talk.read(b"")

    def _take(self, talk: Talk, data: bytes) -> None:
        before = talk.upgraded
        found = talk.read(data)
        if talk.upgraded and not before:
            self.greet()
        for opcode, content in found:
            if opcode == frames.TEXT:
                self.hear(content)
            elif opcode == frames.PING:
                self.send(frames.frame(frames.PONG, content))
            elif opcode == frames.CLOSE:
                self.send(frames.frame(frames.CLOSE, content))

    async def _write(self, stream: LinkStream) -> None:
        while True:
            while self._outgoing:
                item = self._outgoing.popleft()
                if isinstance(item, bytes):
                    await stream.send_all(item)
                else:
                    item()
            self._wake = trio.Event()
            await self._wake.wait()

    async def freeze(self, at: float, freezes: tuple[Freeze, ...]) -> None:
        """Stop reading when the plan says so."""
        for one in sorted(freezes, key=lambda f: f.at):
            await trio.sleep_until(at + one.at)
            if self.talk is not None:
                self.talk.link.freeze("client", one.seconds)
