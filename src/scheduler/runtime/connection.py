"""One WebSocket connection = one nursery: reader, writer and keepalive, scoped together.

This is the only module that knows trio-websocket. What the library lacks stands here:

* nothing but the writer sends messages: what is taken at once in the step that says it, the
  rest in its task, which is cancelled only together with the whole connection (see ``stream``);
* whole text messages go past the library, both ways (see ``lane``);
* the reader never waits: ``on_message`` is a plain function;
* the end has one order: the nursery ends (that is when the caller deregisters), then a
  close frame within ``close_timeout``, then the byte stream is closed by force;
* the library's own task is contained (see ``reader``): what it raises because of a peer is
  the end of that connection and of nothing else.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial

import structlog
import trio
import trio_websocket as tws
from wsproto.utilities import LocalProtocolError

from scheduler.config import Config
from scheduler.core.events import SignsOfLife
from scheduler.errors import Close, ConnectionLost, may_reconnect
from scheduler.runtime.frames import BREACHES, UNSAID, close_frame
from scheduler.runtime.keepalive import Keepalive, Silence
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.reader import Reader, reading
from scheduler.runtime.stream import WholeWrites, closing, whole_writes
from scheduler.runtime.writer import Writer

RECEIVE_BYTES = 64 * 2**10
PEER_ERRORS = (tws.ConnectionClosed, tws.HandshakeError, LocalProtocolError)
"""What a peer can make the library's reader task raise."""

log = structlog.get_logger()


def _ignore(seq: int) -> None:
    """For peers whose messages are not counted."""


