"""What a link says of itself before it has a connection, and how long it lasted."""

import trio
from messages import hello
from trio.testing import MockClock

from scheduler.client.link import Link
from scheduler.errors import ConnectionLost


async def test_a_link_without_a_connection_swallows_what_it_is_told() -> None:
    """Nothing that is said to it before it is open fails, or is kept."""
    link = Link()
    link.put(hello())
    link.end()
    assert not link.over.is_set()


async def test_it_lasts_from_its_welcome_on(autojump_clock: MockClock) -> None:
    """Time without a welcome is no health, and time after it is."""
    link = Link()
    await trio.sleep(10)
    assert not link.lasted(5)
    link.welcomed()
    await trio.sleep(4)
    assert not link.lasted(5)
    await trio.sleep(1)
    assert link.lasted(5)


async def test_its_end_has_a_reason() -> None:
    """Whoever waits for the end finds why it came."""
    link, lost = Link(), ConnectionLost(None, "it broke")
    link.finish(lost)
    await link.over.wait()
    assert link.lost is lost
