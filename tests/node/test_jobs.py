"""The jobs on a node: one slot each, one result at most, and nothing leaks."""

import base64
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
import trio
from fakes import ScriptedRunner
from node_support import NODE_ID, assignment
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.errors import Code, StageFailed
from scheduler.node.jobs import Jobs
from scheduler.node.results import Results
from scheduler.wire import node as wire
from scheduler.wire.codec import decode_from_node
from scheduler.wire.common import LIST_MAX, AttemptRef, JobError


class Desk:
    """Jobs without a connection: ``told`` is what they say, ``results`` what they keep."""

    def __init__(self, runner: ScriptedRunner, slots: int, nursery: trio.Nursery) -> None:
        self.kept = Results(number_max=10_000, bytes_max=10**6)
        self.told: list[wire.FromNode] = []
        self.jobs = Jobs(runner, self.kept, slots=slots, put=self.told.append)
        self._nursery = nursery
        self.kept.connected(self._send, math.inf)
        self.results: list[wire.JobResult] = []

    def _send(self, text: str, number: int) -> None:
        if text == "x":
            return
        message = decode_from_node(text)
        assert isinstance(message, wire.JobResult)
        self.results.append(message)
        self._nursery.start_soon(self._written, number)

    async def _written(self, number: int) -> None:
        self.kept.written(number)

    def take(self, job: wire.JobAssign) -> None:
        self.jobs.take(job, NODE_ID, self._nursery)

    @property
    def errors(self) -> list[JobError | None]:
        return [result.error for result in self.results]


@asynccontextmanager
async def desk(
    script: Iterable[float | Exception] = (), *, slots: int = 1, seconds: float = 0.0
) -> AsyncIterator[tuple[Desk, ScriptedRunner]]:
    runner = ScriptedRunner(seconds=seconds, script=script)
    async with trio.open_nursery() as nursery:
        yield Desk(runner, slots, nursery), runner
        nursery.cancel_scope.cancel()


async def test_a_job_has_its_result_and_frees_its_slot(autojump_clock: MockClock) -> None:
    """The result has the job's names and times, and the next job finds a free slot."""
    async with desk(seconds=0.25) as (desk_, _):
        desk_.take(assignment("job-1", utterance_index=7))
        await trio.sleep(1)
        desk_.take(assignment("job-2"))
        await trio.sleep(1)
    first, second = desk_.results
    assert (first.utterance_index, first.processing_time_ms) == (7, 250)
    assert first.extra == {"service_timings": {"total_ms": 1}}
    assert (second.job_id, second.success) == ("job-2", True)


async def test_a_job_beyond_the_slots_is_refused(autojump_clock: MockClock) -> None:
    """A node never runs more than its slots; what is too much may be done by another."""
    async with desk(seconds=1, slots=2) as (desk_, runner):
        for number in range(3):
            desk_.take(assignment(f"job-{number}"))
        await trio.sleep(0.5)
        assert sorted(runner.ran) == [("job-0", 1), ("job-1", 1)]
        (error,) = desk_.errors
        assert error is not None
        assert (error.code, error.retryable) == (Code.NODE_OVERLOADED, True)


async def test_a_draining_node_refuses(autojump_clock: MockClock) -> None:
    """While it drains a node runs nothing new."""
    async with desk() as (desk_, runner):
        desk_.jobs.draining = True
        desk_.take(assignment())
        await trio.sleep(1)
    assert runner.ran == []
    assert desk_.errors == [
        JobError(code=Code.NODE_OVERLOADED, message="the node is draining", retryable=True)
    ]


async def test_a_repeated_assignment_runs_once(autojump_clock: MockClock) -> None:
    """The same attempt again is receipted again while it runs, answered again when it is done."""
    async with desk(seconds=1) as (desk_, runner):
        desk_.take(assignment())
        desk_.take(assignment())
        await trio.sleep(2)
        assert [type(m) for m in desk_.told].count(wire.JobAck) == 2
        desk_.take(assignment())
        await trio.sleep(2)
    assert runner.ran == [("job-1", 1)]
    assert len(desk_.results) == 2


