from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar, get_args

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import plans
from simulation.echo import echo_world
from simulation.network import Direction, Fault, Kind, LinkPlan, LinkStream, Network
from simulation.schedules import Fifo, HeldBack, Priorities, Schedule, mixed, simulate
from simulation.worldplan import TICK_S
from trio.testing import check_half_closeable_stream

T = TypeVar("T")
AT_ONCE = LinkPlan(latency=0.0)


def run(async_fn: Callable[[], Awaitable[T]], schedule: Schedule | None = None) -> T:
    return simulate(async_fn, schedule=schedule or Fifo())


async def connected(plan: LinkPlan) -> tuple[LinkStream, LinkStream]:
    """Both ends of a new link: the client's, the server's."""
    network = Network()
    async with network.listener() as listener:
        client = await network.connect(plan, "link")
        return client, await listener.accept()


async def read_all(stream: LinkStream) -> bytes:
    """Read up to the end, be it a proper one or not."""
    received = b""
    try:
        async for part in stream:
            received += part
    except trio.BrokenResourceError:
        pass
    return received


@pytest.mark.parametrize("schedule", [Fifo(), HeldBack(1), Priorities(1)], ids=repr)
def test_streams_keep_the_contract_of_trio(schedule: Schedule) -> None:
    """Both ends behave as trio's documentation says that a half-closeable stream does.

    Without latency: the suite takes what was sent for readable at once (`wait_all_tasks_blocked`,
    then read), and says nothing about time. Nothing else is left out.
    """

    async def make() -> tuple[LinkStream, LinkStream]:
        return await connected(AT_ONCE)

    async def make_clogged() -> tuple[LinkStream, LinkStream]:
        client, server = await connected(LinkPlan(latency=0.0, window=16))
        await client.send_all(bytes(16))
        await server.send_all(bytes(16))
        return client, server

    async def check() -> None:
        await check_half_closeable_stream(make, make_clogged)

    run(check, schedule)


@pytest.mark.parametrize("schedule", [Fifo(), HeldBack(5), Priorities(5)], ids=repr)
@pytest.mark.parametrize("offset", range(41))
def test_a_reset_destroys_exactly_what_is_in_flight(offset: int, schedule: Schedule) -> None:
    """What has been read stays read; what has been sent and not read is gone, at every offset."""
    latency = 2.5 * TICK_S  # no read falls on the instant of a write, so the outcome is certain
    message = bytes(range(40))
    plan = LinkPlan(latency=latency, faults=(Fault("reset", "to_server", offset=offset),))

    async def send(client: LinkStream) -> float | None:
        """Eight bytes a tick; gives the time at which that failed."""
        for begin in range(0, len(message), 8):
            try:
                await client.send_all(message[begin : begin + 8])
            except trio.BrokenResourceError:
                return trio.current_time()
            await trio.sleep(TICK_S)
        await client.send_eof()
        return None

    async def scenario() -> None:
        client, server = await connected(plan)
        start = trio.current_time()
        received = b""

        async def receive() -> None:
            nonlocal received
            received = await read_all(server)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            failed_at = await send(client)
        link = client.link
        assert bytes(link.to_server.delivered) == received
        if offset == len(message):  # there is no such byte, so nothing strikes
            assert (failed_at, received) == (None, message)
            return
        struck_at = start + offset // 8 * TICK_S
        written_in_time = [
            i for i in range(0, offset, 8) if start + i // 8 * TICK_S + latency < struck_at
        ]
        assert received == b"".join(message[i : i + 8] for i in written_in_time)
        assert link.to_server.sent == offset
        assert failed_at == link.unusable_since == struck_at
        for stream in (client, server):
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"x")

    run(scenario, schedule)


def test_a_write_after_the_peer_died_succeeds_once() -> None:
    """Without latency, the first write to a closed peer is taken and lost, and the next fails."""

    async def scenario() -> None:
        client, server = await connected(AT_ONCE)
        await server.aclose()
        assert await client.receive_some() == b""
        await client.send_all(b"lost")
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"fails")
        assert client.link.to_server.sent == 4
        assert not client.link.to_server.delivered

    run(scenario)


def test_writes_succeed_until_the_answer_is_back() -> None:
    """With latency, all writes of one round trip are taken and lost before the first that fails."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=0.25))
        await server.aclose()
        died_at = trio.current_time()
        await trio.sleep(1)
        await client.send_all(b"lost")
        await trio.sleep(0.5 - TICK_S)
        await client.send_all(b"lost as well")
        await trio.sleep(TICK_S)
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"fails")
        assert client.link.unusable_since == died_at
        assert not client.link.to_server.delivered

    run(scenario)


def test_what_was_written_before_a_close_still_arrives() -> None:
    """A close is an end behind the data in flight, and what the closer did not read is lost."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=0.25))
        await client.send_all(b"never read")
        await server.send_all(b"goodbye")
        await server.aclose()
        assert await read_all(client) == b"goodbye"
        assert client.link.to_client.delivered == b"goodbye"
        assert not client.link.to_server.delivered

    run(scenario)


