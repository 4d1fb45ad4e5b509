"""Known ways to get it wrong, each planted into the real code by a few lines.

A mutant replaces a function or two for the length of a test. It must be caught by a property of
the simulation: one that survives shows that a property is missing.
"""

from __future__ import annotations

import contextlib
import copy
import hmac
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

from scheduler.core import admission, delivery, dispatch, engine, nodes, retention, sessions
from scheduler.core.events import Expired, Left, SessionJoined, Timer
from scheduler.core.job import Attempt, Job, OutcomeKind
from scheduler.core.node import Node
from scheduler.core.session import OwedOutcome, Session
from scheduler.core.state import Step
from scheduler.runtime.deadlines import Deadlines
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.shell import Shell
from scheduler.runtime.stream import WholeWrites
from scheduler.wire import node as from_node
from scheduler.wire.session import Utterance

Plant = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Mutant:
    """A mistake: its number in the list, what it is, how it is made, and where it shows.

    `worlds` are those of the corpus that are tried first, `by` is the property that is about it:
    others may break as well, but without this one it does not count as caught.
    """

    number: int
    mistake: str
    plant: Plant
    worlds: tuple[str, ...]
    by: str


MUTANTS: list[Mutant] = []


def mutant(number: int, mistake: str, *worlds: str, by: str) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        MUTANTS.append(Mutant(number, mistake, plant, worlds, by))
        return plant

    return register


@mutant(
    1,
    "An outcome counts as delivered as soon as it is in a queue.",
    "half a link",
    "lost receipt",
    by="delivered_means_received",
)
def _delivered_when_queued(patch: pytest.MonkeyPatch) -> None:
    send = delivery._send

    def send_and_believe(step: Step, session: Session, owed: OwedOutcome) -> None:
        send(step, session, owed)
        if session.connection is not None and session.receipts:
            delivery.acknowledged(step, session, owed.seq)

    patch.setattr(delivery, "_send", send_and_believe)


@mutant(
    2,
    "The writer ends on an error, and nobody is told.",
    "a write cut short",
    by="written_means_written",
)
def _writer_dies_alone(patch: pytest.MonkeyPatch) -> None:
    send = WholeWrites.send_all

    async def send_until_it_fails(self: WholeWrites, data: bytes | bytearray | memoryview) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await send(self, data)

    patch.setattr(WholeWrites, "send_all", send_until_it_fails)


@mutant(
    3,
    "An outcome is forgotten when it has been put into the outbox.",
    "lost receipt",
    by="the_state_agrees_with_itself",
)
def _forgotten_when_sent(patch: pytest.MonkeyPatch) -> None:
    send = delivery._send

    def send_and_forget(step: Step, session: Session, owed: OwedOutcome) -> None:
        send(step, session, owed)
        if session.connection is not None:
            retention.let_go(step, session, owed)

    def replay(step: Step, session: Session) -> None:
        for owed in list(session.owed.values()):
            send_and_forget(step, session, owed)

    patch.setattr(delivery, "_send", send_and_forget)
    patch.setattr(delivery, "replay", replay)


@mutant(
    4,
    "The end of a connection drops what its session is owed.",
    "lost receipt",
    by="every_outcome_arrives_or_expires",
)
def _dropped_with_the_connection(patch: pytest.MonkeyPatch) -> None:
    left = sessions.left

    def leave_and_drop(step: Step, session: Session, event: Left) -> None:
        left(step, session, event)
        for owed in list(session.owed.values()):
            retention.let_go(step, session, owed)

    patch.setattr(sessions, "left", leave_and_drop)


@mutant(
    5,
    "The end of a connection deregisters its session by name, successor or not.",
    "the old connection still lives",
    by="the_registry_is_the_live_connections",
)
def _deregistered_by_name(patch: pytest.MonkeyPatch) -> None:
    names: dict[int, str] = {}
    join, left = sessions.join, engine._left

    def join_and_note(step: Step, event: SessionJoined) -> None:
        join(step, event)
        peer = step.state.peers.get(event.connection)
        if isinstance(peer, Session):
            names[event.connection] = peer.session_id

    def leave_by_name(step: Step, event: Left) -> None:
        session = step.state.sessions.get(names.pop(event.connection, ""))
        if session is None or session.connection == event.connection:
            left(step, event)
        else:
            sessions.left(step, session, event)

    patch.setattr(sessions, "join", join_and_note)
    patch.setattr(engine, "_left", leave_by_name)


