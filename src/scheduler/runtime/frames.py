"""What our side must know of WebSocket frames itself, since the library does not say it.

:class:`Frames` follows what arrives, without keeping any of it, for two bounds: how large one
message may become, in bytes and in fragments (the library counts content only, and an empty
fragment costs it memory too), and how many frames are given to the library at once (it handles
all it has before anybody else may run).
"""

import re
from typing import Final

from wsproto.frame_protocol import FrameProtocol, Opcode

from scheduler.errors import Close

FRAGMENTS_MAX: Final = 4096
"""Fragments of one message: the largest allowed one in pieces of 4 KiB."""
FRAMES_AT_ONCE: Final = 64
"""Ten peers that flood us with tiny frames then cost the others milliseconds each, not seconds."""
CONTROL_BIT: Final = 0x8
BREACHES: Final = {close.code: close for close in (Close.PROTOCOL_ERROR, Close.INVALID_DATA)}
"""What the library finds wrong with frames, by the code that it gives to it."""
UNSAID: Final = (*BREACHES.values(), Close.TOO_LARGE)
"""Ends at which the library stops without a word to the peer."""

_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH_BYTES = {126: 2, 127: 8}


class Frames:
    """The frames that arrive behind the head of a handshake. RFC 6455 §5.2.

    ``message_bytes`` and ``fragments`` are those of the message under way, its last frame counted
    with its declared length. ``exceeded`` says that it is larger than it may be.
    """

    def __init__(self, message_bytes_max: float) -> None:
        self._message_bytes_max = message_bytes_max
        self._head: bytes | None = b""
        self._header = bytearray()
        self._payload_left = 0
        self.message_bytes = 0
        self.fragments = 0
        self.exceeded = False

    def follow(self, data: bytes) -> int:
        """How much of ``data``, at least one byte, may be handed on before it is asked again.

        All of it, unless it has too many frames, or a message in it becomes too large.
        """
        at = self._end_of_head(data)
        frames = 0
        while at < len(data) and frames < FRAMES_AT_ONCE and not self.exceeded:
            if self._payload_left:
                step = min(self._payload_left, len(data) - at)
                self._payload_left -= step
                at += step
                continue
            piece = data[at : at + _header_bytes(self._header) - len(self._header)]
            self._header += piece
            at += len(piece)
            if len(self._header) == _header_bytes(self._header):
                frames += 1
                self._begin_frame()
        return at

    def _end_of_head(self, data: bytes) -> int:
        if self._head is None:
            return 0
        known = len(self._head)
        if (end := _HEAD_END.search(self._head + data)) is None:
            self._head = (self._head + data)[-2:]
            return len(data)
        self._head = None
        return end.end() - known

    def _begin_frame(self) -> None:
        opcode, length = self._header[0] & 0x0F, self._header[1] & 0x7F
        if extended := _LENGTH_BYTES.get(length):
            length = int.from_bytes(self._header[2 : 2 + extended], "big")
        self._header.clear()
        self._payload_left = length
        if opcode & CONTROL_BIT:  # may come at any time, and belongs to no message
            return
        if opcode != Opcode.CONTINUATION:
            self.message_bytes = self.fragments = 0
        self.message_bytes += length
        self.fragments += 1
        self.exceeded = (
            self.message_bytes > self._message_bytes_max or self.fragments > FRAGMENTS_MAX
        )


def _header_bytes(begun: bytearray) -> int:
    """How long a frame's header is, as far as its beginning tells."""
    if len(begun) < 2:
        return 2
    masked = 4 if begun[1] & 0x80 else 0
    return 2 + _LENGTH_BYTES.get(begun[1] & 0x7F, 0) + masked


def close_frame(close: Close, *, masked: bool) -> bytes:
    """The close frame that says this; a client's are masked."""
    return bytes(FrameProtocol(masked, []).close(close.code, close.text))


def is_close_frame(data: bytes | bytearray | memoryview) -> bool:
    """Whether what is about to be written is a close frame."""
    return bool(data) and data[0] == 0x80 | Opcode.CLOSE
