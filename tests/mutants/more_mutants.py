"""Further mistakes: each is planted to see that the property it is for can fail.

The first twenty, in `mutants.py`, are those that were really made once.
"""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
import trio
from mutants.mutants import mutant

from scheduler.core import (
    delivery,
    dispatch,
    engine,
    fleet,
    placement,
    quarantine,
    receipts,
    sessions,
)
from scheduler.core.events import JournalFailed, JournalMended, Left, SessionJoined, Timer
from scheduler.core.job import Attempt, Job, Outcome, OutcomeKind
from scheduler.core.node import Node
from scheduler.core.placement import Rejection
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.errors import Code
from scheduler.runtime.connection import Connection
from scheduler.runtime.keepalive import Keepalive
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.shell import Shell
from scheduler.server import front
from scheduler.server import serve as serving


@mutant(
    21,
    "The jobs of a node that is gone wait for their deadline.",
    "node dies",
    by="the_jobs_of_a_lost_node_go_on_at_once",
)
def _jobs_of_a_lost_node_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "lose_all", lambda step, jobs, why, **said: None)


@mutant(22, "Nobody is pinged.", "node keeps working", by="the_registry_is_the_live_connections")
def _nobody_is_pinged(patch: pytest.MonkeyPatch) -> None:
    async def sleep(self: Keepalive, pings: trio.Nursery) -> None:
        await trio.sleep_forever()

    patch.setattr(Keepalive, "run", sleep)


@mutant(
    23,
    "A connection that says no hello may stay.",
    "a stranger",
    by="the_registry_is_the_live_connections",
)
def _strangers_may_stay(patch: pytest.MonkeyPatch) -> None:
    async def wait(self: Connection, timeout: float) -> None:
        await trio.sleep_forever()

    patch.setattr(Connection, "_await_hello", wait)


@mutant(24, "A node that has gone silent gets jobs.", "silent node", by="only_fit_nodes_get_jobs")
def _silent_nodes_get_jobs(patch: pytest.MonkeyPatch) -> None:
    look = placement.unavailable

    def overlook(node: Node) -> Rejection | None:
        reason = look(node)
        return (
            (None if node.free > 0 else Rejection.BUSY) if reason is Rejection.SUSPECT else reason
        )

    patch.setattr(placement, "unavailable", overlook)
    patch.setattr(fleet, "unavailable", overlook)


@mutant(
    25,
    "What one connection raises ends the listener.",
    "a siege",
    by="only_peers_are_harmed_by_themselves",
)
def _no_barrier(patch: pytest.MonkeyPatch) -> None:
    async def serve_bare(stream: trio.abc.Stream, **said: Any) -> None:
        try:
            await front._Front(
                stream, said["peer"], said["app"], said["on_upgrade"],
                said["websocket_paths"], said["config"],
            ).serve()  # fmt: skip
        finally:
            await trio.aclose_forcefully(stream)

    patch.setattr(serving, "serve_stream", serve_bare)


@mutant(
    26,
    "A node is not told that a job is wanted no more.",
    "work without an end",
    by="a_node_is_never_overrun",
)
def _nodes_are_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "cancel_at_node", lambda step, job, attempt, reason: None)


@mutant(
    27, "Without a node an utterance fails at once.", "node comes late", by="nobody_is_failed_early"
)
def _no_waiting(patch: pytest.MonkeyPatch) -> None:
    place = dispatch.place

    def place_or_fail(step: Step, job: Job, *, at_front: bool = False) -> None:
        place(step, job, at_front=at_front)
        if job.attempt is None and job.live:
            dispatch.finish(
                step, job, OutcomeKind.NO_NODE, actor="scheduler", code=Code.NO_AVAILABLE_NODE
            )

    patch.setattr(dispatch, "place", place_or_fail)


@mutant(
    28,
    "Nobody may resume while the connection before still counts.",
    "the old connection still lives",
    by="who_may_resume_does",
)
def _the_dead_forbid_to_resume(patch: pytest.MonkeyPatch) -> None:
    join = sessions.join

    def join_if_free(step: Step, event: SessionJoined) -> None:
        wanted = event.hello.resume
        known = step.state.sessions.get(wanted.session_id) if wanted else None
        if known is not None and known.connection is not None:
            sessions._begin(step, event)
        else:
            join(step, event)

    patch.setattr(sessions, "join", join_if_free)


@mutant(29, "No receipt is ever missed.", "never a receipt", by="who_never_answers_is_given_up")
def _receipts_are_not_awaited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receipts, "expect", lambda step, session: None)


@mutant(
    30,
    "A late result replaces a failure that the client knows of.",
    "a tick too late",
    by="only_peers_are_harmed_by_themselves",
)
def _salvage_of_what_was_told(patch: pytest.MonkeyPatch) -> None:
    salvage = delivery.salvage

    def salvage_always(step: Step, session: Session, job: Job, outcome: Outcome) -> bool:
        for owed in session.owed.values():
            owed.told = None
        return salvage(step, session, job, outcome)

    patch.setattr(delivery, "salvage", salvage_always)


