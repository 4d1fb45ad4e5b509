"""A place for the WebSocket library's reader task, which is started by the library itself.

It must live until the goodbye is said, since a cancelled reader could not see the answer to
our close frame, hence the shield. And it must not raise into anybody: the library's reader has
no ``except`` of its own, and a peer can make it raise, with a bad frame and a reset behind it,
or with a ping that crosses our close frame. Its message channel closes with it, so for the
connection that is simply the end.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import structlog
import trio

T = TypeVar("T")

log = structlog.get_logger()


class Reader:
    """To the library this is a nursery; ``start_soon`` is all that it uses of one.

    ``contained`` are the errors that a peer can cause; any other ends the block of
    :func:`reading`.
    """

    def __init__(self, nursery: trio.Nursery, contained: tuple[type[Exception], ...]) -> None:
        self._nursery = nursery
        self._contained = contained
        self._scope = trio.CancelScope(shield=True)
        self._handshake = trio.CancelScope()
        self.error: Exception | None = None
        self.ended = trio.Event()

    def start_soon(self, read: Callable[[], Awaitable[None]]) -> None:
        """Start the reader task; called once, by the library."""
        self._nursery.start_soon(self._run, read)

    def stop(self) -> None:
        """End the reader task, whatever it is doing."""
        self._scope.cancel()

    async def _run(self, read: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._scope:
                await read()
        except self._contained as error:
            log.debug("websocket_reader_ended", reason=repr(error))
            self.error = error
        finally:
            self.ended.set()
            self._handshake.cancel()

    async def shake_hands(self, wrap: Callable[[], Awaitable[T]], timeout: float) -> T | None:
        """What ``wrap`` returns; None if the reader ended before, where the library would wait.

        Raises what ``wrap`` raises, or ``trio.TooSlowError`` after ``timeout`` seconds.
        """
        with trio.fail_after(timeout), self._handshake:
            return await wrap()
        return None


@contextlib.asynccontextmanager
async def reading(*contained: type[Exception]) -> AsyncIterator[Reader]:
    """A reader's place for the length of the block; it ends with it, however that is left."""
    async with trio.open_nursery() as nursery:
        reader = Reader(nursery, contained)
        try:
            yield reader
        finally:
            reader.stop()