def test_a_black_hole_is_silent_until_the_user_timeout() -> None:
    """Writes fill the window without an error; only who waits for an answer learns, much later."""

    async def scenario() -> None:
        plan = LinkPlan(latency=0.25, window=10, faults=(Fault("black_hole", at=1.0),))
        client, server = await connected(plan)
        link = client.link
        await client.send_all(b"early")
        assert await server.receive_some() == b"early"
        await trio.sleep(2)
        wrote_at = trio.current_time()
        await client.send_all(b"0123456789")  # "sent successfully"
        with trio.move_on_after(600) as silence:
            await client.send_all(b"x")
        assert silence.cancelled_caught
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()
        assert trio.current_time() == wrote_at + plan.user_timeout
        with trio.move_on_after(100_000) as silence:
            await server.receive_some()
        assert silence.cancelled_caught
        assert link.unusable_since == link.connected_at + 1
        assert link.is_silent_for("client")
        assert link.is_silent_for("server")
        assert link.to_server.sent == 15
        assert bytes(link.to_server.delivered) == b"early"

    simulate(scenario, schedule=Fifo(), timeout_s=200_000)


def test_a_black_hole_takes_what_is_in_flight() -> None:
    """Bytes and an end-of-stream that were under way do not arrive, and nobody is told."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=1.0))
        await client.send_all(b"under way")
        await client.aclose()
        await trio.sleep(0.5)
        client.link.strike(Fault("black_hole", at=0))
        with trio.move_on_after(800) as silence:
            await server.receive_some()
        assert silence.cancelled_caught
        assert not client.link.to_server.delivered

    run(scenario)


def test_a_full_window_holds_the_writer_back() -> None:
    """`send_all` returns as soon as, and not before, the last byte fits into the window."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=0.0, window=10, mtu=5))
        start = trio.current_time()

        async def read_five_a_second() -> None:
            for _ in range(5):
                await trio.sleep(1)
                assert len(await server.receive_some()) == 5

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_five_a_second)
            await client.send_all(bytes(10))
            assert trio.current_time() == start
            await client.send_all(bytes(15))
            assert trio.current_time() == start + 3
            await client.wait_send_all_might_not_block()
            assert trio.current_time() == start + 4

    run(scenario)


def test_bytes_take_the_latency_to_arrive() -> None:
    """A read ends exactly one latency after the write, with no more bytes than the mtu allows."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=1.5, mtu=3))
        assert trio.current_time() == 3.0  # connecting takes one round trip
        await client.send_all(b"four")
        assert await server.receive_some(100) == b"fou"
        assert trio.current_time() == 4.5
        assert await server.receive_some(100) == b"r"
        assert trio.current_time() == 4.5

    run(scenario)


@pytest.mark.parametrize("direction", get_args(Direction))
def test_a_half_close_ends_one_direction(direction: Direction) -> None:
    """The receiver reads the end, the sender's later bytes vanish, the other way still works."""

    async def scenario() -> None:
        client, server = await connected(AT_ONCE)
        sender, receiver = (client, server) if direction == "to_server" else (server, client)
        await sender.send_all(b"before")
        client.link.strike(Fault("half_close", direction, at=0))
        assert client.link.is_silent_for(sender.side)
        assert not client.link.is_silent_for(receiver.side)
        await sender.send_all(b"after")
        assert await read_all(receiver) == b"before"
        await receiver.send_all(b"still here?")
        assert await sender.receive_some() == b"still here?"
        client.link.close()
        assert await read_all(sender) == b""

    run(scenario)


def test_a_stalled_reader_gets_everything_later() -> None:
    """A stall or a freeze delays what is read, loses nothing, and lets the writer feel it."""

    async def scenario() -> None:
        stall = Fault("stall", "to_server", offset=4, duration=5.0)
        client, server = await connected(LinkPlan(latency=0.0, window=8, faults=(stall,)))
        start = trio.current_time()
        await client.send_all(b"12345678")
        assert await server.receive_some() == b"12345678"
        assert trio.current_time() == start + 5
        client.link.freeze("client", 2.0)
        await server.send_all(b"12345678")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.send_all, b"9")
            await trio.sleep(1)
            assert client.link.to_client.sent == 8
            assert await client.receive_some() == b"12345678"
        assert trio.current_time() == start + 7
        assert client.link.unusable_since == float("inf")

    run(scenario)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_fault_strikes_at_its_instant(kind: Kind) -> None:
    """A fault with a time strikes that long after the link was made, once, and is counted."""

    async def scenario() -> None:
        network = Network()
        plan = LinkPlan(latency=0.0, faults=(Fault(kind, "to_client", at=1.0, duration=1.0),))
        async with network.listener() as listener:
            await trio.sleep(10)
            client = await network.connect(plan, "late")
            await listener.accept()
        with trio.move_on_after(60):
            await read_all(client)
        assert client.link.unusable_since == (float("inf") if kind == "stall" else 11.0)
        assert network.strikes == {kind: 1}
        assert network.links == [client.link]

    run(scenario)


