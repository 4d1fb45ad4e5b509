"""The front door keeps each peer to itself, and itself to its limits."""

import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import structlog.testing
import trio
import trio.testing
from front_support import (
    HANDSHAKE,
    KEY,
    Peer,
    StreamPair,
    Ticker,
    front_door,
    lockstep_pair,
    memory_pair,
    tcp_pair,
)
from hypothesis import given
from hypothesis import strategies as st

from scheduler.config import Config
from scheduler.server.front import ReplayStream, Upgrade, serve_stream

Pair = Callable[[], Awaitable[StreamPair]]
both = pytest.mark.parametrize("pair", [memory_pair, tcp_pair])


async def assert_rejected(peer: Peer, status: int, word: str) -> None:
    response, body = await peer.response()
    assert response.status_code == status
    assert word in body.decode()
    assert (b"connection", b"close") in response.headers
    assert await peer.ended()


@both
async def test_one_connection_serves_request_after_request(pair: Pair) -> None:
    """A kept-alive connection answers GET, HEAD, POST, GET in turn, each with its own answer."""
    async with front_door(pair) as peer:
        response, body = await peer.ask("GET /hello?a=1 HTTP/1.1")
        assert (response.status_code, body) == (200, b"hello /hello a=1")
        response, body = await peer.ask("HEAD /hello HTTP/1.1")
        assert (response.status_code, body) == (200, b"")
        assert (b"content-length", b"13") in response.headers
        response, body = await peer.ask("POST /echo HTTP/1.1\nContent-Length: 3", b"abc")
        assert (response.status_code, body) == (200, b"abc")
        response, body = await peer.ask("GET /nowhere HTTP/1.1")
        assert response.status_code == 404
        response, body = await peer.ask("GET /hello HTTP/1.1\nConnection: close")
        assert response.status_code == 200
        assert await peer.ended()


@both
async def test_pipelined_requests_are_answered_in_their_order(pair: Pair) -> None:
    """Requests sent in one piece, with empty lines between them, are all answered in order."""
    async with front_door(pair) as peer:
        one = b"GET /hello?%d HTTP/1.1\r\nHost: h\r\n\r\n\r\n"
        post = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
        await peer.stream.send_all(one % 1 + one % 2 + post + one % 3)
        bodies = [(await peer.response())[1] for _ in range(4)]
        assert bodies == [b"hello /hello 1", b"hello /hello 2", b"hi", b"hello /hello 3"]


@both
@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (b"\x16\x03\x01\x02\x00 no TLS is spoken here", 400, "illegal request line"),
        (b"nonsense\r\n\r\n", 400, "illegal request line"),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET hello HTTP/1.1\r\nHost: h\r\n\r\n", 400, "begins with /"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000, 431, "16384 bytes"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431, "16384 bytes"),
    ],
)
async def test_what_is_no_request_is_answered(
    pair: Pair, sent: bytes, status: int, word: str
) -> None:
    """Garbage and heads that are too large, also in one piece, get a sentence and the end."""
    async with front_door(pair) as peer:
        await peer.stream.send_all(sent)
        await assert_rejected(peer, status, word)


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\r\n\r\n", b" HTTP/1.1\r\nHost: h\r\n\r\n"])
)
def test_no_bytes_whatsoever_are_an_error_of_ours(start: bytes, end: bytes) -> None:
    """Whatever arrives, serving ends without an exception and without a warning in the log."""

    async def main() -> None:
        async with front_door() as peer:
            await peer.stream.send_all(start + end)
            assert isinstance(peer.stream, trio.abc.HalfCloseableStream)
            await peer.stream.send_eof()
            await peer.served.wait()

    with structlog.testing.capture_logs() as logs:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [line for line in logs if line["log_level"] == "warning"] == []


async def test_a_slow_head_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    """A head that comes drop by drop is answered 408 after handshake_timeout, not later."""
    async with front_door(config=Config(handshake_timeout=4)) as peer:
        for drop in b"GET / ":
            await peer.stream.send_all(bytes([drop]))
            await trio.sleep(0.5)
        assert trio.current_time() < 4
        await assert_rejected(peer, 408, "request head")
        assert trio.current_time() == pytest.approx(4)


