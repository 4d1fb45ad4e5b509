"""The agent and its scheduler: a real agent, a scripted scheduler, and a link in memory."""

import math
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
import trio
from fakes import ScriptedRunner
from node_support import LATENCY, NODE_ID, Line, World, assignment, node_at_work
from simulation.network import Direction, Fault, Kind, LinkPlan
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.errors import Close, Code
from scheduler.wire import node as wire
from scheduler.wire.common import AttemptRef, Error

ROUND_TRIP = 2 * LATENCY


# -- dialling ------------------------------------------------------------------------------------


async def test_it_says_what_it_waits_for(autojump_clock: MockClock) -> None:
    """Each try ends in one line: what it waits for, why, and when it tries again."""
    async with node_at_work(listening=False) as world:
        await trio.sleep(60)
    assert world.said[0] == (
        "no scheduler listening at 127.0.0.1:5010 (connection refused), next try in 0.2 s"
    )
    assert len(set(world.said)) > 1


async def test_pauses_grow_to_the_cap_and_no_further(autojump_clock: MockClock) -> None:
    """However unlucky the dice, a node dials again within backoff_max."""
    async with node_at_work(listening=False, draw=lambda: math.nextafter(1, 0)) as world:
        await trio.sleep(60)
    pauses = [float(line.rpartition("next try in ")[2].removesuffix(" s")) for line in world.said]
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(pauses[4:]) == {5.0}


async def test_a_late_scheduler_is_found(autojump_clock: MockClock) -> None:
    """A node that came first registers within its back-off cap once there is a scheduler."""
    async with node_at_work(listening=False) as world:
        await trio.sleep(300)
        world.network.refusing.clear()
        with trio.fail_after(5.0 + 4 * ROUND_TRIP):
            await world.line()


async def test_only_a_connection_that_lasted_makes_pauses_short_again(
    autojump_clock: MockClock,
) -> None:
    """Two nodes of one name, which take over from each other, do so ever less often."""
    async with node_at_work() as world:
        for _ in range(6):
            line = await world.registered()
            line.connection.end(Close.REPLACED)
        line = await world.registered()
        await trio.sleep(6)
        line.connection.end(Close.GOING_AWAY)
        await world.line()
    replaced = [line for line in world.said if "replaced" in line]
    assert replaced[-1] == "replaced by a newer connection [4003], next try in 2.5 s"
    assert world.said[-1] == "the server is going away [1001], next try in 0.2 s"


async def test_the_scheduler_may_ask_for_shorter_pauses(autojump_clock: MockClock) -> None:
    """Of the scheduler's cap and the node's own the lower one holds, from the first hello on."""
    for theirs_ms, longest in ((1500, 1.5), (60_000, 5.0)):
        async with node_at_work(draw=lambda: math.nextafter(1, 0)) as world:
            await world.registered(timers={"backoff_max_ms": theirs_ms})
            world.network.refusing.add("server")
            world.link.reset()
            await trio.sleep(60)
        assert world.said[-1].endswith(f"next try in {longest} s")


async def test_a_scheduler_that_never_answers_the_hello_is_given_up(
    autojump_clock: MockClock,
) -> None:
    """A connection without a register ack ends after the hello timeout; the node dials again."""
    async with node_at_work() as world:
        await world.line()
        await world.line()
    assert world.said == ["no hello in time [4000], next try in 0.2 s"]


@pytest.mark.parametrize("close", [Close.UNAUTHORIZED, Close.TOO_MANY_INVALID])
async def test_a_final_close_ends_the_node(close: Close, autojump_clock: MockClock) -> None:
    """A close code of 4500 or more ends the agent with that error, and its jobs with it."""
    runner = ScriptedRunner(seconds=math.inf)
    async with node_at_work(runner) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        line.connection.end(close)
        await world.ended.wait()
    assert str(world.error) == f"{close.text} [{close.code}]"
    assert runner.cancelled == [("job-1", 1)]
    assert not any("next try" in line for line in world.said)


