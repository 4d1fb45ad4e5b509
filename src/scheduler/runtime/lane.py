"""The frames in which nearly all messages come and go, made and read without the library.

The library behind a connection knows every frame of RFC 6455, and takes as long for one as
everything else that is done with a message. What peers really send is simpler: whole text frames.
A :class:`Lane` takes those out of what arrives and leaves the rest to the library, byte for
byte: the handshake, pings, close frames, binary and fragmented messages, and whatever is no
frame at all. Nobody can tell from outside which way a message took: the order is kept, and so
are the limits. (What this saves stands in ``benchmarks/NOTES.md``.)
"""

import math
import os
import struct
from collections.abc import Callable

WHOLE_TEXT = 0x81
"""The first byte of a text message that is one frame."""
FINAL, RESERVED, OPCODE = 0x80, 0x70, 0x0F
CLOSE = 8
"""The opcode of a close frame; those of messages are below it, those of pings above."""
OPCODES = frozenset({0, 1, 2, CLOSE, 9, 10})
CONTROL_BYTES_MAX = 125
MASKED, SIZE = 0x80, 0x7F
HEAD_END = b"\r\n\r\n"
IN_A_ROW_MAX = 16
"""Messages of one peer that are handled before anybody else has a turn."""

_TABLES = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]
"""For each byte of a mask, what it makes of every other byte."""


def text_frame(text: str, *, masked: bool) -> bytes:
    """A whole text message as one frame; clients mask theirs, servers do not."""
    content = text.encode()
    size, bit = len(content), MASKED if masked else 0
    if size < 126:
        head = struct.pack("!BB", WHOLE_TEXT, bit | size)
    elif size < 2**16:
        head = struct.pack("!BBH", WHOLE_TEXT, bit | 126, size)
    else:
        head = struct.pack("!BBQ", WHOLE_TEXT, bit | 127, size)
    if not masked:
        return head + content
    key = os.urandom(4)
    return head + key + under_mask(bytearray(content), key)


def under_mask(content: bytearray, key: bytes | bytearray) -> bytearray:
    """Put the mask on ``content``, in place; a second time takes it off again."""
    for place, mask in enumerate(key):
        content[place::4] = content[place::4].translate(_TABLES[mask])
    return content


class Lane:
    """Divides what arrives into whole text messages and a rest for the library.

    ``on_text`` is told each message; while it is None everything is for the library.
    ``masked`` says whether the peer is a client. A message of more than ``message_bytes_max``
    is the library's to refuse. ``pending`` says whether ``feed(b"")`` would find more.
    """

    def __init__(self, *, masked: bool, message_bytes_max: float) -> None:
        self.on_text: Callable[[str], None] | None = None
        self.pending = False
        self._mask_bit = MASKED if masked else 0
        self._message_bytes_max = message_bytes_max
        self._buffer = bytearray()
        self._head: bytes | None = b""
        """The end of the HTTP head so far, with which every connection begins; None after it."""
        self._passing: float = 0
        """How many bytes from here on are for the library."""
        self._fragmented = False
        self._with_library = 0
        """Messages that the library has and has not handed over yet: later ones follow them."""

    def handed_over(self) -> None:
        """The library has handed over a message that was left to it."""
        self._with_library -= 1

    def feed(self, data: bytes | bytearray) -> bytes:
        """Take what has arrived; returns what the library is to read of it, perhaps nothing.

        Raises what ``on_text`` raises.
        """
        left = bytearray()
        if self._head is not None:
            data = self._after_head(data, left)
        self._buffer += data
        self.pending = True
        for _ in range(IN_A_ROW_MAX):
            self._pass_on(left)
            if self._passing or not self._take_frame():
                self.pending = False
                break
        return bytes(left)

    def _after_head(self, data: bytes | bytearray, left: bytearray) -> bytes | bytearray:
        assert self._head is not None
        seen = self._head + data
        end = seen.find(HEAD_END)
        if end < 0:
            self._head = seen[-len(HEAD_END) + 1 :]
            left += data
            return b""
        end += len(HEAD_END) - len(self._head)
        self._head = None
        left += data[:end]
        return data[end:]

    def _pass_on(self, left: bytearray) -> None:
        if self._passing:
            size = int(min(self._passing, len(self._buffer)))
            left += self._buffer[:size]
            del self._buffer[:size]
            self._passing -= size

    def _take_frame(self) -> bool:
        """Deal with the frame that begins here; False if more of it must come first."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        first, second = buffer[0], buffer[1]
        size, start, least = second & SIZE, 2, 0
        if self._is_odd(first, second):
            self._passing = math.inf
            return True
        if size > 125:
            start, least = (4, 126) if size == 126 else (10, 2**16)
            if len(buffer) < start:
                return False
            size = int.from_bytes(buffer[2:start], "big")
        if size < least:
            self._passing = math.inf
            return True
        start += 4 if self._mask_bit else 0
        if first == WHOLE_TEXT and self._is_next(size):
            return self._take_text(start, start + size)
        self._leave(first, start + size)
        return True

    def _is_odd(self, first: int, second: int) -> bool:
        """Whether no valid frame begins like this; the library knows the error's name."""
        opcode = first & OPCODE
        if opcode >= CLOSE and not (first & FINAL and second & SIZE <= CONTROL_BYTES_MAX):
            return True
        known = opcode in OPCODES and not first & RESERVED
        return not known or second & MASKED != self._mask_bit

    def _is_next(self, size: int) -> bool:
        """Whether a text of this size is ours to take, and the library owes none before it."""
        free = self.on_text is not None and not self._fragmented and not self._with_library
        return free and size <= self._message_bytes_max

    def _take_text(self, start: int, end: int) -> bool:
        if len(self._buffer) < end:
            return False
        content = self._buffer[start:end]
        if self._mask_bit:
            under_mask(content, self._buffer[start - 4 : start])
        try:
            text = content.decode()
        except UnicodeDecodeError:
            self._passing = math.inf
            return True
        del self._buffer[:end]
        assert self.on_text is not None
        self.on_text(text)
        return True

    def _leave(self, first: int, end: int) -> None:
        """The next ``end`` bytes, a frame that begins with ``first``, are the library's."""
        opcode, final = first & OPCODE, bool(first & FINAL)
        self._passing = math.inf if opcode == CLOSE else end
        if opcode < CLOSE:
            self._fragmented = not final
            self._with_library += final
