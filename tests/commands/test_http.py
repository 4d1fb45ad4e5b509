"""One GET, and what can go wrong with it."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from scheduler.commands.http import get_json, parse_http_url
from scheduler.errors import ConfigError, ConnectionLost, SchedulerError

JSON = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"a": "\xc3\xa9x"}'


def answering(
    answer: bytes, *, then_close: bool = True
) -> Callable[[], Awaitable[trio.abc.Stream]]:
    async def reach() -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(answer)
        if then_close:
            await theirs.send_eof()
        return ours

    return reach


async def test_an_answer_is_read() -> None:
    """The status and the JSON of the answer come back."""
    assert await get_json(answering(JSON), "/", timeout=1) == (200, {"a": "éx"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "does not speak HTTP"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\noh!", "no scheduler (HTTP 502)"),
    ],
)
async def test_what_is_no_scheduler_is_said_so(answer: bytes, said: str) -> None:
    """Something else on that port is recognised and named."""
    with pytest.raises(SchedulerError, match=r".*") as caught:
        await get_json(answering(answer), "/", timeout=1)
    assert said in str(caught.value)


async def test_silence_ends(autojump_clock: object) -> None:
    """Something that accepts and says nothing is given up in time."""
    with pytest.raises(ConnectionLost, match="no answer to HTTP in 2 s"):
        await get_json(answering(b"", then_close=False), "/", timeout=2)


def test_addresses() -> None:
    """The HTTP address and the WebSocket address of the same port both serve."""
    assert parse_http_url("http://here:80").text == "here:80"
    assert parse_http_url("https://here:443").tls
    assert parse_http_url("ws://here").text == "here:5010"
    for wrong in ("here:80", "ftp://here", "", "http://"):
        with pytest.raises(ConfigError):
            parse_http_url(wrong)