# -- the hello and the heartbeat -----------------------------------------------------------------


async def test_it_registers_what_its_engines_have(autojump_clock: MockClock) -> None:
    """The hello has the runner's own description, the slots of the settings, and receipts."""
    runner = ScriptedRunner()
    async with node_at_work(runner, slots=3, node_id="kitchen") as world:
        _, hello = await world.line()
    able = runner.describe()
    assert hello.capability_by_type == able.capabilities
    assert hello.language_capabilities == able.languages
    assert (hello.node_id, hello.slots, hello.receipts) == ("kitchen", 3, True)
    assert hello.in_flight == ()


async def test_it_keeps_the_name_it_was_given(autojump_clock: MockClock) -> None:
    """The id of the first registration is asked for in the next one."""
    async with node_at_work() as world:
        line, hello = await world.line()
        assert hello.node_id is None
        line.register(node_id="node-7")
        await line.hear(wire.NodeHeartbeat)
        world.link.reset()
        _, hello = await world.line()
    assert hello.node_id == "node-7"


async def test_it_beats_while_it_works(autojump_clock: MockClock) -> None:
    """Heartbeats come at the pace the scheduler asked for, busy or not, and tell what runs."""
    async with node_at_work(ScriptedRunner(seconds=20)) as world:
        line, _ = await world.line()
        line.register(timers={"heartbeat_ms": 500})
        await trio.sleep(5)
        line.say(assignment())
        await trio.sleep(5)
    beats = line.all(wire.NodeHeartbeat)
    times = [
        at
        for at, message in zip(line.heard_at, line.heard, strict=True)
        if isinstance(message, wire.NodeHeartbeat)
    ]
    assert all(b - a <= 0.5 for a, b in pairwise(times))
    assert 20 <= len(beats) <= 22
    assert beats[0].in_flight == ()
    assert beats[-1].in_flight == (AttemptRef(job_id="job-1", attempt_id=1),)
    assert beats[-1].resource_usage.running_jobs == 1


async def test_nothing_is_said_about_jobs_before_the_ack(autojump_clock: MockClock) -> None:
    """Until it is registered on this connection a node says nothing but its hello."""
    async with node_at_work(ScriptedRunner(seconds=1)) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        world.link.reset()
        line, _ = await world.line()
        await trio.sleep(3)
        assert len(line.heard) == 1
        line.register()
        await line.hear(wire.JobResult)


# -- jobs ----------------------------------------------------------------------------------------


