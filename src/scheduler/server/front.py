"""The front door: one accepted stream, on which HTTP and WebSocket both arrive.

The head of every request is read here. Plain HTTP goes to an ASGI application, as often as the
peer keeps the connection alive; a valid WebSocket upgrade goes to ``on_upgrade`` with a stream
that gives back what was read. What is neither is answered here in a sentence: the WebSocket
library behind waits for ever on a handshake that it does not like.

:func:`serve_stream` is also the barrier: whatever one peer does, or one application fails to
do, ends its own stream and nothing else.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence

import attrs
import h11
import structlog
import trio
from starlette.types import ASGIApp

from scheduler.config import Config
from scheduler.server.asgi import Exchange
from scheduler.server.handshake import check_handshake, origins_of, wants_websocket
from scheduler.server.http11 import READ_BYTES, RequestError, Writer, not_http, split_target

Headers = Sequence[tuple[bytes, bytes]]
_Opened = tuple[h11.Connection, h11.Request]  # a request whose head was just parsed

_log = structlog.get_logger(__name__)


@attrs.frozen(kw_only=True)
class Upgrade:
    """A WebSocket handshake that is valid and still unanswered.

    ``stream`` reads from the first byte of the handshake's request head on. It belongs to
    :func:`serve_stream`, which closes it when ``on_upgrade`` returns. Header names are lower-case.
    """

    stream: trio.abc.Stream
    path: str
    query: str
    headers: list[tuple[bytes, bytes]]
    peer: str

    def header(self, name: str) -> str | None:
        """The first value of a header given in lower case, or ``None``."""
        wanted = name.encode("ascii")
        return next((v.decode("latin-1") for n, v in self.headers if n == wanted), None)


class ReplayStream(trio.abc.HalfCloseableStream):
    """Gives back bytes that were already read, then reads on from the stream beneath."""

    def __init__(self, stream: trio.abc.Stream, replayed: bytes) -> None:
        self._stream = stream
        self._replayed = replayed

    @property
    def beneath(self) -> trio.abc.Stream:
        """The stream beneath, once there is nothing else to read than what it has."""
        return self if self._replayed else self._stream

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """As the stream beneath does; cancelling loses nothing."""
        if not self._replayed:
            return await self._stream.receive_some(max_bytes)
        await trio.lowlevel.checkpoint()
        size = len(self._replayed) if max_bytes is None else max_bytes
        data, self._replayed = self._replayed[:size], self._replayed[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As the stream beneath does."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream beneath does."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Half-close if the stream beneath can; TLS cannot."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close the stream beneath."""
        await self._stream.aclose()


async def serve_stream(
    stream: trio.abc.Stream,
    *,
    peer: str,
    app: ASGIApp,
    on_upgrade: Callable[[Upgrade], Awaitable[None]],
    websocket_paths: Collection[str],
    config: Config,
) -> None:
    """Serve one accepted stream to its end, and close it.

    ``websocket_paths`` are the only paths handed to ``on_upgrade``. No exception leaves, except
    what stops the whole program. Cancelling ends it at once, whatever the peer does or does not.
    """
    try:
        try:
            await _Front(stream, peer, app, on_upgrade, websocket_paths, config).serve()
        finally:
            await trio.aclose_forcefully(stream)
    except* (
        trio.TooSlowError,
        trio.BrokenResourceError,
        trio.ClosedResourceError,
        OSError,
    ) as lost:
        _log.debug("connection_lost", peer=peer, reason=repr(lost.exceptions[0]))
    except* Exception as failures:  # noqa: BLE001 - the barrier
        _log.warning("connection_failed", exc_info=failures)


class _Front:
    """The requests of one connection, one after the other."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        peer: str,
        app: ASGIApp,
        on_upgrade: Callable[[Upgrade], Awaitable[None]],
        websocket_paths: Collection[str],
        config: Config,
    ) -> None:
        self._stream = stream
        self._peer = peer
        self._app = app
        self._on_upgrade = on_upgrade
        self._websocket_paths = websocket_paths
        self._config = config
        self._origins = origins_of(config.allowed_origins)
        self._writer = Writer(stream, config.write_timeout)
        self._head = bytearray()  # of the current request, and whatever came glued behind it
        self._is_head_request = False

    async def serve(self) -> None:
        """Until the peer or we have had enough."""
        try:
            upgrade = await self._serve_http()
        except RequestError as rejection:
            _log.debug("request_rejected", peer=self._peer, reason=str(rejection))
            upgrade = None
            await self._writer.write(rejection.to_bytes(with_body=not self._is_head_request))
        if upgrade is not None:
            await self._on_upgrade(upgrade)
        elif not self._writer.broken:
            await self._linger()

    async def _serve_http(self) -> Upgrade | None:
        """Serve HTTP requests; end with an upgrade, or ``None`` when there will be no more."""
        opened = await self._head_in_time(b"")
        while opened is not None:
            http, request = opened
            path, query = split_target(request)
            if wants_websocket(request) or path in self._websocket_paths:
                check_handshake(request, self._websocket_paths, self._origins)
                head = bytes(self._head)
                self._head.clear()
                return Upgrade(
                    stream=ReplayStream(self._stream, head),
                    path=path,
                    query=query,
                    headers=list(request.headers),
                    peer=self._peer,
                )
            exchange = Exchange(self._stream, self._writer, http, request, self._config)
            received = await exchange.run(self._app)
            if received is None:
                return None
            opened = await self._later_head(received)
        return None

    async def _later_head(self, received: bytes) -> _Opened | None:
        if not received:
            with trio.move_on_after(self._config.http_idle_timeout):
                received = bytes(await self._stream.receive_some(READ_BYTES))
        return await self._head_in_time(received) if received else None

    async def _head_in_time(self, received: bytes) -> _Opened | None:
        self._head.clear()
        self._is_head_request = False
        with trio.move_on_after(self._config.handshake_timeout):
            return await self._read_head(received)
        if self._head:
            raise RequestError(408, "the request head did not come in time")
        return None

    async def _read_head(self, received: bytes) -> _Opened | None:
        limit = self._config.request_head_bytes_max
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=limit)
        while True:
            if not self._head:
                received = received.lstrip(b"\r\n")  # RFC 9112 §2.2: old clients send them
            if received:
                self._head += received
                http.receive_data(received)
                if request := _parse(http, limit):
                    # h11 checks the size of what is incomplete; this is for what came at once.
                    if len(self._head) - len(http.trailing_data[0]) > limit:
                        raise _head_too_large(limit)
                    self._is_head_request = request.method == b"HEAD"
                    return http, request
            received = bytes(await self._stream.receive_some(READ_BYTES))
            if not received:
                return None

    async def _linger(self) -> None:
        """Let the peer read our last words: closing on unread input would destroy them."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        with trio.move_on_after(self._config.close_timeout):
            while await self._stream.receive_some(READ_BYTES):
                pass


def _parse(http: h11.Connection, limit: int) -> h11.Request | None:
    try:
        event = http.next_event()
    except h11.RemoteProtocolError as error:
        raise (
            _head_too_large(limit) if error.error_status_hint == 431 else not_http(error)
        ) from error
    return event if isinstance(event, h11.Request) else None


def _head_too_large(limit: int) -> RequestError:
    return RequestError(431, f"a request head may have {limit} bytes at most")
