"""The table of moves: what it must have, and above all what it must not have."""

import pytest

from scheduler.core.states import (
    LIVE,
    MEANING,
    ON_NODE,
    TRANSITIONS,
    IllegalMoveError,
    JobState,
    Move,
    next_state,
    picture,
)

SETTLED = set(JobState) - LIVE


def reachable(start: JobState, *, without: Move | None = None) -> set[JobState]:
    found, edge = {start}, {start}
    while edge:
        edge = {
            after
            for (state, move), after in TRANSITIONS.items()
            if state in edge and move is not without
        } - found
        found |= edge
    return found


def test_a_move_that_is_not_in_the_table_does_not_exist() -> None:
    """Every pair of state and move either leads to the state of the table or raises."""
    for state in JobState:
        for move in Move:
            if (state, move) in TRANSITIONS:
                assert next_state(state, move) is TRANSITIONS[state, move]
            else:
                with pytest.raises(IllegalMoveError, match=f"no move {move} from {state}"):
                    next_state(state, move)


def test_a_job_is_settled_once() -> None:
    """No settled state has a second finish, and none leads back to a live one."""
    assert not [state for state in SETTLED if (state, Move.FINISH) in TRANSITIONS]
    for state in SETTLED:
        assert reachable(state) <= SETTLED


def test_every_live_job_can_be_settled() -> None:
    """From every live state finish is a move, except from the one that no step ends in."""
    able = {state for state in LIVE if (state, Move.FINISH) in TRANSITIONS}
    assert able == LIVE - {JobState.ACCEPTED}


def test_a_lost_attempt_waits_again() -> None:
    """Exactly the states on a node can lose their attempt, and all of them to pending."""
    lost = {state: after for (state, move), after in TRANSITIONS.items() if move is Move.LOSE}
    assert lost == dict.fromkeys(ON_NODE, JobState.PENDING)


def test_salvage_settles_nothing() -> None:
    """Salvage leaves the job in the state it was in, and only one that nobody was told of."""
    salvages = {s: after for (s, move), after in TRANSITIONS.items() if move is Move.SALVAGE}
    assert salvages == {JobState.FINISHED: JobState.FINISHED}


def test_acknowledged_is_reached_by_an_acknowledgement_only() -> None:
    """There is one word that leads to delivered, and nothing leads away from it."""
    leading = {move for (_, move), after in TRANSITIONS.items() if after is JobState.ACKNOWLEDGED}
    assert leading == {Move.ACKNOWLEDGE}
    assert JobState.ACKNOWLEDGED not in reachable(JobState.ACCEPTED, without=Move.ACKNOWLEDGE)
    assert reachable(JobState.ACKNOWLEDGED) == {JobState.ACKNOWLEDGED}


def test_every_state_is_reached_and_explained() -> None:
    """Every state can be reached from acceptance, has a meaning, and is in the picture."""
    assert reachable(JobState.ACCEPTED) == set(JobState)
    assert set(MEANING) == set(JobState)
    for state in JobState:
        assert f"{state}" in picture()
