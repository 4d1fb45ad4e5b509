"""A conversation is registered exactly as long as it runs, however it ends."""

import contextlib
import json
import math
from collections import defaultdict
from typing import get_args

import pytest
import structlog.testing
import trio
import trio.testing
from raw_peer import CLOSE, TEXT, RawPeer
from server_support import house, session_init, utterance
from simulation.network import Direction, Fault, Kind, LinkPlan
from simulation.plans import TICK_S
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.core.events import (
    Event,
    Generation,
    Heard,
    Left,
    NodeJoined,
    Received,
    SessionJoined,
    Silent,
    Writing,
    Written,
)
from scheduler.errors import Close, ProtocolError
from scheduler.runtime.peer import ROLES

OF_A_CONNECTION = (SessionJoined, NodeJoined, Received, Silent, Heard, Writing, Written, Left)


def by_connection(events: list[Event]) -> dict[Generation, list[Event]]:
    found: dict[Generation, list[Event]] = defaultdict(list)
    for event in events:
        if isinstance(event, OF_A_CONNECTION):
            found[event.connection].append(event)
    return found


def test_each_path_has_its_role() -> None:
    """A session's messages are none of a node's, and the other way round."""
    assert set(ROLES) == {"/ws/session", "/ws/node"}
    heartbeat = '{"type":"client_heartbeat","session_id":"s","timestamp":1}'
    ROLES["/ws/session"].decode(heartbeat)
    with pytest.raises(ProtocolError, match="unknown message type"):
        ROLES["/ws/node"].decode(heartbeat)


async def test_a_failed_write_deregisters_and_nothing_else_does(autojump_clock: MockClock) -> None:
    """A peer that reads nothing is registered up to the instant when a write to it has failed.

    The session stays, to be resumed, and what it is owed stays with it.
    """
    async with house() as here:
        raw = await here.raw(plan=LinkPlan(latency=0.0, window=1500))
        await raw.say(session_init())
        session_id = (await raw.hear_message("session_init_ack"))["session_id"]
        for index in range(30):
            await raw.say(utterance(session_id, index))
        await trio.testing.wait_all_tasks_blocked()
        stuck_at = trio.current_time()
        while here.shell.connections == 1:
            await here.shell.changed.wait()
        assert trio.current_time() == stuck_at + here.config.write_timeout
        (left,) = [event for _, event, _ in here.events if isinstance(event, Left)]
        assert left.close is Close.SLOW_CONSUMER
        (session,) = (await here.get("/api/v1/sessions"))[1]["sessions"]
        assert (session["connected"], session["unfinished"]) == (False, 30)


async def test_a_write_proves_nothing(autojump_clock: MockClock) -> None:
    """A frozen peer "accepts" what is written: the outcome is written, never delivered."""
    async with house(client_receipt_timeout=8.0) as here:
        raw = await here.raw()
        await raw.say(session_init())
        session_id = (await raw.hear_message("session_init_ack"))["session_id"]
        await raw.say(utterance(session_id))
        await trio.testing.wait_all_tasks_blocked()
        here.network.links[0].freeze("client", math.inf)
        await here.shell.until(lambda: here.shell.connections == 0)
        (job,) = (await here.get("/api/v1/jobs"))[1]["jobs"]
        assert job["state"] == "written"
        (left,) = [event for _, event, _ in here.events if isinstance(event, Left)]
        assert left.close in (Close.KEEPALIVE_TIMEOUT, Close.RECEIPT_TIMEOUT)


async def test_the_first_hello_counts(autojump_clock: MockClock) -> None:
    """Before the hello nothing reaches the engine; a second hello is refused and harms nothing."""
    async with house() as here:
        raw = await here.raw()
        await raw.say(utterance("s-1"))
        assert (await raw.hear_message("error"))["message"] == "$.type: expected session_init first"
        assert here.events == []
        await raw.say(session_init())
        await raw.hear_message("session_init_ack")
        await raw.say(session_init())
        assert (await raw.hear_message("error"))["code"] == "INVALID_SESSION"
        assert here.shell.connections == 1


@pytest.mark.parametrize("receipts", [True, None])
async def test_only_nodes_with_receipts_are_judged_by_their_heartbeats(
    receipts: bool | None, autojump_clock: MockClock
) -> None:
    """A silent node with receipts is suspect after 2 s; one of the base lives by the ping alone."""
    async with house() as here:
        node = await here.node("n", receipts=receipts)
        here.network.links[0].freeze("server", math.inf)
        await trio.sleep(9)
        silent = [at for at, event, _ in here.events if isinstance(event, Silent)]
        assert len(silent) == (1 if receipts else 0)
        assert here.shell.connections == (0 if receipts else 1)
        await node.drop()


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("direction", get_args(Direction))
def test_whatever_befalls_the_link_leaving_is_the_last_thing(
    kind: Kind, direction: Direction
) -> None:
    """At bytes all over the conversation, in any order of tasks: ``Left`` once, and then nothing.

    Every event of a connection comes while it is registered, and in the end none is.
    """

    async def talk(stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.EndOfChannel, trio.BrokenResourceError):
            peer = await RawPeer.upgrade(stream)
            await peer.say(session_init())
            while (heard := await peer.hear()).opcode != CLOSE:
                told = json.loads(heard.payload) if heard.opcode == TEXT else {"type": "a ping"}
                if told["type"] == "session_init_ack":
                    for index in range(3):
                        await peer.say(utterance(told["session_id"], index, src_lang="xx"))

    async def main(offset: int) -> None:
        fault = Fault(kind, direction, offset=offset, duration=30.0)
        plan = LinkPlan(latency=TICK_S, faults=(fault,))
        async with house() as here:
            stream = await here.stream(plan)
            with trio.move_on_after(60):
                await talk(stream)
            await trio.aclose_forcefully(stream)
            await trio.sleep(60)
            assert here.shell.connections == 0
            for events in by_connection([event for _, event, _ in here.events]).values():
                assert [isinstance(event, Left) for event in events].count(True) == 1
                assert isinstance(events[-1], Left)

    with structlog.testing.capture_logs() as logs:
        for offset in range(0, 1200, 43):
            simulate(main, offset, schedule=mixed(offset), timeout_s=4000)
    assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
