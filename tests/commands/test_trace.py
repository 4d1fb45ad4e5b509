"""One command tells what happened and why."""

import json

import pytest
import trio
from client_support import reach, scheduler_world, session_on
from fakes import ScriptedRunner
from hand_journal import HandJournal
from troubles import TROUBLES, Stage

from scheduler.commands.trace import lines_about, run_trace
from scheduler.errors import SchedulerError


async def test_it_prints_timeline_and_verdict(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command asks a scheduler and prints the job's way and the verdict, for any id."""
    runner = ScriptedRunner(seconds=0.5)
    async with scheduler_world(runner) as world, session_on(world.network) as session:
        done = await session.translate(b"hola")
        for name in (done.job_id, "s-1"):
            assert name is not None
            await run_trace(name, "", as_json=False, reach=reach(world.network))
            said = capsys.readouterr().out
            assert "acknowledged  outcome 1 by s-1" in said
            assert said.strip().endswith("[DELIVERED]")


async def test_json_is_the_answer_of_the_api(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the answer is printed as it is, in one line."""
    async with scheduler_world() as world, session_on(world.network) as session:
        async for _ in session.events():
            if session.session_id is not None:
                break
        await run_trace("s-1", "", as_json=True, reach=reach(world.network))
    (answer,) = (line for line in capsys.readouterr().out.splitlines() if line[0] == "{")
    assert json.loads(answer)["kind"] == "session"


async def test_an_unknown_id_is_an_error(autojump_clock: object) -> None:
    """An id that names nothing is said to name nothing, and why that may be."""
    async with scheduler_world() as world:
        with pytest.raises(SchedulerError, match="job-9: nothing is known of this id now"):
            await run_trace("job-9", "", as_json=False, reach=reach(world.network))


async def test_what_was_finished_before_a_restart_is_said_to_be_gone(
    autojump_clock: object,
) -> None:
    """The record of a finished job ends with its scheduler; the next one says since when it is."""
    journal = HandJournal(at_once=True)
    async with (
        scheduler_world(ScriptedRunner(), keeps=journal) as world,
        session_on(world.network) as session,
    ):
        done = await session.translate(b"hola")
        assert done.job_id is not None
        await trio.sleep(1)
        world.shutdown.request()
        world.shutdown.request()
        await trio.sleep(89)
        world.keeps = HandJournal(journal.kept, at_once=True)
        await world.start()
        await trio.sleep(60)
        with pytest.raises(SchedulerError) as caught:
            await run_trace(done.job_id, "", as_json=False, reach=reach(world.network))
    assert str(caught.value) == (
        f"{done.job_id}: nothing is known of this id now. This scheduler has been running since "
        "1970-01-01 00:01:30 UTC; what was finished before that is not shown any more, and the "
        "record of a job is forgotten when finished_retention is over after its outcome. The log "
        "says what became of it: look there for the id"
    )


def test_a_session_is_introduced() -> None:
    """A session's trace begins with how the session is."""
    stage = Stage()
    stage.submit()
    assert lines_about(stage.explained("s-1"))[0] == (
        "s-1 is connected; 1 utterances are unfinished, 0 outcomes are not acknowledged"
    )
    stage.leave(stage.person)
    assert lines_about(stage.explained("s-1"))[0].startswith(
        "s-1 is without a connection; it may resume until 00:10:00 UTC; 1 "
    )


def test_jobs_are_told_apart() -> None:
    """Between two jobs there is an empty line, and none at the end."""
    stage = Stage()
    stage.submit(0)
    stage.submit(1)
    lines = lines_about(stage.explained("s-1"))
    assert lines.count("") == 2
    assert lines[-1].endswith("[WAITING]")


def test_offsets_line_up() -> None:
    """The words for what happened begin in the same column of every line."""
    for name in TROUBLES:
        lines = [line for line in lines_about(TROUBLES[name]()) if line.startswith("  ")]
        assert len({line.index(" s  ") for line in lines}) == 1, name
