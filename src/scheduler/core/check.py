"""Every invariant of the state, asserted. Tests call this after each step.

A failure prints the *story* of the job it concerns: everything that ever named it.
"""

from collections import defaultdict
from collections.abc import Mapping

import attrs

from scheduler.core.job import Job
from scheduler.core.node import Node
from scheduler.core.placement import feasible
from scheduler.core.session import Session
from scheduler.core.state import State
from scheduler.core.states import JobState


@attrs.frozen
class Places:
    """Where the jobs of one state are found besides ``State.jobs``: always, and perhaps."""

    always: tuple[str, ...]
    perhaps: tuple[str, ...] = ()


_ON_NODE = Places(("Session.order", "Node.running"))
_S = JobState

FOUND_IN: Mapping[JobState, Places] = {
    _S.ACCEPTED: Places(("Session.order",)),
    _S.PENDING: Places(("Session.order", "State.waiting")),
    _S.ASSIGNED: _ON_NODE,
    _S.RECEIVED: _ON_NODE,
    _S.STARTED: _ON_NODE,
    _S.FINISHED: Places(("State.settled",), ("Session.order", "Session.owed")),
    _S.WRITTEN: Places(("State.settled",), ("Session.owed",)),
    _S.ACKNOWLEDGED: Places(("State.settled",)),
    _S.EXPIRED: Places(("State.settled",), ("Session.owed",)),
}
"""A finished job is still in the order before its turn has come, and owed after it. A written
one stays owed if its session acknowledges, an expired one while its gap is owed."""


def check(state: State) -> None:
    """Raise ``AssertionError`` if anything in ``state`` contradicts anything else."""
    places = _places(state)
    for job in state.jobs.values():
        _check_job(state, job)
        _check_place(job, places[job.job_id])
    state.fleet.check(state.nodes)
    for node in state.nodes.values():
        _check_node(state, node)
    for session in state.sessions.values():
        _check_session(state, session)
    _check_queue(state)
    known = {id(peer) for peer in (*state.sessions.values(), *state.nodes.values())}
    for connection, peer in state.peers.items():
        assert peer.connection == connection, f"{peer} is not on connection {connection}"
        assert id(peer) in known, f"{peer} is forgotten but has a connection"
    owed_bytes = sum(session.owed_bytes for session in state.sessions.values())
    assert state.owed_bytes == owed_bytes, f"{state.owed_bytes} bytes owed, not {owed_bytes}"
    audio_chars = sum(len(j.utterance.audio) for j in state.jobs.values() if j.utterance)
    assert state.audio_chars == audio_chars, f"{state.audio_chars} of audio, not {audio_chars}"


def _say(job: Job, broken: str) -> str:
    lines = [f"{line.at:10.4f}  {line.what:12} {line.actor} {line.detail}" for line in job.story]
    return "\n".join([f"{job.job_id} ({job.state}): {broken}", *lines])


