"""The writer of one connection: what is queued together goes out together.

One step of the engine often has several messages for a peer, and a busy peer has more waiting
when the last write is done. They are one write, and a socket that takes it takes it at once, at
the end of the step: waking a task and calling the operating system cost more than all that the
messages say. The writer's task is there for what has to wait: a socket that is full, a stream
that is no socket, and the end of the connection.
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
        self._on_writing: Callable[[int], None] | None = None
        self._on_written: Callable[[int], None] | None = None
        self._under_way: list[Entry] = []
        """What was begun and is not written yet: the task's, if anybody's."""
        self._fault: Exception | None = None

    async def run(
        self, on_writing: Callable[[int], None], on_written: Callable[[int], None]
    ) -> None:
        """Write until the outbox is closed and empty, and tell the fate of what has a ``seq``.

        Both are told what happens in :meth:`flush`, too; nobody else runs between that and the
        bytes. Raises ``trio.BrokenResourceError`` or ``trio.ClosedResourceError`` if the peer is
        gone or the connection closed, and what anything of ours raised, also in :meth:`flush`.
        Cancelling loses what is under way.
        """
        self._on_writing, self._on_written = on_writing, on_written
        try:
            while self._under_way or not self._outbox.over:
                await trio.lowlevel.checkpoint_if_cancelled()  # before anything more is taken
                if self._fault is not None:
                    raise self._fault
                if self._under_way or self._begin():
                    await self._stream.finish()
                    self._end()
                else:
                    await self._outbox.woken()
        finally:
            self._on_writing = None

    def flush(self, *, gather: bool = False) -> None:
        """Write now what is taken without waiting, and leave the rest to the task.

        With ``gather`` messages may wait for those that follow, and the task then writes them
        together, unless the outbox is under pressure. Whatever goes wrong is the task's as well:
        this is called on behalf of others, and raises nothing.
        """
        if self._under_way:
            return  # the task has it, and looks for more when that is written
        running = self._on_writing is not None and self._fault is None
        gather = gather and not self._outbox.under_pressure
        if gather or not running or self._closed() or not self._stream.is_prompt:
            self._outbox.wake()
            return
        try:
            while self._begin():
                if self._stream.is_unfinished:
                    self._outbox.wake()
                    return
                self._end()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._outbox.wake()  # to meet the same
        except Exception as error:  # noqa: BLE001  # it is raised again where it belongs
            self._fault = error
            self._outbox.wake()
        if self._outbox.over:
            self._outbox.wake()  # to see that it is

    def _begin(self) -> bool:
        """Take a batch of what may be said now, and write what is taken of it at once."""
        if (entry := self._outbox.get_nowait()) is None:
            return False
        entries, frames = self._batch(entry)
        assert self._on_writing is not None
        for taken in entries:
            if taken.seq is not None:
                self._on_writing(taken.seq)
        if self._closed():
            raise trio.BrokenResourceError("the connection is closed")
        self._under_way = entries
        self._stream.begin(b"".join(frames) if len(frames) > 1 else frames[0])
        return True

    def _end(self) -> None:
        """Everything under way was written."""
        assert self._on_written is not None
        written, self._under_way = self._under_way, []
        for entry in written:
            self._outbox.done(entry)
        for entry in written:
            if entry.seq is not None:
                self._on_written(entry.seq)

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
