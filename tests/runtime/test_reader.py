"""The library's reader task neither outlives its block nor raises into it."""

from collections.abc import Awaitable, Callable

import pytest
import structlog.testing
import trio
import trio.testing
from trio.testing import MockClock

from scheduler.runtime.reader import Reader, reading


class PeerError(Exception):
    """What a peer can cause."""


def started(reader: Reader, read: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[str]]:
    """A handshake as the library makes it: start the reader, wait for what it may never see."""

    async def wrap() -> str:
        reader.start_soon(read)
        await trio.sleep_forever()
        raise AssertionError

    return wrap


async def fail() -> None:
    await trio.lowlevel.checkpoint()
    raise PeerError


async def test_what_a_peer_causes_is_contained() -> None:
    """An error of the named kind is kept and told at debug level only; the block goes on."""
    with structlog.testing.capture_logs() as logs:
        async with reading(PeerError) as reader:
            reader.start_soon(fail)
            await reader.ended.wait()
            await trio.lowlevel.checkpoint()
            assert isinstance(reader.error, PeerError)
    assert [line["log_level"] for line in logs] == ["debug"]


async def test_any_other_error_ends_the_block() -> None:
    """A fault of the library's own is not hidden."""
    with pytest.RaisesGroup(PeerError):
        async with reading(ValueError) as reader:
            reader.start_soon(fail)
            await trio.sleep_forever()


async def test_a_handshake_ends_with_the_reader() -> None:
    """A reader that ends, with an error or without, ends the handshake that waits for it."""
    async with reading(PeerError) as reader:
        assert await reader.shake_hands(started(reader, fail), 5) is None
    async with reading(PeerError) as reader:
        assert await reader.shake_hands(started(reader, trio.lowlevel.checkpoint), 5) is None
        assert reader.error is None


async def test_a_handshake_has_its_time(autojump_clock: MockClock) -> None:
    """A handshake that does not come to its end is given up, and so is the reader."""
    with pytest.RaisesGroup(trio.TooSlowError):
        async with reading() as reader:
            await reader.shake_hands(started(reader, trio.sleep_forever), 5)
    assert trio.current_time() == 5
    assert reader.ended.is_set()


async def test_after_the_handshake_the_end_of_the_reader_cancels_nothing() -> None:
    """The scope of the handshake is used up when it succeeded."""
    go = trio.Event()

    async def wrap() -> str:
        reader.start_soon(go.wait)
        return "open"

    async with reading() as reader:
        assert await reader.shake_hands(wrap, 5) == "open"
        go.set()
        await reader.ended.wait()
        await trio.lowlevel.checkpoint()


async def test_the_reader_lives_until_the_block_is_left() -> None:
    """Cancelling around the block does not reach the reader; the end of the block does."""
    seen = []
    with trio.CancelScope() as scope:
        async with reading() as reader:
            reader.start_soon(trio.sleep_forever)
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
                seen.append(reader.ended.is_set())
    assert seen == [False]
    assert reader.ended.is_set()


async def test_a_block_that_is_cancelled_already_is_left_at_once() -> None:
    """Cancelled before or while the reader starts, nothing is left to wait for."""
    for begins in (True, False):
        with trio.fail_after(5), trio.CancelScope() as scope:
            scope.cancel()
            async with reading() as reader:
                if begins:
                    reader.start_soon(trio.sleep_forever)
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
