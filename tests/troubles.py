"""Everything that can become of an utterance, each acted out by an engine in virtual time.

Each function of :data:`TROUBLES` plays one story and gives what ``/api/v1/traces/job-1`` says
then. The verdicts are tested on them, and docs/troubleshooting.md shows them.
"""

from collections.abc import Callable
from typing import Any

from messages import capabilities, hello, job_ack, job_started, result, utterance
from playbook import Playbook

from scheduler.core.events import (
    Left,
    Recovered,
    SessionJoined,
    SignsOfLife,
    Silent,
    Writing,
    Written,
)
from scheduler.core.records import (
    JobAccepted,
    JobAttempted,
    RememberedJob,
    RememberedSession,
    SessionBegan,
)
from scheduler.errors import Close
from scheduler.observe.trace import explain
from scheduler.wire import node, session
from scheduler.wire.common import Capability, Resume

Explained = dict[str, Any]
TROUBLES: dict[str, Callable[[], Explained]] = {}


def trouble(function: Callable[[], Explained]) -> Callable[[], Explained]:
    TROUBLES[function.__name__] = function
    return function


class Stage(Playbook):
    """One person, whose first utterance is ``job-1``, and the machines it may come to."""

    def __init__(self, *, receipts: bool = True, **settings: Any) -> None:
        super().__init__(**settings)
        self.person, self.welcome = self.join_session(receipts=receipts)

    def submit(self, index: int = 0) -> None:
        self.say(self.person, utterance(self.welcome.session_id, index))

    def begin(self, machine: int, node_id: str) -> node.JobAssign:
        """The machine receipts and starts what it was given last."""
        job = self.last(machine, node.JobAssign)
        self.say(machine, job_ack(job, node_id))
        self.say(machine, job_started(job, node_id))
        return job

    def write(self, seq: int = 1, *, heard_at: float, unanswered: float | None = None) -> None:
        self.apply(Writing(self.person, seq))
        self.apply(Written(self.person, seq, SignsOfLife(heard_at, unanswered)))

    def acknowledge(self, seq: int = 1) -> None:
        self.say(self.person, session.ResultAck(session_id=self.welcome.session_id, seq=seq))

    def lose(self, connection: int, close: Close, signs: SignsOfLife) -> None:
        self.live.discard(connection)
        self.apply(Left(connection, close, signs))

    def explained(self, name: str = "job-1") -> Explained:
        trace = self.engine.snapshot(self.now).trace(name)
        assert trace is not None
        return explain(trace)


@trouble
def delivered() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(0.75)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=0.5)
    stage.advance(0.0625)
    stage.acknowledge()
    return stage.explained()


@trouble
def silence() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(0.25)
    stage.say(machine, result(job, node_id, text=""))
    stage.write(heard_at=0)
    stage.acknowledge()
    return stage.explained()


@trouble
def waiting() -> Explained:
    stage = Stage()
    stage.join_node(slots=0)
    stage.submit()
    stage.advance(4)
    return stage.explained()


@trouble
def running() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    stage.begin(machine, node_id)
    stage.advance(3)
    stage.apply(Silent(machine))
    stage.advance(1)
    return stage.explained()


@trouble
def no_node() -> Explained:
    stage = Stage()
    stage.submit()
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    return stage.explained()


@trouble
def no_capable_node() -> Explained:
    stage = Stage()
    stage.join_node(pairs=(("en", "fr"),))
    stage.join_node(pairs=(("de", "es"),))
    stage.submit()
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    return stage.explained()


@trouble
def not_ready() -> Explained:
    stage = Stage()
    broken = Capability(type="tts", ready=False, reason="espeak-ng is not installed")
    stage.join_node(capability_by_type=(*capabilities()[:2], broken))
    stage.submit()
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    return stage.explained()


@trouble
def all_busy() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node(slots=1)
    other, welcome = stage.join_session()
    stage.say(other, utterance(welcome.session_id))  # job-1 of somebody else
    stage.begin(machine, node_id)
    stage.submit()
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    return stage.explained("job-2")


@trouble
def draining() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(1)
    stage.drain()
    stage.say(machine, result(job, node_id, error="NODE_OVERLOADED", retryable=True))
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    return stage.explained()


@trouble
def timeout() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(30)
    stage.write(heard_at=29)
    stage.advance(0.5)
    stage.acknowledge()
    stage.say(machine, result(job, node_id))
    return stage.explained()


