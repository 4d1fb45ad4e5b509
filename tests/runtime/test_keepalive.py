"""Only silence is judged, any byte breaks it, and our own sleep is nobody's silence."""

import contextlib
import itertools

import pytest
import raw_peer
import trio
import trio.testing
from connection_support import Served, served
from raw_peer import PING, PONG, TEXT
from simulation.network import Fault, LinkPlan
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.config import Config
from scheduler.core.events import SignsOfLife
from scheduler.errors import Close
from scheduler.runtime.keepalive import Silence

CONFIG = Config(ping_interval=10, pong_timeout=5, close_timeout=2, stall_threshold=1)


async def answer_pings(here: Served) -> None:
    """A healthy peer that has nothing to say."""
    with contextlib.suppress(trio.EndOfChannel, trio.BrokenResourceError):
        while True:
            heard = await here.peer.hear()
            if heard.opcode == PING:
                await here.peer.send(PONG, heard.payload)


async def test_a_quiet_peer_that_answers_pings_stays(autojump_clock: MockClock) -> None:
    """A peer may be quiet for as long as it likes: it is pinged, and its pong proves life."""
    async with served(config=CONFIG) as here:
        with trio.move_on_after(1000):
            await answer_pings(here)
        assert not here.connection.over.is_set()
        pings = here.link.to_client.sent
        assert pings > 0
        assert here.connection.signs.unanswered_since is None


async def test_a_dead_peer_is_given_up(autojump_clock: MockClock) -> None:
    """Without any byte a peer is pinged after ``ping_interval`` and cut ``pong_timeout`` later."""
    async with served(config=CONFIG) as here:
        assert (await here.peer.hear()).opcode == PING
        assert trio.current_time() == 10
        assert here.connection.signs.unanswered_since == 10
        assert await here.peer.hear_close() == Close.KEEPALIVE_TIMEOUT.code
        assert trio.current_time() == 15
        await here.ended.wait()
        assert here.connection.close is Close.KEEPALIVE_TIMEOUT


async def test_a_peer_that_is_cut_off_is_noticed(autojump_clock: MockClock) -> None:
    """A black hole says nothing at all: the connection ends all the same, without a close frame."""
    async with served(LinkPlan(latency=1 / 64), config=CONFIG) as here:
        await trio.sleep_until(1)
        await here.peer.say("the last word")
        await trio.sleep_until(3)
        here.link.strike(Fault("black_hole", at=0))
        await here.ended.wait()
        assert here.run_ended_at == 1 + 1 / 64 + 15


@pytest.mark.parametrize("sign", ["message", "half a frame", "unasked pong"])
async def test_any_byte_proves_life(sign: str, autojump_clock: MockClock) -> None:
    """A peer that answers no ping but goes on sending is never cut, whatever it sends."""
    message = raw_peer.frame(TEXT, b"x" * 60)
    pieces = {
        "message": itertools.repeat(message),
        "half a frame": (bytes([byte]) for byte in itertools.cycle(message)),
        "unasked pong": itertools.repeat(raw_peer.frame(PONG, b"busy")),
    }[sign]
    async with served(config=CONFIG) as here:
        for piece in itertools.islice(pieces, 20):
            await trio.sleep(14)
            await here.peer.stream.send_all(piece)
        assert not here.connection.over.is_set()
        assert here.connection.signs.unanswered_since == 10


async def test_a_probe_asks_now(autojump_clock: MockClock) -> None:
    """A probed peer is pinged in the same instant, and cut if it stays silent."""
    async with served(config=CONFIG) as here:
        await trio.sleep(3)
        here.connection.probe()
        assert (await here.peer.hear()).opcode == PING
        assert trio.current_time() == 3
        assert await here.peer.hear_close() == Close.KEEPALIVE_TIMEOUT.code
        assert trio.current_time() == 3 + CONFIG.pong_timeout