async def test_a_job_is_receipted_started_and_answered(autojump_clock: MockClock) -> None:
    """Receipt, start, progress and result come in this order, each with the attempt's names."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(assignment(attempt=2))
        result = await line.hear(wire.JobResult)
    told = [m for m in line.heard if not isinstance(m, wire.NodeRegister | wire.NodeHeartbeat)]
    kinds = [wire.JobAck, wire.JobStarted, wire.JobProgress, wire.JobResult]
    assert [type(m) for m in told] == kinds
    assert {(m.job_id, m.attempt_id) for m in told} == {("job-1", 2)}  # type: ignore[union-attr]
    assert (result.node_id, result.session_id) == (NODE_ID, "s-1")
    assert (result.success, result.text_translated) == (True, "WORDS OF JOB-1")


async def test_a_cancelled_job_stops_within_a_round_trip(autojump_clock: MockClock) -> None:
    """job_cancel stops the engine at once; nothing more is said of the job; its slot is free."""
    runner = ScriptedRunner(script=[math.inf, 0.0])
    async with node_at_work(runner, slots=1) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        line.say(wire.JobCancel(job_id="job-1", attempt_id=1))
        await trio.sleep(ROUND_TRIP)
        assert runner.cancelled == [("job-1", 1)]
        line.say(assignment("job-2"))
        assert (await line.hear(wire.JobResult)).job_id == "job-2"


async def test_the_next_job_may_come_in_one_breath_with_the_cancel(
    autojump_clock: MockClock,
) -> None:
    """A node with one slot takes a job that comes right behind the cancel of the one before."""
    runner = ScriptedRunner(script=[math.inf, 0.0])
    async with node_at_work(runner, slots=1) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        line.say(wire.JobCancel(job_id="job-1", attempt_id=1))
        line.say(assignment("job-2"))
        result = await line.hear(wire.JobResult)
    assert (result.job_id, result.success) == ("job-2", True)


async def test_messages_that_are_none_harm_nothing(autojump_clock: MockClock) -> None:
    """What cannot be read is skipped, and the connection goes on."""
    async with node_at_work() as world:
        line = await world.registered()
        for text in ("{", '{"type":"job_assign"}', '{"type":"sing"}', "[]"):
            line.say_raw(text)
        line.say(Error(code="INTERNAL_ERROR", message="it was nothing"))
        line.say(assignment())
        await line.hear(wire.JobResult)
    assert not any("next try" in line for line in world.said)


# -- results are kept ----------------------------------------------------------------------------


async def test_a_result_is_sent_again_until_it_is_receipted(autojump_clock: MockClock) -> None:
    """Without a receipt the same result comes again after result_stored; after it, never."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(assignment())
        first = await line.hear(wire.JobResult)
        asked_at = trio.current_time()
        second = await line.hear(wire.JobResult)
        waited = trio.current_time() - asked_at
        assert second == first
        assert 5.0 <= waited <= 6.0 + ROUND_TRIP
        line.receipt(second)
        await trio.sleep(60)
        assert len(line.all(wire.JobResult)) == 2
        assert line.all(wire.NodeHeartbeat)[-1].in_flight == ()


async def test_a_kept_result_is_in_flight_on_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    """After a lost connection the hello names what runs and what is kept; both are delivered."""
    runner = ScriptedRunner(script=[0.0, 10.0])
    async with node_at_work(runner) as world:
        line = await world.registered()
        line.say(assignment("job-1"))
        kept = await line.hear(wire.JobResult)
        line.say(assignment("job-2", 3))
        await line.hear(wire.JobAck)
        await line.hear(wire.JobAck)
        world.link.reset()
        line, hello = await world.line()
        assert set(hello.in_flight or ()) == {
            AttemptRef(job_id="job-1", attempt_id=1),
            AttemptRef(job_id="job-2", attempt_id=3),
        }
        line.register()
        assert await line.hear(wire.JobResult) == kept
        line.receipt(kept)
        assert (await line.hear(wire.JobStarted)).job_id == "job-2"
        late = await line.hear(wire.JobResult)
        line.receipt(late)
        assert late.job_id == "job-2"
    assert runner.ran == [("job-1", 1), ("job-2", 3)]


async def test_a_job_that_ends_while_nobody_listens_is_delivered_later(
    autojump_clock: MockClock,
) -> None:
    """Work goes on without a connection, and its result goes out on the next one."""
    async with node_at_work(ScriptedRunner(seconds=2)) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        world.network.refusing.add("server")
        world.link.reset()
        await trio.sleep(60)
        world.network.refusing.clear()
        line, hello = await world.line()
        assert hello.in_flight == (AttemptRef(job_id="job-1", attempt_id=1),)
        line.register()
        assert (await line.hear(wire.JobResult)).success


