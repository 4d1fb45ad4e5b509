"""One HTTP request through an ASGI application, on a stream that may stall or break at any time.

:class:`Exchange` carries one request and its response: h11 minds the framing, this file minds
what a peer can do meanwhile. Whatever ends a request early (the peer left, does not read, sends
too much or sends nonsense) *cancels* the application. It is not raised into it, because an
application's own error handling would make a 500 of it.

The ASGI messages are those of the HTTP specification 2.3. Not 2.4: there Starlette learns that a
streaming client has left only at its next send, which for an idle event stream may be never.
"""

from collections.abc import AsyncGenerator
from typing import NoReturn
from urllib.parse import unquote

import h11
import structlog
import trio
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Scope, Send

from scheduler.config import Config
from scheduler.server.http11 import READ_BYTES, RequestError, Writer, not_http, split_target

_log = structlog.get_logger(__name__)


class ClosingStreamingResponse(StreamingResponse):
    """A streaming response that closes its async generator when the response ends early.

    Starlette leaves that to the garbage collector, which trio reports as a ResourceWarning.
    """

    async def stream_response(self, send: Send) -> None:
        """Stream; cancelling runs the generator's ``finally`` blocks before it returns."""
        try:
            await super().stream_response(send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


class Exchange:
    """One request, whose head ``http`` has just parsed, and its response."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        writer: Writer,
        http: h11.Connection,
        request: h11.Request,
        config: Config,
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._http = http
        self._request = request
        self._config = config
        self._body_deadline = trio.current_time() + config.http_idle_timeout
        self._body_bytes = 0
        self._request_complete = False
        self._was_waiting_for_100_continue = False
        self._peer_left = False
        self._head: h11.Response | None = None  # said by the application, not yet written
        self._head_written = False
        self._response_complete = False
        self._rejection: RequestError | None = None
        self._receiving = trio.Lock()
        self._scope = trio.CancelScope()

    async def run(self, app: ASGIApp) -> bytes | None:
        """Serve the request; give back the bytes that came after it, ``None`` to close.

        An exception of the application is logged and ends this request only. Raises
        :exc:`RequestError` if the request turned out to be unservable and nothing was answered yet.
        Cancelling cancels the application at once, a write to a stalled reader included.
        """
        scope = request_scope(self._request, self._stream)
        self._check_declared_length()
        with self._scope:
            try:
                await app(scope, self._receive, self._send)
            except* Exception as failures:  # noqa: BLE001 - the barrier
                _log.warning("http_request_failed", path=scope["path"], exc_info=failures)
        if not self._head_written and not self._writer.broken:
            raise self._rejection or RequestError(
                500, "the scheduler could not answer this request"
            )
        return await self._rest()

    def _check_declared_length(self) -> None:
        limit = self._config.request_body_bytes_max
        for name, value in self._request.headers:
            if name == b"content-length" and int(value) > limit:
                raise _body_too_large(limit)

    async def _rest(self) -> bytes | None:
        """Read what the application left of the body, if that is soon done."""
        if self._writer.broken or self._was_waiting_for_100_continue:
            return None  # in the latter case it is the peer's choice whether a body still comes
        with trio.move_on_after(self._config.close_timeout), self._scope_for_rest():
            while not self._request_complete:
                await self._next_body_part()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return None  # a side is incomplete, or wants to close, or speaks HTTP/1.0
        return self._http.trailing_data[0]

    def _scope_for_rest(self) -> trio.CancelScope:
        """A new scope for :meth:`_end_early`: the application's is used up."""
        self._scope = trio.CancelScope()
        return self._scope

    # -- what the application reads ------------------------------------------------

    async def _receive(self) -> Message:
        async with self._receiving:
            if not self._request_complete:
                return await self._next_body_part()
            if not self._response_complete:
                await self._until_peer_left()
            return {"type": "http.disconnect"}

    async def _next_body_part(self) -> Message:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._rejection = not_http(error)  # also when the peer left in the middle
                await self._end_early()
            if isinstance(event, h11.Data):
                self._body_bytes += len(event.data)
                if self._body_bytes > self._config.request_body_bytes_max:
                    self._rejection = _body_too_large(self._config.request_body_bytes_max)
                    await self._end_early()
                return {"type": "http.request", "body": bytes(event.data), "more_body": True}
            if isinstance(event, h11.EndOfMessage):
                self._request_complete = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._read_more_body()

    async def _read_more_body(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            await self._write(
                self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
            )
        with trio.CancelScope(deadline=self._body_deadline) as limit:
            await self._read()
        if limit.cancelled_caught:
            self._rejection = RequestError(408, "the request body did not come in time")
            await self._end_early()

    async def _until_peer_left(self) -> None:
        # A pipelining peer's next requests are kept, up to what one request may hold.
        limit = self._config.request_head_bytes_max + self._config.request_body_bytes_max
        while not self._peer_left:
            if len(self._http.trailing_data[0]) >= limit:
                await trio.sleep_forever()  # until the response is complete and cancels this
            await self._read()

    async def _read(self) -> None:
        try:
            data = bytes(await self._stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            data = b""
        self._peer_left = not data
        self._http.receive_data(data)

    # -- what the application writes -----------------------------------------------

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
            self._head = h11.Response(status_code=message["status"], headers=headers)
            if not any(name.lower() == b"content-length" for name, _ in headers):
                await self._write(self._take_head())  # a stream's first part may be long in coming
        elif message["type"] == "http.response.body":
            await self._send_body(bytes(message.get("body", b"")), message.get("more_body", False))

    async def _send_body(self, body: bytes, more: bool) -> None:
        is_head = self._request.method == b"HEAD"
        data = self._take_head()
        if body and not is_head:
            data += self._http.send(h11.Data(data=body)) or b""
        if is_head or not more:
            data += self._http.send(h11.EndOfMessage()) or b""
        await self._write(data)
        if is_head or not more:
            self._response_complete = True
        if is_head and more:
            await self._end_early()  # the stream behind this response might never end

    async def _write(self, data: bytes) -> None:
        try:
            await self._writer.write(data)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            _log.debug("http_reader_cut", target=self._request.target[:200])
            await self._end_early()

    def _take_head(self) -> bytes:
        if self._head is None or self._head_written:
            return b""
        self._was_waiting_for_100_continue = self._http.they_are_waiting_for_100_continue
        data = self._http.send(self._head) or b""
        self._head_written = True
        return data

    async def _end_early(self) -> NoReturn:
        """Cancel the application; nobody waits for what it would still say."""
        self._scope.cancel()
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError("the request is over")  # only seen in a shielded scope


def request_scope(request: h11.Request, stream: trio.abc.Stream) -> Scope:
    """The ASGI connection scope of ``request``. Raises :exc:`RequestError` for an odd target."""
    raw_path, query = split_target(request)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "https" if isinstance(stream, trio.SSLStream) else "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
    }


def _body_too_large(limit: int) -> RequestError:
    return RequestError(413, f"a request body may have {limit} bytes at most")