def _places(state: State) -> Mapping[str, list[str]]:
    """Every collection each job is in, once for each time it is there."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for queue in state.waiting.values():
        for job_id in queue:
            places[job_id].append("State.waiting")
    for node in state.nodes.values():
        for job_id in node.running:
            places[job_id].append("Node.running")
    for session in state.sessions.values():
        for job in session.order:
            places[job.job_id].append("Session.order")
        for owed in session.owed.values():
            places[owed.job_id].append("Session.owed")
    for job in state.settled:
        places[job.job_id].append("State.settled")
    return places


def _check_place(job: Job, places: list[str]) -> None:
    expected = FOUND_IN[job.state]
    assert len(places) == len(set(places)), _say(job, f"is twice in one of {places}")
    assert set(expected.always) <= set(places), _say(job, f"should be in {expected.always}")
    assert set(places) <= {*expected.always, *expected.perhaps}, _say(job, f"is in {places}")
    if job.state is JobState.FINISHED:
        kept = {"Session.order", "Session.owed"} & set(places)
        assert len(kept) == 1, _say(job, "is kept for its session, in one place")
        assert (job.seq is None) == (kept == {"Session.order"}), _say(job, "numbered in its turn")


def _check_job(state: State, job: Job) -> None:
    assert job.live == (job.outcome is None), _say(job, "settled exactly when it has an outcome")
    assert job.live == (job.utterance is not None), _say(job, "audio is kept exactly while needed")
    assert job.live == (job.settled_at is None), _say(job, "settled at a known instant")
    if job.live:
        assert job.session_id in state.sessions, _say(job, "a live job has its session")
        assert job.deadline > 0, _say(job, "no live state without a deadline")
        if job.overall_deadline is not None:
            assert job.deadline <= job.overall_deadline, _say(job, "no phase outlives the whole")
    attempt = job.attempt
    if attempt is not None:
        node = state.nodes.get(attempt.node_id)
        assert node is not None, _say(job, f"is on {attempt.node_id}, which is not there")
        slot = node.running.get(job.job_id)
        assert slot == attempt.number, _say(job, "the slot is the attempt's")
        assert node.connection == attempt.connection, _say(job, "the attempt is on a live link")
    ended = [a.ended_at is not None for a in job.attempts]
    open_ones = 1 if attempt is not None else 0
    assert ended.count(False) == open_ones, _say(job, "every past attempt has its end")
    numbers = [0, *(a.number for a in job.attempts), job.next_attempt]
    assert numbers == sorted(set(numbers)), _say(job, f"attempts are numbered {numbers}")
    assert job.tries <= state.config.attempts_max, _say(job, "attempts are bounded")


def _check_node(state: State, node: Node) -> None:
    assert 0 <= len(node.running) <= node.slots, f"{node.node_id}: {len(node.running)} running"
    assert state.peers.get(node.connection) is node, f"{node.node_id} has no live connection"
    for job_id in node.running:
        assert job_id in state.jobs, f"{node.node_id} holds a slot for the unknown {job_id}"
    assert node.canary is None or node.quarantined, f"{node.node_id}: a canary without quarantine"
    assert not (node.on_probation and node.quarantined), f"{node.node_id}: let in and kept out"


def _check_session(state: State, session: Session) -> None:
    name = session.session_id
    places = (session.acked_seq, session.sent_seq, session.next_seq)
    assert places[0] <= places[1] < places[2], f"{name}: acknowledged, sent, next: {places}"
    if session.connection is not None:
        assert state.peers.get(session.connection) is session, f"{name} is on a dead connection"
    else:
        assert session.receipts, f"{name} cannot resume and should be gone"
    seqs = list(session.owed)
    assert seqs == list(range(session.next_seq - len(seqs), session.next_seq)) or not (
        session.receipts
    ), f"{name}: owed {seqs}, next {session.next_seq}"
    assert not seqs or seqs[0] > session.acked_seq, f"{name}: owed what was acknowledged"
    size_bytes = sum(owed.size_bytes for owed in session.owed.values())
    assert session.owed_bytes == size_bytes, f"{name}: {session.owed_bytes} bytes, not {size_bytes}"
    most = state.config.retained_bytes_max + 1024 * len(seqs)
    assert size_bytes <= most, f"{name}: {size_bytes} bytes are owed, at most {most} may be"
    if session.order:
        head = session.order[0]
        assert head.live, _say(head, "its turn has come and it is held back")
    orders = [job.order for job in session.order]
    assert orders == sorted(orders), f"{name}: jobs out of the order of acceptance"


def _check_queue(state: State) -> None:
    """A free feasible slot and a waiting job never coexist."""
    free = [node for node in state.nodes.values() if node.free > 0]
    for need, queue in state.waiting.items():
        assert queue, f"an empty queue is left for {need.text}"
        assert need in state.waiting_because, f"nobody knows why {need.text} waits"
        for job in queue.values():
            able = [node.node_id for node in free if feasible(job, node) is None]
            assert not able, _say(job, f"waits although {able} could take it")
    assert set(state.waiting_because) == set(state.waiting)
