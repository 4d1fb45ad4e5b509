"""The ledger notices: each known way to get it wrong, put into the engine, is caught.

The soak drives the spoilt engine until a property of the ledger or of the state is broken.
"""

import hmac
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from core.soak import soak

from scheduler.core import delivery, dispatch, nodes, quarantine, retention, sessions, waiting
from scheduler.core.job import Job, OutcomeKind
from scheduler.core.node import Node
from scheduler.core.session import OwedOutcome, Session
from scheduler.core.state import Step
from scheduler.wire.session import MissingResult

Spoil = Callable[[pytest.MonkeyPatch], None]

CAUGHT_WITHIN = 6_000
"""Events; most are caught within the first hundred."""


def after(module: Any, name: str, then: Callable[..., None]) -> Spoil:
    """Let a function of the engine do something more."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        right = getattr(module, name)

        def wrong(*args: Any, **kwargs: Any) -> Any:
            result = right(*args, **kwargs)
            then(*args)
            return result

        patch.setattr(module, name, wrong)

    return spoil


def instead(module: Any, name: str, wrong: Any) -> Spoil:
    """Let a function of the engine do something else."""
    return lambda patch: patch.setattr(module, name, wrong)


def removed_when_taken(session: Session, seq: int) -> None:
    session.owed.pop(seq, None)


def dropped_with_the_connection(step: Step, session: Session, event: object) -> None:
    delivery.forget(step, session, "disconnected")


def times_out_without_looking(step: Step, job: Job) -> None:
    if job.live:
        dispatch.finish(step, job, OutcomeKind.TIMEOUT, actor="scheduler", code="JOB_TIMEOUT")


def drops_in_silence(step: Step, session: Session, owed: OwedOutcome, why: str) -> None:
    retention.exchange(step, session, owed, MissingResult(
        session_id=session.session_id, utterance_index=owed.message.utterance_index,
        reason="gap", created_at_ms=0, job_id=owed.job_id, seq=owed.seq,
    ))  # fmt: skip
    owed.dropped = True


def keeps_the_slot(step: Step, job: Job, attempt: Any, end: str) -> None:
    attempt.ended_at, attempt.end = step.now, end


def releases_one(step: Step, session: Session) -> None:
    if session.order and session.order[0].outcome is not None:
        job = session.order.popleft()
        assert job.outcome is not None
        delivery._owe(step, session, job, job.outcome)


def restarts_the_deadline(step: Step, job: Job, *rest: Any) -> None:
    job.overall_deadline = None


def goes_backwards(step: Step, session: Session, seq: int) -> None:
    session.acked_seq = min(session.acked_seq, seq)


def acknowledges_what_was_written(step: Step, session: Session, seq: int, *rest: Any) -> None:
    job = step.state.jobs.get(session.owed[seq].job_id) if seq in session.owed else None
    if job is not None:
        step.note("delivered", job, seq=seq)


def takes_any_attempt(job: Job, connection: int, attempt: int | None) -> bool:
    return job.attempt is not None


def forgets_the_old_slots(step: Step, old: Node, node: Node, held: object) -> list[Job]:
    for job_id in old.running:
        attempt = step.state.jobs[job_id].attempt
        assert attempt is not None
        attempt.connection = node.connection
    return []


def runs_again(step: Step, session: Session, *rest: Any) -> None:
    session.by_index.clear()


def salvages_what_was_told(step: Step, session: Session, job: Job, outcome: Any) -> bool:
    owed = session.owed.get(job.seq) if job.seq is not None else None
    if owed is None:
        return False
    job.outcome = outcome
    job.story.clear()
    message = attrs.evolve(outcome.message, seq=owed.seq)
    retention.exchange(step, session, owed, message)
    if session.connection is not None:
        step.send(session.connection, message, seq=owed.seq)
    step.note("salvaged", job)
    return True


MUTANTS: dict[str, Spoil] = {
    "an outcome is let go when the writer takes it": after(delivery, "writing", removed_when_taken),
    "a lost connection takes its outcomes with it": after(
        sessions, "left", dropped_with_the_connection
    ),
    "a result of any attempt and node counts": instead(Job, "is_current", takes_any_attempt),
    "the timeout does not look at the job as it is": instead(
        dispatch, "expired", times_out_without_looking
    ),
    "what is given up is not told": instead(retention, "_drop", drops_in_silence),
    "a slot is not given back": instead(dispatch, "_free_slot", keeps_the_slot),
    "one outcome is released at a time": instead(delivery, "release", releases_one),
    "the deadline begins anew with each attempt": after(
        dispatch, "_take_back", restarts_the_deadline
    ),
    "an old acknowledgement moves backwards": after(delivery, "acknowledged", goes_backwards),
    "delivered is said of what was written": after(
        delivery, "written", acknowledges_what_was_written
    ),
    "the token is not looked at": instead(hmac, "compare_digest", lambda *_: True),
    "a returning node is given the slots of its old jobs": instead(
        nodes, "_take_over", forgets_the_old_slots
    ),
    "an index runs again": after(delivery, "tell", runs_again),
    "a cancelled job runs on at its node": instead(dispatch, "cancel_at_node", lambda *_: None),
    "what was told is salvaged": instead(delivery, "salvage", salvages_what_was_told),
    "a freed slot is not filled": instead(dispatch, "fill", lambda *_: None),
    "waiting jobs are not told why": instead(waiting, "_tell", lambda *_: None),
    "a change of the reason is not told": instead(waiting, "tell_changes", lambda *_: None),
    "quarantine lets nobody out": instead(quarantine, "success", lambda *_: False),
    "a session is never given up": instead(sessions, "close", lambda *_: None),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_known_mistake_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with this mistake breaks a property within few events; -s shows which."""
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError) as caught:
        soak(CAUGHT_WITHIN, seed=1, every=20)
    print(f"{name}: {str(caught.value).splitlines()[0][:100]}")


def test_without_a_mistake_nothing_is_caught() -> None:
    """The same events are fine for the engine as it is."""
    assert soak(CAUGHT_WITHIN, seed=1, every=20).events >= CAUGHT_WITHIN
