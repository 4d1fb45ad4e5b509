"""What HTTP can ask of the record."""

import json
from typing import Any

from client_support import World, reach, scheduler_world, session_on
from fakes import ScriptedRunner

from scheduler.commands.http import get_json


async def ask(world: World, path: str) -> tuple[int, Any]:
    return await get_json(reach(world.network), path, timeout=5)


async def test_a_trace_is_explained(autojump_clock: object) -> None:
    """A job's trace has its story, its timeline and its verdict."""
    runner = ScriptedRunner(seconds=0.5)
    async with scheduler_world(runner) as world, session_on(world.network) as session:
        done = await session.translate(b"hola")
        status, trace = await ask(world, f"/api/v1/traces/{done.job_id}")
    assert status == 200
    assert [line["what"] for line in trace["jobs"][0]["story"]][-1] == "acknowledged"
    assert trace["jobs"][0]["verdict"]["code"] == "DELIVERED"
    assert len(trace["jobs"][0]["timeline"]) == len(trace["jobs"][0]["story"])


async def test_no_view_has_a_resume_token(autojump_clock: object) -> None:
    """Session ids are shown, but never what is needed to act for a session, nor what was said."""
    async with scheduler_world(ScriptedRunner()) as world, session_on(world.network) as session:
        await session.translate(b"a secret word")
        paths = ("traces/s-1", "sessions", "nodes", "jobs", "stats", "placement?from=en&to=es")
        seen = [json.dumps((await ask(world, f"/api/v1/{path}"))[1]) for path in paths]
    assert "s-1" in seen[0]
    assert not [text for text in seen if "token-" in text or "secret" in text.lower()]


async def test_an_unknown_id_is_not_found(autojump_clock: object) -> None:
    """An id that names nothing is answered with 404 and a sentence."""
    async with scheduler_world() as world:
        status, answer = await ask(world, "/api/v1/traces/job-9")
    assert status == 404
    assert "forgotten" in answer["error"]


async def test_who_could_take_a_job_of_a_pair(autojump_clock: object) -> None:
    """For a pair each node is shown with the reason why it cannot take a job now."""
    async with scheduler_world(ScriptedRunner()) as world, session_on(world.network) as session:
        await session.translate(b"the node is there")
        _, able = await ask(world, "/api/v1/placement?from=en&to=es")
        _, unable = await ask(world, "/api/v1/placement?from=en&to=fr")
        status, _ = await ask(world, "/api/v1/placement?from=en")
    assert [node["rejection"] for node in able["nodes"]] == [None]
    assert unable["nodes"][0]["rejection"] == {
        "reason": "language_missing",
        "text": "cannot do en→fr",
    }
    assert status == 400
