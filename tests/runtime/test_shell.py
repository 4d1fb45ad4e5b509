"""A decision and its effects are one step, and the registry is the set of open connections."""

import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
import structlog.testing
import trio
import trio.testing
from connection_support import Served, served
from fakes import CountingIds
from messages import hello, register, utterance
from simulation.network import LinkPlan
from trio.testing import MockClock

from scheduler.config import Config
from scheduler.core.engine import Engine
from scheduler.core.events import (
    DrainStarted,
    Effect,
    Event,
    Expired,
    Left,
    NodeJoined,
    Received,
    SessionJoined,
    SignsOfLife,
    Timer,
    Written,
)
from scheduler.errors import Close
from scheduler.runtime.outbox import Entry
from scheduler.runtime.shell import Shell
from scheduler.runtime.turns import Turns, counted_turns
from scheduler.wire.common import Resume
from scheduler.wire.session import ClientHeartbeat

SIGNS = SignsOfLife(0.0)


class Observed:
    """A shell, and what it reported."""

    def __init__(self, nursery: trio.Nursery, turns: Turns) -> None:
        self.seen: list[tuple[Event, list[Effect], int]] = []
        engine = Engine(Config(), CountingIds())
        self.shell = Shell(engine, nursery, turns=turns, observe=self.observe)

    def observe(self, event: Event, effects: list[Effect]) -> None:
        self.seen.append((event, effects, self.shell.connections))

    @property
    def events(self) -> list[Event]:
        return [event for event, _, _ in self.seen]


@contextlib.asynccontextmanager
async def observed() -> AsyncIterator[Observed]:
    with counted_turns() as turns:
        async with trio.open_nursery() as nursery:
            yield Observed(nursery, turns)
            nursery.cancel_scope.cancel()


async def test_being_registered_is_being_in_the_block(autojump_clock: MockClock) -> None:
    """Each block has a generation of its own; leaving it is ``Left``, told when it is gone."""
    async with observed() as here, served() as one, served() as two:
        shell = here.shell
        with shell.registered(one.connection) as first:
            with shell.registered(two.connection) as second:
                assert (first, second, shell.connections) == (1, 2, 2)
                two.connection.cut(Close.SLOW_CONSUMER)
            assert shell.connections == 1
        assert shell.connections == 0
        with shell.registered(one.connection) as third:
            assert third == 3
        left = [(e.connection, e.close, n) for e, _, n in here.seen if isinstance(e, Left)]
        assert left == [
            (2, Close.SLOW_CONSUMER, 1),
            (1, Close.GOING_AWAY, 0),
            (3, Close.GOING_AWAY, 0),
        ]


async def test_an_error_leaves_the_block_too(autojump_clock: MockClock) -> None:
    """However the block ends, the connection is registered no more."""
    async with observed() as here, served() as one:
        with pytest.raises(ZeroDivisionError), here.shell.registered(one.connection):
            raise ZeroDivisionError
        assert here.shell.connections == 0
        assert isinstance(here.events[-1], Left)


async def join(here: Observed, one: Served, generation: int) -> str:
    """Let the peer's session begin; its id."""
    here.shell.apply(SessionJoined(generation, hello()))
    return str((await one.peer.hear_message("session_init_ack"))["session_id"])


async def test_effects_are_performed_before_apply_returns(autojump_clock: MockClock) -> None:
    """What an event causes is in the outbox and the timers when ``apply`` comes back."""
    async with observed() as here, served() as one:
        with here.shell.registered(one.connection) as generation:
            session_id = await join(here, one, generation)
            here.shell.apply(Received(generation, utterance(session_id)))
            assert len(here.shell.deadlines) == 1
            assert here.shell.engine.unfinished == 1
            event, effects, _ = here.seen[-1]
            assert isinstance(event, Received)
            assert effects
            told = [await one.peer.hear_message(), await one.peer.hear_message()]
            assert [message["type"] for message in told] == ["utterance_accepted", "ui_event"]


