"""Reaching a scheduler: what an address is, why nobody answers, and when the next try is."""

import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, NoReturn

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.errors import ConfigError, ConnectionLost
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.dialer import Address, explain, open_stream, parse_url, redial

HERE = "127.0.0.1"
LOST = ConnectionLost(None, "no scheduler listening")
FINAL = ConnectionLost(4501, "unauthorized", reconnect=False)


class Attempts:
    """An attempt that ends in one way after the other; ``made_at`` are the times of its tries."""

    def __init__(self, *ends: BaseException | None) -> None:
        self._ends = list(ends)
        self.made_at: list[float] = []

    async def __call__(self) -> None:
        self.made_at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if (end := self._ends.pop(0)) is not None:
            raise end


def backoff(draw: Callable[[], float] = lambda: 0.5) -> Backoff:
    return Backoff(first=1.0, longest=4.0, draw=draw)


async def test_it_dials_until_the_end_is_final(autojump_clock: MockClock) -> None:
    """A loss is followed by the next try after its pause; the loss that forbids one is returned."""
    attempts, said = Attempts(LOST, LOST, LOST, LOST, FINAL), list[str]()
    assert await redial(attempts, backoff(), said.append) is FINAL
    pauses = [b - a for a, b in pairwise(attempts.made_at)]
    assert pauses == [0.5, 1.0, 2.0, 2.0]
    assert said[0] == "no scheduler listening, next try in 0.5 s"
    assert len(said) == 4


async def test_an_attempt_that_returns_was_the_last() -> None:
    """A conversation that was ended on purpose is not followed by another, and nothing is said."""
    attempts, said = Attempts(None), list[str]()
    assert await redial(attempts, backoff(), said.append) is None
    assert said == []


async def test_a_loss_is_found_in_groups() -> None:
    """What a nursery wraps into exception groups counts as what it is."""
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [FINAL])])
    assert await redial(Attempts(group), backoff(), lambda _: None) is FINAL


@pytest.mark.parametrize(
    "end",
    [
        RuntimeError("a bug"),
        ExceptionGroup("both", [RuntimeError("a bug"), LOST]),
    ],
)
async def test_a_fault_of_ours_is_logged_and_tried_again(
    end: Exception, autojump_clock: MockClock
) -> None:
    """An error that is no loss ends one attempt, not the dialling, and leaves its traceback."""
    attempts, said = Attempts(end, None), list[str]()
    with capture_logs() as logs:
        assert await redial(attempts, backoff(), said.append) is None
    assert [entry["event"] for entry in logs] == ["connection_fault"]
    assert len(said) == 1


async def test_cancelling_ends_the_attempt_and_the_pause(autojump_clock: MockClock) -> None:
    """A cancelled redial makes no further attempt, wherever it was."""

    async def for_ever() -> None:
        await trio.sleep_forever()

    ends: list[Callable[[], Awaitable[None]]] = [for_ever, Attempts(LOST, FINAL)]
    for attempt in ends:
        with trio.move_on_after(0.25) as scope:
            await redial(attempt, backoff(), lambda _: None)
        assert scope.cancelled_caught


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "address", "text"),
    [
        ("ws://127.0.0.1:5010", Address("127.0.0.1", 5010, tls=False), "127.0.0.1:5010"),
        ("ws://example.org", Address("example.org", 5010, tls=False), "example.org:5010"),
        ("wss://example.org:443/path", Address("example.org", 443, tls=True), "example.org:443"),
        ("ws://[::1]:7", Address("::1", 7, tls=False), "[::1]:7"),
    ],
)
def test_an_address_is_read(url: str, address: Address, text: str) -> None:
    """Host, port and whether there is TLS; a path is ignored, and a port has a default."""
    assert parse_url(url) == address
    assert address.text == text


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:5010", "http://here", "ws://", "ws://h:x", "ws://h:70000", "ws://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Anything else is an error of settings that quotes it."""
    with pytest.raises(ConfigError, match="is no address"):
        parse_url(url)


# -- reaching somebody -------------------------------------------------------------------------


async def lost(address: Address, timeout: float = 30) -> str:
    """Why ``address`` cannot be reached."""
    with pytest.raises(ConnectionLost) as caught:
        await open_stream(address, timeout=timeout)
    assert caught.value.reconnect
    return str(caught.value)


async def test_a_port_where_nobody_listens_is_named() -> None:
    """Nobody listening is told with the address and the system's reason."""
    (listener,) = await trio.open_tcp_listeners(0, host=HERE)
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    said = await lost(Address(HERE, port, tls=False))
    assert said == f"no scheduler listening at 127.0.0.1:{port} (connection refused)"


class NoNames(trio.abc.HostnameResolver):
    """A name service that knows nobody."""

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError


async def test_a_host_that_does_not_exist_is_named() -> None:
    """A name that nobody knows, or that is none, is told as such."""
    trio.socket.set_custom_hostname_resolver(NoNames())
    said = await lost(Address("nowhere.example", 1, tls=False))
    assert said == "no such host as nowhere.example (Name or service not known)"
    trio.socket.set_custom_hostname_resolver(None)
    assert (await lost(Address("two..dots", 1, tls=False))).startswith("no such host as two..dots")


def test_other_reasons_are_the_systems() -> None:
    """What else the system says is passed on, from inside of groups as well."""
    address = Address("h", 1, tls=False)
    unreachable = OSError(101, "any text")
    assert explain(address, unreachable) == "cannot reach h:1 (network is unreachable)"
    grouped = OSError("all attempts failed")
    grouped.__cause__ = ExceptionGroup("", [unreachable, OSError(111, "")])
    assert explain(address, grouped) == "cannot reach h:1 (network is unreachable)"
    assert explain(address, OSError("odd")) == "cannot reach h:1 (odd)"


async def test_who_does_not_answer_in_time_is_given_up() -> None:
    """A TLS handshake that nobody answers ends at the timeout."""
    (listener,) = await trio.open_tcp_listeners(0, host=HERE)
    async with listener:
        port = listener.socket.getsockname()[1]
        said = await lost(Address(HERE, port, tls=True), timeout=0.05)
        assert said == f"no answer from 127.0.0.1:{port} in 0.05 s"


async def test_a_side_without_tls_is_named() -> None:
    """Plain text in answer to a TLS handshake is explained, and the stream is closed."""
    (listener,) = await trio.open_tcp_listeners(0, host=HERE)
    ends: list[bytes | bytearray] = []

    async def answer() -> None:
        async with await listener.accept() as stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            ends.append(await stream.receive_some(1))

    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        port = listener.socket.getsockname()[1]
        said = await lost(Address(HERE, port, tls=True))
    assert said.startswith(f"no TLS with 127.0.0.1:{port} (")
    assert "wrong" in said
    assert len(ends) == 1


async def test_a_stream_that_was_reached_is_one() -> None:
    """What comes back can be written to and read from."""
    (listener,) = await trio.open_tcp_listeners(0, host=HERE)
    port = listener.socket.getsockname()[1]
    async with (
        listener,
        await open_stream(Address(HERE, port, tls=False), timeout=30) as ours,
        await listener.accept() as theirs,
    ):
        await ours.send_all(b"hello")
        assert await theirs.receive_some() == b"hello"
