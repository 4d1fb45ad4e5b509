"""The bounded feed, and who is told what."""

import gc

import pytest
import trio
from client_support import collect
from trio.testing import MockClock, wait_all_tasks_blocked

from scheduler.client.feed import Announcer, ConnectionState, Event, Feed, StateChanged

OPEN, CLOSED = ConnectionState.OPEN, ConnectionState.CLOSED


async def test_a_full_feed_loses_the_oldest() -> None:
    """What does not fit pushes out the oldest, is counted, and the rest keeps its order."""
    feed = Feed[int](3)
    for number in range(5):
        feed.put(number)
    assert (len(feed), feed.full, feed.missed) == (3, True, 2)
    feed.close()
    assert [item async for item in feed] == [2, 3, 4]


async def test_a_closed_feed_takes_nothing_more() -> None:
    """What was there when it closed is still read; then it ends, for every later reader too."""
    feed = Feed[int](3)
    feed.put(1)
    feed.close()
    feed.put(2)
    assert [item async for item in feed] == [1]
    assert [item async for item in feed] == []


async def test_a_waiting_reader_is_woken(autojump_clock: MockClock) -> None:
    """A reader gets an item as soon as it is put, and ends as soon as the feed closes."""
    feed, got = Feed[int](3), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, feed, got)
        await wait_all_tasks_blocked()
        feed.put(1)
        await wait_all_tasks_blocked()
        assert got == [1]
        feed.close()


async def test_a_cancelled_reader_loses_nothing(autojump_clock: MockClock) -> None:
    """What is put while a reader is being cancelled is there for the next one."""
    feed = Feed[int](3)
    with trio.move_on_after(1):
        await anext(feed)
    feed.put(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await anext(feed)
    assert scope.cancelled_caught
    assert await anext(feed) == 1


async def test_a_new_feed_begins_with_the_present_state() -> None:
    """Whoever comes later knows where the connection is, and hears what happens from then on."""
    announcer = Announcer(OPEN, 10)
    announcer.become(OPEN, "resumed")
    feed = announcer.feed()
    announcer.become(ConnectionState.RESUMING, "it broke")
    assert await anext(feed) == StateChanged(OPEN, "resumed")
    assert await anext(feed) == StateChanged(ConnectionState.RESUMING, "it broke")


async def test_only_news_is_told() -> None:
    """A state that is the same as before is told again only if something was lost."""
    announcer = Announcer(OPEN, 10)
    feed = announcer.feed()
    announcer.become(OPEN, "")
    assert len(feed) == 1
    announcer.become(OPEN, "", recovered=False)
    assert len(feed) == 2


async def test_closed_is_the_last_word() -> None:
    """After ``closed`` no state follows, every feed ends, and a later one says only that."""
    announcer = Announcer(OPEN, 10)
    feed, told = announcer.feed(), list[Event]()
    announcer.become(CLOSED, "done")
    announcer.become(OPEN, "resumed")
    await collect(feed, told)
    assert told == [StateChanged(OPEN, ""), StateChanged(CLOSED, "done")]
    assert [event async for event in announcer.feed()] == [StateChanged(CLOSED, "done")]


@pytest.mark.parametrize("held", [True, False])
async def test_nobody_fills_a_feed_that_nobody_holds(held: bool) -> None:
    """A feed lives as long as its reader holds it; the announcer does not."""
    announcer = Announcer(OPEN, 10)
    feeds = [announcer.feed()]
    if not held:
        feeds.clear()
    gc.collect()
    assert len(announcer) == int(held)