async def test_a_timer_comes_back_as_an_event(autojump_clock: MockClock) -> None:
    """A deadline that the engine set expires as an event, at its time, and settles the job."""
    async with observed() as here, served() as one:
        with here.shell.registered(one.connection) as generation:
            session_id = await join(here, one, generation)
            here.shell.apply(Received(generation, utterance(session_id)))
            outcome = await one.peer.hear_message("missing_result")
            assert (
                trio.current_time()
                == here.shell.engine.snapshot(0).job(outcome["job_id"])[  # type: ignore[index]
                    "settled_at_ms"
                ]
                / 1000
            )
            assert Expired(Timer("job", outcome["job_id"])) in here.events
            assert here.shell.engine.unfinished == 0


async def test_what_is_for_nobody_goes_nowhere(autojump_clock: MockClock) -> None:
    """An effect for a connection that is not registered any more is dropped, not misdirected."""
    async with observed() as here, served() as one, served() as two:
        with here.shell.registered(one.connection) as old:
            session_id = await join(here, one, old)
        with here.shell.registered(two.connection) as new:
            here.shell.apply(Received(old, ClientHeartbeat(session_id=session_id, timestamp=1)))
            here.shell.apply(SessionJoined(new, hello()))
            assert (await two.peer.hear_message())["type"] == "session_init_ack"
        await trio.testing.wait_all_tasks_blocked()
        assert one.writing == two.writing == []


async def test_until_looks_after_each_event(autojump_clock: MockClock) -> None:
    """``until`` returns with the event that makes its condition true, or at once."""
    async with observed() as here, served() as one:
        await here.shell.until(lambda: True)
        reached = trio.Event()

        async def wait() -> None:
            await here.shell.until(lambda: len(here.seen) >= 2)
            reached.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            with here.shell.registered(one.connection) as generation:
                here.shell.apply(SessionJoined(generation, hello()))
                await trio.testing.wait_all_tasks_blocked()
                assert not reached.is_set()
                here.shell.apply(DrainStarted())
                await reached.wait()


async def test_everybody_is_told_of_the_end(autojump_clock: MockClock) -> None:
    """``end_all`` closes every registered connection behind what it had to say, and no other."""
    async with observed() as here, served() as one, served() as two, served() as three:
        with (
            here.shell.registered(one.connection) as generation,
            here.shell.registered(two.connection),
        ):
            here.shell.apply(SessionJoined(generation, hello()))
            here.shell.end_all(Close.GOING_AWAY)
            await one.peer.hear_message("session_init_ack")
            assert await one.peer.hear_close() == Close.GOING_AWAY.code
            assert await two.peer.hear_close() == Close.GOING_AWAY.code
            assert not three.connection.over.is_set()


async def test_facts_that_matter_are_loud(autojump_clock: MockClock) -> None:
    """What ends or begins is a line at info level, the steps between are for debugging."""
    with structlog.testing.capture_logs() as logs:
        async with observed() as here, served() as one:
            with here.shell.registered(one.connection) as generation:
                session_id = await join(here, one, generation)
                here.shell.apply(Received(generation, utterance(session_id)))
    levels = {line["event"]: line["log_level"] for line in logs}
    assert levels["session_joined"] == levels["session_left"] == "info"
    assert levels["accepted"] == levels["waiting"] == "debug"


async def test_nothing_more_is_written_on_a_replaced_connection(autojump_clock: MockClock) -> None:
    """What waited in its outbox is said on the successor, which may have been told newer things."""
    async with observed() as here, served() as old, served() as new:
        shell = here.shell
        with shell.registered(old.connection) as first, shell.registered(new.connection) as second:
            shell.apply(SessionJoined(first, hello()))
            ack = await old.peer.hear_message("session_init_ack")
            beat = ClientHeartbeat(session_id=ack["session_id"], timestamp=1)
            shell.apply(Received(first, beat))
            resume = Resume(
                session_id=ack["session_id"], resume_token=ack["resume_token"], last_seq=0
            )
            shell.apply(SessionJoined(second, hello(resume=resume)))

            heard = await old.peer.hear()

            assert heard.code == Close.REPLACED.code
            assert (await new.peer.hear_message("session_init_ack"))["resumed"] is True


