"""A connection ends as a whole, says why if it still can, and never waits for its peer."""

import contextlib
import itertools
from typing import Any

import pytest
import raw_peer
import structlog.testing
import trio
import trio.testing
from connection_support import linked, served
from raw_peer import RawPeer, frame
from simulation.network import Fault, LinkPlan
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.config import Config
from scheduler.errors import Close, ConnectionLost
from scheduler.runtime.connection import Connection, accept, dial

NARROW_OUTBOX: Any = {
    "outbox_messages_max": 8,
    "retained_outcomes_max": 1,
    "jobs_per_session_max": 1,
}
CONFIG = Config(write_timeout=4, close_timeout=2, ping_interval=16, pong_timeout=4)
NARROW = LinkPlan(latency=0.0, window=64)
"""A link on which anything longer than 64 bytes needs a reader."""


async def test_messages_go_both_ways_in_order(autojump_clock: MockClock) -> None:
    """What is put is written in that order, and what arrives is handed over in its order."""
    async with served() as here:
        for number in range(50):
            here.connection.put(f'{{"type":"{number}"}}', seq=number)
            await here.peer.say(f"m{number}")
        told = [(await here.peer.hear_message())["type"] for _ in range(50)]
        await trio.testing.wait_all_tasks_blocked()
        assert told == [str(number) for number in range(50)]
        assert here.heard == [f"m{number}" for number in range(50)]
        assert here.writing == here.written == list(range(50))


async def test_an_outcome_is_written_only_when_the_link_took_it(autojump_clock: MockClock) -> None:
    """``on_writing`` comes before the first byte, ``on_written`` only after the last one."""
    async with served(NARROW) as here:
        here.connection.put("x" * 200, seq=1)
        await trio.testing.wait_all_tasks_blocked()
        assert (here.writing, here.written) == ([1], [])
        await here.peer.hear()
        await trio.testing.wait_all_tasks_blocked()
        assert (here.writing, here.written) == ([1], [1])


async def test_the_reader_never_waits_for_the_writer(autojump_clock: MockClock) -> None:
    """While a write is stuck at a peer that does not read, its messages are heard at once."""
    async with served(NARROW) as here:
        here.connection.put("x" * 1000)
        for number in range(200):
            await here.peer.say(f"m{number}")
        await trio.testing.wait_all_tasks_blocked()
        assert len(here.heard) == 200
        assert trio.current_time() == 0


async def test_a_failed_write_ends_the_connection(autojump_clock: MockClock) -> None:
    """A write that makes no progress for ``write_timeout`` ends reader, writer and all else."""
    async with served(NARROW, config=CONFIG) as here:
        here.connection.put("x" * 1000, seq=7)
        await here.ended.wait()
        assert here.run_ended_at == CONFIG.write_timeout
        assert here.connection.close is Close.SLOW_CONSUMER
        assert here.connection.over.is_set()
        assert (here.writing, here.written) == ([7], [])
        assert here.error is None


async def test_a_torn_write_is_the_last_on_its_stream(autojump_clock: MockClock) -> None:
    """After half a frame nothing follows, no close frame either, and the stream is closed."""
    async with served(NARROW, config=CONFIG) as here:
        here.connection.put("x" * 1000)
        here.connection.put("later")
        await trio.testing.wait_all_tasks_blocked()
        sent = here.link.to_client.sent
        await here.ended.wait()
        assert here.link.to_client.sent == sent
        assert here.link.server.closed
        rest = await here.peer.hear_end()
        assert len(rest) <= 64
        assert set(rest[4:]) == {ord("x")}


async def test_a_cut_connection_does_not_tear_a_frame_and_go_on(autojump_clock: MockClock) -> None:
    """Cut in the middle of a frame, nothing follows it; cut between two, the close frame does."""
    for stuck in (True, False):
        async with served(NARROW, config=CONFIG) as here:
            here.connection.put("x" * (1000 if stuck else 10))
            await trio.testing.wait_all_tasks_blocked()
            here.connection.cut(Close.KEEPALIVE_TIMEOUT)
            code = await here.peer.hear_close()
            assert code == (None if stuck else Close.KEEPALIVE_TIMEOUT.code)