async def test_a_deadline_ends_the_work_and_says_nothing(autojump_clock: MockClock) -> None:
    """At deadline_ms the engine is stopped and the slot is free; the scheduler needs no result."""
    async with desk([math.inf, 0.0]) as (desk_, runner):
        desk_.take(assignment("job-1", deadline_ms=500))
        await trio.sleep(0.5)
        desk_.take(assignment("job-2"))
        await trio.sleep(0.5)
        assert runner.cancelled == [("job-1", 1)]
        assert [result.job_id for result in desk_.results] == ["job-2"]
        assert desk_.jobs.running == ()


@pytest.mark.parametrize("deadline_ms", [0, 1])
async def test_a_deadline_that_is_over_leaks_no_slot(
    deadline_ms: int, autojump_clock: MockClock
) -> None:
    """However many jobs come too late, the node still has all its slots."""
    async with desk(seconds=1) as (desk_, _):
        for number in range(10):
            desk_.take(assignment(f"late-{number}", deadline_ms=deadline_ms))
            await trio.sleep(0.01)
        desk_.take(assignment("job-1"))
        await trio.sleep(2)
        assert [(r.job_id, r.success) for r in desk_.results] == [("job-1", True)]
        assert desk_.jobs.in_flight == (AttemptRef(job_id="job-1", attempt_id=1),)


async def test_a_cancelled_attempt_is_over_at_once(autojump_clock: MockClock) -> None:
    """From the cancel on it is neither running nor in flight, and its slot can be taken."""
    async with desk([math.inf, math.inf]) as (desk_, runner):
        desk_.take(assignment("job-1"))
        await trio.sleep(1)
        desk_.jobs.cancel("job-1", 1)
        assert [*desk_.jobs.running, *desk_.jobs.in_flight] == []
        desk_.take(assignment("job-2"))
        assert desk_.jobs.running == (("job-2", 1),)
        await trio.sleep(1)
        assert runner.cancelled == [("job-1", 1)]
    assert desk_.results == []


async def test_a_cancel_hits_only_what_it_names(autojump_clock: MockClock) -> None:
    """With an attempt's number only that attempt is stopped, without one the whole job."""
    async with desk(seconds=math.inf, slots=3) as (desk_, runner):
        for job_id, attempt in (("job-1", 1), ("job-1", 2), ("job-2", 1)):
            desk_.take(assignment(job_id, attempt))
        await trio.sleep(1)
        desk_.jobs.cancel("job-1", 3)
        desk_.jobs.cancel("job-1", 2)
        await trio.sleep(1)
        assert runner.cancelled == [("job-1", 2)]
        desk_.jobs.cancel("job-1", None)
        await trio.sleep(1)
        assert runner.cancelled == [("job-1", 2), ("job-1", 1)]
        assert desk_.jobs.running == (("job-2", 1),)


async def test_an_attempt_may_begin_anew_while_it_is_being_stopped(
    autojump_clock: MockClock,
) -> None:
    """Cancelled and assigned again in one breath: the end of the first is not the second's."""
    async with desk([math.inf, 1.0]) as (desk_, _):
        desk_.take(assignment())
        await trio.sleep(1)
        desk_.jobs.cancel("job-1", 1)
        desk_.take(assignment())
        await trio.sleep(0.5)
        assert desk_.jobs.running == (("job-1", 1),)
        await trio.sleep(1)
        assert [result.success for result in desk_.results] == [True]


