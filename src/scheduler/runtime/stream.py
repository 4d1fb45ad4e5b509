"""A byte stream with four habits that WebSocket connections need.

1. A write that did not complete is the last one on its stream: not even a close frame
   may follow half a frame. (A cancelled ``send_message`` of trio-websocket leaves half a
   frame and an open connection; the peer then reads garbage.)
2. A write must make progress: a peer that takes nothing for ``write_timeout`` is gone.
3. Any byte that arrives proves that the peer lives, also in the middle of a message.
4. Whole text messages are taken out of what arrives before the library sees it (see ``frames``).
"""

import contextlib
import math
import os
from collections.abc import AsyncIterator

import trio

from scheduler.runtime.frames import Lane

WRITE_PIECE_BYTES = 64 * 2**10
"""Progress is judged per piece: a slow link may take long for a message, not for this."""


class WholeWrites(trio.abc.Stream):
    """Wraps a stream; ``heard_at`` is when bytes last came (seconds, trio's clock).

    Writers may come at the same time: each writes the whole of its data in its turn.

    ``message_bytes`` counts what came since :meth:`message_ended`; more than
    ``message_bytes_max`` of it breaks the stream, so that a message that never ends (empty
    continuation frames included) cannot fill the memory.
    """

    def __init__(
        self,
        inner: trio.abc.Stream,
        *,
        write_timeout: float,
        message_bytes_max: float = math.inf,
        lane: Lane | None = None,
    ) -> None:
        self._inner = inner
        self.lane = lane or Lane(masked=True, message_bytes_max=0)
        self._turn = trio.Lock()
        self._write_timeout = write_timeout
        self._message_bytes_max = message_bytes_max
        self._torn = False
        self.stalled = False
        """Whether a write was given up because the peer took nothing any more."""
        self.message_bytes = 0
        self.heard_at = trio.current_time()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything or break the stream; cancelling breaks it as well.

        What the operating system takes at once is written without giving way to anybody.
        """
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            if self._torn:
                raise trio.BrokenResourceError("an earlier write was interrupted")
            await trio.lowlevel.checkpoint_if_cancelled()  # nothing has been written yet
            self._torn = True
            view = memoryview(data)
            await self._write(view[self._write_at_once(view) :])
            self._torn = False
        finally:
            self._turn.release()

    def _write_at_once(self, data: memoryview) -> int:
        """How many bytes a socket took without waiting: usually all, and no timeout is needed."""
        if (socket := self._socket()) is None:
            return 0
        try:
            return os.write(socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError("the peer is gone") from error

    async def _write(self, data: memoryview) -> None:
        for start in range(0, len(data), WRITE_PIECE_BYTES):
            with trio.move_on_after(self._write_timeout) as scope:
                await self._inner.send_all(data[start : start + WRITE_PIECE_BYTES])
            if scope.cancelled_caught:
                self.stalled = True
                raise trio.BrokenResourceError("the peer stopped reading")

    async def wait_send_all_might_not_block(self) -> None:
        """As the inner stream."""
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the inner stream, but without what the lane takes; cancelling loses nothing."""
        while True:
            if self.lane.pending:  # of what came before: others have their turn in between
                await trio.lowlevel.checkpoint()
                data = b""
            else:
                data = await self._read(max_bytes)
                if not data:
                    return data
                self.heard_at = trio.current_time()
                self._count(len(data))
            if left := self.lane.feed(data):
                return left

    async def _read(self, max_bytes: int | None) -> bytes:
        """From a socket without a first try that fails: a peer that is waited for says nothing."""
        while (socket := self._socket()) is not None and max_bytes is not None:
            await trio.lowlevel.wait_readable(socket)
            try:
                return os.read(socket.fileno(), max_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError("the peer is gone") from error
        return bytes(await self._inner.receive_some(max_bytes))

    def _socket(self) -> trio.socket.SocketType | None:
        """What is read and written without trio's stream, if that is all that is beneath."""
        if os.name == "nt":  # where a socket is no file
            return None
        return getattr(self._inner, "socket", None)

    def _count(self, size_bytes: int) -> None:
        self.message_bytes += size_bytes
        if self.message_bytes > self._message_bytes_max:
            raise trio.BrokenResourceError("a message that does not end")

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


@contextlib.asynccontextmanager
async def closing(stream: trio.abc.Stream) -> AsyncIterator[None]:
    """Close ``stream`` by force at the end of the block, whatever happens in it."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