async def test_a_silent_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    """Silence ends a connection: before the first request sooner than between requests."""
    async with front_door() as peer:
        assert await peer.ended()
        assert trio.current_time() == pytest.approx(Config().handshake_timeout)
    begun = trio.current_time()
    async with front_door() as peer:
        await peer.ask("GET /hello HTTP/1.1")
        assert await peer.ended()
        assert trio.current_time() - begun == pytest.approx(Config().http_idle_timeout)


async def test_a_peer_that_never_closes_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """After the last answer the peer has close_timeout to close; then the stream is closed."""
    async with front_door() as peer:
        await peer.stream.send_all(b"nonsense\r\n\r\n")
        await peer.served.wait()
        assert trio.current_time() == pytest.approx(Config().close_timeout)


async def test_a_refusal_that_nobody_reads_is_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A peer that does not even read its refusal is gone after write_timeout, without a warning."""
    async with front_door(lockstep_pair) as peer:
        with structlog.testing.capture_logs() as logs:
            await peer.stream.send_all(b"nonsense\r\n\r\n")
            await peer.served.wait()
        assert trio.current_time() == pytest.approx(Config().write_timeout)
        assert [line["event"] for line in logs] == ["request_rejected", "connection_lost"]


@both
@pytest.mark.parametrize("before", [0, 2])
async def test_an_upgrade_gets_every_byte(pair: Pair, before: int) -> None:
    """The upgrade's stream replays head and what was glued behind it, on any request."""
    got: list[Upgrade] = []
    read = b""

    async def on_upgrade(upgrade: Upgrade) -> None:
        nonlocal read
        got.append(upgrade)
        while len(read) < len(HANDSHAKE) + 10:
            read += await upgrade.stream.receive_some(7)
        await upgrade.stream.send_all(b"bye")

    async with front_door(pair, on_upgrade=on_upgrade) as peer:
        for _ in range(before):
            await peer.ask("GET /hello HTTP/1.1")
        await peer.stream.send_all(HANDSHAKE + b"\x81\x83glu")
        await peer.stream.send_all(b"later")
        assert await peer.stream.receive_some(3) == b"bye"
        assert await peer.ended()
    assert read == HANDSHAKE + b"\x81\x83glulater"
    (upgrade,) = got
    assert (upgrade.path, upgrade.query, upgrade.peer) == (
        "/ws/session",
        "lang=en",
        "10.0.0.7:4711",
    )
    assert upgrade.header("sec-websocket-key") == KEY
    assert upgrade.header("authorization") is None


async def test_a_handshake_that_is_not_valid_is_answered_here() -> None:
    """A bad handshake is refused before on_upgrade, which would wait for ever."""
    async with front_door() as peer:
        await peer.stream.send_all(HANDSHAKE.replace(b": 13", b": 8"))
        response, _ = await peer.response()
        assert response.status_code == 426
        assert (b"sec-websocket-version", b"13") in response.headers
    async with front_door() as peer:
        await peer.stream.send_all(HANDSHAKE.replace(b"/ws/session", b"/ws/elsewhere"))
        await assert_rejected(peer, 404, "/ws/node, /ws/session")
    async with front_door() as peer:
        await peer.say("GET /ws/node HTTP/1.1")
        await assert_rejected(peer, 426, "WebSocket endpoint")


async def test_a_refused_head_request_gets_no_body() -> None:
    """A refusal of HEAD is a head alone, or its body would be taken for the next response."""
    async with front_door() as peer:
        response, body = await peer.ask("HEAD /hello HTTP/1.1\nContent-Length: 100000")
        assert (response.status_code, body) == (413, b"")
        assert await peer.ended()
    async with front_door() as peer:
        await peer.ask("HEAD /hello HTTP/1.1")
        await peer.stream.send_all(b"nonsense\r\n\r\n")
        await assert_rejected(peer, 400, "illegal request line")  # this one again has a body


