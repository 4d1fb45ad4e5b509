"""The writer of one connection: what is queued together goes out together.

One step of the engine often has several messages for a peer, and a busy peer has more waiting
when the last write is done. They are one write: waking this task and calling the operating
system cost more than all that the messages say.
"""

from collections.abc import Callable

import trio

from scheduler.runtime.lane import text_frame
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.stream import WholeWrites

BATCH_BYTES = 64 * 2**10
"""A write is not made longer once it has this size: what comes behind it shall not wait long."""


class Writer:
    """Writes what ``outbox`` gives to ``stream``, as frames that are ``masked`` or not.

    Nothing is written once ``closed()`` is true: no message may follow a close frame.
    """

    def __init__(
        self, outbox: Outbox, stream: WholeWrites, *, masked: bool, closed: Callable[[], bool]
    ) -> None:
        self._outbox = outbox
        self._stream = stream
        self._masked = masked
        self._closed = closed

    async def run(
        self, on_writing: Callable[[int], None], on_written: Callable[[int], None]
    ) -> None:
        """Write until the outbox is closed and empty, and tell the fate of what has a ``seq``.

        ``on_writing`` comes before the first byte of a write, ``on_written`` after its last.
        Raises ``trio.BrokenResourceError`` if the peer is gone or the connection closed.
        """
        while (entry := await self._outbox.get()) is not None:
            await self._write(*self._batch(entry), on_writing, on_written)
            del entry  # it may be long until the next one

    async def _write(
        self,
        entries: list[Entry],
        frames: list[bytes],
        on_writing: Callable[[int], None],
        on_written: Callable[[int], None],
    ) -> None:
        numbers = [entry.seq for entry in entries if entry.seq is not None]
        for seq in numbers:
            on_writing(seq)
        if self._closed():
            raise trio.BrokenResourceError("the connection is closed")
        await self._stream.send_all(b"".join(frames) if len(frames) > 1 else frames[0])
        for entry in entries:
            self._outbox.done(entry)
        for seq in numbers:
            on_written(seq)

    def _batch(self, first: Entry) -> tuple[list[Entry], list[bytes]]:
        """What may be said now, up to about a batch, with its frames."""
        entry: Entry | None = first
        entries: list[Entry] = []
        frames: list[bytes] = []
        size_bytes = 0
        while entry is not None:
            text = entry.text if isinstance(entry.text, str) else entry.text()
            entries.append(entry)
            frames.append(text_frame(text, masked=self._masked))
            size_bytes += len(frames[-1])
            entry = self._outbox.get_nowait() if size_bytes < BATCH_BYTES else None
        return entries, frames
