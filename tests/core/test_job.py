"""A job's record: its moves, its current attempt, its story."""

import pytest
from messages import utterance

from scheduler.core.events import Timer
from scheduler.core.job import RESTARTED, STORY_LINES_MAX, Attempt, Job, OutcomeKind
from scheduler.core.placement import need_of
from scheduler.core.states import IllegalMoveError, JobState, Move


def a_job(state: JobState = JobState.PENDING) -> Job:
    said = utterance("s-1")
    job = Job(
        job_id="job-1",
        session_id="s-1",
        order=1,
        utterance_index=0,
        trace_id="t",
        need=need_of(said),
        accepted_at=0.0,
        utterance=said,
        state=state,
    )
    job.attempts.append(Attempt(number=1, node_id="node-1", connection=7, assigned_at=1.0))
    return job


@pytest.mark.parametrize("state", JobState)
def test_the_current_attempt_is_the_last_one_while_a_node_has_the_job(state: JobState) -> None:
    """Before and after there is none, whatever attempts there were."""
    job = a_job(state)
    on_node = state in (JobState.ASSIGNED, JobState.RECEIVED, JobState.STARTED)
    assert (job.attempt is not None) == on_node
    assert job.is_current(7, 1) == on_node


def test_current_is_this_attempt_on_this_connection() -> None:
    """Another number or another connection is not current; no number stands for the last one."""
    job = a_job(JobState.STARTED)
    assert job.is_current(7, None)
    assert not job.is_current(7, 2)
    assert not job.is_current(8, 1)
    assert not job.is_current(8, None)


def test_a_move_is_a_line_of_the_story() -> None:
    """Each move is told with its instant and its actor; a lost attempt is called lost."""
    job = a_job()
    job.move(Move.ASSIGN, 1.0, "scheduler", attempt=1)
    job.move(Move.LOSE, 2.0, "node-1", why="node_left", code=None)

    assert job.state is JobState.PENDING
    told = [(line.at, line.what, line.actor, line.detail) for line in job.story]
    assert told == [
        (1.0, "assigned", "scheduler", {"attempt": 1}),
        (2.0, "lost", "node-1", {"why": "node_left"}),
    ]


def test_a_move_that_is_not_in_the_table_leaves_the_job_as_it_was() -> None:
    """An illegal move raises and changes neither the state nor the story."""
    job = a_job(JobState.FINISHED)
    with pytest.raises(IllegalMoveError):
        job.move(Move.FINISH, 3.0, "node-1")
    assert job.state is JobState.FINISHED
    assert job.story == []


def test_a_long_story_keeps_its_beginning_and_its_end() -> None:
    """The memory of one job is bounded; what is left out is from the middle."""
    job = a_job()
    for number in range(3 * STORY_LINES_MAX):
        job.tell(float(number), "stale", "node-1")

    assert len(job.story) == STORY_LINES_MAX
    assert job.story[0].at == 0.0
    assert job.story[-1].at == 3 * STORY_LINES_MAX - 1
    assert [line.at for line in job.story] == sorted(line.at for line in job.story)


def test_an_attempt_that_we_ended_by_restarting_is_not_counted() -> None:
    """Only attempts that had their chance count towards the maximum."""
    job = a_job()
    job.attempts.append(Attempt(number=2, node_id="node-2", connection=8, assigned_at=2.0))
    job.attempts[0].end = RESTARTED
    assert job.tries == 1


def test_each_job_has_one_timer_of_its_own() -> None:
    """The timer is named by the job's id and nothing else."""
    assert a_job().timer == Timer("job", "job-1")


def test_only_what_the_person_did_not_get_is_a_failure() -> None:
    """A result, silence and one's own cancellation are no failures."""
    failures = {kind for kind in OutcomeKind if kind.is_failure}
    assert failures == {OutcomeKind.NO_NODE, OutcomeKind.TIMEOUT, OutcomeKind.NODE_FAILED}
