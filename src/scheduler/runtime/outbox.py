"""The bounded queue before one connection's writer.

A message that promises something waits here until what it promises is remembered. Others may
pass it meanwhile: a refusal must not wait for a disk that is full. Promises never pass each
other.

Putting never waits: the engine's step is synchronous. Nor does it wake the writer, since
what one step has for a peer is written together at its end (see ``writer``). Under pressure
(half of a bound reached) what is droppable is left out; outcomes never are. When even they do
not fit, the peer is a slow consumer, and its connection is given up.
"""

import math
from collections.abc import Callable

import attrs
import trio

Text = str | Callable[[], str]
"""An encoded message, or how to encode it when the writer takes it.

The latter is for what is large and in memory anyway, as the audio of a job is: it does not
count in bytes, and many such messages for one connection are not in memory twice.
"""


@attrs.frozen
class Entry:
    """One message. ``seq`` marks an outcome whose writing is to be reported.

    ``after`` is the position of the journal that must be kept before this may be said, and
    ``job_id`` the job whose acceptance this says.
    """

    text: Text
    seq: int | None = None
    droppable: bool = False
    after: int = 0
    job_id: str | None = None
    size_bytes: int = attrs.field(init=False, eq=False)
    """What it will take on the wire, in UTF-8, if that is known."""

    @size_bytes.default
    def _utf8_bytes(self) -> int:
        if not isinstance(self.text, str):
            return 0
        return len(self.text) if self.text.isascii() else len(self.text.encode())


class Outbox:
    """A queue with two bounds (messages, bytes), one reader, and any number of writers.

    The bytes that the writer has taken but not confirmed with :meth:`done` still count.
    ``committed`` tells up to which position the journal has kept its records.
    """

    def __init__(self, *, messages_max: int, bytes_max: int) -> None:
        self.committed: Callable[[], float] = lambda: math.inf
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._entries: list[Entry] = []  # an empty deque has room for 64
        self._changed = trio.Event()
        self._closed = False
        self.size_bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> bool:
        """Append; False if it does not fit. A droppable entry always "fits"."""
        if self._closed:
            return True
        count, total = len(self._entries) + 1, self.size_bytes + entry.size_bytes
        if entry.droppable and self._is_much(count, total):
            self.dropped += 1
            return True
        if count > self._messages_max or total > self._bytes_max:
            return False
        self._entries.append(entry)
        self.size_bytes = total
        return True

    def _is_much(self, count: int, size_bytes: int) -> bool:
        return count * 2 > self._messages_max or size_bytes * 2 > self._bytes_max

    @property
    def under_pressure(self) -> bool:
        """Whether half of a bound is reached: nothing droppable would be taken."""
        return self._is_much(len(self._entries) + 1, self.size_bytes)

    def replace(self, seq: int, text: str, *, after: int = 0) -> None:
        """Change the text of a queued outcome; one that was taken already stays as it was."""
        for place, entry in enumerate(self._entries):
            if entry.seq == seq:
                self._entries[place] = new = attrs.evolve(entry, text=text, after=after)
                self.size_bytes += new.size_bytes - entry.size_bytes

    def withdraw(self, job_id: str) -> None:
        """Take back an acceptance that has not been said."""
        for entry in [e for e in self._entries if e.job_id == job_id]:
            self._entries.remove(entry)
            self.size_bytes -= entry.size_bytes

    def wake(self) -> None:
        """Let the writer look again."""
        self._changed.set()

    def clear(self) -> None:
        """Forget what is queued; what the writer has taken is not touched."""
        self.size_bytes -= sum(entry.size_bytes for entry in self._entries)
        self._entries.clear()

    def close(self) -> None:
        """Take nothing more; what is there is still to be written."""
        self._closed = True
        self._changed.set()

    @property
    def over(self) -> bool:
        """Whether it is closed and empty."""
        return self._closed and not self._entries

    async def woken(self) -> None:
        """Wait for the next :meth:`wake` or :meth:`close`. Cancelling loses nothing."""
        self._changed = trio.Event()
        await self._changed.wait()

    def get_nowait(self) -> Entry | None:
        """The next entry that may be said now, if there is one.

        No promise passes another one that waits, also if that came to wait longer when its
        text was replaced: whoever hears the later number takes the earlier one for known.
        """
        committed, waiting = self.committed(), False
        for place, entry in enumerate(self._entries):
            if entry.after <= committed and not (waiting and entry.after):
                del self._entries[place]
                return entry
            waiting = True
        return None

    def done(self, entry: Entry) -> None:
        """The entry was written: its bytes count no more."""
        self.size_bytes -= entry.size_bytes