@trouble
def timeout_unreceipted() -> Explained:
    stage = Stage()
    stage.join_node(receipts=None)
    stage.submit()
    stage.advance(30)
    stage.write(heard_at=29)
    stage.acknowledge()
    return stage.explained()


@trouble
def node_failed() -> Explained:
    stage = Stage(attempts_max=2)
    first, first_id = stage.join_node()
    second, second_id = stage.join_node()
    stage.submit()
    stage.begin(first, first_id)
    stage.advance(1.25)
    stage.leave(first)
    job = stage.begin(second, second_id)
    stage.advance(0.5)
    stage.say(second, result(job, second_id, error="MODEL_NOT_AVAILABLE", retryable=True))
    stage.write(heard_at=1)
    stage.acknowledge()
    return stage.explained()


@trouble
def failed_by_all() -> Explained:
    stage = Stage()
    machines = [stage.join_node(receipts=None, slots=None) for _ in range(2)]
    stage.submit()
    for code, (machine, node_id) in zip(
        ("MODEL_NOT_AVAILABLE", "PROCESSING_ERROR"), machines, strict=True
    ):
        stage.advance(0.5)
        job = stage.last(machine, node.JobAssign)
        stage.say(machine, result(job, node_id, error=code))
    stage.write(heard_at=1)
    stage.acknowledge()
    return stage.explained()


@trouble
def failed_and_waited() -> Explained:
    stage = Stage()
    busy, _ = stage.join_node(slots=0)
    machine, node_id = stage.join_node(receipts=None, slots=None)
    stage.submit()
    stage.advance(0.5)
    job = stage.last(machine, node.JobAssign)
    stage.say(machine, result(job, node_id, error="PROCESSING_ERROR"))
    stage.leave(busy)
    stage.advance(10)
    stage.write(heard_at=10)
    stage.acknowledge()
    return stage.explained()


@trouble
def failed_over() -> Explained:
    stage = Stage()
    first, first_id = stage.join_node()
    second, second_id = stage.join_node()
    stage.submit()
    stage.begin(first, first_id)
    stage.advance(1.25)
    stage.leave(first)
    job = stage.begin(second, second_id)
    stage.advance(0.5)
    stage.say(second, result(job, second_id))
    stage.write(heard_at=1)
    stage.advance(0.25)
    stage.acknowledge()
    return stage.explained()


@trouble
def no_receipt() -> Explained:
    stage = Stage()
    stage.join_node()
    second, second_id = stage.join_node()
    stage.submit()
    stage.advance(1.5)
    job = stage.begin(second, second_id)
    stage.advance(0.5)
    stage.say(second, result(job, second_id))
    stage.write(heard_at=1)
    stage.advance(0.25)
    stage.acknowledge()
    return stage.explained()


@trouble
def salvaged() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(30)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=29)
    stage.advance(0.25)
    stage.acknowledge()
    return stage.explained()


@trouble
def restarted() -> Explained:
    """What an earlier scheduler had accepted at 0 s and assigned; this one starts at 4 s."""
    stage = Playbook()
    stage.now = 4.0
    said = JobAccepted(
        job_id="job-1",
        session_id="s-1",
        order=1,
        trace_id="trace-2",
        accepted_at_ms=0,
        utterance=utterance("s-1"),
    )
    attempted = JobAttempted(
        job_id="job-1", attempt=1, node_id="node-1", assigned_at_ms=0, deadline_ms=30_000
    )
    began = SessionBegan(
        session_id="s-1",
        resume_token="token-1",
        hello=hello(),
        trace_id="trace-1",
        joined_at_ms=0,
    )
    kept = RememberedSession(
        began=began, jobs=(RememberedJob(accepted=said, attempted=(attempted,)),)
    )
    stage.apply(Recovered((kept,)))
    stage.advance(0.5)
    again = stage.open()
    resume = Resume(session_id="s-1", resume_token="token-1", last_seq=0)
    stage.apply(SessionJoined(again, hello(resume=resume)))
    stage.advance(0.5)
    machine, node_id = stage.join_node(node_id="node-2")
    job = stage.last(machine, node.JobAssign)
    stage.say(machine, job_ack(job, node_id))
    stage.say(machine, job_started(job, node_id))
    stage.advance(0.75)
    stage.say(machine, result(job, node_id))
    stage.apply(Written(again, 1, SignsOfLife(5)))
    stage.say(again, session.ResultAck(session_id="s-1", seq=1))
    trace = stage.engine.snapshot(stage.now).trace("job-1")
    assert trace is not None
    return explain(trace)


