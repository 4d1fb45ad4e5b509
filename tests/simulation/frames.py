"""WebSocket frames by hand: what a peer sends that is not the library, and what a link carried.

Written apart from wsproto on purpose: it is the ruler by which the simulation measures, and it
lets a hostile peer send what no library would.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0
OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
HEAD_END = b"\r\n\r\n"


def handshake(path: str) -> bytes:
    """The request of a client that wants to become a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """One frame of a client. Its mask is zero, so that the payload stays readable."""
    head = bytes([opcode | (0x80 if final else 0)])
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + length + bytes(4) + payload


def text(message: dict[str, Any]) -> bytes:
    """A JSON message as one frame of a client."""
    return frame(TEXT, json.dumps(message, separators=(",", ":")).encode())


class TornError(Exception):
    """What came is not a sequence of whole frames."""


@attrs.define
class FrameReader:
    """Cuts what a server sent into frames, as the bytes come; the handshake's answer first.

    Raises `TornError` at bytes that no server may send, and from then on.
    """

    status: int | None = None
    _rest: bytearray = attrs.field(factory=bytearray)
    _torn: str | None = None

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._rest)

    def feed(self, data: bytes | bytearray) -> list[tuple[int, bytes]]:
        """The frames that are whole now, as opcode and payload."""
        if self._torn is not None:
            raise TornError(self._torn)
        self._rest += data
        if self.status is None and not self._read_head():
            return []
        if self.status != 101:
            return []
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def _read_head(self) -> bool:
        head, end, rest = bytes(self._rest).partition(HEAD_END)
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 "):
            raise self._tear(f"the answer to the handshake begins with {head[:20]!r}")
        self.status = int(head[9:12])
        if self.status == 101:
            self._rest = bytearray(rest)
        return True

    def _next(self) -> tuple[int, bytes] | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        opcode, size, start = rest[0] & 0x0F, rest[1], 2
        if rest[0] & 0x70 or opcode not in OPCODES or size & 0x80:
            raise self._tear(f"no frame of a server begins with {bytes(rest[:4])!r}")
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(rest[2:start], "big") if len(rest) >= start else 2**63
        if len(rest) < start + size:
            return None
        payload = bytes(rest[start : start + size])
        del rest[: start + size]
        return opcode, payload

    def _tear(self, why: str) -> TornError:
        self._torn = why
        return TornError(why)
