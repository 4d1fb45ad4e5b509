"""One WebSocket connection = one nursery: reader, writer and keepalive, scoped together.

This is the only module that knows trio-websocket. What the library lacks stands here:

* nothing but the writer task sends messages, and it is cancelled only together with the
  whole connection (see ``stream`` for why);
* the reader never waits: ``on_message`` is a plain function;
* the end has one order: the nursery ends (that is when the caller deregisters), then a
  close frame within ``close_timeout``, then the byte stream is closed by force;
* the library's own task runs in the outer nursery of :func:`accept` or :func:`dial`, and
  whatever it raises leaves those as an exception group, never the listener.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Callable

import attrs
import trio
import trio_websocket as tws

from scheduler.config import Config
from scheduler.errors import Close, ConnectionLost, may_reconnect
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.stream import WholeWrites

RECEIVE_BYTES = 64 * 2**10
HANDSHAKE_BYTES_MAX = 64 * 2**10
PING_BEFORE_SUSPICION = 0.75
"""The part of ``suspect_after`` after which a watched peer is pinged."""


@attrs.frozen(kw_only=True)
class Silence:
    """A stricter watch than the WebSocket ping alone, for peers that send heartbeats.

    A peer that misses a heartbeat is pinged first: its pong proves life as well.

    ``suspect_after`` and ``dead_after`` are seconds without a byte; ``on_change`` is told
    True when the peer becomes suspect and False when it is heard again.
    """

    suspect_after: float
    dead_after: float
    on_change: Callable[[bool], None]


def _ignore(seq: int) -> None:
    """For peers whose messages are not counted."""


class Connection:
    """An open WebSocket. Made by :func:`accept` and :func:`dial`, used inside their block."""

    def __init__(self, ws: tws.WebSocketConnection, stream: WholeWrites, config: Config) -> None:
        self._ws = ws
        self._stream = stream
        self._config = config
        self._outbox = Outbox(
            messages_max=config.outbox_messages_max, bytes_max=config.outbox_bytes_max
        )
        self._scope = trio.CancelScope()
        self._pinging = False
        self._suspect = False
        self._silence: Silence | None = None
        self._probed_at = math.inf
        self._nap = trio.CancelScope()
        self.greeted = False
        self.close: Close | None = None
        self.peer_code: int | None = None
        self.peer_text = ""
        self.over = trio.Event()

    # -- what others may do to it, without waiting ---------------------------------

    def put(self, text: str, *, seq: int | None = None, droppable: bool = False) -> None:
        """Queue one message; a peer too slow for its outbox is cut off."""
        if not self._outbox.put(Entry(text, seq, droppable)):
            self.cut(Close.SLOW_CONSUMER)

    def replace(self, seq: int, text: str) -> None:
        """Put ``text`` in the place of the queued outcome ``seq``, if it is still queued."""
        self._outbox.replace(seq, text)

    def probe(self) -> None:
        """Ping now, and give the peer up if nothing is heard within ``pong_timeout``."""
        self._probed_at = trio.current_time()
        self._nap.cancel()

    def end(self, close: Close) -> None:
        """Write what is queued, then close. The first reason given is the one that counts."""
        self._decide(close)
        self._outbox.close()

    def cut(self, close: Close) -> None:
        """Close without writing what is queued."""
        self.end(close)
        self._scope.cancel()

    def watch(self, silence: Silence) -> None:
        """From now on judge this peer's silence more strictly."""
        self._silence = silence
        self._nap.cancel()

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
                    nursery.start_soon(self._keepalive, nursery)
                    if hello_timeout is not None:
                        nursery.start_soon(self._await_hello, hello_timeout)
                    while True:
                        message = await self._ws.get_message()
                        self._stream.message_ended()
                        self._judge(suspect=False)
                        on_message(message)
        except* tws.ConnectionClosed as group:
            self._closed_by_peer(group)
        except* Exception:
            self._decide(Close.INTERNAL_ERROR)
            raise
        finally:
            self._outbox.close()
            self.over.set()

    def _closed_by_peer(self, group: BaseExceptionGroup[tws.ConnectionClosed]) -> None:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, tws.ConnectionClosed)
        if first.reason is not None:
            self.peer_code, self.peer_text = first.reason.code, first.reason.reason or ""
        said_goodbye = self.peer_code in (Close.NORMAL.code, Close.GOING_AWAY.code)
        if self.peer_code == Close.TOO_LARGE.code:
            self._decide(Close.TOO_LARGE)
        self._decide(Close.NORMAL if said_goodbye else Close.PEER_GONE)

    async def _write(
        self, on_writing: Callable[[int], None], on_written: Callable[[int], None]
    ) -> None:
        while (entry := await self._outbox.get()) is not None:
            if entry.seq is not None:
                on_writing(entry.seq)
            await self._ws.send_message(entry.text)
            self._outbox.done(entry)
            if entry.seq is not None:
                on_written(entry.seq)
        self._scope.cancel()

    async def _await_hello(self, timeout: float) -> None:
        await trio.sleep(timeout)
        if not self.greeted:
            self.end(Close.HELLO_TIMEOUT)

    async def _keepalive(self, nursery: trio.Nursery) -> None:
        """Ping a silent peer, and end the connection of one that stays silent.

        If this process itself slept, the peers are innocent: judgement waits until they
        had time to answer once more.
        """
        pardon_until = 0.0
        while True:
            heard_at = self._stream.heard_at
            ping_at, suspect_at, dead_at = self._marks(heard_at)
            marks = [dead_at]
            marks += [] if self._pinging else [ping_at]
            marks += [] if self._suspect else [suspect_at]
            wake_at = max(min(marks), pardon_until)
            with trio.CancelScope() as self._nap:
                await trio.sleep_until(wake_at)
            if self._nap.cancelled_caught:
                continue
            now = trio.current_time()
            if now - wake_at > self._config.stall_threshold:
                pardon_until = now + self._config.pong_timeout
                continue
            if self._stream.heard_at != heard_at:
                continue
            self._judge(suspect=now >= suspect_at)
            if now >= dead_at:
                self.cut(Close.KEEPALIVE_TIMEOUT)
            elif now >= ping_at and not self._pinging:
                self._pinging = True
                nursery.start_soon(self._ping)

    def _marks(self, heard_at: float) -> tuple[float, float, float]:
        """When a peer that stays silent is pinged, suspected, and given up."""
        if (silence := self._silence) is not None:
            ping_at = heard_at + silence.suspect_after * PING_BEFORE_SUSPICION
            return ping_at, heard_at + silence.suspect_after, heard_at + silence.dead_after
        ping_at = heard_at + self._config.ping_interval
        if heard_at <= self._probed_at:
            ping_at = min(ping_at, self._probed_at)
        return ping_at, math.inf, ping_at + self._config.pong_timeout

    def _judge(self, *, suspect: bool) -> None:
        if self._silence is not None and self._suspect != suspect:
            self._suspect = suspect
            self._silence.on_change(suspect)

    async def _ping(self) -> None:
        """Never cancelled by itself: a ping torn in half would be the stream's last write."""
        await self._ws.ping()
        self._pinging = False

    async def goodbye(self) -> None:
        """Send the close frame and wait, not for long, until the peer has answered it."""
        close = self.close or Close.GOING_AWAY
        with trio.move_on_after(self._config.close_timeout, shield=True):
            await self._ws.aclose(close.code, close.text)

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

    Raises ``trio.TooSlowError`` if the handshake is not complete within
    ``handshake_timeout``; whatever the library raises comes in an exception group.
    """
    whole = _whole(stream, config)
    async with _closing(stream), _library_nursery() as nursery:
        with trio.fail_after(config.handshake_timeout):
            request = await tws.wrap_server_stream(
                nursery,
                whole,
                max_message_size=config.message_bytes_max,
                receive_buffer_size=RECEIVE_BYTES,
            )
            ws = await request.accept()
        connection = Connection(ws, whole, config)
        try:
            yield connection
        finally:
            await connection.goodbye()


@contextlib.asynccontextmanager
async def dial(
    stream: trio.abc.Stream, host: str, path: str, config: Config
) -> AsyncIterator[Connection]:
    """Ask for a WebSocket upgrade on ``stream``; at the end of the block it is closed.

    Raises :class:`~scheduler.errors.ConnectionLost` if the other side refuses or does not
    answer within ``handshake_timeout``.
    """
    whole = _whole(stream, config)
    async with _closing(stream), _library_nursery() as nursery:
        try:
            with trio.fail_after(config.handshake_timeout):
                ws = await tws.wrap_client_stream(
                    nursery,
                    whole,  # type: ignore[arg-type]  # any stream will do
                    host,
                    path,
                    max_message_size=config.message_bytes_max,
                    receive_buffer_size=RECEIVE_BYTES,
                )
        except trio.TooSlowError:
            raise ConnectionLost(None, "no answer to the WebSocket handshake") from None
        except tws.ConnectionRejected as error:
            text = f"the WebSocket upgrade was refused with HTTP {error.status_code}"
            raise ConnectionLost(None, text) from None
        except (tws.HandshakeError, tws.ConnectionClosed) as error:
            raise ConnectionLost(None, f"the WebSocket handshake failed: {error!r}") from None
        connection = Connection(ws, whole, config)
        try:
            yield connection
        finally:
            await connection.goodbye()


def _whole(stream: trio.abc.Stream, config: Config) -> WholeWrites:
    return WholeWrites(
        stream,
        write_timeout=config.write_timeout,
        message_bytes_max=2 * config.message_bytes_max + HANDSHAKE_BYTES_MAX,
    )


@contextlib.asynccontextmanager
async def _closing(stream: trio.abc.Stream) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)


@contextlib.asynccontextmanager
async def _library_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery for the library's reader task, which must live until the goodbye is said.

    It is shielded, since a cancelled reader could not see the answer to our close frame;
    it ends with this block, however that is left, and what it raises ends the block.
    """
    async with trio.open_nursery() as outer:
        nursery = await outer.start(_host)
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()


async def _host(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()
