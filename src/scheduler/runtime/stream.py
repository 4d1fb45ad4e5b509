"""A byte stream with five habits that WebSocket connections need.

1. A write that did not complete is the last one on its stream: not even a close frame
   may follow half a frame. (A cancelled ``send_message`` of trio-websocket leaves half a
   frame and an open connection; the peer then reads garbage.)
2. A write must make progress: a peer that takes nothing for ``write_timeout`` is gone.
3. Any byte that arrives proves that the peer lives, also in the middle of a message.
4. A message that becomes too large breaks the stream, and many small frames are not handed
   on all at once (see ``frames``).
5. Closing it only ends its use. The library closes without a word on a peer that breaks the
   protocol; whoever owns the stream beneath may still say why, and then closes that.
"""

import math

import trio

from scheduler.runtime.frames import Frames, is_close_frame

WRITE_PIECE_BYTES = 64 * 2**10
"""Progress is judged per piece: a slow link may take long for a message, not for this."""


class WholeWrites(trio.abc.Stream):
    """Wraps a stream; ``heard_at`` is when bytes last came (seconds, trio's clock).

    ``frames`` follows what arrives; a message of more than ``message_bytes_max`` bytes, or of
    too many fragments, breaks the stream.
    """

    def __init__(
        self, inner: trio.abc.Stream, *, write_timeout: float, message_bytes_max: float = math.inf
    ) -> None:
        self._inner = inner
        self._write_timeout = write_timeout
        self._torn = False
        self._closed = False
        self._held = b""  # has arrived, and is not yet handed on
        self.frames = Frames(message_bytes_max)
        self.stalled = False
        """Whether a write was given up because the peer took nothing any more."""
        self.said_close = False
        """Whether a close frame was written, or was about to be when the write failed."""
        self.heard_at = trio.current_time()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything or break the stream; cancelling breaks it as well."""
        if self._closed:
            raise trio.ClosedResourceError
        self.said_close = self.said_close or is_close_frame(data)
        await self._send(data)

    async def say_close(self, frame: bytes) -> None:
        """Write a close frame, after :meth:`aclose` too, unless there was one.

        Raises and breaks the stream as :meth:`send_all` does.
        """
        if not self.said_close:
            self.said_close = True
            await self._send(frame)

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        if self._torn:
            raise trio.BrokenResourceError("an earlier write was interrupted")
        self._torn = True
        view = memoryview(data)
        for start in range(0, max(1, len(view)), WRITE_PIECE_BYTES):
            with trio.move_on_after(self._write_timeout) as scope:
                await self._inner.send_all(view[start : start + WRITE_PIECE_BYTES])
            if scope.cancelled_caught:
                self.stalled = True
                raise trio.BrokenResourceError("the peer stopped reading")
        self._torn = False

    async def wait_send_all_might_not_block(self) -> None:
        """As the inner stream."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the inner stream, perhaps in smaller pieces; cancelling loses nothing."""
        if self._closed:
            raise trio.ClosedResourceError
        if self.frames.exceeded:
            raise trio.BrokenResourceError("a message larger than allowed")
        if self._held:
            await trio.lowlevel.checkpoint()
        else:
            self._held = bytes(await self._inner.receive_some(max_bytes))
            self.heard_at = trio.current_time()
        size = self.frames.follow(self._held)
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def discard_input(self) -> None:
        """Read to the end and forget it: closing on unread input would destroy our last words.

        A peer that waits for our end is shown it. Cancelling loses nothing that is wanted.
        """
        try:
            if isinstance(self._inner, trio.abc.HalfCloseableStream):
                await self._inner.send_eof()
            while await self._inner.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def aclose(self) -> None:
        """Nothing more is read or written, but for a close frame; the inner stream stays open."""
        self._closed = True
        await trio.lowlevel.checkpoint()