@mutant(
    6,
    "A result of the wrong node or attempt is noticed, and sent all the same.",
    "stale results",
    by="only_the_current_attempt_counts",
)
def _stale_results_are_sent(patch: pytest.MonkeyPatch) -> None:
    take = nodes._result

    def take_all(step: Step, node: Node, result: from_node.JobResult) -> None:
        job = step.state.jobs.get(result.job_id)
        wrong = job is not None and not job.is_current(node.connection, result.attempt_id)
        take(step, node, result)
        if job is not None and wrong and (said := nodes._translation(job, result)) is not None:
            session = step.state.sessions.get(job.session_id)
            if session is not None:
                number = job.seq or session.next_seq
                step.send(session.connection, attrs.evolve(said, seq=number))

    patch.setattr(nodes, "_result", take_all)


@mutant(
    7,
    "A filter against duplicates remembers a job before its result was taken.",
    "honest retry",
    "second attempt",
    by="a_good_result_settles",
)
def _duplicates_filtered_too_early(patch: pytest.MonkeyPatch) -> None:
    take = nodes._result
    seen: set[tuple[int, str]] = set()

    def take_once(step: Step, node: Node, result: from_node.JobResult) -> None:
        key = (id(step.state), result.job_id)
        if key in seen:
            step.note("stale", input="job_result")
            return
        seen.add(key)
        take(step, node, result)

    patch.setattr(nodes, "_result", take_once)


@mutant(
    8,
    "A timeout acts on what it saw when it was set, and comes after the result.",
    "long after",
    by="nobody_hears_two_outcomes",
)
def _timeout_does_not_look_again(patch: pytest.MonkeyPatch) -> None:
    clear = Deadlines.clear
    expired = dispatch.expired

    def clear_but_jobs(self: Deadlines, timer: Timer) -> None:
        if timer.kind != "job":
            clear(self, timer)

    def expire_unseen(step: Step, job: Job) -> None:
        if job.live:
            expired(step, job)
            return
        step.note("settled", job, outcome=str(OutcomeKind.TIMEOUT), code="JOB_TIMEOUT")
        session = step.state.sessions.get(job.session_id)
        if session is not None:
            late = delivery.missing(step, job, OutcomeKind.TIMEOUT, "JOB_TIMEOUT", None)
            step.send(session.connection, attrs.evolve(late, seq=job.seq))

    patch.setattr(Deadlines, "clear", clear_but_jobs)
    patch.setattr(dispatch, "expired", expire_unseen)


@mutant(
    9,
    "Silence is no final state: its job goes on, times out and runs again.",
    "silence",
    by="a_good_result_settles",
)
def _silence_is_not_final(patch: pytest.MonkeyPatch) -> None:
    take = nodes._result

    def take_but_silence(step: Step, node: Node, result: from_node.JobResult) -> None:
        job = step.state.jobs.get(result.job_id)
        silent = result.success and not (result.text_asr or result.text_translated)
        if silent and job is not None and job.is_current(node.connection, result.attempt_id):
            nodes._receipt(step, node, result, "stored")
            return
        take(step, node, result)

    patch.setattr(nodes, "_result", take_but_silence)


@mutant(
    10,
    "When too much is kept, the newest outcomes go, and nobody is told.",
    "more than fits",
    by="every_outcome_arrives_or_expires",
)
def _newest_evicted_silently(patch: pytest.MonkeyPatch) -> None:
    def evict(step: Step, session: Session) -> None:
        while session.owed_bytes > step.config.retained_bytes_max and session.owed:
            retention.let_go(step, session, next(reversed(session.owed.values())))
        retention.watch_age(step, session)

    patch.setattr(retention, "bound", evict)


@mutant(
    11,
    "A copy of a session's connection is not kept up to date, and read.",
    "lost receipt",
    by="acknowledged_is_never_sent_again",
)
def _stale_copy_of_the_connection(patch: pytest.MonkeyPatch) -> None:
    copies: dict[int, int | None] = {}

    def send_by_copy(step: Step, session: Session, owed: OwedOutcome) -> None:
        connection = copies.setdefault(id(session), session.connection)
        if connection is not None:
            session.sent_seq = max(session.sent_seq, owed.seq)
            step.send(connection, owed.message, seq=owed.seq)

    patch.setattr(delivery, "_send", send_by_copy)