@pytest.mark.parametrize("error", [ValueError("broken"), ExceptionGroup("two", [OSError()])])
async def test_an_error_in_on_upgrade_stays_inside(error: Exception) -> None:
    """An exception of on_upgrade closes its stream and leaves serve_stream in peace."""

    async def on_upgrade(upgrade: Upgrade) -> None:
        raise error

    async with front_door(on_upgrade=on_upgrade) as peer:
        with structlog.testing.capture_logs() as logs:
            await peer.stream.send_all(HANDSHAKE)
            assert await peer.ended()
            await peer.served.wait()
    expected = "connection_failed" if isinstance(error, ValueError) else "connection_lost"
    assert [line["event"] for line in logs] == [expected]


async def test_an_error_together_with_cancelling_stays_inside_too() -> None:
    """When an error and a cancellation leave on_upgrade as one group, only the latter goes on."""

    async def fail_when_cancelled(upgrade: Upgrade) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while cancelled")

    async with front_door(on_upgrade=fail_when_cancelled) as peer:
        await peer.stream.send_all(HANDSHAKE)
        await trio.testing.wait_all_tasks_blocked()
    # leaving the block cancelled it, and nothing but the cancellation came out


@both
async def test_cancelling_ends_serving_at_once(pair: Pair) -> None:
    """Cancelling does not wait for an idle peer, nor for one in the middle of an upgrade."""

    async def wait(upgrade: Upgrade) -> None:
        await upgrade.stream.receive_some(len(HANDSHAKE))
        await upgrade.stream.receive_some()

    ours, theirs = await pair()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, ours, wait)
            await theirs.send_all(HANDSHAKE)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        assert await theirs.receive_some() == b""  # and the stream is closed
    await trio.aclose_forcefully(theirs)


async def _serve(stream: trio.abc.Stream, on_upgrade: Callable[[Upgrade], Awaitable[None]]) -> None:
    await serve_stream(
        stream,
        peer="",
        app=Ticker().app(),
        on_upgrade=on_upgrade,
        websocket_paths=["/ws/session"],
        config=Config(),
    )


async def test_a_reset_disturbs_nobody_else() -> None:
    """Half a request and a reset on one connection leave the listener and another one alive."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    async def serve(stream: trio.abc.Stream) -> None:
        await _serve(stream, _never)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            other = Peer(await trio.open_tcp_stream("127.0.0.1", port))
            await other.ask("GET /hello HTTP/1.1")
            for start in (b"GET /\r\n\r\n", b"GET / HT", HANDSHAKE, b"POST /echo HTTP/1.1\r\n"):
                rude = await trio.open_tcp_stream("127.0.0.1", port)
                await rude.send_all(start)
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await rude.aclose()
            response, _ = await other.ask("GET /hello HTTP/1.1")
            assert response.status_code == 200
            newcomer = Peer(await trio.open_tcp_stream("127.0.0.1", port))
            response, _ = await newcomer.ask("GET /hello HTTP/1.1")
            assert response.status_code == 200
            await other.stream.aclose()
            await newcomer.stream.aclose()
            nursery.cancel_scope.cancel()


async def _never(upgrade: Upgrade) -> None:
    await upgrade.stream.receive_some(len(HANDSHAKE))
    await upgrade.stream.receive_some()


async def test_a_replay_stream_passes_the_rest_through() -> None:
    """ReplayStream gives its bytes in the sizes asked for; all else is the stream beneath."""
    ours, theirs = await lockstep_pair()
    replay = ReplayStream(ours, b"abcde")
    assert await replay.receive_some(2) == b"ab"
    assert await replay.receive_some() == b"cde"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"fg")
        assert await replay.receive_some(9) == b"fg"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replay.send_all, b"out")
        assert await theirs.receive_some() == b"out"
    await replay.send_eof()
    assert await theirs.receive_some() == b""
    await replay.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"x")
