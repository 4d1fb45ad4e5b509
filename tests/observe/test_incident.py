"""The evening that began this project, three times: the record must tell the cause by itself.

A person hears nothing. Is there no node; does the node not find the scheduler; or did the
person's own device freeze while the results came? Each is acted out on the real server,
client and agent, and only ``trace`` and ``doctor`` are asked.
"""

from typing import Any

import pytest
import trio
from ailments import Hearer, examined
from client_support import PLAIN, World, reach, scheduler_world, session_on
from simulation.network import Fault, Network
from simulation.schedules import mixed, simulate

from scheduler.client import Submission
from scheduler.commands.http import get_json
from scheduler.config import NodeConfig
from scheduler.errors import TranslationFailed
from scheduler.node.agent import Agent
from scheduler.wire.common import Hardware

FLIGHT = PLAIN.latency
SUBMITTED_AT = 1.0
FROZEN_AT = 20.5
THAWED_AT = 60.0


async def verdict_of(world: World, job_id: str | None) -> tuple[str, str]:
    """What ``python -m scheduler trace`` says of a job: code and text."""
    _, trace = await get_json(reach(world.network), f"/api/v1/traces/{job_id}", timeout=5)
    said = trace["jobs"][0]["verdict"]
    return said["code"], said["text"]


async def test_no_node_at_all(autojump_clock: object) -> None:
    """(1) Nobody started a node: trace and doctor both say that there is none and was none."""
    async with scheduler_world() as world, session_on(world.network) as session:
        with pytest.raises(TranslationFailed, match="no node is connected"):
            await session.translate(b"can you hear me")
        code, text = await verdict_of(world, "job-1")
        report = await examined(world.network)
    assert code == "NO_AVAILABLE_NODE"
    assert "no node had taken it 10.0 s after submission: no node is connected." in text
    assert (report.failed, report.found[-1].name) == (4, "node")
    assert "none has been since the scheduler started" in report.found[-1].text


async def test_a_node_that_looks_elsewhere(autojump_clock: object) -> None:
    """(2) The node runs and tries where no scheduler is: it says so, and so do trace and doctor.

    The doctor finds the node missing and sends the person to the node's own last line, which
    names the address that it tries. Asked about that address, it finds nobody there.
    """
    said: list[str] = []
    elsewhere = Network()
    agent = Agent(
        Hearer(),
        open_stream=reach(elsewhere, label="node"),
        node_config=NodeConfig(),
        hardware=Hardware(cpu_cores=2, memory_gb=4),
        draw=lambda: 0.5,
        say=said.append,
    )
    async with scheduler_world() as world, session_on(world.network) as session:
        world.nursery.start_soon(agent.run, trio.Event())
        with pytest.raises(TranslationFailed):
            await session.translate(b"can you hear me")
        code, text = await verdict_of(world, "job-1")
        here, there = await examined(world.network), await examined(elsewhere)
    assert (code, "no node is connected" in text) == ("NO_AVAILABLE_NODE", True)
    assert here.failed == 4
    assert "its last line says which address it tries" in here.found[-1].advice
    assert "no scheduler listening, next try in" in said[-1]
    assert (there.failed, there.found[-1].text) == (1, "no scheduler listening")


async def frozen_device() -> dict[str, Any]:
    """Three results come at 27, 30 and 35 s after submission, the second on its deadline.

    The device goes dead at 20.5 s and is back at 60 s, with its resume token. What ``trace``
    and ``doctor`` say is kept under the names of the moments they were asked.
    """
    said: dict[str, Any] = {}
    # Seconds on the node: there and back again take two flights.
    runner = Hearer(script=[27 - 2 * FLIGHT, 30 - 2 * FLIGHT, 17 - 2 * FLIGHT])
    async with scheduler_world(runner) as world:
        thawed = trio.Event()
        connect = reach(world.network)

        async def dial_when_awake() -> trio.abc.Stream:
            if trio.current_time() > FROZEN_AT:
                await thawed.wait()
            return await connect()

        async with session_on(world.network, open_stream=dial_when_awake) as session:
            await trio.sleep_until(SUBMITTED_AT)
            mine = [session.submit(b"one"), session.submit(b"two")]
            await trio.sleep_until(SUBMITTED_AT + 18)
            mine.append(session.submit(b"three"))
            await trio.sleep_until(FROZEN_AT)
            world.link_of("client").strike(Fault("black_hole", at=0))
            await trio.sleep_until(SUBMITTED_AT + 32)
            said["frozen"] = await verdicts(world)
            await trio.sleep_until(SUBMITTED_AT + 40)
            said["cut"] = await verdicts(world)
            said["doctor"] = await examined(world.network)
            await trio.sleep_until(THAWED_AT)
            thawed.set()
            said["got"] = [await ending(one) for one in mine]
            await trio.sleep(1)
            said["thawed"] = await verdicts(world)
    return said


async def verdicts(world: World) -> list[tuple[str, str]]:
    return [await verdict_of(world, f"job-{number}") for number in (1, 2, 3)]


async def ending(submission: Submission) -> str:
    try:
        return (await submission.result()).text_translated
    except TranslationFailed as failed:
        return failed.reason


@pytest.mark.parametrize("seed", range(12))
def test_a_device_that_froze(seed: int) -> None:
    """(3) The verdicts name the silent connection, and never claim more than the device got.

    Which of result and deadline wins at 30 s is a matter of the order of tasks: whichever it
    is, the verdict and the device agree.
    """
    said = simulate(frozen_device, schedule=mixed(seed))
    *early, third = said["frozen"]
    assert {code for code, _ in early} <= {"UNACKNOWLEDGED", "JOB_TIMEOUT"}
    assert any("had stopped answering pings at 28.0 s" in text for _, text in early)
    assert third[0] == "RUNNING"

    *early, third = said["cut"]
    for _, text in early:
        assert "stopped answering pings at 28.0 s (the device was frozen or cut off)" in text
        assert "; it is kept and will be replayed when" in text
        assert "session s-1 resumes (until 00:10:34 UTC)" in text
    assert third[0] == "UNWRITTEN"
    ended = "had ended at 15.0 s (no sign of life: the device was frozen or cut off)"
    assert f"the connection of its session {ended}" in third[1]
    assert said["doctor"].failed == 0, "scheduler and node are well: it is the device"

    for got, (code, text) in zip(said["got"], said["thawed"], strict=True):
        assert code == ("DELIVERED" if got == "diez de tréboles" else "JOB_TIMEOUT")
        assert (got == "job_timeout") == (code == "JOB_TIMEOUT")
        assert "having resumed at" in text
        assert "(no sign of life: the device was frozen or cut off)" in text


def test_both_ends_of_the_race_are_seen() -> None:
    """Among those orders of tasks the deadline wins in some, and the result in others."""
    ends = [simulate(frozen_device, schedule=mixed(seed))["got"] for seed in range(3, 7)]
    assert any("job_timeout" in got for got in ends)
    assert any("job_timeout" not in got for got in ends)