async def test_an_end_writes_what_is_queued_first(autojump_clock: MockClock) -> None:
    """``end`` closes behind everything that was put before it; what is put later is dropped."""
    async with served(config=CONFIG) as here:
        here.connection.put('{"type":"a"}')
        here.connection.put('{"type":"b"}')
        here.connection.end(Close.GOING_AWAY)
        here.connection.put('{"type":"c"}')
        here.connection.end(Close.NORMAL)
        assert [(await here.peer.hear_message())["type"] for _ in range(2)] == ["a", "b"]
        assert await here.peer.hear_close() == Close.GOING_AWAY.code
        assert here.connection.close is Close.GOING_AWAY


async def test_an_end_is_bounded_whatever_the_peer_reads(autojump_clock: MockClock) -> None:
    """A peer that reads each message just in time may not spin out an end with many of them."""
    async with served(LinkPlan(latency=0.0, window=64, mtu=1), config=CONFIG) as here:
        for _ in range(20):
            here.connection.put("x" * 40)
        here.connection.end(Close.REPLACED)

        async def drip() -> None:
            for tick in itertools.count(1):
                await here.peer.stream.receive_some(1)
                await trio.sleep_until(tick / 16)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            await here.ended.wait()
            assert here.run_ended_at == CONFIG.write_timeout
            assert here.ended_at is not None
            assert here.ended_at <= CONFIG.write_timeout + CONFIG.close_timeout
            nursery.cancel_scope.cancel()


async def test_a_slow_consumer_is_told_so(autojump_clock: MockClock) -> None:
    """An outbox that overflows ends the connection with 4002 behind the frame being written."""
    config = Config(write_timeout=4, **NARROW_OUTBOX)
    async with served(NARROW, config=config) as here:
        here.connection.put('{"type":"first","pad":"' + "x" * 200 + '"}', seq=1)
        await trio.testing.wait_all_tasks_blocked()
        for seq in range(2, 12):
            here.connection.put('{"type":"more"}', seq=seq)
        assert (await here.peer.hear_message())["type"] == "first"
        assert await here.peer.hear_close() == Close.SLOW_CONSUMER.code
        await here.ended.wait()
        assert here.connection.close is Close.SLOW_CONSUMER
        assert here.written == [1]


async def test_a_slow_consumer_that_reads_nothing_is_cut(autojump_clock: MockClock) -> None:
    """Whoever does not even take the frame being written is gone after ``write_timeout``."""
    config = Config(write_timeout=4, close_timeout=2, **NARROW_OUTBOX)
    async with served(NARROW, config=config) as here:
        here.connection.put("x" * 200, seq=10)
        await trio.testing.wait_all_tasks_blocked()
        for seq in range(10):
            here.connection.put("x" * 200, seq=seq)
        await here.ended.wait()
        assert here.run_ended_at == 4
        assert here.connection.close is Close.SLOW_CONSUMER
        assert here.written == []


async def test_a_fault_of_ours_is_1011(autojump_clock: MockClock) -> None:
    """What a handler raises closes that connection with 1011 and goes to the caller."""

    def fail(message: str | bytes) -> None:
        raise RuntimeError(f"a bug met {message!r}")

    async with served(on_message=fail) as here:
        await here.peer.say("hello")
        assert await here.peer.hear_close() == Close.INTERNAL_ERROR.code
        await here.peer.stream.send_all(raw_peer.close_frame(1011))
        await here.ended.wait()
        assert isinstance(here.error, ExceptionGroup)
        assert here.error.subgroup(RuntimeError) is not None


async def test_the_hello_has_its_time(autojump_clock: MockClock) -> None:
    """Without a hello the connection is closed with 4000 in time; with one it goes on."""
    async with served(hello_timeout=5) as here:
        assert await here.peer.hear_close() == Close.HELLO_TIMEOUT.code
        assert trio.current_time() == 5
    async with served(hello_timeout=5) as here:
        here.connection.greeted = True
        await trio.sleep(9)
        assert not here.connection.over.is_set()