async def test_a_failed_stage_is_a_failed_job() -> None:
    """The failure has the stage's code, its text, and whether another node may do better."""
    failure = StageFailed("nmt", Code.NMT_TIMEOUT, "no answer in 10 s", retryable=True)
    async with desk([failure]) as (desk_, _):
        desk_.take(assignment())
        await trio.testing.wait_all_tasks_blocked()
    assert desk_.errors == [
        JobError(code=Code.NMT_TIMEOUT, message="nmt: no answer in 10 s", retryable=True)
    ]


async def test_a_bug_fails_its_job_and_nothing_else() -> None:
    """An error that no engine should raise is logged, fails the job retryably, frees the slot."""
    async with desk([ZeroDivisionError("oops"), 0.0]) as (desk_, _):
        with capture_logs() as logs:
            desk_.take(assignment("job-1"))
            await trio.testing.wait_all_tasks_blocked()
        desk_.take(assignment("job-2"))
        await trio.testing.wait_all_tasks_blocked()
    error = desk_.errors[0]
    assert error is not None
    assert (error.code, error.retryable) == (Code.PROCESSING_ERROR, True)
    assert "oops" not in error.message
    assert "job_fault" in [entry["event"] for entry in logs]
    assert desk_.results[1].success


async def test_words_that_cannot_be_said_fail_their_job_only() -> None:
    """A text that no message can carry (half of a surrogate pair) fails its own job only."""
    async with desk() as (desk_, _):
        audio = base64.b64encode("\ud800".encode("utf-8", "surrogatepass")).decode()
        desk_.take(assignment(audio=audio))
        await trio.testing.wait_all_tasks_blocked()
    error = desk_.errors[0]
    assert error is not None
    assert error.code == Code.PROCESSING_ERROR


async def test_a_result_the_scheduler_would_not_take_is_a_failure() -> None:
    """A message beyond its limit would cost the connection, so the job fails as TOO_LARGE."""
    async with desk(slots=2) as (desk_, _):
        desk_.jobs.result_bytes_max = 1000
        desk_.take(assignment("job-1"))
        desk_.take(assignment("job-2", audio=base64.b64encode(b"word " * 200).decode()))
        await trio.testing.wait_all_tasks_blocked()
    errors = {result.job_id: result.error for result in desk_.results}
    assert errors["job-1"] is None
    assert errors["job-2"] is not None
    assert (errors["job-2"].code, errors["job-2"].retryable) == (Code.TOO_LARGE, False)


async def test_settled_means_that_nothing_runs_and_nothing_is_owed(
    autojump_clock: MockClock,
) -> None:
    """Draining is over when the last result is receipted, no sooner and no later."""
    async with desk(seconds=1) as (desk_, _):
        desk_.take(assignment())
        with trio.move_on_after(10) as patience:
            await desk_.jobs.settled()
        assert patience.cancelled_caught
        desk_.jobs.receipted("job-1", 1)
        with trio.fail_after(0.1):
            await desk_.jobs.settled()


async def test_what_runs_is_told_again_on_request(autojump_clock: MockClock) -> None:
    """On a new connection the scheduler hears of each job that runs, and of no cancelled one."""
    async with desk(seconds=math.inf, slots=2) as (desk_, _):
        desk_.take(assignment("job-1"))
        desk_.take(assignment("job-2"))
        await trio.sleep(1)
        desk_.jobs.cancel("job-2", None)
        desk_.told.clear()
        desk_.jobs.tell_again()
    (started,) = desk_.told
    assert isinstance(started, wire.JobStarted)
    assert (started.job_id, started.node_id) == ("job-1", NODE_ID)


async def test_in_flight_fits_into_a_message() -> None:
    """However many results are kept, what is in flight can be said; what runs comes first."""
    async with desk(seconds=math.inf) as (desk_, _):
        for number in range(LIST_MAX + 10):
            desk_.kept.keep((f"done-{number}", 1), "x")
        desk_.take(assignment())
        assert len(desk_.jobs.in_flight) == LIST_MAX
        assert desk_.jobs.in_flight[0] == AttemptRef(job_id="job-1", attempt_id=1)
