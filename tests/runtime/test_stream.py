"""A stream whose interrupted write is its last, and whose every byte is a sign of life."""

import os

import pytest
import raw_peer
import trio
import trio.testing
from connection_support import linked
from raw_peer import frame
from simulation.network import LinkPlan, LinkStream
from trio.testing import MockClock

from scheduler.errors import Close
from scheduler.runtime.frames import FRAMES_AT_ONCE, close_frame
from scheduler.runtime.stream import WRITE_PIECE_BYTES, WholeWrites

HEAD = b"GET /ws/session HTTP/1.1\r\nHost: here\r\n\r\n"
GOODBYE = close_frame(Close.PROTOCOL_ERROR, masked=False)


async def narrow(window: int = 8) -> tuple[LinkStream, LinkStream]:
    return await linked(LinkPlan(latency=0.0, window=window))


async def read_slowly(stream: trio.abc.Stream, size: int, pause: float) -> int:
    """Read ``size`` bytes, some at a time, with a pause before each read."""
    received = 0
    while received < size:
        await trio.sleep(pause)
        received += len(await stream.receive_some())
    return received


async def test_a_write_that_stalls_breaks_the_stream(autojump_clock: MockClock) -> None:
    """A peer that takes nothing for ``write_timeout`` is gone, and nothing follows that write."""
    theirs, ours = await narrow()
    whole = WholeWrites(ours, write_timeout=3)
    with pytest.raises(trio.BrokenResourceError, match="stopped reading"):
        await whole.send_all(b"x" * 20)
    assert trio.current_time() == 3
    sent = ours.sends.sent
    await theirs.receive_some()
    with pytest.raises(trio.BrokenResourceError, match="interrupted"):
        await whole.send_all(b"close frame")
    assert ours.sends.sent == sent == 8


async def test_what_was_begun_is_finished_before_anything_else(autojump_clock: MockClock) -> None:
    """The rest of a write that was begun goes before what others write, whoever comes first."""
    theirs, ours = await linked(LinkPlan(latency=0.0, window=8, prompt=True))
    whole = WholeWrites(ours, write_timeout=3)
    whole.begin(b"a" * 20)
    assert (ours.sends.sent, whole.is_unfinished) == (8, True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole.send_all, b"pong")
        await trio.testing.wait_all_tasks_blocked()
        assert whole.is_unfinished
        nursery.start_soon(whole.finish)
        received = b""
        while len(received) < 24:
            received += await theirs.receive_some()
    assert received == b"a" * 20 + b"pong"
    assert not whole.is_unfinished


async def test_nothing_of_what_was_written_is_kept() -> None:
    """A connection that says nothing holds no bytes of what it said last."""
    _, ours = await linked(LinkPlan(latency=0.0, prompt=True))
    whole = WholeWrites(ours, write_timeout=3)
    for _ in range(2):
        whole.begin(b"a" * 20)
        await whole.finish()
        assert len(whole._rest.obj) == 0  # type: ignore[arg-type]


async def test_what_is_begun_in_the_middle_of_another_write_follows_it(
    autojump_clock: MockClock,
) -> None:
    """While somebody else's write is under way nothing of ours is taken, and nothing is lost."""
    theirs, ours = await linked(LinkPlan(latency=0.0, window=8, prompt=True))
    whole = WholeWrites(ours, write_timeout=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole.send_all, b"ping" * 5)
        await trio.testing.wait_all_tasks_blocked()
        whole.begin(b"message")
        nursery.start_soon(whole.finish)
        received = b""
        while len(received) < 27:
            received += await theirs.receive_some()
    assert received == b"ping" * 5 + b"message"


async def test_a_rest_that_others_failed_to_write_is_not_called_finished(
    autojump_clock: MockClock,
) -> None:
    """If the write that took the rest with it was interrupted, ``finish`` raises."""
    _, ours = await linked(LinkPlan(latency=0.0, window=8, prompt=True))
    whole = WholeWrites(ours, write_timeout=3)
    whole.begin(b"a" * 20)
    with trio.move_on_after(1):
        await whole.send_all(b"pong")
    assert not whole.is_unfinished
    with pytest.raises(trio.BrokenResourceError):
        await whole.finish()
    with pytest.raises(trio.BrokenResourceError):
        whole.begin(b"more")


async def test_a_cancelled_write_breaks_the_stream(autojump_clock: MockClock) -> None:
    """Whoever cancels a write half-way through has written last."""
    theirs, ours = await narrow()
    whole = WholeWrites(ours, write_timeout=30)
    with trio.move_on_after(1):
        await whole.send_all(b"x" * 20)
    assert await theirs.receive_some() == b"x" * 8
    with pytest.raises(trio.BrokenResourceError):
        await whole.send_all(b"y")
    assert ours.sends.sent == 8


async def test_a_failed_write_breaks_the_stream() -> None:
    """An error of the stream beneath is passed on, and nothing is tried after it."""
    theirs, ours = await narrow()
    whole = WholeWrites(ours, write_timeout=3)
    theirs.link.reset()
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await whole.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError, match="interrupted"):
        await whole.send_all(b"x")