async def test_a_cancelled_stray_is_forgotten(autojump_clock: MockClock) -> None:
    """A kept result that the scheduler cancels on the new connection is not in flight any more."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobResult)
        line.say(wire.JobCancel(job_id="job-1", attempt_id=1))
        await trio.sleep(20)
        assert len(line.all(wire.JobResult)) == 1
        assert line.all(wire.NodeHeartbeat)[-1].in_flight == ()


@pytest.mark.parametrize("kind", ["reset", "black_hole", "half_close"])
@pytest.mark.parametrize(("direction", "end"), [("to_server", 3_600), ("to_client", 1_350)])
def test_every_result_arrives_wherever_the_link_breaks(
    kind: Kind, direction: Direction, end: int
) -> None:
    """Whichever byte is the first to be lost, to or from the node, each result comes through."""
    places = range(0, end, 61)
    struck = 0
    for place in places:
        fault = Fault(kind, direction, offset=place)
        struck += simulate(broken_conversation, fault, schedule=mixed(place), timeout_s=300)
    assert struck >= 0.8 * len(places)


async def broken_conversation(fault: Fault) -> int:
    """Three jobs, over a first link with this fault and sound ones after it; how often it struck.

    The scheduler assigns again what is neither in flight on the new connection nor received.
    """
    runner, received, complete = ScriptedRunner(seconds=0.25), set[str](), trio.Event()
    plans = [LinkPlan(faults=(fault,))]
    jobs = [assignment(f"job-{number}") for number in range(1, 4)]

    async def converse(line: Line, hello: wire.NodeRegister) -> None:
        line.register()
        here = {ref.job_id for ref in hello.in_flight or ()} | received
        for job in jobs:
            if job.job_id not in here:
                line.say(job)
        while True:
            result = await line.hear(wire.JobResult)
            assert result.success
            received.add(result.job_id)
            line.receipt(result)
            if len(received) == len(jobs):
                complete.set()

    def plan() -> LinkPlan:
        return plans.pop() if plans else LinkPlan()

    async with (
        node_at_work(runner, plan=plan, slots=3) as world,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve_every_line, world, converse, nursery)
        await complete.wait()
        await world.agent._jobs.settled()
        nursery.cancel_scope.cancel()
    return world.network.strikes[fault.kind]


async def serve_every_line(
    world: World,
    converse: Callable[[Line, wire.NodeRegister], Awaitable[None]],
    nursery: trio.Nursery,
) -> None:
    """Hand each connection of the node to a task of its own."""
    while True:
        line, hello = await world.line()
        nursery.start_soon(converse, line, hello)


# -- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_an_idle_node_leaves_at_once(seed: int) -> None:
    """Asked to stop, a node without work tells that it drains, closes with 1000, and ends."""

    async def leave() -> None:
        async with node_at_work() as world:
            line = await world.registered()
            world.stop.set()
            with trio.fail_after(1.0):
                await world.ended.wait()
            await line.connection.over.wait()
        assert line.all(wire.NodeHeartbeat)[-1].draining
        assert line.connection.peer_code == Close.NORMAL.code
        assert not any("next try" in line for line in world.said)

    simulate(leave, schedule=mixed(seed))


async def test_a_node_that_never_had_a_scheduler_leaves_at_once(autojump_clock: MockClock) -> None:
    """Stopping needs no scheduler."""
    async with node_at_work(listening=False) as world:
        await trio.sleep(10)
        world.stop.set()
        with trio.fail_after(LATENCY):
            await world.ended.wait()


async def test_a_draining_node_ends_its_jobs_and_delivers_them(autojump_clock: MockClock) -> None:
    """SIGTERM: what runs ends, its results are receipted, no new job is taken, then it leaves."""
    runner = ScriptedRunner(seconds=4)
    async with node_at_work(runner) as world:
        line = await world.registered()
        line.say(assignment("job-1"))
        await line.hear(wire.JobStarted)
        world.stop.set()
        await trio.sleep(ROUND_TRIP)
        assert line.all(wire.NodeHeartbeat)[-1].draining
        line.say(assignment("job-2"))
        refusal = await line.hear(wire.JobResult)
        assert refusal.error is not None
        assert (refusal.error.code, refusal.error.retryable) == (Code.NODE_OVERLOADED, True)
        line.receipt(refusal)
        result = await line.hear(wire.JobResult)
        assert (result.job_id, result.success) == ("job-1", True)
        await trio.sleep(3)
        assert not world.ended.is_set()
        line.receipt(result)
        with trio.fail_after(1.0):
            await world.ended.wait()
    assert runner.ran == [("job-1", 1)]


async def test_a_drain_waits_for_a_scheduler_that_is_away(autojump_clock: MockClock) -> None:
    """A result without receipt is worth waiting for; meanwhile the node offers nothing."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobResult)
        world.network.refusing.add("server")
        world.link.reset()
        await trio.sleep(1)
        world.stop.set()
        await trio.sleep(10)
        assert not world.ended.is_set()
        world.network.refusing.clear()
        line, hello = await world.line()
        assert not any(each.ready for each in hello.capability_by_type)
        line.register(status="draining")
        assert (await line.hear(wire.NodeHeartbeat)).draining
        line.receipt(await line.hear(wire.JobResult))
        with trio.fail_after(1.0):
            await world.ended.wait()


