"""One connection of a session, from its hello to its end."""

import attrs
import trio

from scheduler.errors import Close
from scheduler.runtime.connection import Connection
from scheduler.wire.codec import encode
from scheduler.wire.session import FromSession


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

    def put(self, message: FromSession) -> None:
        """Queue a message."""
        if self.connection is not None:
            self.connection.put(encode(message))

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
