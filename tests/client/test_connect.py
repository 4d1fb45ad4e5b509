"""A session and its connections: made again and again, left in order, never fought over."""

from typing import Any

import pytest
import trio
from client_support import (
    collect,
    scheduler_world,
    session_on,
    told,
    until,
)
from fakes import ScriptedRunner
from simulation.network import Fault, LinkPlan, Network
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.client import Event, Session, StateChanged, connect
from scheduler.config import ClientConfig, Config
from scheduler.errors import ConfigError, ConnectionLost, Refused, TranslationFailed
from scheduler.wire import session as wire

TOKEN = "secret"


async def ask(session: Session, text: str = "hello", **more: Any) -> str:
    result = await session.translate(text.encode(), audio_format="pcm16", **more)
    return result.text_translated


# -- with the real scheduler ---------------------------------------------------------------


async def test_an_utterance_comes_back_translated(autojump_clock: MockClock) -> None:
    """Its outcome is delivered, its stages are told, and nothing is left running."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with scheduler_world(ScriptedRunner(seconds=1)) as world:
        async with session_on(world.network) as session:
            submission = session.submit(b"hello", audio_format="pcm16")
            stages = [e.event async for e in submission.events() if isinstance(e, wire.UiEvent)]
            result = await submission.result()
            assert (result.text_source, result.text_translated) == ("hello", "HELLO")
            assert stages[:2] == ["DISPATCHED", "NODE_ACCEPTED"]
        assert world.job(result.job_id)["state"] == "acknowledged"
        assert world.sessions == []
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_the_client_may_come_first(autojump_clock: MockClock) -> None:
    """Whoever comes before the scheduler is told what it waits for, and gets its result."""
    heard = list[Event]()
    async with (
        scheduler_world(ScriptedRunner(), started=False) as world,
        trio.open_nursery() as nursery,
        session_on(world.network) as session,
    ):
        nursery.start_soon(collect, session.events(), heard)
        world.nursery.start_soon(later, 5, world.start)
        assert await ask(session) == "HELLO"
    states = [event for event in heard if isinstance(event, StateChanged)]
    waiting = [s.detail for s in states if s.state == "connecting"]
    assert waiting[1].startswith("no scheduler listening, next try in 0.2 s")
    assert [s.state for s in states if s.state != "connecting"] == ["open", "closed"]
    assert states[-1].detail == "closed by the client"


async def later(seconds: float, act: Any) -> None:
    await trio.sleep(seconds)
    await act()


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("kind", ["reset", "black_hole"])
async def test_a_session_survives_its_connection_at_any_byte(
    kind: Any, direction: Any, autojump_clock: MockClock
) -> None:
    """Wherever it breaks, the result comes, the job runs once, and its receipt arrives."""
    strikes = 0
    for offset in range(1, 1200, 48):
        runner = ScriptedRunner(seconds=1)
        plan = LinkPlan(faults=(Fault(kind, direction, offset=offset),))
        async with scheduler_world(runner) as world:
            async with session_on(world.network, plan) as session:
                assert await ask(session) == "HELLO"
                await until(lambda: world.job("job-1")["state"] == "acknowledged")
            strikes += sum(world.network.strikes.values())
        assert len(runner.ran) == 1, f"{kind} {direction} {offset}"
    assert strikes >= 10


async def test_an_answer_without_a_node_is_a_typed_failure(autojump_clock: MockClock) -> None:
    """At the pending deadline the failure says so; meanwhile the reason of waiting was told."""
    async with scheduler_world(pending_timeout=10.0) as world, session_on(world.network) as session:
        submission = session.submit(b"hello")
        events = [e async for e in submission.events() if isinstance(e, wire.UiEvent)]
        with pytest.raises(TranslationFailed, match="no node is connected") as caught:
            await submission.result()
        assert 10.0 <= trio.current_time() < 10.5
        assert (caught.value.reason, caught.value.code) == (
            "no_available_node", "NO_AVAILABLE_NODE",
        )  # fmt: skip
        assert events[0].event == "WAITING"


async def test_a_full_session_is_refused_for_now(autojump_clock: MockClock) -> None:
    """What the scheduler has no room for is refused as something to try again."""
    async with scheduler_world(jobs_per_session_max=1) as world, session_on(world.network) as s:
        s.submit(b"one")
        with pytest.raises(Refused, match="1 utterances of this session are unfinished") as caught:
            await ask(s)
        assert (caught.value.code, caught.value.retryable) == ("OVERLOADED", True)


async def test_much_to_say_needs_no_large_outbox(autojump_clock: MockClock) -> None:
    """What is open is said bit by bit, at first and again after a lost connection."""
    narrow = Config(
        outbox_messages_max=8, retained_outcomes_max=1, jobs_per_session_max=1,
        outbox_bytes_max=6144, retained_bytes_max=1024, message_bytes_max=4000,
        close_timeout=0.5,
    )  # fmt: skip
    slow = LinkPlan(window=256, faults=(Fault("reset", "to_server", offset=6000),))
    async with (
        scheduler_world(ScriptedRunner()) as world,
        session_on(world.network, slow, transport=narrow) as session,
    ):
        submitted = [
            session.submit(b"x" * 300 + b"%d" % n, audio_format="pcm16") for n in range(30)
        ]
        texts = [(await one.result()).text_source[300:] for one in submitted]
    assert texts == [str(n) for n in range(30)]
    assert len(world.network.links) == 3  # the node's, the one that broke, and one more


async def test_cancelling_a_translation_cancels_its_job(autojump_clock: MockClock) -> None:
    """The node that works on it stops, and the next utterance finds its slot free."""
    runner = ScriptedRunner(script=[20.0, 0.0])
    async with scheduler_world(runner) as world, session_on(world.network) as session:
        with trio.move_on_after(1):
            await ask(session, "never mind")
        await until(lambda: bool(runner.cancelled))
        assert trio.current_time() < 1.25
        assert await ask(session, "next") == "NEXT"


@pytest.mark.parametrize("seed", range(12))
def test_a_session_may_be_cancelled_before_it_begins(seed: int) -> None:
    """Whoever is cancelled while a session is made leaves at once, at whatever step that is."""

    async def main() -> None:
        async def enter() -> None:
            async with session_on(Network()):
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            for _ in range(seed):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    simulate(main, schedule=mixed(seed), timeout_s=60)


async def test_leaving_the_block_cancels_what_is_open(autojump_clock: MockClock) -> None:
    """The session is gone from the registry at once, and no node works for it any more."""
    runner = ScriptedRunner(seconds=20)
    async with scheduler_world(runner) as world:
        async with session_on(world.network) as session:
            session.submit(b"hello")
            await until(lambda: bool(runner.ran))
        await until(lambda: bool(runner.cancelled))
        assert trio.current_time() < 1.0
        assert world.sessions == []


async def test_leaving_is_bounded_whatever_the_scheduler_does(autojump_clock: MockClock) -> None:
    """A scheduler that has gone silent cannot hold a client back."""
    async with scheduler_world() as world:
        async with session_on(world.network) as session:
            await until(lambda: session.state == "open")
            world.link_of("client").strike(Fault("black_hole", at=0))
            left_at = trio.current_time()
        waited = trio.current_time() - left_at
        assert waited <= 2 * world.config.close_timeout


async def test_another_process_goes_on_with_the_session(autojump_clock: MockClock) -> None:
    """It gets what the earlier one had not, in order, once; new utterances have new indexes."""
    runner = ScriptedRunner(script=[0.0, 2.0, 3.0])
    async with scheduler_world(runner) as world:
        async with session_on(world.network) as session:
            first = session.submit(b"one")
            await until(lambda: bool(runner.ran))  # which gives it the first time of the script
            session.submit(b"two")
            session.submit(b"three")
            assert (await first.result()).text_translated == "ONE"
            session.detach()
        kept = session.resumption
        assert kept is not None
        assert (kept.last_seq, kept.next_index) == (1, 3)
        await trio.sleep(10)
        async with session_on(world.network, resume=kept) as session:
            assert await ask(session, "four") == "FOUR"
            early = await told(session.outcomes())
            assert [o.translation().text_translated for o in early] == ["TWO", "THREE"]
            assert [o.utterance_index for o in early] == [1, 2]
            await until(lambda: world.job(early[1].job_id)["state"] == "acknowledged")
        assert len(runner.ran) == 4


async def test_two_processes_do_not_fight_over_a_session(autojump_clock: MockClock) -> None:
    """The one whose session was taken over stops, with an error that says so."""
    async with scheduler_world(ScriptedRunner(seconds=5)) as world:
        async with session_on(world.network) as first:
            waiting = first.submit(b"hello", audio_format="pcm16")
            await until(lambda: first.resumption is not None and waiting.job_id is not None)
            async with session_on(world.network, resume=first.resumption) as second:
                with pytest.raises(ConnectionLost, match="another connection has taken") as caught:
                    await waiting.result()
                assert (caught.value.code, caught.value.reconnect) == (4003, False)
                early = await anext(second.outcomes())
                assert early.translation().text_translated == "HELLO"
            assert first.state == "closed"
        assert len([link for link in world.network.links if link.label == "client"]) == 2


async def test_a_late_hello_of_our_own_is_no_other_process(autojump_clock: MockClock) -> None:
    """A hello that was slow on its way replaces us, and the session goes on all the same."""
    slow = LinkPlan(faults=(Fault("stall", "to_server", offset=200, duration=4.0),))
    async with scheduler_world(ScriptedRunner()) as world:
        config = ClientConfig(welcome_timeout=2.0)
        async with session_on(world.network, LinkPlan(), slow, config=config) as session:
            assert await ask(session) == "HELLO"
            world.link_of("client").reset()
            await trio.sleep(10)
            assert world.network.strikes["stall"] == 1
            assert session.state == "open"
            assert await ask(session) == "HELLO"
            async with session_on(world.network, resume=session.resumption):
                await until(lambda: session.state == "closed")  # one ghost, one pardon
        clients = [link for link in world.network.links if link.label == "client"]
        assert len(clients) == 5  # the first, the slow one, its successor, the next, and the other


async def test_a_restarted_scheduler_gets_what_is_open(autojump_clock: MockClock) -> None:
    """When a scheduler drains and another takes its place, the utterance still comes back."""
    async with (
        scheduler_world(ScriptedRunner(seconds=60), drain_timeout=5.0) as world,
        session_on(world.network) as session,
    ):
        submission = session.submit(b"hello", audio_format="pcm16")
        await until(lambda: submission.job_id is not None)
        world.shutdown.request()
        await until(lambda: not world.network.listeners)
        await world.start()
        assert session.session_id is not None
        world.add_node(ScriptedRunner())
        assert (await submission.result()).text_translated == "HELLO"


# -- the block -----------------------------------------------------------------------------


async def test_an_error_of_the_block_comes_out_as_it_is(autojump_clock: MockClock) -> None:
    """No exception group is put around what the user's own code raises."""
    async with scheduler_world() as world:
        with pytest.raises(ZeroDivisionError):
            async with session_on(world.network):
                1 / 0  # noqa: B018  # it is the error that counts


async def test_cancelling_the_block_leaves_nothing(autojump_clock: MockClock) -> None:
    """Also when it is cancelled, the session is closed and no task remains."""
    async with scheduler_world() as world:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.move_on_after(1):
            async with session_on(world.network):
                await trio.sleep_forever()
        await until(lambda: world.sessions == [])
        await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)


@pytest.mark.parametrize("url", ["http://here", "here:5010", "ws://", "ws://here:port"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A mistake in the address is found before anything is dialled."""
    with pytest.raises(ConfigError, match="is no address"):
        async with connect(url, src_lang="en", tgt_lang="es"):
            pass
