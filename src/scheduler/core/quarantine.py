"""Nodes that keep failing get no more of people's jobs until a small real job went well.

The canary is a job like any other on the node's side: the same message, the same path, the
same engines; its audio is a moment of silence, and a node that works says so. It belongs to
no session, and nobody waits for it.

A node of the base may answer nothing at all to silence, so that its silence proves nothing.
After a canary without an answer it is let in *on probation*: one job at a time, after all
other nodes, and the next failure puts it back.

A node that connects again under the same id is the same node: a supervisor that restarts one
after each failure does not make it a good one.
"""

from scheduler.core.assignment import pipeline
from scheduler.core.events import Timer
from scheduler.core.node import Canary, HeldAgainst, Node
from scheduler.core.placement import Need
from scheduler.core.state import Step
from scheduler.wire import node as wire

AWAY_MAX = 1000
"""Nodes that are away and have something held against them; the one that left first is forgiven."""
AWAY_SECONDS = 3600.0
"""Whatever a node did so long ago says nothing of it now."""
CANARY_SESSION = "s-canary"
CANARY_PAIR = ("en", "es")
"""Asked of a node that names no pairs."""
CANARY_AUDIO_SECONDS = 0.5
CANARY_SAMPLE_RATE_HZ = 16_000
CANARY_ATTEMPT = 1
"""A canary has one attempt; another one is another canary."""
SILENCE = "AAAA" * (int(CANARY_AUDIO_SECONDS * CANARY_SAMPLE_RATE_HZ) * 2 // 3)
"""Zeros as 16-bit samples in base64; each group of four characters holds three bytes."""


def setback(step: Step, node: Node, why: str) -> None:
    """The node failed a job by its own fault; too many in a row put it into quarantine."""
    node.setbacks += 1
    if node.setbacks >= step.config.quarantine_setbacks and node.quarantined is None:
        node.quarantined = f"{node.setbacks} setbacks in a row, the last: {why}"
        node.on_probation = False
        step.note("quarantined", node_id=node.node_id, why=node.quarantined)
        _wait_until(step, node, step.now + step.config.canary_interval)


def success(step: Step, node: Node) -> bool:
    """The node did a job well: whatever was held against it is forgotten.

    A canary that is still under way would take one of the slots that are free now.
    True if the node may take more jobs now than before.
    """
    if node.canary is not None:
        _cancel_canary(step, node, node.canary)
    readmitted = node.quarantined is not None or node.on_probation
    _stop_waiting(step, node)
    node.setbacks, node.on_probation, node.quarantined, node.canary = 0, False, None, None
    if readmitted:
        step.note("readmitted", node_id=node.node_id)
    return readmitted


def leave(step: Step, node: Node) -> None:
    """The node's connection is over; what is held against it waits for its next one."""
    _stop_waiting(step, node)
    away = step.state.away
    if node.setbacks or node.on_probation:
        away[node.node_id] = HeldAgainst(
            setbacks=node.setbacks,
            quarantined=node.quarantined,
            on_probation=node.on_probation,
            canary_due=node.canary_due,
            left_at=step.now,
        )
    while away and (len(away) > AWAY_MAX or _too_old(step, next(iter(away.values())))):
        away.popitem(last=False)


def come_back(step: Step, node: Node) -> None:
    """A node has registered: to connect again forgives nothing, and puts nothing off."""
    held = step.state.away.pop(node.node_id, None)
    if held is None or _too_old(step, held):
        return
    node.setbacks, node.on_probation = held.setbacks, held.on_probation
    node.quarantined = held.quarantined
    if node.quarantined is not None:
        step.note("still_quarantined", node_id=node.node_id, why=node.quarantined)
        _wait_until(step, node, max(step.now, held.canary_due))


def _too_old(step: Step, held: HeldAgainst) -> bool:
    return held.left_at + AWAY_SECONDS <= step.now


def _wait_until(step: Step, node: Node, due: float) -> None:
    node.canary_due = due
    step.set_timer(_timer(node), due)


def _stop_waiting(step: Step, node: Node) -> None:
    """Nothing more is awaited of this node's quarantine."""
    if node.quarantined is not None:
        step.clear_timer(_timer(node))


def due(step: Step, node: Node) -> bool:
    """The canary's timer: send the next one, or give up the one that never came back.

    True if the node is let in, on probation.
    """
    if node.quarantined is None:
        return False
    if node.canary is not None:
        _failed(step, node, "no answer")
        if not node.receipts:
            _let_in_on_probation(step, node)
        return node.on_probation
    node.canary = Canary(job_id=step.state.ids.job(), need=_need(node))
    step.send(node.connection, _assignment(step, node.canary))
    step.note("canary_sent", node_id=node.node_id)
    _wait_until(step, node, step.now + step.config.canary_timeout)
    return False


def concerns(node: Node, message: wire.FromNode) -> bool:
    """Whether a message of this node is about its canary, and not about what it made up."""
    return (
        node.canary is not None
        and getattr(message, "job_id", None) == node.canary.job_id
        and getattr(message, "attempt_id", None) in (None, CANARY_ATTEMPT)
        and getattr(message, "node_id", node.node_id) == node.node_id
    )


def heard(step: Step, node: Node, message: wire.FromNode) -> bool:
    """The canary is under way, or came back; True if the node was readmitted."""
    if not isinstance(message, wire.JobResult):
        return False
    if node.receipts:
        receipt = wire.JobResultAck(
            job_id=message.job_id, attempt_id=message.attempt_id, status="stored"
        )
        step.send(node.connection, receipt)
    if not message.success:
        _failed(step, node, message.error.code if message.error else "failed")
        return False
    node.canary = None
    success(step, node)
    return True


def _failed(step: Step, node: Node, why: str) -> None:
    assert node.canary is not None
    _cancel_canary(step, node, node.canary)
    node.canary = None
    step.note("canary_failed", node_id=node.node_id, why=why)
    _wait_until(step, node, step.now + step.config.canary_interval)


def _cancel_canary(step: Step, node: Node, canary: Canary) -> None:
    cancel = wire.JobCancel(job_id=canary.job_id, reason="canary_over", attempt_id=CANARY_ATTEMPT)
    step.send(node.connection, cancel)


def _let_in_on_probation(step: Step, node: Node) -> None:
    _stop_waiting(step, node)
    node.quarantined, node.on_probation = None, True
    node.setbacks = step.config.quarantine_setbacks - 1
    step.note("on_probation", node_id=node.node_id)


def _need(node: Node) -> Need:
    pairs = node.abilities.pairs
    return Need(
        node.abilities.ready & {"asr", "nmt", "tts"}, (min(pairs) if pairs else CANARY_PAIR,)
    )


def _assignment(step: Step, canary: Canary) -> wire.JobAssign:
    (src, tgt), services = canary.need.pairs[0], canary.need.services
    return wire.JobAssign(
        job_id=canary.job_id,
        attempt_id=CANARY_ATTEMPT,
        session_id=CANARY_SESSION,
        utterance_index=0,
        src_lang=src,
        tgt_lang=tgt,
        dialect=None,
        pipeline=pipeline(services),
        audio=SILENCE[: step.config.audio_chars_max // 4 * 4],
        audio_format="pcm16",
        sample_rate=CANARY_SAMPLE_RATE_HZ,
        trace_id=step.state.ids.trace(),
        deadline_ms=int(step.config.canary_timeout * 1000),
    )


def _timer(node: Node) -> Timer:
    return Timer("canary", node.node_id)