async def test_a_peer_that_never_answers_the_close_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    """The goodbye takes ``close_timeout`` at most, and its reason is the one we gave."""
    async with served(config=CONFIG) as here:
        here.connection.end(Close.GOING_AWAY)
        assert await here.peer.hear_close() == Close.GOING_AWAY.code
        await here.ended.wait()
        assert here.run_ended_at == 0
        assert here.ended_at == CONFIG.close_timeout
        assert here.link.server.closed


async def test_a_close_frame_that_cannot_be_written_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    """A peer whose window is full gets no close frame, and costs ``close_timeout`` at most."""
    async with served(NARROW, config=CONFIG) as here:
        here.connection.put("x" * 62)
        await trio.testing.wait_all_tasks_blocked()
        here.connection.end(Close.GOING_AWAY)
        await here.ended.wait()
        assert here.ended_at == CONFIG.close_timeout


@pytest.mark.parametrize(
    ("code", "close"),
    [(1000, Close.NORMAL), (1001, Close.NORMAL), (1008, Close.PEER_GONE), (4999, Close.PEER_GONE)],
)
async def test_a_peer_that_says_goodbye_gets_its_answer(
    code: int, close: Close, autojump_clock: MockClock
) -> None:
    """A close frame is answered with its own code at once, and the connection is over."""
    async with served(config=CONFIG) as here:
        await here.peer.stream.send_all(raw_peer.close_frame(code))
        assert await here.peer.hear_close() == code
        await here.ended.wait()
        assert trio.current_time() == 0
        assert (here.connection.close, here.connection.peer_code) == (close, code)


async def test_cancelling_says_goodbye_and_ends(autojump_clock: MockClock) -> None:
    """A cancelled connection still sends its close frame, and ends within ``close_timeout``."""
    theirs, ours = await linked()
    told: list[int | None] = []

    async def hold() -> None:
        async with accept(ours, CONFIG) as connection:
            await connection.run(lambda _: None)

    async def read_close() -> None:
        peer = await RawPeer.upgrade(theirs)
        await trio.testing.wait_all_tasks_blocked()
        serving.cancel_scope.cancel()
        told.append(await peer.hear_close())

    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as serving:
            serving.start_soon(hold)
            outer.start_soon(read_close)
        assert trio.current_time() == CONFIG.close_timeout
    assert told == [Close.GOING_AWAY.code]


# -- what the library does not do by itself ------------------------------------------------


async def test_a_message_too_large_is_1009(autojump_clock: MockClock) -> None:
    """A larger message than allowed is answered with 1009, however much of it still comes."""
    config = Config(message_bytes_max=1000, audio_chars_max=500, close_timeout=2)
    async with served(LinkPlan(latency=0.0, window=256), config=config) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.peer.send, raw_peer.TEXT, b"x" * 5000)
            assert await here.peer.hear_close() == Close.TOO_LARGE.code
        await here.peer.stream.aclose()
        await here.ended.wait()
        assert here.connection.close is Close.TOO_LARGE
        assert here.heard == []
        assert here.error is None


async def test_after_1009_the_peer_is_not_waited_for(autojump_clock: MockClock) -> None:
    """A peer that goes on sending after 1009 is closed on after ``close_timeout``."""
    config = Config(message_bytes_max=1000, audio_chars_max=500, close_timeout=2)
    async with served(config=config) as here:
        with contextlib.suppress(trio.BrokenResourceError):
            for tick in itertools.count():
                await here.peer.send(raw_peer.TEXT, b"x" * 1001)
                await trio.sleep_until(tick / 16)
        assert here.ended_at == 2
        assert here.link.server.closed


