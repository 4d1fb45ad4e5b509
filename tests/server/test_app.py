"""What HTTP shows of the scheduler, from a job's acceptance to the day when it is forgotten."""

from functools import partial
from typing import Any

import trio
import trio.testing
from client_support import reach, scheduler_world
from hand_journal import HandJournal
from raw_peer import RawPeer
from server_support import House, house
from trio.testing import MockClock

from scheduler import __version__
from scheduler.commands.http import get_json

EPOCH_MS = 1_000_000_000
"""The virtual clock's zero, in the Unix time of the house."""
SECRETS = ("AAAA", "hello", "hola", "token")


async def state(here: House, job_id: str) -> str:
    await trio.testing.wait_all_tasks_blocked()
    return str((await job(here, job_id))["state"])


async def job(here: House, job_id: str) -> dict[str, Any]:
    status, shown = await here.get(f"/api/v1/jobs/{job_id}")
    assert status == 200
    assert isinstance(shown, dict)
    return shown


async def test_a_job_can_be_followed(autojump_clock: MockClock) -> None:
    """A job's state is the word of the moment, from pending to acknowledged."""
    async with house() as here:
        client = await here.session()
        await client.submit(0)
        job_id = (await client.hear("utterance_accepted"))["job_id"]
        assert await state(here, job_id) == "pending"
        shown = await job(here, job_id)
        assert shown["waiting_because"]
        assert (shown["attempts"], shown["node_id"], shown["outcome"]) == ([], None, None)
        assert shown["time_left_ms"] == 10_000
        node = await here.node("n")
        assert await state(here, job_id) == "assigned"
        given = await node.hear("job_assign")
        await node.receipt(given)
        assert await state(here, job_id) == "received"
        await node.receipt(given, "job_started")
        assert await state(here, job_id) == "started"
        await client.drop()
        await node.give(given)
        assert await state(here, job_id) == "finished"
        resume = {name: client.welcome[name] for name in ("session_id", "resume_token")}
        back = await here.session(resume=resume | {"last_seq": 0})
        assert await state(here, job_id) == "written"
        back.welcome["session_id"] = client.session_id
        await back.acknowledge(1)
        assert await state(here, job_id) == "acknowledged"


async def test_a_job_shows_its_attempts_and_times(autojump_clock: MockClock) -> None:
    """Each attempt has its node and its times; the job has its outcome, all in Unix time."""
    async with house() as here:
        first = await here.node("first")
        client = await here.session(trace_id="83980e01")
        await trio.sleep(1)
        await client.submit(5)
        given = await first.hear("job_assign")
        await first.receipt(given)
        await trio.sleep(2)
        second = await here.node("second")
        await first.drop()
        again = await second.hear("job_assign")
        await second.receipt(again)
        await second.receipt(again, "job_started")
        await trio.sleep(3)
        await second.give(again)
        await client.hear("translation_result")
        shown = await job(here, given["job_id"])
        assert (shown["session_id"], shown["utterance_index"]) == (client.session_id, 5)
        assert (shown["trace_id"], shown["node_id"]) == ("83980e01", "second")
        assert (shown["outcome"], shown["code"], shown["seq"]) == ("translated", None, 1)
        assert shown["accepted_at_ms"] == EPOCH_MS + 1_000
        assert shown["settled_at_ms"] == EPOCH_MS + 6_000
        one, two = shown["attempts"]
        assert (one["attempt_id"], one["node_id"], one["end"]) == (1, "first", "node_left")
        assert (one["assigned_at_ms"], one["ended_at_ms"]) == (EPOCH_MS + 1_000, EPOCH_MS + 3_000)
        assert (two["attempt_id"], two["node_id"], two["end"]) == (2, "second", "translated")
        assert two["started_at_ms"] == EPOCH_MS + 3_000
        told = [line["what"] for line in shown["story"]]
        assert told.index("accepted") < told.index("lost") < told.index("finished")
        listed = (await here.get("/api/v1/jobs"))[1]["jobs"]
        assert [other["job_id"] for other in listed] == [given["job_id"]]
        assert "story" not in listed[0]


async def test_a_finished_job_is_readable_for_a_while(autojump_clock: MockClock) -> None:
    """A settled job is shown for ``finished_retention``; after that it is 404, in words."""
    async with house() as here:
        client = await here.session()
        await client.submit(0)
        outcome = await client.hear("missing_result")
        await client.acknowledge(outcome["seq"])
        await trio.sleep(here.config.finished_retention - 1)
        await client.beat()
        shown = await job(here, outcome["job_id"])
        assert (shown["outcome"], shown["code"]) == ("no_available_node", "NO_AVAILABLE_NODE")
        await trio.sleep(2)
        await client.beat()
        status, error = await here.get(f"/api/v1/jobs/{outcome['job_id']}")
        assert (status, list(error)) == (404, ["error"])
        assert (await here.get("/api/v1/jobs"))[1]["jobs"] == []


