"""A step: what it decides is said in effects, and instants have two names."""

import pytest
from fakes import CountingIds
from hypothesis import given
from hypothesis import strategies as st
from messages import hello, utterance

from scheduler.config import Config
from scheduler.core.events import End, Note, Remember, Send
from scheduler.core.job import Job
from scheduler.core.placement import need_of
from scheduler.core.records import SessionForgotten
from scheduler.core.session import Session
from scheduler.core.state import State, Step
from scheduler.errors import Close, Code
from scheduler.wire.common import Error
from scheduler.wire.session import SessionCloseAck


def a_step(now: float = 0.0, epoch: float = 0.0) -> Step:
    return Step(State(config=Config(), ids=CountingIds(), epoch=epoch), now)


def a_session(*, receipts: bool) -> Session:
    return Session(
        session_id="s-1",
        resume_token="token-1",
        hello=hello(receipts=receipts),
        trace_id="t",
        joined_at=0.0,
        connection=1,
    )


def a_job() -> Job:
    said = utterance("s-1")
    return Job(
        job_id="job-1",
        session_id="s-1",
        order=1,
        utterance_index=0,
        trace_id="t",
        need=need_of(said),
        accepted_at=0.0,
        utterance=said,
    )


def test_without_a_connection_nothing_is_said() -> None:
    """A message to a session that is not there is no effect; its outcomes are kept elsewhere."""
    step = a_step()
    step.send(None, SessionCloseAck(session_id="s-1"))
    assert step.effects == []


def test_an_ended_connection_is_no_peer_any_more() -> None:
    """Ending a connection takes it out of the registry in the same breath."""
    step = a_step()
    step.state.peers[1] = a_session(receipts=True)
    step.end(1, Close.NORMAL)
    step.state.peers[2] = a_session(receipts=True)
    step.replace_connection(2)

    assert step.state.peers == {}
    assert step.effects == [End(1, Close.NORMAL), End(2, Close.REPLACED, at_once=True)]


def test_a_refusal_names_its_code_and_the_details_that_there_are() -> None:
    """Details are left out when there are none."""
    step = a_step()
    step.refuse(1, Code.OVERLOADED, "full")
    step.refuse(1, Code.OVERLOADED, "full", utterance_index=3)
    assert step.effects == [
        Send(1, Error(code="OVERLOADED", message="full")),
        Send(1, Error(code="OVERLOADED", message="full", details={"utterance_index": 3})),
    ]


@pytest.mark.parametrize("receipts", [True, False])
def test_only_who_could_come_back_is_remembered(receipts: bool) -> None:
    """A session without receipts cannot resume, so that nothing of it is kept."""
    step = a_step()
    record = SessionForgotten(session_id="s-1")
    step.remember(a_session(receipts=receipts), record)
    assert step.effects == ([Remember(record)] if receipts else [])


def test_a_fact_is_counted_and_names_its_job() -> None:
    """Facts are counted by name; one about a job has the ids by which it can be found."""
    step = a_step()
    step.note("delivered", a_job(), seq=1)
    step.note("delivered")

    assert step.state.counts == {"delivered": 2}
    first, second = step.effects
    assert isinstance(first, Note)
    assert first.detail == {"session_id": "s-1", "job_id": "job-1", "trace_id": "t", "seq": 1}
    assert second == Note("delivered", {})


def test_a_stale_input_is_told_in_the_story_of_its_job() -> None:
    """What concerned a job and changed nothing is counted, and can be read in its story."""
    step, job = a_step(now=3.0), a_job()
    step.stale("JobResult", job, node_id="node-1", attempt=2)
    step.stale("JobResult", None, node_id="node-1")

    assert step.state.counts == {"stale": 2}
    (line,) = job.story
    assert (line.at, line.what, line.actor) == (3.0, "stale", "node-1")


@given(st.integers(0, 2**41), st.integers(0, 2**40))
def test_an_instant_survives_its_way_through_another_process(epoch_ms: int, at_ms: int) -> None:
    """Unix milliseconds and back is the same millisecond."""
    step = a_step(epoch=epoch_ms / 1000)
    at = at_ms / 1000
    unix_ms = step.unix_ms_of(at)
    assert abs(unix_ms - (epoch_ms + at_ms)) <= 1
    assert abs(step.instant_of(unix_ms) - at) < 0.002
