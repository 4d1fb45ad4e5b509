"""A WebSocket client made by hand: it does what a test says, and nothing of itself.

It answers no ping and no close frame, sends half frames when told to, and reads only when asked.
Framing is that of RFC 6455 §5; the mask is all zeros, which the RFC forbids only to those who
have something to hide.
"""

import json
import struct
from typing import Any, Final

import attrs
import trio

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="


def handshake(path: str) -> bytes:
    """A valid upgrade request for ``path``."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """One masked frame."""
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 2**16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([opcode | (0x80 if final else 0)]) + length + bytes(4) + payload


def close_frame(code: int) -> bytes:
    """A close frame with ``code`` and no text."""
    return frame(CLOSE, struct.pack("!H", code))


@attrs.frozen
class Heard:
    """A whole frame that arrived. The server is never expected to fragment or to mask."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame."""
        assert self.opcode == CLOSE
        return int(struct.unpack("!H", self.payload[:2])[0])


class RawPeer:
    """The client's end of ``stream``. Made by :meth:`upgrade`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.unread = b""

    @classmethod
    async def upgrade(cls, stream: trio.abc.Stream, path: str = "/ws/session") -> "RawPeer":
        """Shake hands; fails unless the answer is 101."""
        peer = cls(stream)
        await stream.send_all(handshake(path))
        head = await peer.read_head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return peer

    async def read_head(self) -> bytes:
        """The head of the answer to a handshake."""
        while b"\r\n\r\n" not in self.unread:
            await self._read_more()
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        return head

    async def say(self, message: dict[str, Any] | str) -> None:
        """Send one text message, as it is or as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.stream.send_all(frame(TEXT, text.encode()))

    async def send(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        """Send one frame."""
        await self.stream.send_all(frame(opcode, payload, final=final))

    async def hear(self) -> Heard:
        """The next frame; raises ``trio.EndOfChannel`` if the stream ends before it is whole."""
        while (found := self._take_frame()) is None:
            await self._read_more()
        return found

    async def hear_message(self, kind: str = "") -> dict[str, Any]:
        """The next text message as JSON, if ``kind`` is given of that type; others are skipped."""
        while True:
            heard = await self.hear()
            if heard.opcode == TEXT:
                message: dict[str, Any] = json.loads(heard.payload)
                if kind in ("", message["type"]):
                    return message
            assert heard.opcode != CLOSE, f"closed with {heard.code} instead of {kind!r}"

    async def hear_close(self) -> int | None:
        """Read to the close frame, for its code, or to the end of the stream, for None."""
        try:
            while (heard := await self.hear()).opcode != CLOSE:
                pass
        except trio.EndOfChannel:
            return None
        return heard.code

    async def hear_end(self) -> bytes:
        """Read to the end of the stream; give what came that was not read before."""
        try:
            while True:
                await self._read_more()
        except trio.EndOfChannel:
            return self.unread

    async def _read_more(self) -> None:
        try:
            data = await self.stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            raise trio.EndOfChannel
        self.unread += data

    def _take_frame(self) -> Heard | None:
        if len(self.unread) < 2:
            return None
        first, size = self.unread[0], self.unread[1]
        begin = 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            if len(self.unread) < begin:
                return None
            size = int.from_bytes(self.unread[2:begin], "big")
        if len(self.unread) < begin + size:
            return None
        payload, self.unread = self.unread[begin : begin + size], self.unread[begin + size :]
        return Heard(first & 0x0F, payload)