async def test_sessions_and_nodes_are_listed(autojump_clock: MockClock) -> None:
    """Who is there, who may come back, and what every node can do and is doing."""
    async with house() as here:
        node, client, gone = (
            await here.node("n", slots=3),
            await here.session(),
            await here.session(),
        )
        await gone.drop()
        await client.submit(0)
        given = await node.hear("job_assign")
        (shown,) = (await here.get("/api/v1/nodes"))[1]["nodes"]
        assert (shown["node_id"], shown["slots"], shown["slots_free"]) == ("n", 3, 2)
        assert (shown["running"], shown["pairs"]) == ([given["job_id"]], ["en-es"])
        assert shown["status"] == "ready"
        sessions = (await here.get("/api/v1/sessions"))[1]["sessions"]
        connected = {one["session_id"]: one["connected"] for one in sessions}
        assert connected == {client.session_id: True, gone.session_id: False}
        (mine,) = [one for one in sessions if one["session_id"] == client.session_id]
        assert (mine["unfinished"], mine["owed"], mine["receipts"]) == (1, 0, True)


async def test_the_numbers_are_those_of_the_records(autojump_clock: MockClock) -> None:
    """``stats`` counts what is there, and goes back to nothing when nothing is there."""
    async with house() as here:
        node, client = await here.node("n", slots=1), await here.session()
        await client.submit(0)
        await client.submit(1)
        given = await node.hear("job_assign")
        stats = (await here.get("/api/v1/stats"))[1]
        assert stats["sessions"] == {"total": 1, "connected": 1}
        assert stats["nodes"] == {"total": 1, "slots": 1, "slots_free": 0}
        assert (stats["jobs"]["waiting"], stats["jobs"]["running"]) == (1, 1)
        assert stats["jobs"]["by_state"] == {"assigned": 1, "pending": 1}
        assert stats["draining"] is False
        await node.give(given)
        await node.give(await node.hear("job_assign"))
        await client.hear("translation_result", utterance_index=1)
        await client.acknowledge(2)
        await client.say(
            {"type": "session_close", "session_id": client.session_id, "reason": "done"}
        )
        await client.ended.wait()
        await node.drop()
        await trio.testing.wait_all_tasks_blocked()
        stats = (await here.get("/api/v1/stats"))[1]
        assert stats["sessions"] == {"total": 0, "connected": 0}
        assert stats["nodes"] == {"total": 0, "slots": 0, "slots_free": 0}
        assert (stats["jobs"]["waiting"], stats["jobs"]["running"]) == (0, 0)
        assert (stats["jobs"]["owed_outcomes"], stats["jobs"]["owed_bytes"]) == (0, 0)
        assert stats["jobs"]["by_state"] == {"acknowledged": 2}


async def test_health_and_readiness(autojump_clock: MockClock) -> None:
    """Healthy as long as it runs; ready until it drains."""
    async with house() as here:
        await (await here.session()).submit(0)
        assert await here.get("/health") == (200, {"status": "ok", "version": __version__})
        assert await here.get("/ready") == (200, {"status": "ready"})
        here.shutdown.request()
        await trio.testing.wait_all_tasks_blocked()
        assert (await here.get("/health"))[0] == 200
        assert await here.get("/ready") == (503, {"status": "draining"})


async def test_not_ready_while_nothing_can_be_kept(autojump_clock: MockClock) -> None:
    """New clients are sent elsewhere while the journal cannot be written, and are welcome after."""
    journal = HandJournal(at_once=True)
    async with scheduler_world(keeps=journal) as world:
        ask = partial(get_json, reach(world.network), "/ready", timeout=1)
        journal.fail()
        status, said = await ask()
        assert (status, said["status"]) == (503, "journal_failing")
        journal.mend()
        assert await ask() == (200, {"status": "ready"})


async def test_nothing_that_was_said_is_shown(autojump_clock: MockClock) -> None:
    """Speech, texts and tokens are on no page, whatever page it is."""
    async with house() as here:
        node, client = await here.node("n"), await here.session()
        await client.submit(0)
        await client.submit(1)
        await node.give(await node.hear("job_assign"))
        await client.hear("translation_result")
        job_id = client.outcomes[0]["job_id"]
        pages = ["stats", "nodes", "sessions", "jobs", f"jobs/{job_id}"]
        shown = "".join([str((await here.get(f"/api/v1/{page}"))[1]) for page in pages])
        assert client.session_id in shown
        secrets = [*SECRETS, str(client.welcome["resume_token"])]
        assert [secret for secret in secrets if secret in shown] == []


async def test_what_is_not_there_is_404_in_words(autojump_clock: MockClock) -> None:
    """An unknown path, and an unknown job, are answered as JSON that says so."""
    async with house() as here:
        for path in ("/api/v1/nothing", "/api/v1/jobs/job-0", "/api/v1/jobs/%00"):
            status, error = await here.get(path)
            assert (status, list(error)) == (404, ["error"])


async def test_answers_are_never_kept_by_others(autojump_clock: MockClock) -> None:
    """Every answer forbids caches: what is shown is how it is now."""
    async with house() as here:
        stream = await here.stream()
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head = (await RawPeer(stream).hear_end()).partition(b"\r\n\r\n")[0]
        assert b"cache-control: no-store" in head.lower()
        await stream.aclose()
