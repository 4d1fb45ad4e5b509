"""Every invariant of the state, asserted. Tests call this after each step.

A failure prints the *story* of the job it concerns: everything that ever named it.
"""

from scheduler.core.job import Job
from scheduler.core.node import Node
from scheduler.core.placement import feasible
from scheduler.core.session import Session
from scheduler.core.state import State
from scheduler.core.states import JobState


def check(state: State) -> None:
    """Raise ``AssertionError`` if anything in ``state`` contradicts anything else."""
    for job in state.jobs.values():
        _check_job(state, job)
    for node in state.nodes.values():
        _check_node(state, node)
    for session in state.sessions.values():
        _check_session(state, session)
    _check_queue(state)
    for connection, peer in state.peers.items():
        assert peer.connection == connection, f"{peer} is not on connection {connection}"
    assert state.owed_bytes == sum(s.owed_bytes for s in state.sessions.values())


def _say(job: Job, broken: str) -> str:
    lines = [f"{line.at:10.4f}  {line.what:12} {line.actor} {line.detail}" for line in job.story]
    return "\n".join([f"{job.job_id} ({job.state}): {broken}", *lines])


def _check_job(state: State, job: Job) -> None:
    assert job.live == (job.outcome is None), _say(job, "settled exactly when it has an outcome")
    assert job.live == (job.utterance is not None), _say(job, "audio is kept exactly while needed")
    assert job.live == (job.settled_at is None), _say(job, "settled at a known instant")
    if job.live:
        assert job.session_id in state.sessions, _say(job, "a live job has its session")
        assert job.deadline > 0, _say(job, "no live state without a deadline")
        if job.overall_deadline is not None:
            assert job.deadline <= job.overall_deadline, _say(job, "no phase outlives the whole")
    queued = job.job_id in state.waiting.get(job.need, ())
    assert queued == (job.state is JobState.PENDING), _say(job, "queued exactly while pending")
    attempt = job.attempt
    holders = [n.node_id for n in state.nodes.values() if job.job_id in n.running]
    assert holders == ([attempt.node_id] if attempt else []), _say(job, f"slots at {holders}")
    if attempt is not None:
        node = state.nodes[attempt.node_id]
        assert node.running[job.job_id] == attempt.number, _say(job, "the slot is the attempt's")
        assert node.connection == attempt.connection, _say(job, "the attempt is on a live link")
    ended = [a.ended_at is not None for a in job.attempts]
    open_ones = 1 if attempt is not None else 0
    assert ended.count(False) == open_ones, _say(job, "every past attempt has its end")
    assert [a.number for a in job.attempts] == list(range(1, len(job.attempts) + 1)), _say(
        job, "attempts are numbered from 1"
    )
    assert job.tries <= state.config.attempts_max, _say(job, "attempts are bounded")


def _check_node(state: State, node: Node) -> None:
    assert 0 <= len(node.running) <= node.slots, f"{node.node_id}: {len(node.running)} running"
    assert state.peers.get(node.connection) is node, f"{node.node_id} has no live connection"
    for job_id in node.running:
        assert job_id in state.jobs, f"{node.node_id} holds a slot for the unknown {job_id}"


def _check_session(state: State, session: Session) -> None:
    name = session.session_id
    assert session.acked_seq <= session.sent_seq < session.next_seq, name
    if session.connection is not None:
        assert state.peers.get(session.connection) is session, f"{name} is on a dead connection"
    else:
        assert session.receipts, f"{name} cannot resume and should be gone"
    seqs = list(session.owed)
    assert seqs == list(range(session.next_seq - len(seqs), session.next_seq)) or not (
        session.receipts
    ), f"{name}: owed {seqs}, next {session.next_seq}"
    assert not seqs or seqs[0] > session.acked_seq, f"{name}: owed what was acknowledged"
    assert session.owed_bytes == sum(o.size_bytes for o in session.owed.values()), name
    assert session.owed_bytes <= state.config.retained_bytes_max + 1024 * len(seqs), name
    if session.order:
        head = session.order[0]
        assert head.live, _say(head, "its turn has come and it is held back")
    orders = [job.order for job in session.order]
    assert orders == sorted(orders), f"{name}: jobs out of the order of acceptance"


def _check_queue(state: State) -> None:
    """A free feasible slot and a waiting job never coexist."""
    for need, queue in state.waiting.items():
        assert queue, f"an empty queue is left for {need.text}"
        assert need in state.waiting_because, f"nobody knows why {need.text} waits"
        for job in queue.values():
            assert job.state is JobState.PENDING, _say(job, "waits without being pending")
            able = [n.node_id for n in state.nodes.values() if feasible(job, n) is None]
            assert not able, _say(job, f"waits although {able} could take it")
    assert set(state.waiting_because) == set(state.waiting)