@trouble
def cancelled() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    stage.begin(machine, node_id)
    stage.advance(2.5)
    cancel = session.JobCancel(session_id=stage.welcome.session_id, job_id="job-1")
    stage.say(stage.person, cancel)
    stage.write(heard_at=2)
    stage.acknowledge()
    return stage.explained()


@trouble
def closed() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    stage.begin(machine, node_id)
    stage.advance(2.5)
    close = session.SessionClose(session_id=stage.welcome.session_id, reason="done")
    stage.say(stage.person, close)
    return stage.explained()


def frozen_client(**settings: Any) -> Stage:
    """A person whose device froze at 18 s and was pinged at 28 s; the result comes at 29.75 s."""
    stage = Stage(**settings)
    machine, node_id = stage.join_node()
    stage.advance(1)
    stage.submit()
    stage.begin(machine, node_id)
    stage.advance(28.75)
    stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    stage.advance(0.25)
    stage.write(heard_at=18, unanswered=28)
    return stage


@trouble
def unanswered() -> Explained:
    return frozen_client().explained()


@trouble
def frozen() -> Explained:
    stage = frozen_client()
    stage.advance(3)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(18, 28))
    return stage.explained()


@trouble
def frozen_and_thawed() -> Explained:
    stage = frozen_client()
    stage.advance(3)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(18, 28))
    stage.advance(60)
    stage.person = stage.resume(stage.welcome)
    stage.write(heard_at=93)
    stage.acknowledge()
    return stage.explained()


@trouble
def frozen_for_good() -> Explained:
    stage = frozen_client(session_retention=120, outcome_retention=600)
    stage.advance(3)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(18, 28))
    stage.advance(120)
    return stage.explained()


@trouble
def too_old() -> Explained:
    stage = frozen_client(outcome_retention=120)
    stage.advance(3)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(18, 28))
    stage.advance(120)
    return stage.explained()


@trouble
def frozen_after_the_write() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(1)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=0)
    stage.advance(9)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(0, 4))
    return stage.explained()


@trouble
def broke_after_the_write() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(1)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=0)
    stage.advance(0.5)
    stage.lose(stage.person, Close.PEER_GONE, SignsOfLife(0))
    return stage.explained()


@trouble
def away() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(0.5)
    stage.lose(stage.person, Close.PEER_GONE, SignsOfLife(0.25))
    stage.advance(0.5)
    stage.say(machine, result(job, node_id))
    return stage.explained()


@trouble
def queued() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(1)
    stage.say(machine, result(job, node_id))
    return stage.explained()


def half_written() -> Stage:
    """A person whose device has frozen: the result is larger than what the kernels buffer."""
    stage = Stage()
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(2)
    stage.say(machine, result(job, node_id))
    stage.apply(Writing(stage.person, 1))
    stage.advance(4)
    return stage


@trouble
def stuck() -> Explained:
    return half_written().explained()


@trouble
def half() -> Explained:
    stage = half_written()
    stage.advance(1)
    stage.lose(stage.person, Close.SLOW_CONSUMER, SignsOfLife(0.25))
    return stage.explained()


@trouble
def held() -> Explained:
    stage = Stage()
    machine, node_id = stage.join_node(slots=2)
    stage.submit(0)
    stage.submit(1)
    jobs = stage.all(machine, node.JobAssign)
    for job in jobs:
        stage.say(machine, job_ack(job, node_id))
        stage.say(machine, job_started(job, node_id))
    stage.advance(1)
    stage.say(machine, result(jobs[1], node_id))
    return stage.explained("job-2")


@trouble
def gap() -> Explained:
    stage = Stage(retained_bytes_max=1200)
    machine, node_id = stage.join_node()
    for index in range(2):
        stage.submit(index)
        job = stage.begin(machine, node_id)
        stage.advance(1)
        stage.say(machine, result(job, node_id, text="hola" * 100))
    return stage.explained()


@trouble
def written() -> Explained:
    stage = Stage(receipts=False)
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(1)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=0)
    return stage.explained()


@trouble
def unheard() -> Explained:
    stage = Stage(receipts=False)
    machine, node_id = stage.join_node()
    stage.submit()
    job = stage.begin(machine, node_id)
    stage.advance(12)
    stage.say(machine, result(job, node_id))
    stage.write(heard_at=0, unanswered=10)
    stage.advance(3)
    stage.lose(stage.person, Close.KEEPALIVE_TIMEOUT, SignsOfLife(0, 10))
    return stage.explained()