async def test_a_whole_write_is_followed_by_others() -> None:
    """Writes that were completed, empty ones too, leave the stream as it was."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    for data in (b"one ", bytearray(b"two "), memoryview(b"three "), b"", b"four"):
        await whole.send_all(data)
    await whole.wait_send_all_might_not_block()
    assert await theirs.receive_some() == b"one two three four"


async def test_progress_is_judged_per_piece(autojump_clock: MockClock) -> None:
    """A slow reader that takes each piece in time may take long for the whole."""
    theirs, ours = await narrow(WRITE_PIECE_BYTES)
    whole = WholeWrites(ours, write_timeout=3)
    size = 10 * WRITE_PIECE_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly, theirs, size, 2.0)
        await whole.send_all(bytes(size))
        assert trio.current_time() == 18


async def test_every_byte_is_heard_when_it_comes(autojump_clock: MockClock) -> None:
    """``heard_at`` is when bytes last came; a peer that says nothing is not heard."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    assert whole.heard_at == 0
    await trio.sleep(5)
    await theirs.send_all(b"ab")
    assert await whole.receive_some(1) == b"a"
    assert whole.heard_at == 5
    with trio.move_on_after(2):
        await whole.receive_some()
        await whole.receive_some()
    assert whole.heard_at == 5


async def test_a_message_that_becomes_too_large_breaks_the_stream() -> None:
    """Messages within the bound pass, however many; one that exceeds it is the last thing read."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3, message_bytes_max=10)
    await theirs.send_all(HEAD)
    assert await whole.receive_some() == HEAD
    for _ in range(5):
        await theirs.send_all(frame(raw_peer.TEXT, b"x" * 10))
        assert await whole.receive_some() == frame(raw_peer.TEXT, b"x" * 10)
    fitting, larger = frame(raw_peer.TEXT, b"fits"), frame(raw_peer.TEXT, b"x" * 11)
    await theirs.send_all(fitting + larger)
    assert (await whole.receive_some()).startswith(fitting)
    with pytest.raises(trio.BrokenResourceError, match="larger than allowed"):
        await whole.receive_some()


async def test_many_small_frames_come_a_few_at_a_time() -> None:
    """What came at once is handed on in pieces of few frames, between which others may run."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    await theirs.send_all(HEAD)
    await whole.receive_some()
    pongs = frame(raw_peer.PONG) * (3 * FRAMES_AT_ONCE)
    await theirs.send_all(pongs)
    received = b""
    while len(received) < len(pongs):
        with trio.testing.assert_checkpoints():
            piece = await whole.receive_some()
        assert len(piece) <= len(frame(raw_peer.PONG)) * FRAMES_AT_ONCE
        received += piece
    assert received == pongs


async def test_discarding_reads_to_the_end(autojump_clock: MockClock) -> None:
    """``discard_input`` takes whatever comes until the peer is done, or the link breaks."""
    for how in ("end", "reset"):
        theirs, ours = await narrow()
        whole = WholeWrites(ours, write_timeout=3, message_bytes_max=10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(whole.discard_input)
            await theirs.send_all(b"x" * 100)
            if how == "end":
                await theirs.send_eof()
            else:
                theirs.link.reset()


async def test_discarding_shows_the_peer_our_end() -> None:
    """A peer that waits for us to end reads the end, although we still read."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole.discard_input)
        assert await theirs.receive_some() == b""
        await theirs.aclose()


async def test_after_closing_only_a_close_frame_may_follow() -> None:
    """``aclose`` ends the use of the stream and leaves the one beneath to its owner."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    await whole.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await whole.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await whole.receive_some()
    await whole.say_close(GOODBYE)
    assert await theirs.receive_some() == GOODBYE


async def test_no_second_close_frame_follows_the_first() -> None:
    """``say_close`` says nothing if a close frame was written already, or was cut short."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    assert not whole.said_close
    await whole.send_all(b"\x81\x00")
    assert not whole.said_close
    await whole.send_all(GOODBYE)
    assert whole.said_close
    await whole.say_close(GOODBYE)
    assert await theirs.receive_some() == b"\x81\x00" + GOODBYE


async def test_writers_take_turns(autojump_clock: MockClock) -> None:
    """Two writes at the same time come out one after the other, each of them whole."""
    theirs, ours = await narrow()
    whole = WholeWrites(ours, write_timeout=3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(whole.send_all, b"a" * 20)
        nursery.start_soon(whole.send_all, b"b" * 20)
        nursery.start_soon(read_slowly, theirs, 40, 1.0)
    assert ours.sends.taken in (b"a" * 20 + b"b" * 20, b"b" * 20 + b"a" * 20)


async def test_a_write_cancelled_before_its_turn_tears_nothing(autojump_clock: MockClock) -> None:
    """Who has written nothing has interrupted nothing: others may still write."""
    theirs, ours = await linked()
    whole = WholeWrites(ours, write_timeout=3)
    with trio.CancelScope() as scope:
        scope.cancel()
        await whole.send_all(b"never")
    assert scope.cancelled_caught
    await whole.send_all(b"goodbye")
    assert await theirs.receive_some() == b"goodbye"


async def test_a_socket_takes_what_it_can_at_once_and_the_rest_in_time() -> None:
    """On a real socket a write needs no reader while there is room, and one when there is none."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    whole, size = WholeWrites(ours, write_timeout=60), 10**6
    async with ours, theirs, trio.open_nursery() as nursery:
        await whole.send_all(b"at once")
        assert await theirs.receive_some() == b"at once"
        nursery.start_soon(whole.send_all, bytes(size))
        await trio.testing.wait_all_tasks_blocked()
        assert await read_slowly(theirs, size, 0) == size


async def test_a_socket_that_is_closed_is_nobody_elses() -> None:
    """After the close nothing is written, whoever has the descriptor's number by then."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    whole = WholeWrites(ours, write_timeout=3)
    await ours.aclose()
    await theirs.aclose()
    mine, other = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with mine, other:
        with pytest.raises(trio.BrokenResourceError):
            await whole.send_all(b"not for you")
        with pytest.raises(BlockingIOError):
            os.read(other.socket.fileno(), 1)