async def test_draining_ends_by_its_timeout(autojump_clock: MockClock) -> None:
    """A job that takes longer than the drain timeout is given up, and the node leaves."""
    runner = ScriptedRunner(seconds=math.inf)
    async with node_at_work(runner, drain_timeout=8.0) as world:
        line = await world.registered()
        line.say(assignment(deadline_ms=None))
        await line.hear(wire.JobStarted)
        world.stop.set()
        with trio.fail_after(8.0 + 1.0):
            await world.ended.wait()
    assert runner.cancelled == [("job-1", 1)]


async def test_a_scheduler_that_stops_reading_does_not_hold_a_leaving_node(
    autojump_clock: MockClock,
) -> None:
    """Leaving is bounded by the write and the close timeout, whatever the other side does."""
    async with node_at_work() as world:
        await world.registered()
        world.link.freeze("server", math.inf)
        world.stop.set()
        with trio.fail_after(5.0 + 2.0 + 1.0):
            await world.ended.wait()


async def test_a_drained_node_stays_and_takes_nothing(autojump_clock: MockClock) -> None:
    """node_control drain: what runs ends, nothing new is taken, and the node does not leave."""
    runner = ScriptedRunner(seconds=2)
    async with node_at_work(runner) as world:
        line = await world.registered()
        line.say(assignment("job-1"))
        await line.hear(wire.JobStarted)
        line.say(wire.NodeControl(command="drain"))
        result = await line.hear(wire.JobResult)
        assert result.success
        line.receipt(result)
        await trio.sleep(60)
        assert line.all(wire.NodeHeartbeat)[-1].draining
        line.say(assignment("job-2"))
        assert not (await line.hear(wire.JobResult)).success
        assert not world.ended.is_set()
    assert runner.ran == [("job-1", 1)]


async def test_an_order_to_drain_ends_with_its_connection(autojump_clock: MockClock) -> None:
    """A scheduler that drains asks for itself: the one that comes after it may give jobs again."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(wire.NodeControl(command="drain"))
        await trio.sleep(2)
        line.connection.end(Close.GOING_AWAY)
        line, hello = await world.line()
        assert all(each.ready for each in hello.capability_by_type)
        line.register()
        assert not (await line.hear(wire.NodeHeartbeat)).draining
        line.say(assignment())
        assert (await line.hear(wire.JobResult)).success


async def test_node_control_shutdown_is_a_polite_stop(autojump_clock: MockClock) -> None:
    """node_control shutdown: the node drains and ends, as if it had got a signal."""
    async with node_at_work(ScriptedRunner(seconds=2)) as world:
        line = await world.registered()
        line.say(assignment())
        await line.hear(wire.JobStarted)
        line.say(wire.NodeControl(command="shutdown", reason="maintenance"))
        line.receipt(await line.hear(wire.JobResult))
        with trio.fail_after(1.0):
            await world.ended.wait()
    assert world.error is None


async def test_what_it_cannot_do_it_says(autojump_clock: MockClock) -> None:
    """node_control reload_config is answered, since a node reads its settings only once."""
    async with node_at_work() as world:
        line = await world.registered()
        line.say(wire.NodeControl(command="reload_config"))
        answer = await line.hear(wire.NodeError)
    assert answer.code == Code.UNSUPPORTED_FEATURE
    assert answer.node_id == NODE_ID
