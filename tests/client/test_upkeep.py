"""Dialling again and again: after which ends, how soon, and to whom. The scheduler is scripted."""

import contextlib
from itertools import pairwise

import pytest
import trio
from client_support import (
    Caller,
    collect,
    outcome,
    scripted,
    session_on,
    until,
    welcome,
)
from trio.testing import MockClock

from scheduler.client import Event, Session, StateChanged, connect
from scheduler.config import ClientConfig
from scheduler.errors import ConnectionLost
from scheduler.wire import session as wire
from scheduler.wire.common import Resume

TOKEN = "secret"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1013, 4000, 4001, 4002, 4004, 4499])
async def test_after_most_ends_the_next_connection_is_made(
    code: int, autojump_clock: MockClock
) -> None:
    """Codes that allow it are followed by the next try, and the session is resumed."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        caller = await scheduler.caller()
        await caller.welcome()
        await until(lambda: session.state == "open")
        await caller.close(code, "goodbye")
        caller = await scheduler.caller()
        hello = await caller.hear(wire.SessionInit)
        assert hello.resume is not None
        assert session.state == "resuming"
        assert session.detail == f"goodbye [{code}], next try in 0.2 s"


@pytest.mark.parametrize("code", [1008, 4003, 4500, 4501, 4999])
async def test_some_ends_are_final(code: int, autojump_clock: MockClock) -> None:
    """After a code that forbids it nobody dials; whoever waits gets the code and the reason."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"hello")
        caller = await scheduler.caller()
        await caller.welcome()
        await until(lambda: session.state == "open")
        await caller.close(code, "never again")
        with pytest.raises(ConnectionLost) as caught:
            await submission.result()
        assert (caught.value.code, caught.value.reconnect) == (code, False)
        assert session.state == "closed"
        await trio.sleep(100)
        assert scheduler.calls == 1


async def test_only_a_connection_that_lasted_makes_pauses_short_again(
    autojump_clock: MockClock,
) -> None:
    """A scheduler that welcomes everybody and dies at once is met with ever longer pauses."""
    config = ClientConfig(backoff_first=0.5, backoff_max=4.0, healthy_after=5.0)
    async with scripted() as (network, scheduler):
        async with session_on(network, config=config, draw=lambda: 1.0):
            ended = list[float]()
            pauses = list[float]()
            for lasting in (0, 0, 0, 0, 6, 0):
                caller = await scheduler.caller()
                if ended:
                    pauses.append(caller.at - ended[-1])
                await caller.welcome()
                await trio.sleep(lasting)
                await caller.close(1011)
                ended.append(trio.current_time())
            caller = await scheduler.caller()
            pauses.append(caller.at - ended[-1])
        assert [round(pause * 2) / 2 for pause in pauses] == [0.5, 1.0, 2.0, 4.0, 0.5, 1.0]


@pytest.mark.parametrize(("told_ms", "ceilings"), [(1000, [0.5, 1.0, 1.0]), (0, [0.5, 0.5, 0.5])])
async def test_the_scheduler_says_how_long_pauses_may_be(
    told_ms: int, ceilings: list[float], autojump_clock: MockClock
) -> None:
    """Its ceiling counts where it is lower than our own; the first pause is never made shorter."""
    async with scripted() as (network, scheduler), session_on(network, draw=lambda: 1.0):
        caller = await scheduler.caller()
        await caller.welcome(timers={"backoff_max_ms": told_ms})
        for ceiling in ceilings:
            await caller.close(1011)
            closed_at = trio.current_time()
            caller = await scheduler.caller()
            assert ceiling <= caller.at - closed_at < ceiling + 0.25
            await caller.hear(wire.SessionInit)


@pytest.mark.parametrize("draw", [0.125, 0.5, 1.0])
async def test_pauses_have_full_jitter(draw: float, autojump_clock: MockClock) -> None:
    """Each pause is drawn between nothing and its ceiling, from the first retry on."""
    tries = list[float]()

    async def refuse() -> trio.abc.Stream:
        tries.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise ConnectionLost(None, "nobody there")

    with trio.move_on_after(60):
        async with connect(
            "ws://here", src_lang="en", tgt_lang="es", open_stream=refuse, draw=lambda: draw,
            config=ClientConfig(backoff_first=0.5, backoff_max=2.0),
        ):  # fmt: skip
            await until(lambda: len(tries) == 6)
    assert [b - a for a, b in pairwise(tries)] == [draw * c for c in (0.5, 1.0, 2.0, 2.0, 2.0)]


