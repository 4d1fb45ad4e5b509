"""One connection of a session, from its hello to its end."""

from collections import deque

import attrs
import trio

from scheduler.errors import Close
from scheduler.runtime.connection import Connection
from scheduler.wire.codec import encode
from scheduler.wire.session import FromSession, Utterance


@attrs.define(eq=False)
class Link:
    """A connection and how far its conversation got.

    ``resuming``: its hello asked to go on with a session. ``welcomed_at``: when that hello was
    answered (trio's clock). ``stay`` ends when the scheduler wants to be left; ``left`` says
    that a successor is being looked for. ``lost`` says why it is over, once ``over`` is set.
    """

    stay: trio.CancelScope = attrs.Factory(trio.CancelScope)
    over: trio.Event = attrs.Factory(trio.Event)
    connection: Connection | None = None
    resuming: bool = False
    welcomed_at: float | None = None
    left: bool = False
    lost: Exception | None = None
    _utterances: deque[Utterance] = attrs.Factory(deque)
    _under_way: int | None = None

    def put(self, message: FromSession) -> None:
        """Queue a message."""
        if self.connection is not None:
            self.connection.put(encode(message))

    def say(self, message: Utterance) -> None:
        """Send an utterance when the one before it was written.

        Many of them, sent again after a reconnect, need not fit into the outbox; and what is
        small, an acknowledgement say, need not wait behind all that audio.
        """
        self._utterances.append(message)
        self._say_next()

    def written(self, utterance_index: int) -> None:
        """An utterance is out."""
        if utterance_index == self._under_way:
            self._under_way = None
            self._say_next()

    def _say_next(self) -> None:
        if self.connection is not None and self._under_way is None and self._utterances:
            message = self._utterances.popleft()
            self._under_way = message.utterance_index
            self.connection.put(encode(message), seq=message.utterance_index)

    def say_all(self) -> None:
        """Queue all utterances now: the connection is about to end."""
        while self._utterances:
            self.put(self._utterances.popleft())

    def welcomed(self) -> None:
        """The hello was answered: the other side knows whom it talks to."""
        self.welcomed_at = trio.current_time()
        if self.connection is not None:
            self.connection.greeted = True

    def end(self, close: Close = Close.NORMAL) -> None:
        """Write what is queued, then close."""
        if self.connection is not None:
            self.connection.end(close)

    def lasted(self, seconds: float) -> bool:
        """Whether it worked for so long since its welcome."""
        return self.welcomed_at is not None and trio.current_time() - self.welcomed_at >= seconds

    def finish(self, lost: Exception) -> None:
        """It is over."""
        self.lost = lost
        self.over.set()