@mutant(31, "A drain waits for whatever runs.", "drained of endless work", by="the_end_is_bounded")
def _drain_without_patience(patch: pytest.MonkeyPatch) -> None:
    drain = serving._drain

    async def wait_and_drain(shell: Any, config: Any, shutdown: Any) -> None:
        await shell.until(lambda: serving._may_leave(shell))
        await drain(shell, config, shutdown)

    patch.setattr(serving, "_drain", wait_and_drain)


@mutant(
    32, "Who is in quarantine stays there.", "a small canary", by="who_works_again_is_readmitted"
)
def _quarantine_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quarantine, "due", lambda step, node: False)


@mutant(
    33,
    "A slot that has become free is offered to nobody.",
    "second attempt",
    "long after",
    by="no_slot_idles_while_a_job_waits",
)
def _free_slots_idle(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dispatch, "fill", lambda step, node: None)


@mutant(
    34, "A session that does not come back is kept for ever.", "foreign token", by="nothing_is_left"
)
def _sessions_for_ever(patch: pytest.MonkeyPatch) -> None:
    left, set_timer = sessions.left, Step.set_timer

    def set_no_session_timer(self: Step, timer: Timer, at: float) -> None:
        if timer.kind != "session":
            set_timer(self, timer, at)

    def leave(step: Step, session: Session, event: Left) -> None:
        left(step, session, event)
        session.resumable_until = inf

    patch.setattr(sessions, "left", leave)
    patch.setattr(Step, "set_timer", set_no_session_timer)


@mutant(
    35,
    "Of several outcomes whose turn has come one is sent.",
    "failure and success",
    by="nothing_is_held_back",
)
def _one_outcome_at_a_time(patch: pytest.MonkeyPatch) -> None:
    def release_one(step: Step, session: Session) -> None:
        if session.order and session.order[0].outcome is not None:
            job = session.order.popleft()
            assert job.outcome is not None
            delivery._owe(step, session, job, job.outcome)

    patch.setattr(delivery, "release", release_one)


@mutant(
    36,
    "An outcome passes one whose replacement is still to be kept.",
    "salvaged before it was kept",
    by="outcomes_never_pass_each_other",
)
def _promises_pass_each_other(patch: pytest.MonkeyPatch) -> None:
    def first_kept(self: Outbox) -> Entry | None:
        kept = next((e for e in self._entries if e.after <= self.committed()), None)
        if kept is not None:
            self._entries.remove(kept)
        return kept

    patch.setattr(Outbox, "get_nowait", first_kept)


@mutant(
    37,
    "What is promised is said before it is kept.",
    "a slow disk",
    by="promises_are_kept_before_they_leave",
)
def _promises_leave_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shell, "_promise", lambda self, connection, message: 0)


@mutant(
    38,
    "New work is taken although it cannot be kept.",
    "a full disk",
    by="a_journal_that_fails_is_no_secret",
)
def _failing_in_secret(patch: pytest.MonkeyPatch) -> None:
    journal = engine._journal

    def take_back_only(step: Step, event: JournalFailed | JournalMended) -> None:
        journal(step, event)
        step.state.journal_failed = None

    patch.setattr(engine, "_journal", take_back_only)


@mutant(
    39,
    "What could not be kept is called accepted once it can be.",
    "a full disk",
    by="what_could_not_be_kept_is_not_called_accepted",
)
def _acceptances_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "withdraw", lambda self, connection, job_id: None)


@mutant(
    40,
    "Work that is about to be taken back gets the slot of what is taken back before it.",
    "taken back while they wait",
    by="what_could_not_be_kept_is_not_begun",
)
def _taken_back_one_by_one(patch: pytest.MonkeyPatch) -> None:
    journal = engine._journal

    def one_by_one(step: Step, event: JournalFailed | JournalMended) -> None:
        for job_id in getattr(event, "job_ids", ()):
            journal(step, JournalFailed("no room", (job_id,)))
        journal(step, event)

    patch.setattr(engine, "_journal", one_by_one)


@mutant(
    41,
    "A failed attempt gives its slot back twice.",
    "failure and success",
    by="a_node_is_never_overrun",
)
def _slot_comes_back_twice(patch: pytest.MonkeyPatch) -> None:
    free = dispatch._free_slot

    def free_twice(step: Step, job: Job, attempt: Attempt, end: str) -> Node | None:
        node = free(step, job, attempt, end)
        if node is not None and end == "failed":
            node.slots += 1
        return node

    patch.setattr(dispatch, "_free_slot", free_twice)


@mutant(
    42,
    "The dispatched deadline ends with the pending one.",
    "node comes late",
    by="nobody_is_failed_early",
)
def _one_deadline_inside_the_other(patch: pytest.MonkeyPatch) -> None:
    assign = dispatch._assign

    def assign_and_keep(step: Step, job: Job, node: Node) -> None:
        if job.overall_deadline is None:
            job.overall_deadline = job.accepted_at + step.config.pending_timeout
        assign(step, job, node)

    patch.setattr(dispatch, "_assign", assign_and_keep)