async def test_a_welcome_that_does_not_come_is_not_awaited_for_ever(
    autojump_clock: MockClock,
) -> None:
    """A scheduler that takes the hello and says nothing is left within the welcome's time."""
    config = ClientConfig(welcome_timeout=2.0)
    async with scripted() as (network, scheduler), session_on(network, config=config) as session:
        first = await scheduler.caller()
        await first.hear(wire.SessionInit)
        second = await scheduler.caller()
        assert 2.0 <= second.at - first.at <= 2.5
        await second.welcome()
        await until(lambda: session.state == "open")
        assert first.code == 4000


# -- a scheduler that goes away --------------------------------------------------------------


def going(after_ms: int) -> wire.GoingAway:
    return wire.GoingAway(reason="restart", time_left_ms=30_000, reconnect_after_ms=after_ms)


async def opened(caller: Caller, session: Session) -> None:
    await caller.welcome()
    await until(lambda: session.state == "open")


async def test_a_scheduler_that_goes_away_is_left_when_the_next_one_has_answered(
    autojump_clock: MockClock,
) -> None:
    """At the moment it told, and without a time in which there is no connection."""
    heard = list[Event]()
    async with (
        scripted() as (network, scheduler),
        trio.open_nursery() as nursery,
        session_on(network, draw=lambda: 0.0) as session,
    ):
        nursery.start_soon(collect, session.events(), heard)
        submission = session.submit(b"hello")
        old = await scheduler.caller()
        await opened(old, session)
        await old.hear(wire.Utterance)
        told_at = trio.current_time()
        await old.say(going(3000))
        new = await scheduler.caller()
        assert 3.0 <= new.at - told_at < 3.125
        hello = await new.hear(wire.SessionInit)
        assert hello.resume == Resume(session_id="s-1", resume_token=TOKEN, last_seq=0)
        await old.say(outcome(0, 1))  # the old connection is good until the new one is
        assert (await submission.result()).text_translated == "hola"
        assert (await old.hear(wire.ResultAck)).seq == 1
        await new.say(outcome(0, 1))
        assert not old.over.is_set()
        await new.say(welcome(resumed=True))
        await old.over.wait()
        assert old.code == 1000
        await new.say(outcome(0, 1))
        assert (await new.hear(wire.ResultAck)).seq == 1
    states = [event.state for event in heard if isinstance(event, StateChanged)]
    assert list(dict.fromkeys(states)) == ["connecting", "open", "closed"]
    assert going(3000) in heard


async def test_a_replacement_of_our_own_is_no_reason_to_stop(autojump_clock: MockClock) -> None:
    """A scheduler that closes the old connection because of the new one ends nothing else."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        old = await scheduler.caller()
        await opened(old, session)
        await old.say(going(0))
        new = await scheduler.caller()
        await new.hear(wire.SessionInit)
        await old.close(4003, "replaced")
        await until(lambda: session.state == "resuming")
        await new.say(welcome(resumed=True))
        await until(lambda: session.state == "open")
        assert session.detail == "resumed"


async def test_while_nobody_else_is_there_the_old_one_is_kept(autojump_clock: MockClock) -> None:
    """Until its end the old connection serves, and the next one is tried again and again."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        old = await scheduler.caller()
        await opened(old, session)
        network.refusing.add("server")
        await old.say(going(1000))
        await trio.sleep(20)
        assert session.state == "open"
        assert session.detail.startswith("no scheduler listening, next try in ")
        submission = session.submit(b"hello")
        await old.hear(wire.Utterance)
        await old.say(outcome(0, 1))
        assert (await submission.result()).text_translated == "hola"
        await old.close(1001)
        await until(lambda: session.state == "resuming")
        network.refusing.clear()
        new = await scheduler.caller()
        await new.welcome()
        await until(lambda: session.state == "open")


async def test_the_old_scheduler_is_told_that_the_next_one_began_anew(
    autojump_clock: MockClock,
) -> None:
    """If the next one does not know the session, it gets the work, and the old one stops it."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        session.submit(b"hello")
        old = await scheduler.caller()
        await opened(old, session)
        await old.accept(await old.hear(wire.Utterance))
        await old.say(going(0))
        new = await scheduler.caller()
        await new.welcome(session_id="s-2", resumed=False, recovered=False)
        assert (await new.hear(wire.Utterance)).session_id == "s-2"
        closing = await old.hear(wire.SessionClose)
        assert closing.session_id == "s-1"
        await old.over.wait()


async def test_nobody_dials_in_a_circle(autojump_clock: MockClock) -> None:
    """Schedulers that send the client away at once are met with ever longer pauses."""
    async with scripted() as (network, scheduler), session_on(network, draw=lambda: 1.0):
        with trio.move_on_after(30):
            while True:
                caller = await scheduler.caller()
                await caller.welcome()
                with contextlib.suppress(Exception):
                    await caller.say(going(0))
        assert scheduler.calls <= 8  # 0.5 + 1 + 2 + 4 + 8 + 16 s
