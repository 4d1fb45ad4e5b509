"""A byte stream with six habits that WebSocket connections need.

1. A write that did not complete is the last one on its stream: not even a close frame
   may follow half a frame. (A cancelled ``send_message`` of trio-websocket leaves half a
   frame and an open connection; the peer then reads garbage.)
2. A write must make progress: a peer that takes nothing for ``write_timeout`` is gone.
3. Any byte that arrives proves that the peer lives, also in the middle of a message.
4. Whole text messages are taken out of what arrives before the library sees it (see ``lane``).
5. A message that becomes too large breaks the stream, and many small frames are not handed
   on all at once (see ``frames``).
6. Closing it only ends its use. The library closes without a word on a peer that breaks the
   protocol; whoever owns the stream beneath may still say why, and then closes that.
"""

import contextlib
import math
import os
from collections.abc import AsyncIterator

import trio

from scheduler.config import Config
from scheduler.runtime.frames import Frames, is_close_frame
from scheduler.runtime.lane import Lane

NOTHING = memoryview(b"")
WRITE_PIECE_BYTES = 64 * 2**10
"""Progress is judged per piece: a slow link may take long for a message, not for this."""


class WholeWrites(trio.abc.Stream):
    """Wraps a stream; ``heard_at`` is when bytes last came (seconds, trio's clock).

    Writers may come at the same time: each writes the whole of its data in its turn.
    ``frames`` follows what arrives for the library; a message of more than
    ``message_bytes_max`` bytes, or of too many fragments, breaks the stream.
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
        self._torn = False
        self._closed = False
        self._rest = NOTHING  # of a write that was begun
        self._held = b""  # is for the library, and has not been handed on
        self.frames = Frames(message_bytes_max)
        self.stalled = False
        """Whether a write was given up because the peer took nothing any more."""
        self.said_close = False
        """Whether a close frame was written, or was about to be when the write failed."""
        self.heard_at = trio.current_time()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write everything or break the stream; cancelling breaks it as well.

        What the operating system takes at once is written without giving way to anybody.
        """
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
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            self._check_whole()
            await trio.lowlevel.checkpoint_if_cancelled()  # nothing has been written yet
            self._torn = True
            rest, self._rest = self._rest, NOTHING
            for view in (rest, memoryview(data)):
                await self._write(view[self._write_at_once(view) :])
            self._torn = False
        finally:
            self._turn.release()

    def begin(self, data: bytes) -> None:
        """Write as much as is taken without waiting; whoever writes next writes the rest first.

        Not to be called again before that is done. Raises ``trio.BrokenResourceError`` or
        ``trio.ClosedResourceError``, and then so does :meth:`finish`.
        """
        self._rest = memoryview(data)
        if self._closed:
            raise trio.ClosedResourceError
        if not self._turn.locked():
            self._check_whole()
            self._torn = True
            rest = self._rest[self._write_at_once(self._rest) :]
            self._rest = rest or NOTHING  # an empty view would still hold all that was written
            self._torn = False

    @property
    def is_unfinished(self) -> bool:
        """Whether something of what was begun has not been written."""
        return bool(self._rest) or self._turn.locked()

    async def finish(self) -> None:
        """Wait until what was begun is written; cancelling breaks the stream."""
        if self.is_unfinished:
            await self.send_all(b"")
        else:
            self._check_whole()  # somebody else may have written the rest, and failed

    def _check_whole(self) -> None:
        if self._torn:
            raise trio.BrokenResourceError("an earlier write was interrupted")

    def _write_at_once(self, data: memoryview) -> int:
        """How many bytes were taken without waiting: usually all, and no timeout is needed."""
        if not data:
            return 0
        try:
            if (socket := self._socket()) is not None:
                return os.write(socket.fileno(), data)
            if (write_nowait := getattr(self._beneath, "write_nowait", None)) is not None:
                return int(write_nowait(data))
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError("the peer is gone") from error
        return 0

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
        """What arrives for the library, in pieces that it can bear; cancelling loses nothing."""
        if self._closed:
            raise trio.ClosedResourceError
        if self.frames.exceeded:
            raise trio.BrokenResourceError("a message larger than allowed")
        if self._held:
            await trio.lowlevel.checkpoint()
        else:
            self._held = await self._receive(max_bytes)
        size = self.frames.follow(self._held)
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def _receive(self, max_bytes: int | None) -> bytes:
        """As the inner stream, but without what the lane takes."""
        while True:
            if self.lane.pending:  # of what came before: others have their turn in between
                await trio.lowlevel.checkpoint()
                data = b""
            else:
                data = await self._read(max_bytes)
                if not data:
                    return data
                self.heard_at = trio.current_time()
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

    @property
    def is_prompt(self) -> bool:
        """Whether something may be taken without waiting.

        By a socket, or by a stream with a ``write_nowait``, which says how many bytes of what it
        was given it took.
        """
        return self._socket() is not None or hasattr(self._beneath, "write_nowait")

    @property
    def _beneath(self) -> trio.abc.Stream:
        """What is beneath a stream that has nothing of its own to give any more."""
        beneath: trio.abc.Stream = getattr(self._inner, "beneath", self._inner)
        return beneath

    def _socket(self) -> trio.socket.SocketType | None:
        """What is read and written without trio's stream, if that is all that is beneath."""
        if os.name == "nt":  # where a socket is no file
            return None
        stream = self._beneath
        return stream.socket if isinstance(stream, trio.SocketStream) else None

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


def whole_writes(stream: trio.abc.Stream, config: Config, *, masked: bool) -> WholeWrites:
    """``stream`` with these habits; ``masked`` says whether the peer is a client."""
    return WholeWrites(
        stream,
        lane=Lane(masked=masked, message_bytes_max=config.message_bytes_max),
        write_timeout=config.write_timeout,
        message_bytes_max=config.message_bytes_max,
    )


@contextlib.asynccontextmanager
async def closing(stream: trio.abc.Stream) -> AsyncIterator[None]:
    """Close ``stream`` by force at the end of the block, whatever happens in it."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
