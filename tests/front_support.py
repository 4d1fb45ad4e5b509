"""A peer at the front door, over memory streams or real sockets, and an application behind it."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import h11
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from scheduler.config import Config
from scheduler.server.asgi import ClosingStreamingResponse
from scheduler.server.front import Upgrade, serve_stream

PATHS = ("/ws/session", "/ws/node")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "GET /ws/session?lang=en HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\n"
    f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()

StreamPair = tuple[trio.abc.Stream, trio.abc.Stream]


class Peer:
    """The other end of a served stream, which reads one response after the other."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.served = trio.Event()  # serve_stream has returned
        self._unread = b""

    async def ask(self, text: str, body: bytes = b"") -> tuple[h11.Response, bytes]:
        """Send a request given as its first lines, and read the response to it."""
        await self.say(text, body)
        return await self.response(text.split(" ", 1)[0])

    async def say(self, text: str, body: bytes = b"") -> None:
        """Send a request head given as lines without the final blank one."""
        lines = [*text.splitlines(), "Host: here", "", ""]
        await self.stream.send_all("\r\n".join(lines).encode() + body)

    async def response(self, method: str = "GET") -> tuple[h11.Response, bytes]:
        """One whole response (an interim one is skipped) and its body."""
        http = self._client(method)
        body = b""
        response: h11.Response | None = None
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(bytes(await self.stream.receive_some()))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert response is not None
                self._unread = http.trailing_data[0]
                return response, body
            else:
                assert isinstance(event, h11.InformationalResponse), event

    def _client(self, method: str) -> h11.Connection:
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method=method, target="/", headers=[("Host", "here")]))
        http.send(h11.EndOfMessage())
        if self._unread:
            http.receive_data(self._unread)
        return http

    async def ended(self) -> bool:
        """Whether the other side says no more; waits for that."""
        try:
            return self._unread == b"" and await self.stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True


class Ticker:
    """What the application was asked, and what became of its event streams."""

    def __init__(self) -> None:
        self.streams_closed = trio.Event()
        self.calls = 0

    def app(self) -> Starlette:
        """An application with a page of every kind that matters to the front door."""

        async def hello(request: Request) -> Response:
            self.calls += 1
            return PlainTextResponse(f"hello {request.url.path} {request.url.query}")

        async def echo(request: Request) -> Response:
            return PlainTextResponse(await request.body())

        async def fail(request: Request) -> Response:
            raise RuntimeError("the application is broken")

        async def big(request: Request) -> Response:
            return PlainTextResponse(b"x" * 300_000)

        async def events(request: Request) -> Response:
            return ClosingStreamingResponse(self._events(request), media_type="text/event-stream")

        return Starlette(
            routes=[
                Route("/hello", hello),
                Route("/echo", echo, methods=["POST"]),
                Route("/fail", fail),
                Route("/big", big),
                Route("/events", events),
            ]
        )

    async def _events(self, request: Request) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"data: tick\n\n"
                await trio.sleep(float(request.query_params.get("every", 1)))
        finally:
            self.streams_closed.set()


async def memory_pair() -> StreamPair:
    """Two ends with an endless buffer: a write never waits."""
    return trio.testing.memory_stream_pair()


async def lockstep_pair() -> StreamPair:
    """Two ends without a buffer: a write waits until it is read."""
    return trio.testing.lockstep_stream_pair()


async def tcp_pair() -> StreamPair:
    """Two ends of a connection on the loopback interface."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        host, port = listener.socket.getsockname()
        theirs = await trio.open_tcp_stream(host, port)
        return await listener.accept(), theirs


async def no_upgrade(upgrade: Upgrade) -> None:
    """For doors at which no upgrade should arrive."""
    raise AssertionError(f"unexpected upgrade of {upgrade.path}")


@contextlib.asynccontextmanager
async def front_door(
    pair: Callable[[], Awaitable[StreamPair]] = memory_pair,
    *,
    ticker: Ticker | None = None,
    on_upgrade: Callable[[Upgrade], Awaitable[None]] = no_upgrade,
    config: Config | None = None,
) -> AsyncIterator[Peer]:
    """A peer whose stream is being served; leaving the block cancels the serving."""
    ours, theirs = await pair()
    peer = Peer(theirs)

    async def serve() -> None:
        await serve_stream(
            ours,
            peer="10.0.0.7:4711",
            app=(ticker or Ticker()).app(),
            on_upgrade=on_upgrade,
            websocket_paths=PATHS,
            config=config or Config(),
        )
        peer.served.set()

    async with theirs, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with trio.fail_after(600 if pair is not tcp_pair else 20):
            yield peer
        nursery.cancel_scope.cancel()