class Connection:
    """An open WebSocket. Made by :func:`accept` and :func:`dial`, used inside their block."""

    def __init__(
        self, ws: tws.WebSocketConnection, stream: WholeWrites, reader: Reader, config: Config
    ) -> None:
        self._ws = ws
        self._stream = stream
        self._reader = reader
        self._config = config
        self._outbox = Outbox(
            messages_max=config.outbox_messages_max, bytes_max=config.outbox_bytes_max
        )
        self._writer = Writer(
            self._outbox, stream, masked=ws.is_client, closed=lambda: ws.closed is not None
        )
        self._scope = trio.CancelScope()
        self._keepalive = Keepalive(
            config,
            heard_at=lambda: stream.heard_at,
            ping=ws.ping,
            give_up=lambda: self.cut(Close.KEEPALIVE_TIMEOUT),
        )
        self.greeted = False
        self.close: Close | None = None
        self.peer_code: int | None = None
        self.peer_text = ""
        self.over = trio.Event()
        self._fault: Exception | None = None

    # -- what others may do to it, without waiting ---------------------------------

    def put(self, text: str, *, seq: int | None = None) -> None:
        """Queue one message and wake the writer; what :meth:`queue` says holds here too."""
        self.queue(Entry(text, seq))
        self._outbox.wake()

    def queue(self, entry: Entry) -> None:
        """Queue one message for the next :meth:`flush`; a peer too slow for its outbox is given up.

        The message that is just being written may be completed, so that the close frame can
        follow it and say why.
        """
        if not self._outbox.put(entry):
            self._outbox.clear()
            self.end(Close.SLOW_CONSUMER)

    def flush(self, *, gather: bool = False) -> None:
        """Write what is queued, at once if it is taken without waiting; see ``Writer.flush``."""
        if not self._scope.cancel_called:
            self._writer.flush(gather=gather)

    def replace(self, seq: int, text: str, *, after: int = 0) -> None:
        """Put ``text`` in the place of the queued outcome ``seq``, if it is still queued."""
        self._outbox.replace(seq, text, after=after)

    def withdraw(self, job_id: str) -> None:
        """Take back the acceptance of a job if it still waits for the journal."""
        self._outbox.withdraw(job_id)

    def follow(self, committed: Callable[[], float]) -> None:
        """From now on what is put with ``after`` waits until ``committed()`` has reached that."""
        self._outbox.committed = committed

    def probe(self) -> None:
        """Ping now, and give the peer up if nothing is heard within ``pong_timeout``."""
        self._keepalive.probe()

    def watch(self, silence: Silence) -> None:
        """From now on judge this peer's silence more strictly."""
        self._keepalive.watch(silence)

    def end(self, close: Close) -> None:
        """Write what is queued, then close; ``write_timeout`` is all the time there is for that.

        The first reason given is the one that counts.
        """
        self._decide(close)
        self._outbox.close()
        latest = trio.current_time() + self._config.write_timeout
        self._scope.deadline = min(self._scope.deadline, latest)

    def cut(self, close: Close) -> None:
        """Close without writing what is queued."""
        self.end(close)
        self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """End at once, with ``error`` raised by :meth:`run`: a fault of ours."""
        self._fault = error
        self._scope.cancel()

    def _decide(self, close: Close) -> None:
        if self.close is None:
            self.close = close

    # -- its life -----------------------------------------------------------------

    async def run(
        self,
        on_message: Callable[[str | bytes], None],
        *,
        on_writing: Callable[[int], None] = _ignore,
        on_written: Callable[[int], None] = _ignore,
        hello_timeout: float | None = None,
    ) -> None:
        """Read, write and keep alive until any of them ends; then all have ended.

        Returns when the connection is over; ``close`` and ``peer_code`` say why. What
        ``on_message`` or ``on_written`` raise is a fault of ours: the connection is marked
        with 1011 and the exception group goes to the caller. Cancelling ends it at once.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, on_writing, on_written)
                    nursery.start_soon(self._keepalive.run, nursery)
                    if hello_timeout is not None:
                        nursery.start_soon(self._await_hello, hello_timeout)
                    self._stream.lane.on_text = partial(self._hear, on_message)
                    while True:
                        message = await self._ws.get_message()
                        self._stream.lane.handed_over()
                        self._hear(on_message, message)
            if self._fault is not None:
                raise self._fault
        except* tws.ConnectionClosed as group:
            self._closed_by_peer(group)
        except* Exception:
            self._decide(Close.INTERNAL_ERROR)
            raise
        finally:
            self._stream.lane.on_text = None
            self._outbox.close()
            self.over.set()

    def _hear(self, on_message: Callable[[str | bytes], None], message: str | bytes) -> None:
        """One message, perhaps in the library's task: what fails here, fails in :meth:`run`."""
        if self._scope.cancel_called:
            return
        try:
            self._keepalive.heard()
            on_message(message)
        except Exception as error:  # noqa: BLE001  # it is raised again where it belongs
            self.fail(error)

    def _closed_by_peer(self, group: BaseExceptionGroup[tws.ConnectionClosed]) -> None:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, tws.ConnectionClosed)
        reason = first.reason or tws.CloseReason(1006, None)
        if self._stream.frames.exceeded:
            self._decide(Close.TOO_LARGE)
        elif reason.code in BREACHES and not self._stream.said_close:
            log.info("protocol_broken", code=int(reason.code), problem=reason.reason)
            self._decide(BREACHES[reason.code])
        else:
            self.peer_code, self.peer_text = reason.code, reason.reason or ""
        if self._stream.stalled:
            self._decide(Close.SLOW_CONSUMER)
        said_goodbye = self.peer_code in (Close.NORMAL.code, Close.GOING_AWAY.code)
        self._decide(Close.NORMAL if said_goodbye else Close.PEER_GONE)

    async def _write(
        self, on_writing: Callable[[int], None], on_written: Callable[[int], None]
    ) -> None:
        try:
            await self._writer.run(on_writing, on_written)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise tws.ConnectionClosed(self._ws.closed) from None
        self._scope.cancel()

    async def _await_hello(self, timeout: float) -> None:
        await trio.sleep(timeout)
        if not self.greeted:
            self.end(Close.HELLO_TIMEOUT)

    async def goodbye(self) -> None:
        """Send the close frame and wait, not for long, until the peer has answered it."""
        close = self.close or Close.GOING_AWAY
        with trio.move_on_after(self._config.close_timeout, shield=True):
            await self._ws.aclose(close.code, close.text)
            if close in UNSAID:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._stream.say_close(close_frame(close, masked=self._ws.is_client))
                await self._reader.ended.wait()
                await self._stream.discard_input()

    @property
    def signs(self) -> SignsOfLife:
        """What is known of the peer's life: for the story of what was written to it."""
        return SignsOfLife(self._stream.heard_at, self._keepalive.unanswered_since)

    @property
    def lost(self) -> ConnectionLost:
        """Why it ended, as an error for those who dialled."""
        code = self.peer_code if self.peer_code not in (None, 1006) else None
        if code is None and self.close is not None:
            code = self.close.code
        text = self.peer_text or (self.close.text if self.close else "the connection broke")
        return ConnectionLost(code, text, reconnect=may_reconnect(self.peer_code))