@mutant(
    12,
    "A job is read, then changed, then written back: result and timeout overwrite each other.",
    *(f"at the deadline {seed}" for seed in range(6)),
    by="a_job_has_one_outcome",
)
def _read_change_write_back(patch: pytest.MonkeyPatch) -> None:
    shells: dict[int, Shell] = {}
    init = Shell.__init__

    def remember(self: Shell, *args: Any, **said: Any) -> None:
        init(self, *args, **said)
        shells[id(self.deadlines)] = self

    async def watch(self: Deadlines, timer: Timer, scope: trio.CancelScope) -> None:
        if not await self._came_due(timer, scope):
            return
        shell = shells[id(self)]
        job = shell.engine._state.jobs.get(timer.key) if timer.kind == "job" else None
        before = copy.copy(job)
        await trio.lowlevel.checkpoint()
        if job is not None and before is not None and before.live and not job.live:
            shell.engine._state.settled.remove(job)
            for field in ("state", "outcome", "utterance", "settled_at", "seq"):
                setattr(job, field, getattr(before, field))
            shell.engine._state.sessions[job.session_id].order.append(job)
        shell.apply(Expired(timer))

    patch.setattr(Shell, "__init__", remember)
    patch.setattr(Deadlines, "_watch", watch)


@mutant(
    13,
    "A failed attempt does not give its slot back.",
    "failure and success",
    "second attempt",
    by="the_state_agrees_with_itself",
)
def _slot_is_kept_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    free = dispatch._free_slot

    def keep_slot(step: Step, job: Job, attempt: Attempt, end: str) -> Node | None:
        if end == "failed":
            attempt.ended_at, attempt.end = step.now, end
            return None
        return free(step, job, attempt, end)

    patch.setattr(dispatch, "_free_slot", keep_slot)


@mutant(
    14,
    "A refusal takes a place in the line, and what is behind it is held back for ever.",
    "refused in between",
    by="nothing_is_left",
)
def _refusals_take_a_place(patch: pytest.MonkeyPatch) -> None:
    submit = admission.submit

    def submit_in_line(step: Step, session: Session, said: Utterance, cut: Any = None) -> None:
        before = step.state.counts["refused"]
        submit(step, session, said, cut)
        if step.state.counts["refused"] > before and session.order:
            ghost = copy.copy(session.order[-1])
            ghost.outcome = None
            session.order.append(ghost)

    patch.setattr(admission, "submit", submit_in_line)


@mutant(
    15,
    "The dispatched deadline begins anew with each attempt.",
    "second attempt",
    by="every_job_ends_by_its_deadline",
)
def _deadline_restarts(patch: pytest.MonkeyPatch) -> None:
    lose = dispatch.lose

    def lose_and_restart(step: Step, job: Job, why: str, **said: Any) -> None:
        job.overall_deadline = step.now + step.config.dispatched_timeout
        lose(step, job, why, **said)

    patch.setattr(dispatch, "lose", lose_and_restart)


@mutant(
    16,
    "A send that was cut short leaves half a frame, and the connection goes on.",
    "a write cut short",
    by="everybody_is_served",
)
def _torn_writes_go_on(patch: pytest.MonkeyPatch) -> None:
    async def send_some(self: WholeWrites, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(self._write_timeout):
            await self._inner.send_all(data)

    patch.setattr(WholeWrites, "send_all", send_some)


@mutant(
    17,
    "An old acknowledgement moves the acknowledged position back.",
    "receipts back and forth",
    by="receipts_move_forward",
)
def _receipts_move_back(patch: pytest.MonkeyPatch) -> None:
    acknowledged = delivery.acknowledged

    def believe_the_last(step: Step, session: Session, seq: int) -> bool:
        known = acknowledged(step, session, seq)
        if known:
            session.acked_seq = seq
        return known

    patch.setattr(delivery, "acknowledged", believe_the_last)


@mutant(
    18,
    "A session is resumed without looking at the token.",
    "foreign token",
    by="who_may_resume_does",
)
def _token_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hmac, "compare_digest", lambda known, said: True)


@mutant(
    19,
    "A node that comes back gets all its slots, while its old jobs still run there.",
    "node by hand keeps working",
    "node keeps working",
    by="a_node_is_never_overrun",
)
def _slots_are_given_twice(patch: pytest.MonkeyPatch) -> None:
    def forget(step: Step, old: Node, node: Node, held: nodes.Held) -> list[Job]:
        jobs = [step.state.jobs[job_id] for job_id in old.running]
        return sorted(jobs, key=lambda job: job.order)

    patch.setattr(nodes, "_take_over", forget)
    patch.setattr(nodes, "_cancel_strays", lambda step, node, held: None)


@mutant(
    20,
    "When a reader is slow, what is newer pushes out what is older, outcomes too.",
    "a reader much too slow",
    by="delivered_means_received",
)
def _partials_push_out_outcomes(patch: pytest.MonkeyPatch) -> None:
    def put(self: Outbox, entry: Entry) -> bool:
        if self._closed:
            return True
        self._entries.append(entry)
        self.size_bytes += entry.size_bytes
        while len(self._entries) * 2 > self._messages_max:
            self.size_bytes -= self._entries.pop(0).size_bytes
        self._changed.set()
        return True

    patch.setattr(Outbox, "put", put)
