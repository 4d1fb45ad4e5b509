"""A result that races the dispatched deadline: one outcome, whichever wins, and then silence.

The whole scheduler and the real connection code run on a network in memory, with the order of
tasks varied by a seed and the result arriving at the very instant of the deadline, a tick before
it, or a tick after it.
"""

from collections import Counter
from typing import Any

import structlog.testing
import trio
from server_support import House, NodePeer, SessionPeer, house
from simulation.network import LinkPlan
from simulation.plans import TICK_S
from simulation.schedules import mixed, simulate

from scheduler.core.events import Note

SEEDS = {-TICK_S: 12, 0.0: 64, TICK_S: 12}
"""How many orders of tasks are tried, by how late the result comes."""
DISPATCHED_TIMEOUT_S = 8.0
AFTERWARDS_S = 4.0
FAILED = {"attempt_lost", "expired", "receipt_overdue", "node_silent", "refused"}

Record = dict[str, Any]


async def race(seed: int, offset: float) -> Record:
    """One job whose result arrives ``offset`` seconds after its deadline; all that came of it."""
    plan = LinkPlan(latency=TICK_S, mtu=(65_536, 48)[seed % 2])
    async with house(dispatched_timeout=DISPATCHED_TIMEOUT_S) as here:
        node, client = await here.node("racer", plan), await here.session(plan)
        await client.submit(0)
        job = await node.hear("job_assign")
        assigned_at = trio.current_time() - TICK_S
        await node.receipt(job)
        await trio.sleep_until(assigned_at + DISPATCHED_TIMEOUT_S + offset - TICK_S)
        await node.give(job)
        outcome = await client.hear("translation_result", "missing_result")
        await client.acknowledge(outcome["seq"])
        await trio.sleep(AFTERWARDS_S)
        return await record(here, node, client, job["job_id"])


async def record(here: House, node: NodePeer, client: SessionPeer, job_id: str) -> Record:
    (outcome,) = client.outcomes  # exactly one, and it stayed the only one
    notes = [e for _, _, effects in here.events for e in effects if isinstance(e, Note)]
    return {
        "outcome": outcome,
        "job": (await here.get(f"/api/v1/jobs/{job_id}"))[1],
        "notes": [note.name for note in notes if note.detail.get("job_id") == job_id],
        "errors": client.all("error") + node.all("error"),
        "complaints": [e for e in client.all("ui_event") if e["status"] != "ok"],
        "receipts": [ack["status"] for ack in node.all("job_result_ack")],
        "cancels": [cancel["reason"] for cancel in node.all("job_cancel")],
    }


def judge(seen: Record) -> str:
    """Which of the three ends it was, after checking that it was that and nothing else."""
    outcome, job, notes = seen["outcome"], seen["job"], seen["notes"]
    assert seen["errors"] == seen["complaints"] == []
    assert notes.count("settled") == notes.count("delivered") == 1
    assert not FAILED & set(notes)
    assert job["state"] == "acknowledged"
    assert len(job["attempts"]) == 1
    if outcome["type"] == "missing_result":
        assert (outcome["code"], job["outcome"]) == ("JOB_TIMEOUT", "job_timeout")
        assert (seen["receipts"], seen["cancels"]) == (["stale"], ["job_timeout"])
        assert "salvaged" not in notes
        return "deadline"
    assert (outcome["text_translated"], job["outcome"]) == ("hola", "translated")
    assert seen["receipts"] == ["stored"]
    if "salvaged" in notes:  # the deadline came first, but nobody had been told of it yet
        assert seen["cancels"] == ["job_timeout"]
        return "salvaged"
    assert seen["cancels"] == []
    story = [line["what"] for line in job["story"]]
    assert story[story.index("finished") :] == ["finished", "written", "acknowledged"]
    return "result"


def test_a_result_that_races_the_deadline_yields_one_outcome() -> None:
    """Whoever comes first wins, the other changes nothing; and both really do come first."""
    ends: Counter[tuple[float, str]] = Counter()
    for offset, seeds in SEEDS.items():
        for seed in range(seeds):
            with structlog.testing.capture_logs() as logs:
                seen = simulate(race, seed, offset, schedule=mixed(seed), entropy_seed=seed)
            assert [line for line in logs if line["log_level"] in ("warning", "error")] == []
            ends[offset, judge(seen)] += 1
    assert ends[-TICK_S, "result"] == SEEDS[-TICK_S]
    assert ends[TICK_S, "deadline"] == SEEDS[TICK_S]
    assert ends[0.0, "result"] > 0
    assert ends[0.0, "deadline"] > 0
    assert ends.total() == sum(SEEDS.values())
