"""A request and its response, whatever application and peer do meanwhile."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing
from front_support import (
    StreamPair,
    Ticker,
    front_door,
    lockstep_pair,
    memory_pair,
    no_upgrade,
    tcp_pair,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler.config import Config
from scheduler.server.front import serve_stream

Pair = Callable[[], Awaitable[StreamPair]]
both = pytest.mark.parametrize("pair", [memory_pair, tcp_pair])


@both
async def test_an_application_that_raises_ends_its_request_only(pair: Pair) -> None:
    """An exception is answered 500, logged with its traceback, and the next request is served."""
    async with front_door(pair) as peer:
        with structlog.testing.capture_logs() as logs:
            response, _ = await peer.ask("GET /fail HTTP/1.1")
            assert response.status_code == 500
            assert (await peer.ask("GET /hello HTTP/1.1"))[0].status_code == 200
        (warning,) = [line for line in logs if line["log_level"] == "warning"]
        assert warning["exc_info"].subgroup(RuntimeError) is not None


@both
@pytest.mark.parametrize(
    "head", ["Content-Length: 100000", "Transfer-Encoding: chunked", "Expect: 100-continue"]
)
async def test_a_body_too_large_is_refused(pair: Pair, head: str) -> None:
    """More than request_body_bytes_max is answered 413, announced or not, and ends there."""
    chunked = head.startswith("Transfer")
    body = b"4000\r\n" + b"x" * 0x4000 + b"\r\n" if chunked else b"x" * 20_000
    if head.startswith("Expect"):
        head, body = f"{head}\nContent-Length: 100000", b""
    async with front_door(pair) as peer:
        response, text = await peer.ask(f"POST /echo HTTP/1.1\n{head}", body * 5)
        assert response.status_code == 413
        assert b"65536 bytes" in text
        assert await peer.ended()


@both
async def test_a_body_is_waited_for(pair: Pair) -> None:
    """A peer that waits for 100 Continue gets it when the body is wanted, and then its answer."""
    async with front_door(pair) as peer:
        await peer.say("POST /echo HTTP/1.1\nContent-Length: 4\nExpect: 100-continue")
        interim = await peer.stream.receive_some()
        assert interim.startswith(b"HTTP/1.1 100 ")
        await peer.stream.send_all(b"bo")
        await peer.stream.send_all(b"dy")
        response, body = await peer.response()
        assert (response.status_code, body) == (200, b"body")
        assert (await peer.ask("GET /hello HTTP/1.1"))[0].status_code == 200


@both
async def test_an_offer_of_another_protocol_is_declined(pair: Pair) -> None:
    """A request that would also speak HTTP/2 is served as what it is, and so is the next one."""
    async with front_door(pair) as peer:
        offer = "GET /hello HTTP/1.1\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c"
        for _ in range(2):
            response, body = await peer.ask(offer)
            assert (response.status_code, body) == (200, b"hello /hello ")


async def test_a_body_nobody_wanted_does_not_become_a_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A body that the application left unread is read away; an unsent one ends the connection."""
    ticker = Ticker()
    async with front_door(ticker=ticker) as peer:
        smuggled = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
        response, _ = await peer.ask(
            f"POST /nowhere HTTP/1.1\nContent-Length: {len(smuggled)}", smuggled
        )
        assert response.status_code == 404
        assert ticker.calls == 0
        assert (await peer.ask("GET /hello HTTP/1.1"))[0].status_code == 200
        response, _ = await peer.ask(
            "POST /nowhere HTTP/1.1\nContent-Length: 9\nExpect: 100-continue"
        )
        assert response.status_code == 404
        assert await peer.ended()
        assert trio.current_time() == 0


@both
async def test_a_body_that_is_no_chunk_is_refused(pair: Pair) -> None:
    """Broken framing in the middle of a body is answered 400, not 500."""
    async with front_door(pair) as peer:
        response, _ = await peer.ask(
            "POST /echo HTTP/1.1\nTransfer-Encoding: chunked", b"2\r\nhi\r\nzz\r\n"
        )
        assert response.status_code == 400


@both
async def test_a_body_that_ends_early_is_refused(pair: Pair) -> None:
    """A peer that half-closes in the middle of its body is told so, and nothing is logged."""
    async with front_door(pair) as peer:
        with structlog.testing.capture_logs() as logs:
            await peer.say("POST /echo HTTP/1.1\nContent-Length: 4", b"bo")
            assert isinstance(peer.stream, trio.abc.HalfCloseableStream)
            await peer.stream.send_eof()
            response, text = await peer.response()
        assert response.status_code == 400
        assert b"without sending complete message body" in text
        assert [line for line in logs if line["log_level"] == "warning"] == []


async def test_a_slow_body_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    """A body that does not come is answered 408 after http_idle_timeout."""
    async with front_door() as peer:
        response, _ = await peer.ask("POST /echo HTTP/1.1\nContent-Length: 4", b"bo")
        assert response.status_code == 408
        assert trio.current_time() == pytest.approx(Config().http_idle_timeout)