@contextlib.asynccontextmanager
async def accept(stream: trio.abc.Stream, config: Config) -> AsyncIterator[Connection]:
    """Answer a WebSocket upgrade on ``stream``; at the end of the block it is closed.

    Raises, in an exception group, ``trio.TooSlowError`` if the handshake is not complete
    within ``handshake_timeout``, ``trio.BrokenResourceError`` if the peer left during it.
    """
    whole = whole_writes(stream, config, masked=True)

    async def answer() -> tws.WebSocketConnection:
        request = await tws.wrap_server_stream(
            reader,  # type: ignore[arg-type]  # see its class
            whole,
            max_message_size=config.message_bytes_max,
            receive_buffer_size=RECEIVE_BYTES,
        )
        return await request.accept()

    async with closing(stream), reading(*PEER_ERRORS) as reader:
        try:
            ws = await reader.shake_hands(answer, config.handshake_timeout)
        except (tws.HandshakeError, tws.ConnectionClosed):
            ws = None
        if ws is None:
            raise trio.BrokenResourceError("the peer left during the WebSocket handshake")
        connection = Connection(ws, whole, reader, config)
        try:
            yield connection
        finally:
            await connection.goodbye()


@contextlib.asynccontextmanager
async def dial(
    stream: trio.abc.Stream, host: str, path: str, config: Config
) -> AsyncIterator[Connection]:
    """Ask for a WebSocket upgrade on ``stream``; at the end of the block it is closed.

    Raises :class:`~scheduler.errors.ConnectionLost`, in an exception group, if the other
    side refuses, leaves, or does not answer within ``handshake_timeout``.
    """
    whole = whole_writes(stream, config, masked=False)

    async def ask() -> tws.WebSocketConnection:
        return await tws.wrap_client_stream(
            reader,  # type: ignore[arg-type]  # see its class
            whole,  # type: ignore[arg-type]  # any stream will do
            host,
            path,
            max_message_size=config.message_bytes_max,
            receive_buffer_size=RECEIVE_BYTES,
        )

    async with closing(stream), reading(*PEER_ERRORS) as reader:
        try:
            ws = await reader.shake_hands(ask, config.handshake_timeout)
        except trio.TooSlowError:
            raise ConnectionLost(None, "no answer to the WebSocket handshake") from None
        except (tws.HandshakeError, tws.ConnectionClosed):
            ws = None
        if ws is None:
            text = "the WebSocket handshake failed: the other side left or speaks no WebSocket"
            if isinstance(reader.error, tws.ConnectionRejected):
                text = f"the WebSocket upgrade was refused with HTTP {reader.error.status_code}"
            raise ConnectionLost(None, text)
        connection = Connection(ws, whole, reader, config)
        try:
            yield connection
        finally:
            await connection.goodbye()