async def test_what_a_step_causes_is_decided_after_it(autojump_clock: MockClock) -> None:
    """An event that arises in a step is decided after it and before the call for it returns."""
    async with observed() as here, served() as one:
        shell = here.shell
        with shell.registered(one.connection) as generation:
            caused: list[Event] = [DrainStarted(), Left(99, Close.NORMAL)]
            observe = here.observe

            def cause(event: Event, effects: list[Effect]) -> None:
                while caused:
                    shell.apply(caused.pop(0))
                observe(event, effects)

            shell._observe = cause
            joined = SessionJoined(generation, hello())
            shell.apply(joined)
            assert here.events == [joined, DrainStarted(), Left(99, Close.NORMAL)]


async def test_a_fault_in_what_a_step_causes_is_not_its_own(autojump_clock: MockClock) -> None:
    """It ends the connection of the event that was caused; the caller and the rest go on."""
    async with observed() as here, served() as one, served() as other:
        shell = here.shell
        with shell.registered(one.connection) as first, shell.registered(other.connection):
            caused: list[Event] = [Written(first, 1, SIGNS), Left(99, Close.NORMAL)]
            observe = here.observe

            def cause(event: Event, effects: list[Effect]) -> None:
                observe(event, effects)
                while caused:
                    shell.apply(caused.pop(0))
                if isinstance(event, Written):
                    raise ZeroDivisionError

            shell._observe = cause
            shell.apply(DrainStarted())
            assert here.events[-1] == Left(99, Close.NORMAL)
            await one.ended.wait()
            assert isinstance(one.error, ExceptionGroup)
            assert one.error.subgroup(ZeroDivisionError) is not None
            assert one.connection.close is Close.INTERNAL_ERROR
            assert not other.ended.is_set()


async def test_a_fault_of_the_caller_leaves_nothing_undecided(autojump_clock: MockClock) -> None:
    """When a step fails, what it had caused before is decided all the same."""
    async with observed() as here:
        observe = here.observe

        def cause(event: Event, effects: list[Effect]) -> None:
            observe(event, effects)
            if isinstance(event, DrainStarted):
                here.shell.apply(Left(99, Close.NORMAL))
                raise ZeroDivisionError

        here.shell._observe = cause
        with pytest.raises(ZeroDivisionError):
            here.shell.apply(DrainStarted())
        assert here.events == [DrainStarted(), Left(99, Close.NORMAL)]
        here.shell.apply(Expired(Timer("job", "nobody")))
        assert here.events[-1] == Expired(Timer("job", "nobody"))


async def test_work_and_outcomes_are_written_before_courtesies(autojump_clock: MockClock) -> None:
    """Of the connections that one step speaks to, the one that waits for its result is first.

    A node has its job before the session has the acceptance.
    """
    plan = LinkPlan(latency=0.0, prompt=True)
    async with observed() as here, served(plan) as client, served(plan) as node:
        shell = here.shell
        with shell.registered(client.connection) as first, shell.registered(node.connection) as two:
            session_id = await join(here, client, first)
            shell.apply(NodeJoined(two, register()))
            order: list[str] = []
            for name, one in (("client", client), ("node", node)):
                flush = one.connection.flush

                def noted(
                    *, gather: bool, name: str = name, flush: Callable[..., None] = flush
                ) -> None:
                    order.append(name)
                    flush(gather=gather)

                one.connection.flush = noted  # type: ignore[assignment,method-assign]
            shell.apply(Received(first, utterance(session_id)))
            assert order == ["node", "client"]


async def test_what_was_cut_is_not_flushed(autojump_clock: MockClock) -> None:
    """A connection that is cut writes nothing more, not even what is queued in the same breath."""
    async with served(LinkPlan(latency=0.0, prompt=True)) as one:
        one.connection.queue(Entry("too late"))
        one.connection.cut(Close.REPLACED)
        one.connection.flush()
        assert (await one.peer.hear()).code == Close.REPLACED.code
