"""Whole worlds: the real scheduler, client and agent, and everything that may befall them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from simulation import plans
from simulation.drawing import draw_world
from simulation.liveness import violations
from simulation.world import play
from simulation.worldplan import NodePlan, SessionPlan, WorldPlan

RANDOM_WORLDS = 120
PER_TEST = 20
HYPOTHETICAL_WORLDS = 25


@pytest.mark.parametrize("session", ["sdk", "raw", "base"])
@pytest.mark.parametrize("node", ["agent", "raw", "base"])
def test_a_quiet_world(session: str, node: str) -> None:
    """Where nothing goes wrong every kind of client gets its answer from every kind of node."""
    plan = WorldPlan(
        sessions=(SessionPlan(kind=session),),  # type: ignore[arg-type]  # the names of the kinds
        nodes=(NodePlan(kind=node),),  # type: ignore[arg-type]
    )
    run = play(plan)
    assert violations(run) == {}
    assert [wish.ended for wish in run.scene.wishes] == ["translated", "translated"]


@pytest.mark.parametrize("first", range(0, RANDOM_WORLDS, PER_TEST))
def test_random_worlds(first: int) -> None:
    """Whatever is drawn, every property holds."""
    for seed in range(first, first + PER_TEST):
        plan = draw_world(seed)
        assert violations(play(plan)) == {}, plan


@settings(
    max_examples=HYPOTHETICAL_WORLDS,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(plans.worlds())
def test_hypothetical_worlds(plan: WorldPlan) -> None:
    """Whatever Hypothesis makes up, every property holds; it would make a failure small."""
    assert violations(play(plan)) == {}