async def test_a_probe_that_is_answered_is_forgotten(autojump_clock: MockClock) -> None:
    """After a sign of life the usual intervals hold again."""
    async with served(config=CONFIG) as here, trio.open_nursery() as nursery:
        nursery.start_soon(answer_pings, here)
        await trio.sleep(3)
        here.connection.probe()
        await trio.sleep(0.5)
        assert here.connection.signs == SignsOfLife(3)
        await trio.sleep(100)
        assert not here.connection.over.is_set()
        nursery.cancel_scope.cancel()


# -- the stricter watch -----------------------------------------------------------------------


def watched(here: Served) -> list[tuple[float, bool]]:
    """Watch the peer as a node that sends heartbeats; what was told of it, and when."""
    told: list[tuple[float, bool]] = []
    here.connection.watch(
        Silence(
            suspect_after=2,
            dead_after=4,
            on_change=lambda suspect: told.append((trio.current_time(), suspect)),
        )
    )
    return told


async def test_a_watched_peer_is_suspected_then_given_up(autojump_clock: MockClock) -> None:
    """Silence makes a watched peer suspect after two seconds and ends it after four."""
    async with served(config=CONFIG) as here:
        told = watched(here)
        assert (await here.peer.hear()).opcode == PING
        assert trio.current_time() == 1.5
        assert await here.peer.hear_close() == Close.KEEPALIVE_TIMEOUT.code
        assert trio.current_time() == 4
        assert told == [(2, True)]


async def test_a_suspect_that_is_heard_is_one_no_more(autojump_clock: MockClock) -> None:
    """The first message after the silence takes the suspicion back, at that instant."""
    async with served(config=CONFIG) as here:
        told = watched(here)
        await trio.sleep(3)
        await here.peer.say("late")
        await trio.sleep(1.75)
        assert told == [(2, True), (3, False)]


async def test_a_suspect_that_only_answers_the_ping_is_one_no_more(
    autojump_clock: MockClock,
) -> None:
    """A pong, which is no message, takes the suspicion back as well."""
    async with served(config=CONFIG) as here:
        told = watched(here)
        ping = await here.peer.hear()
        await trio.sleep(1)
        await here.peer.send(PONG, ping.payload)
        await trio.sleep(1.75)
        assert told[0] == (2, True)
        assert told[1][1] is False
        assert told[1][0] < 4.5


async def test_a_node_without_heartbeats_lives_by_its_pongs(autojump_clock: MockClock) -> None:
    """A watched peer that sends nothing but pongs is never even suspected."""
    async with served(config=CONFIG) as here:
        told = watched(here)
        with trio.move_on_after(100):
            await answer_pings(here)
        assert told == []
        assert not here.connection.over.is_set()


# -- a frozen process -------------------------------------------------------------------------


@pytest.mark.parametrize("frozen_for", [1.5, 4.0, 6.0, 60.0])
@pytest.mark.parametrize("heartbeats", [False, True])
def test_after_a_freeze_nobody_is_judged_by_it(frozen_for: float, heartbeats: bool) -> None:
    """Whenever the whole process freezes, for however long, healthy peers survive it."""

    async def main(frozen_at: float) -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        async with served(LinkPlan(latency=1 / 64), config=CONFIG) as here:
            if heartbeats:
                watched(here)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer_pings, here)
                if heartbeats:
                    nursery.start_soon(beat, here)
                await trio.sleep_until(frozen_at)
                clock.jump(frozen_for)
                await trio.sleep(30)
                assert not here.connection.over.is_set(), f"cut; frozen at {frozen_at}"
                nursery.cancel_scope.cancel()

    for seed in range(40):
        simulate(main, seed * 33 / 64, schedule=mixed(seed), timeout_s=200)


async def beat(here: Served) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await trio.sleep(1)
            await here.peer.say("heartbeat")


async def test_after_a_freeze_a_dead_peer_is_still_found(autojump_clock: MockClock) -> None:
    """The pardon is for one answer: who does not give it is cut ``pong_timeout`` later."""
    async with served(config=CONFIG) as here:
        await trio.sleep(9)
        autojump_clock.jump(60)
        assert (await here.peer.hear()).opcode == PING
        assert trio.current_time() == 69
        assert await here.peer.hear_close() == Close.KEEPALIVE_TIMEOUT.code
        assert trio.current_time() == 69 + CONFIG.pong_timeout
