"""The live feed: everything once, then what has changed, and nobody waits for a reader."""

import contextlib
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from client_support import World, reach, scheduler_world, session_on
from fakes import CountingIds, ScriptedRunner
from simulation.network import Network
from web_support import feed_reader

from scheduler.commands.http import get_json
from scheduler.config import Config
from scheduler.core.snapshot import Snapshot
from scheduler.server.serve import Shutdown, serve


async def test_first_everything_then_what_has_changed(autojump_clock: object) -> None:
    """A reader is told the whole state, then only rows that are new, other or gone."""
    async with scheduler_world(ScriptedRunner(seconds=2)) as world:
        await trio.sleep(1)
        async with feed_reader(world.network) as reader:
            name, whole = await reader.event()
            assert name == "snapshot"
            assert [node["node_id"] for node in whole["nodes"]] == ["node-1"]
            assert (whole["sessions"], whole["jobs"]) == ([], [])

            async with session_on(world.network) as session:
                await session.translate(b"hola")
                seen = [await reader.event() for _ in range(3)]
            while "s-1" not in seen[-1][1]["gone"]["sessions"]:
                seen.append(await reader.event())
    assert {name for name, _ in seen} == {"change"}
    states = [row["state"] for _, change in seen for row in change["jobs"]]
    assert states == sorted(states, key=["started", "acknowledged"].index)
    assert "node-1" in [row["node_id"] for _, change in seen for row in change["nodes"]]
    assert seen[-1][1]["nodes"] == [], "the node has not changed since"


async def test_without_news_a_reader_hears_that_it_is_not_forgotten(
    autojump_clock: object,
) -> None:
    """Between changes a comment comes every 10 s, and nothing else."""
    async with scheduler_world() as world, feed_reader(world.network) as reader:
        await reader.event()
        with trio.move_on_after(35):
            await reader.event()
        assert reader.comments == 3


async def test_many_changes_are_one_event(autojump_clock: object) -> None:
    """However much happens, a reader is told at most once per feed_interval."""
    async with (
        scheduler_world(ScriptedRunner(seconds=0.25)) as world,
        feed_reader(world.network) as reader,
    ):
        await reader.event()
        times = []
        async with session_on(world.network) as session, trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(session.translate, b"hola")
            while sum(job["state"] == "acknowledged" for job in known(world)) < 8:
                await reader.event()
                times.append(trio.current_time())
        assert all(later - sooner >= 0.49 for sooner, later in pairwise(times))


async def test_all_readers_share_one_view(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is looked at once per interval, however many readers there are."""
    looks = []
    jobs = Snapshot.jobs

    def counted(self: Snapshot, *, most: int) -> list[dict[str, object]]:
        looks.append(trio.current_time())
        return jobs(self, most=most)

    monkeypatch.setattr(Snapshot, "jobs", counted)
    async with scheduler_world() as world:
        async with (
            feed_reader(world.network) as one,
            feed_reader(world.network) as two,
            feed_reader(world.network) as three,
        ):
            for reader in (one, two, three):
                await reader.event()
            assert len(looks) == 1
            async with session_on(world.network):
                for reader in (one, two, three):
                    await reader.event()
        settled = len(looks)
        assert settled <= 3
        async with session_on(world.network):
            await trio.sleep(5)
        assert len(looks) == settled, "nobody reads any more"


async def test_a_slow_reader_is_told_the_sum(autojump_clock: object) -> None:
    """What came and went while a reader did not read is not told; what is now, is."""
    async with scheduler_world(
        ScriptedRunner(), write_timeout=100.0, client_receipt_timeout=200.0
    ) as world:
        await trio.sleep(1)
        async with feed_reader(world.network, window=256) as reader:
            await trio.sleep(3)  # the snapshot does not fit: the writer waits
            for _ in range(3):
                async with session_on(world.network) as session:
                    await session.translate(b"hola")
            await trio.sleep(3)
            await reader.event()
            name, change = await reader.event()
    assert name == "change"
    assert len(change["jobs"]) == 3
    assert change["sessions"] == []


async def test_readers_are_bounded_and_come_off(autojump_clock: object) -> None:
    """One reader too many is refused with 503; one that leaves makes room at once."""
    async with scheduler_world(feed_readers_max=1) as world:
        async with feed_reader(world.network) as first:
            await first.event()
            async with feed_reader(world.network) as second:
                assert (await second.head()).status_code == 503
        await trio.sleep(1)
        async with feed_reader(world.network) as third:
            assert (await third.event())[0] == "snapshot"


async def test_the_feed_holds_no_speech_and_no_secret(autojump_clock: object) -> None:
    """Neither what was said nor what lets a session be resumed is in the feed."""
    async with scheduler_world(ScriptedRunner()) as world, feed_reader(world.network) as reader:
        async with session_on(world.network) as session:
            await session.translate(b"a word of mine")
            while not any(job["state"] == "acknowledged" for job in known(world)):
                await reader.event()
        await reader.event()
        assert b"s-1" in reader.raw
        for secret in (b"a word of mine", b"A WORD OF MINE", b"token-"):
            assert secret not in reader.raw


async def test_a_stalled_reader_delays_nobody(autojump_clock: object) -> None:
    """While one reader never reads, sessions are served, and the write timeout cuts it."""
    async with scheduler_world(ScriptedRunner(), feed_readers_max=1) as world:
        await trio.sleep(1)
        async with feed_reader(world.network, window=64):
            begun = trio.current_time()
            async with session_on(world.network) as session:
                await session.translate(b"hola")
            status, _ = await get_json(reach(world.network), "/health", timeout=1)
            assert status == 200
            assert trio.current_time() - begun < 1
            await trio.sleep(world.config.write_timeout)
            async with feed_reader(world.network) as other:
                assert (await other.head()).status_code == 200, "there is room again"


@pytest.mark.parametrize("stalled", [1, 20])
async def test_a_stalled_reader_does_not_delay_the_shutdown(
    autojump_clock: object, stalled: int
) -> None:
    """With nothing to drain the scheduler is gone at once, whatever its readers do not read."""
    network, shutdown = Network(), Shutdown()
    served = partial(
        serve, Config(), listeners=[network.listener()], ids=CountingIds(), epoch=0.0,
        shutdown=shutdown,
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(served)
                for _ in range(stalled):
                    await stack.enter_async_context(feed_reader(network, window=64))
                await trio.sleep(1)
                begun = trio.current_time()
                shutdown.request()
        assert trio.current_time() - begun < 0.1


def known(world: World) -> list[dict[str, Any]]:
    """The jobs that the scheduler knows."""
    return list(world.shell.engine.snapshot(trio.current_time()).jobs())