@pytest.mark.parametrize("path", ["/events", "/big"])
async def test_a_reader_that_stalls_is_cut(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Nobody reads the response: after write_timeout the request and its stream are over."""
    ticker = Ticker()
    async with front_door(lockstep_pair, ticker=ticker, config=Config(write_timeout=3)) as peer:
        with structlog.testing.capture_logs() as logs:
            await peer.say(f"GET {path} HTTP/1.1")
            await peer.stream.receive_some(17)
            await peer.served.wait()
        assert trio.current_time() == pytest.approx(3)
        assert [line for line in logs if line["log_level"] == "warning"] == []


async def test_a_slow_reader_that_makes_progress_is_not_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A response may take many write_timeouts as long as pieces of it get through."""
    async with front_door(lockstep_pair, config=Config(write_timeout=3)) as peer:
        await peer.say("GET /big HTTP/1.1")
        received = 0
        while received < 300_000:
            await trio.sleep(1)
            received += len(await peer.stream.receive_some(20_000))
        assert trio.current_time() > 9


async def test_a_stalled_reader_does_not_delay_cancelling(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Cancelling while a write is stuck returns at that instant, generator closed."""
    ticker = Ticker()
    async with front_door(lockstep_pair, ticker=ticker) as peer:
        await peer.say("GET /events?every=0.25 HTTP/1.1")
        assert (await peer.stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert b"tick" in await peer.stream.receive_some()
        await trio.sleep(1)  # the next event's write waits for a reader since 0.75 s
        begun = trio.current_time()
    assert trio.current_time() == begun
    assert ticker.streams_closed.is_set()


@both
async def test_a_streaming_response_notices_that_the_peer_left(pair: Pair) -> None:
    """An event stream with nothing to say for a year ends as soon as its client leaves."""
    ticker = Ticker()
    async with front_door(pair, ticker=ticker) as peer:
        await peer.say("GET /events?every=31536000 HTTP/1.1")
        assert (await peer.stream.receive_some()).startswith(b"HTTP/1.1 200")
        await peer.stream.aclose()
        with trio.fail_after(10):
            await ticker.streams_closed.wait()
            await peer.served.wait()


@both
async def test_the_head_of_an_event_stream_ends(pair: Pair) -> None:
    """HEAD on an endless stream is answered with the head alone, and the connection closes."""
    ticker = Ticker()
    async with front_door(pair, ticker=ticker) as peer:
        response, body = await peer.ask("HEAD /events HTTP/1.1")
        assert (response.status_code, body) == (200, b"")
        await ticker.streams_closed.wait()
        assert (await peer.ask("GET /hello HTTP/1.1"))[0].status_code == 200


async def test_requests_behind_an_event_stream_are_kept_but_not_without_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What a peer sends during a stream is read up to one request's size; then it must wait."""
    config = Config(request_head_bytes_max=1000, request_body_bytes_max=1000)
    async with front_door(lockstep_pair, config=config) as peer:
        await peer.say("GET /events HTTP/1.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_for_ever, peer.stream)
            with trio.move_on_after(30) as limit:
                sent = 0
                while True:
                    await peer.stream.send_all(b"x" * 100)
                    sent += 100
            nursery.cancel_scope.cancel()
        assert limit.cancelled_caught
        assert 2000 <= sent <= 2100


async def _read_for_ever(stream: trio.abc.Stream) -> None:
    while True:
        await stream.receive_some()


async def served_by(app: ASGIApp, request: bytes) -> tuple[bytes, list[Any]]:
    """Everything a bare ASGI application answers to ``request``, and the log's warnings."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(request)
    await theirs.send_eof()
    with structlog.testing.capture_logs() as logs:
        await serve_stream(
            ours, peer="", app=app, on_upgrade=no_upgrade, websocket_paths=(), config=Config()
        )
    received = b""
    while data := await theirs.receive_some():
        received += data
    return received, [line["event"] for line in logs if line["log_level"] == "warning"]


GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_the_scope_says_what_was_asked() -> None:
    """The application sees method, decoded path, query and headers, and ASGI HTTP 2.3."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    absolute = GET.replace(b"/a", b"http://h/a")
    for request in (GET, absolute):
        received, _ = await served_by(app, request)
        assert received.startswith(b"HTTP/1.1 204")
    for scope in seen:
        assert scope["asgi"]["spec_version"] == "2.3"
        assert (scope["method"], scope["path"], scope["query_string"]) == ("GET", "/a b", b"c=d")
        assert scope["headers"] == [(b"host", b"h")]


@pytest.mark.parametrize("say_first", [False, True])
async def test_an_application_without_an_answer_is_answered_for(say_first: bool) -> None:
    """No response at all becomes a 500; a begun one of known length, never sent, as well."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if say_first:
            headers = [(b"content-length", b"5")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            raise RuntimeError("before the body")

    received, warnings = await served_by(app, GET)
    assert received.startswith(b"HTTP/1.1 500 ")
    assert warnings == (["http_request_failed"] if say_first else [])


async def test_a_response_that_breaks_off_is_not_completed_by_another() -> None:
    """After a part of a body nothing follows: no 500 and no further request is served."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("in the body")

    received, warnings = await served_by(app, GET + GET)
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"part\r\n")
    assert warnings == ["http_request_failed"]


async def test_an_application_that_swallows_errors_cannot_write_after_a_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Once a write was cut, further sends of the same application put no byte on the stream."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    failed_sends = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal failed_sends
        start = {"type": "http.response.start", "status": 200, "headers": []}
        part = {"type": "http.response.body", "body": b"part", "more_body": True}
        with trio.CancelScope(shield=True):
            for message in (start, part, part):
                try:
                    await send(message)
                except trio.BrokenResourceError:
                    failed_sends += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, GET)
        await serve_stream(
            ours, peer="", app=app, on_upgrade=no_upgrade, websocket_paths=(), config=Config()
        )
    assert trio.current_time() == pytest.approx(Config().write_timeout)
    assert failed_sends == 3
    assert b"part" not in await theirs.receive_some()  # the head's write was the last one
    assert await theirs.receive_some() == b""
