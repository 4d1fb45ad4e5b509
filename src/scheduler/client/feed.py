"""What a session tells besides outcomes, and the bounded feed through which it is told."""

import enum
import weakref
from collections import deque
from typing import Generic, Self, TypeVar

import attrs
import trio

from scheduler.wire.common import Error
from scheduler.wire.session import (
    AsrPartial,
    Backpressure,
    GoingAway,
    LanguageDetected,
    UiEvent,
)

T = TypeVar("T")


class ConnectionState(enum.StrEnum):
    """Where a session's connection is."""

    CONNECTING = "connecting"
    OPEN = "open"
    RESUMING = "resuming"
    CLOSED = "closed"


@attrs.frozen
class StateChanged:
    """The connection's state; ``detail`` says why, and when the next try is.

    ``recovered`` is False where the session could not go on whole: the scheduler had given
    up an outcome (it comes as a failure with the reason ``gap``), or knew nothing of the
    session and began a new one.
    """

    state: ConnectionState
    detail: str
    recovered: bool = True


JobEvent = UiEvent | AsrPartial
"""How a job is getting on: its stages, and the text recognised so far."""

Event = StateChanged | JobEvent | Backpressure | GoingAway | LanguageDetected | Error
"""What ``Session.events`` tells."""


class Feed(Generic[T]):
    """A bounded queue to a reader that may be slow: what does not fit pushes out the oldest.

    An asynchronous iterator that ends once it is closed and empty. Putting never waits;
    cancelling the reader loses nothing. ``missed`` counts what was pushed out.
    """

    def __init__(self, most: int) -> None:
        self._items: deque[T] = deque()
        self._most = most
        self._readers = trio.lowlevel.ParkingLot()
        self._closed = False
        self.missed = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether the next :meth:`put` pushes something out."""
        return len(self._items) >= self._most

    def put(self, item: T) -> None:
        """Append; nothing happens once closed."""
        if self._closed:
            return
        if self.full:
            self._items.popleft()
            self.missed += 1
        self._items.append(item)
        self._readers.unpark_all()

    def close(self) -> None:
        """Take nothing more; the reader still gets what is there."""
        self._closed = True
        self._readers.unpark_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            await self._readers.park()
        return self._items.popleft()


class Announcer:
    """The state of a session's connection, and everybody who wants to hear what happens.

    Once ``CLOSED`` nothing is told any more.
    """

    def __init__(self, state: ConnectionState, events_max: int) -> None:
        self.state = state
        self.detail = ""
        self._events_max = events_max
        self._feeds = weakref.WeakSet[Feed[Event]]()

    def __len__(self) -> int:
        """How many feeds are held by somebody."""
        return len(self._feeds)

    @property
    def closed(self) -> bool:
        """Whether the session is over."""
        return self.state is ConnectionState.CLOSED

    def feed(self) -> Feed[Event]:
        """A new feed from now on; it begins with the present state."""
        feed = Feed[Event](self._events_max)
        feed.put(StateChanged(self.state, self.detail))
        if self.closed:
            feed.close()
        self._feeds.add(feed)
        return feed

    def tell(self, event: Event) -> None:
        """Put an event into every feed that somebody holds."""
        for feed in self._feeds:
            feed.put(event)

    def become(self, state: ConnectionState, detail: str, *, recovered: bool = True) -> None:
        """Change the state, and tell it if it is news."""
        if self.closed or ((state, detail) == (self.state, self.detail) and recovered):
            return
        self.state, self.detail = state, detail
        self.tell(StateChanged(state, detail, recovered))
        if self.closed:
            for feed in self._feeds:
                feed.close()