def test_a_reset_at_will_wakes_everybody() -> None:
    """`link.reset()` ends a blocked read and a blocked write at that very instant."""

    async def scenario() -> None:
        client, server = await connected(LinkPlan(latency=0.25, window=1))
        failures: list[float] = []

        async def expect_failure(operation: Callable[[], Awaitable[object]]) -> None:
            with pytest.raises(trio.BrokenResourceError):
                await operation()
            failures.append(trio.current_time())

        await client.send_all(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_failure, client.receive_some)
            nursery.start_soon(expect_failure, client.wait_send_all_might_not_block)
            await trio.sleep(7)
            client.link.reset()
            reset_at = trio.current_time()
        assert failures == [reset_at, reset_at]
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()

    run(scenario)


def test_connecting_may_be_refused() -> None:
    """Nobody there, a closed listener, a refusing one, a full backlog: ECONNREFUSED, no link."""

    async def scenario() -> None:
        network = Network()

        async def refused() -> None:
            links = len(network.links)
            with pytest.raises(OSError, match=r".") as error:
                await network.connect(AT_ONCE, "client")
            assert error.value.errno == errno.ECONNREFUSED
            assert len(network.links) == links

        await refused()
        listener = network.listener()
        with pytest.raises(OSError, match="listens as 'server' already"):
            network.listener()
        waiting = await network.connect(AT_ONCE, "nobody accepts it")
        network.refusing.add("server")
        await refused()
        network.refusing.clear()
        for _ in range(127):
            await network.connect(AT_ONCE, "backlog")
        await refused()
        await listener.aclose()
        await refused()
        with pytest.raises(trio.BrokenResourceError):
            await waiting.receive_some()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()
        async with network.listener():  # a restarted server may listen again
            await network.connect(AT_ONCE, "client")

    run(scenario)


@pytest.mark.parametrize("place", [{}, {"offset": 1, "at": 1.0}])
def test_a_fault_has_one_place(place: dict[str, float]) -> None:
    """A fault that would strike nowhere, or at two places, is a mistake in the plan."""
    with pytest.raises(ValueError, match="either at a byte offset or at an instant"):
        Fault("reset", **place)  # type: ignore[arg-type]  # as a slip in a test would be


@pytest.mark.parametrize("seed", range(10))
def test_websockets_work_over_a_link_of_single_bytes(seed: int) -> None:
    """trio-websocket, client and server, exchange messages that pass one byte at a time."""
    messages = ["", "grüß Gott", "x" * 300]
    thin = LinkPlan(mtu=1, window=1)
    echoes = simulate(echo_world, [thin, LinkPlan(), thin], messages, schedule=mixed(seed))
    assert list(echoes.received.values()) == [messages] * 3
    for link in echoes.network.links:
        assert 400 < link.to_server.sent == len(link.to_server.delivered)


@settings(max_examples=150, deadline=None)
@given(
    plan=plans.link_plans(max_at_s=4),
    messages=st.lists(st.binary(max_size=120), max_size=6),
    schedule=plans.schedules(),
)
def test_what_arrives_is_what_was_sent(
    plan: LinkPlan, messages: list[bytes], schedule: Schedule
) -> None:
    """On every link either side reads a beginning of what the other sent: all of it unless struck.

    And nobody is left waiting longer than the faults of the plan explain.
    """
    network = Network()
    sent = b"".join(messages)

    async def talk(stream: LinkStream, received: list[bytes]) -> None:
        async def write() -> None:
            try:
                for message in messages:
                    await stream.send_all(message)
                    await trio.sleep(0.5)
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass

        with trio.move_on_after(2_000):  # more than the user timeout
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                received.append(await read_all(stream))

    async def scenario() -> None:
        at_client: list[bytes] = []
        at_server: list[bytes] = []
        async with network.listener() as listener:
            client = await network.connect(plan, "link")
            server = await listener.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, client, at_client)
            nursery.start_soon(talk, server, at_server)
        for pipe, received in (
            (client.link.to_client, at_client),
            (client.link.to_server, at_server),
        ):
            assert sent.startswith(pipe.delivered)
            assert all(part == pipe.delivered for part in received)
        if not set(network.strikes) - {"stall"}:
            assert at_client == at_server == [sent]
            assert trio.current_time() < 1_000

    simulate(scenario, schedule=schedule)


@given(plans.link_plans())
def test_plans_are_exact_and_paste_back(plan: LinkPlan) -> None:
    """All times of a plan are whole ticks, and what Hypothesis prints of it is code."""
    assert eval(repr(plan)) == plan
    times = [plan.latency, plan.user_timeout]
    times += [fault.duration for fault in plan.faults]
    times += [fault.at for fault in plan.faults if fault.at is not None]
    assert all((seconds / TICK_S).is_integer() for seconds in times)
    assert all((fault.at is None) != (fault.offset is None) for fault in plan.faults)
