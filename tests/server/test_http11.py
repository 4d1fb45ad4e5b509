"""The words and the writer that the front door's files share."""

import h11
import pytest
import trio
import trio.testing

from scheduler.server.http11 import RequestError, Writer, not_http, split_target


def request(target: str, method: str = "GET") -> h11.Request:
    return h11.Request(method=method, target=target, headers=[("Host", "h")])


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%20b?c=d?e", "/a%20b", "c=d?e"),
        ("HTTP://host:80/a?b", "/a", "b"),
        ("https://host", "/", ""),
        ("http://host?a", "/", "a"),
        ("/?", "/", ""),
        ("//x/y", "//x/y", ""),
    ],
)
def test_a_target_is_split(target: str, path: str, query: str) -> None:
    """A target gives path and query; of a whole URL only these two count."""
    assert split_target(request(target)) == (path, query)


@pytest.mark.parametrize("target", ["*", "host:80", "ftp://host/", "a/b"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    """Targets for proxies and for the server as a whole are answered 400."""
    with pytest.raises(RequestError, match="begins with /"):
        split_target(request(target, "OPTIONS"))


def test_a_refusal_is_a_whole_response() -> None:
    """What is sent parses as one response that closes; a HEAD gets the same without the body."""
    error = RequestError(426, "vier", (("Upgrade", "websocket"),))
    for method in ("GET", "HEAD"):
        http = h11.Connection(h11.CLIENT)
        http.send(request("/", method))
        http.send(h11.EndOfMessage())
        http.receive_data(error.to_bytes(with_body=method == "GET"))
        response = http.next_event()
        assert isinstance(response, h11.Response)
        assert (response.status_code, response.reason) == (426, b"Upgrade Required")
        assert (b"content-length", b"5") in response.headers
        if method == "GET":
            body = http.next_event()
            assert isinstance(body, h11.Data)
            assert body.data == b"vier\n"
        assert isinstance(http.next_event(), h11.EndOfMessage)
        assert http.their_state is h11.MUST_CLOSE


def test_a_long_complaint_is_cut() -> None:
    """Echoing a peer's nonsense back is bounded, whatever its length."""
    error = h11.RemoteProtocolError("illegal " + "x" * 9999)
    assert len(not_http(error).text) <= 200
    assert not_http(error).status == 400


async def test_a_write_that_was_cut_is_the_last(autojump_clock: trio.testing.MockClock) -> None:
    """After a timeout the writer is broken: nothing more goes out, also not for who waits."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    writer = Writer(ours, timeout=2)

    async def wait_for_a_turn() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await writer.write(b"second")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_expect_too_slow, writer)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait_for_a_turn)
    assert writer.broken
    assert trio.current_time() == 2
    assert await theirs.receive_some() == b"first"  # what the torn write had left on its way
    with trio.move_on_after(1) as nothing_more:
        await theirs.receive_some()
    assert nothing_more.cancelled_caught


async def _expect_too_slow(writer: Writer) -> None:
    with pytest.raises(trio.TooSlowError):
        await writer.write(b"first")


async def test_a_cancelled_write_is_the_last(autojump_clock: trio.testing.MockClock) -> None:
    """A cancelled write breaks the writer just as a timeout does."""
    ours, _theirs = trio.testing.lockstep_stream_pair()
    writer = Writer(ours, timeout=60)
    with trio.move_on_after(1):
        await writer.write(b"first")
    with pytest.raises(trio.BrokenResourceError):
        await writer.write(b"second")