async def test_fragments_without_end_are_1009(autojump_clock: MockClock) -> None:
    """Empty continuation frames, which no limit on content counts, end with their connection."""
    async with served(config=CONFIG) as here:
        await here.peer.send(raw_peer.TEXT, b"a", final=False)
        async with trio.open_nursery() as nursery:
            pieces = frame(raw_peer.CONTINUATION, final=False) * 10_000
            nursery.start_soon(here.peer.stream.send_all, pieces)
            assert await here.peer.hear_close() == Close.TOO_LARGE.code
            await here.peer.hear_end()
            await here.peer.stream.aclose()
        await here.ended.wait()
        assert trio.current_time() == 0
        assert here.connection.close is Close.TOO_LARGE
        assert here.error is None


async def test_a_message_may_have_many_fragments(autojump_clock: MockClock) -> None:
    """So many pieces that hold something, or nothing, are one message, pings between them too."""
    async with served(config=CONFIG) as here:
        await here.peer.send(raw_peer.TEXT, final=False)
        for _ in range(20):
            for letter in b"again":
                await here.peer.send(raw_peer.CONTINUATION, bytes([letter]), final=False)
                await here.peer.send(raw_peer.PING)
            await here.peer.stream.send_all(frame(raw_peer.CONTINUATION, final=False) * 190)
        await here.peer.send(raw_peer.CONTINUATION)
        await trio.testing.wait_all_tasks_blocked()
        assert here.heard == ["again" * 20]


async def test_messages_within_the_bound_do_not_add_up(autojump_clock: MockClock) -> None:
    """Any number of whole messages may pass; the bound is for one of them."""
    config = Config(message_bytes_max=1000, audio_chars_max=500)
    async with served(config=config) as here:
        for _ in range(300):
            await here.peer.send(raw_peer.TEXT, b"x" * 1000)
            await trio.testing.wait_all_tasks_blocked()
        assert len(here.heard) == 300


async def test_a_ping_that_crosses_our_close_stays_inside(autojump_clock: MockClock) -> None:
    """A ping that arrives after our close frame ends that connection without any noise."""
    with structlog.testing.capture_logs() as logs:
        async with served(config=CONFIG) as here:
            here.connection.end(Close.GOING_AWAY)
            await here.peer.send(raw_peer.PING, b"beat")
            assert await here.peer.hear_close() == Close.GOING_AWAY.code
            await here.ended.wait()
            assert here.ended_at is not None
            assert here.ended_at <= CONFIG.close_timeout
            assert here.error is None
            assert here.connection.close is Close.GOING_AWAY
    assert [line for line in logs if line["log_level"] != "debug"] == []


