"""What went over each link, as its peer saw it: the truth that claims are compared with."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import Any

import attrs
import trio
from simulation.frames import CLOSE, TEXT, FrameReader, TornError
from simulation.links import Link
from simulation.network import LinkStream

OUTCOMES = ("translation_result", "missing_result")


@attrs.frozen
class Heard:
    """A message that a peer read whole, and when."""

    at: float
    message: dict[str, Any]


@attrs.define(eq=False)
class Talk:
    """One connection as its peer lived it.

    `welcomed_at` is when the scheduler's welcome was read, `over_at` when the peer read or did
    something after which the connection cannot go on. `torn` says what was no frame.
    """

    owner: str
    role: str
    link: Link
    opened_at: float
    heard: list[Heard] = attrs.Factory(list)
    session_id: str | None = None
    node_id: str | None = None
    welcomed_at: float = inf
    over_at: float = inf
    close_code: int | None = None
    torn: str | None = None
    _reader: FrameReader = attrs.Factory(FrameReader)

    def read(self, data: bytes) -> list[tuple[int, Any]]:
        """Take what the peer read; the frames that are whole now, JSON messages as such."""
        now = trio.current_time()
        if not data:
            self.end()
        found: list[tuple[int, Any]] = []
        try:
            for opcode, payload in self._reader.feed(data):
                if opcode == CLOSE:
                    self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
                    self.end()
                found.append((opcode, self._message(now, payload) if opcode == TEXT else payload))
        except TornError as error:
            self.torn = self.torn or str(error)
        return found

    def _message(self, now: float, payload: bytes) -> dict[str, Any]:
        try:
            message: dict[str, Any] = json.loads(payload)
        except ValueError:
            self.torn = self.torn or f"no JSON: {payload[:40]!r}"
            return {}
        self.heard.append(Heard(now, message))
        if message.get("type") == "session_init_ack":
            self.session_id, self.welcomed_at = message["session_id"], now
        elif message.get("type") == "node_register_ack":
            self.node_id, self.welcomed_at = message["node_id"], now
        return message

    @property
    def upgraded(self) -> bool:
        """Whether the scheduler has agreed to speak WebSocket."""
        return self._reader.status == 101

    def end(self) -> None:
        """Nothing more is to be expected of this connection."""
        self.over_at = min(self.over_at, trio.current_time())


@attrs.define(eq=False)
class Wire:
    """The outcomes in what a link took from the server, read as it grows."""

    _read: int = 0
    _seqs: set[int] = attrs.Factory(set)
    _reader: FrameReader = attrs.Factory(FrameReader)

    def outcomes(self, taken: bytearray) -> set[int]:
        """The numbers of the outcomes that were taken whole so far."""
        new, self._read = bytes(taken[self._read :]), len(taken)
        for opcode, payload in self._reader.feed(new):
            if opcode == TEXT and (message := json.loads(payload)).get("type") in OUTCOMES:
                self._seqs.add(message["seq"])
        return self._seqs


class Tap(trio.abc.HalfCloseableStream):
    """A client's end of a link, for the real SDK and agent: it writes down what they read.

    `on_message` is told each message before the program gets its bytes, `on_sent` when the
    program has sent something.
    """

    def __init__(
        self,
        stream: LinkStream,
        talk: Talk,
        *,
        on_message: Callable[[Talk, dict[str, Any]], None],
        on_sent: Callable[[Talk], None],
    ) -> None:
        self._stream = stream
        self._talk = talk
        self._on_message = on_message
        self._on_sent = on_sent

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._talk.end()
            raise
        for opcode, message in self._talk.read(data):
            if opcode == TEXT:
                self._on_message(self._talk, message)
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)
        self._on_sent(self._talk)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._talk.end()
        await self._stream.aclose()
