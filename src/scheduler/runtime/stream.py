"""A byte stream with three habits that WebSocket connections need.

1. A write that did not complete is the last one on its stream: not even a close frame
   may follow half a frame. (A cancelled ``send_message`` of trio-websocket leaves half a
   frame and an open connection; the peer then reads garbage.)
2. A write must make progress: a peer that takes nothing for ``write_timeout`` is gone.
3. Any byte that arrives proves that the peer lives, also in the middle of a message.
"""

import math

import trio

WRITE_PIECE_BYTES = 64 * 2**10
"""Progress is judged per piece: a slow link may take long for a message, not for this."""


class WholeWrites(trio.abc.Stream):
    """Wraps a stream; ``heard_at`` is when bytes last came (seconds, trio's clock).

    ``message_bytes`` counts what came since :meth:`message_ended`; more than
    ``message_bytes_max`` of it breaks the stream, so that a message that never ends (empty
    continuation frames included) cannot fill the memory.
    """

    def __init__(
        self, inner: trio.abc.Stream, *, write_timeout: float, message_bytes_max: float = math.inf
    ) -> None:
        self._inner = inner
        self._write_timeout = write_timeout
        self._message_bytes_max = message_bytes_max
        self._torn = False
        self.stalled = False
        """Whether a write was given up because the peer took nothing any more."""
        self.message_bytes = 0
        self.heard_at = trio.current_time()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything or break the stream; cancelling breaks it as well."""
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
        """As the inner stream; cancelling loses nothing."""
        data = await self._inner.receive_some(max_bytes)
        self.heard_at = trio.current_time()
        self.message_bytes += len(data)
        if self.message_bytes > self._message_bytes_max:
            raise trio.BrokenResourceError("a message that does not end")
        return data

    def message_ended(self) -> None:
        """A whole message has been read: the next one may have its full size."""
        self.message_bytes = 0

    async def discard_input(self) -> None:
        """Read to the end and forget it: closing on unread input would destroy our last words.

        Cancelling loses nothing that is wanted.
        """
        try:
            while await self._inner.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()