NO_FRAMES = {
    "reserved bits": (b"\xf1\x80" + bytes(4), 1002),
    "an unknown opcode": (frame(0x3), 1002),
    "an unknown control opcode": (frame(0xB), 1002),
    "no mask": (b"\x81\x02ok", 1002),
    "a continuation of nothing": (frame(raw_peer.CONTINUATION, b"x"), 1002),
    "a message in a message": (
        frame(raw_peer.TEXT, b"a", final=False) + frame(raw_peer.TEXT, b"b"),
        1002,
    ),
    "a long control frame": (frame(raw_peer.PING, b"x" * 126), 1002),
    "a control frame in pieces": (frame(raw_peer.PING, b"x", final=False), 1002),
    "a length in too many bytes": (b"\x81\xfe\x00\x05" + bytes(4) + b"hello", 1002),
    "a close code that is none": (raw_peer.close_frame(1005), 1002),
    "half a close code": (frame(raw_peer.CLOSE, b"\x03"), 1002),
    "bytes that are no text": (frame(raw_peer.TEXT, b"\xff\xfe"), 1007),
    "half a letter": (frame(raw_peer.TEXT, b"\xc3"), 1007),
    "a goodbye that is no text": (frame(raw_peer.CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize("name", NO_FRAMES)
async def test_what_breaks_the_protocol_is_told_so(name: str, autojump_clock: MockClock) -> None:
    """It ends its connection at once, with the close code of RFC 6455 and the same cause here."""
    sent, code = NO_FRAMES[name]
    with structlog.testing.capture_logs() as logs:
        async with served(config=CONFIG) as here:
            await here.peer.say("before")
            await here.peer.stream.send_all(sent)
            assert await here.peer.hear_close() == code
            assert await here.peer.hear_end() == b""
            await here.peer.stream.aclose()
            await here.ended.wait()
            assert trio.current_time() == 0
            assert here.heard == ["before"]
            assert here.error is None
            assert here.connection.close in (Close.PROTOCOL_ERROR, Close.INVALID_DATA)
            assert here.connection.close.code == code
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["protocol_broken"]


@pytest.mark.parametrize("code", [1002, 1007])
async def test_a_peer_that_finds_us_at_fault_is_not_accused(
    code: int, autojump_clock: MockClock
) -> None:
    """Its close frame is answered with the same code, once, and its cause is that the peer left."""
    async with served(config=CONFIG) as here:
        await here.peer.stream.send_all(raw_peer.close_frame(code))
        assert await here.peer.hear_close() == code
        assert await here.peer.hear_end() == b""
        await here.ended.wait()
        assert (here.connection.peer_code, here.connection.close) == (code, Close.PEER_GONE)


async def test_a_scheduler_that_breaks_the_protocol_is_told_so(autojump_clock: MockClock) -> None:
    """Whoever dialled says goodbye with the code as well, and may connect again."""
    theirs, ours = await linked()
    told: list[int | None] = []

    async def break_it(connection: Connection) -> None:
        await connection._stream.send_all(b"\xf1\x00")
        await connection.run(lambda _: None)
        told.append(connection.peer_code)

    async with trio.open_nursery() as nursery:

        async def server() -> None:
            async with accept(theirs, CONFIG) as connection:
                await break_it(connection)

        nursery.start_soon(server)
        async with dial(ours, "here", "/ws/session", CONFIG) as connection:
            await connection.run(lambda _: None)
            assert connection.close is Close.PROTOCOL_ERROR
            assert connection.lost.reconnect
    assert told == [1002]


async def test_a_reset_behind_nonsense_stays_inside(autojump_clock: MockClock) -> None:
    """A peer that is gone before it can be told anything ends quietly too."""
    async with served(config=CONFIG) as here:
        await here.peer.stream.send_all(b"\xff\xff\xff\xff")
        here.link.reset()
        await here.peer.hear_end()
        await here.ended.wait()
        assert trio.current_time() == 0
        assert here.error is None


async def test_a_flood_of_pings_that_reads_no_pong_ends(autojump_clock: MockClock) -> None:
    """A peer whose pings get no answer through is gone after ``write_timeout``, reader included."""
    async with served(NARROW, config=CONFIG) as here:
        with contextlib.suppress(trio.BrokenResourceError):
            for _ in range(1000):
                await here.peer.send(raw_peer.PING, b"p" * 20)
        await here.ended.wait()
        assert here.run_ended_at == CONFIG.write_timeout
        assert here.error is None


async def test_a_handshake_that_stops_is_given_up(autojump_clock: MockClock) -> None:
    """Half a handshake costs ``handshake_timeout`` and ends in TooSlowError, stream closed."""
    theirs, ours = await linked()
    await theirs.send_all(raw_peer.handshake("/ws/session")[:-10])
    with pytest.RaisesGroup(trio.TooSlowError, flatten_subgroups=True):
        async with accept(ours, Config(handshake_timeout=3)):
            raise AssertionError
    assert trio.current_time() == 3
    assert ours.closed


# -- the side that dials ---------------------------------------------------------------------


async def test_dialling_and_accepting_understand_each_other(autojump_clock: MockClock) -> None:
    """The end that one side gives is the loss of the other side, with its code and its text."""
    theirs, ours = await linked()
    heard: list[str | bytes] = []

    async def accepting() -> None:
        async with accept(ours, CONFIG) as connection:
            connection.put("welcome")
            connection.end(Close.TOO_MANY_INVALID)
            await connection.run(lambda _: None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accepting)
        async with dial(theirs, "here", "/ws/session", CONFIG) as connection:
            await connection.run(heard.append)
        assert heard == ["welcome"]
        assert (connection.lost.code, connection.lost.reconnect) == (4500, False)
        assert str(connection.lost) == "too many invalid messages [4500]"
    assert trio.current_time() == 0


async def answered(answer: bytes) -> ConnectionLost:
    """What dialling raises when ``answer`` is all that the other side says."""
    theirs, ours = await linked()
    await ours.send_all(answer)
    with pytest.RaisesGroup(ConnectionLost, flatten_subgroups=True) as caught:
        async with dial(theirs, "here", "/ws/session", Config(handshake_timeout=3)):
            raise AssertionError
    assert theirs.closed
    (lost,) = caught.value.exceptions
    while isinstance(lost, ExceptionGroup):
        (lost,) = lost.exceptions
    assert isinstance(lost, ConnectionLost)
    return lost


async def test_a_refused_upgrade_says_how(autojump_clock: MockClock) -> None:
    """An HTTP status instead of 101 is named; it may be tried again."""
    lost = await answered(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    assert str(lost) == "the WebSocket upgrade was refused with HTTP 503"
    assert lost.reconnect
    assert trio.current_time() == 0


async def test_a_side_that_speaks_something_else_is_named(autojump_clock: MockClock) -> None:
    """Whoever answers with something that is no HTTP, or not at all, is given up in time."""
    for answer in (b"220 mail ready\r\n", b"", b"HTTP/1.1 101 Switching"):
        begun = trio.current_time()
        lost = await answered(answer)
        assert "WebSocket handshake" in str(lost)
        assert lost.reconnect
        assert trio.current_time() - begun <= 3


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_reset_at_any_byte_ends_it_quietly(direction: str) -> None:
    """Wherever a link breaks, in any order of tasks, both ends end, and nothing is raised."""

    async def main(offset: int) -> None:
        fault = Fault("reset", direction, offset=offset)  # type: ignore[arg-type]
        theirs, ours = await linked(LinkPlan(latency=1 / 64, faults=(fault,)))

        async def accepting() -> None:
            async with accept(ours, CONFIG) as connection:
                connection.put("x" * 300, seq=1)
                await connection.run(lambda _: None)

        async def dialling() -> None:
            async with dial(theirs, "here", "/ws/session", CONFIG) as connection:
                connection.put("x" * 300)
                connection.put("y" * 300)
                await connection.run(lambda _: connection.end(Close.NORMAL))

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accepting)
                nursery.start_soon(dialling)
        except* (ConnectionLost, trio.BrokenResourceError):
            pass  # the handshake was cut short
        assert theirs.closed
        assert ours.closed

    for offset in range(0, 900, 7):
        with structlog.testing.capture_logs() as logs:
            simulate(main, offset, schedule=mixed(offset), timeout_s=60)
        assert [line for line in logs if line["log_level"] != "debug"] == []


class CancelAt(trio.abc.Instrument):
    """Cancels ``scope`` before one of the steps of the tasks of a run."""

    def __init__(self, step: int) -> None:
        self.steps_left = step
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            self.scope.cancel()


def test_cancelling_at_any_step_ends_both_ends_in_time() -> None:
    """Wherever a conversation is cancelled, its handshake included, it ends and closes."""

    async def main(at: CancelAt) -> None:
        theirs, ours = await linked(LinkPlan(latency=1 / 64))

        async def accepting() -> None:
            async with accept(ours, CONFIG) as connection:
                connection.put("x" * 300)
                await connection.run(lambda _: None)

        async def dialling() -> None:
            async with dial(theirs, "here", "/ws/session", CONFIG) as connection:
                connection.put("x" * 300)
                await connection.run(lambda _: connection.end(Close.NORMAL))

        with trio.fail_after(2 * CONFIG.close_timeout), at.scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accepting)
                nursery.start_soon(dialling)
        assert theirs.closed
        assert ours.closed

    for seed in range(3):
        for step in range(1, 1000):
            at = CancelAt(step)
            simulate(main, at, schedule=mixed(seed), timeout_s=60, instruments=[at])
            if at.steps_left > 0:
                break
        assert 50 < step < 999
