"""The client's side of a WebSocket on a plain socket, with nothing spared to the server.

Frames are masked as the protocol demands, always with the same key: the server has the same work
with any key, and the long part of a message can be masked once for all.
"""

import base64
import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from functools import cache

from benchmarks.load.loop import Loop

KEY = b"\x37\xfa\x21\x3d"
READ_BYTES = 256 * 2**10
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def masked(data: bytes) -> bytes:
    """``data`` under :data:`KEY`, whose first byte masks the first byte."""
    size = len(data)
    mask = (KEY * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(mask, "little")).to_bytes(
        size, "little"
    )


masked_once = cache(masked)
"""For parts that are sent again and again."""


def frame(head: bytes, tail: bytes = b"", opcode: int = TEXT) -> bytes:
    """One masked frame. ``tail`` is masked only once, so ``head`` is filled up to its phase."""
    if tail:
        head += b" " * (-len(head) % 4)
    size = len(head) + len(tail)
    if size < 126:
        start = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 2**16:
        start = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        start = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return b"".join((start, KEY, masked(head), masked_once(tail)))


class Peer:
    """One connection. ``on_open``, ``on_message`` and ``on_end`` are told what happens to it."""

    def __init__(
        self,
        loop: Loop,
        port: int,
        path: str,
        *,
        on_open: Callable[["Peer"], None],
        on_message: Callable[["Peer", bytes], None],
        on_end: Callable[["Peer"], None],
    ) -> None:
        self._loop = loop
        self._on_open, self._on_message, self._on_end = on_open, on_message, on_end
        self._in = bytearray()
        self._out = bytearray()
        self._open = False
        self.ended = False
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self._socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        key = base64.b64encode(os.urandom(16)).decode()
        self._write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode(),
            connecting=True,
        )

    def send(self, head: bytes, tail: bytes = b"") -> None:
        """Send one text message."""
        self._write(frame(head, tail))

    def send_frames(self, frames: bytes) -> None:
        """Send frames that were made before."""
        self._write(frames)

    def deafen(self) -> None:
        """Read nothing from here on, and tell nobody."""
        if not self.ended:
            self._loop.forget(self._socket.fileno())

    def reset(self) -> None:
        """Vanish as a process does that is killed: with a reset."""
        if not self.ended:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._close()

    def _close(self) -> None:
        self.ended = True
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def _write(self, data: bytes, *, connecting: bool = False) -> None:
        if self.ended:
            return
        if not self._out and not connecting:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lost()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._out += data
        self._loop.watch(self._socket.fileno(), self._ready, write=True)

    def _ready(self, events: int) -> None:
        try:
            if events & select.EPOLLOUT and self._out:
                del self._out[: self._socket.send(self._out)]
                if not self._out:
                    self._loop.watch(self._socket.fileno(), self._ready)
            if events & ~select.EPOLLOUT:
                data = self._socket.recv(READ_BYTES)
                if not data:
                    self._lost()
                    return
                self._in += data
        except BlockingIOError:
            return
        except OSError:
            self._lost()
            return
        if not self._open:
            self._shake_hands()
        if self._open:
            self._take_frames()

    def _lost(self) -> None:
        self._close()
        self._on_end(self)

    def _shake_hands(self) -> None:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._in.startswith(b"HTTP/1.1 101"):
            self._lost()
            return
        del self._in[: end + 4]
        self._open = True
        self._on_open(self)

    def _take_frames(self) -> None:
        while len(self._in) >= 2 and not self.ended:
            size, start = self._in[1] & 0x7F, 2
            if size == 126:
                start = 4
            elif size == 127:
                start = 10
            if len(self._in) < start:
                return
            if start > 2:
                size = int.from_bytes(self._in[2:start], "big")
            if len(self._in) < start + size:
                return
            opcode = self._in[0] & 0x0F
            payload = bytes(memoryview(self._in)[start : start + size])
            del self._in[: start + size]
            self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            self._on_message(self, payload)
        elif opcode == PING:
            self._write(frame(payload, opcode=PONG))
        elif opcode == CLOSE:
            self._write(frame(payload[:2], opcode=CLOSE))
