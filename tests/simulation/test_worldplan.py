"""Plans of worlds: they print as code, and their settings are such as can work."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import worldplan
from simulation.drawing import draw_world
from simulation.pipes import Fault, LinkPlan
from simulation.worldplan import SETTINGS, TICK_S, WorldPlan

from scheduler.config import Config
from scheduler.errors import ConfigError

NAMES = {**vars(worldplan), "Fault": Fault, "LinkPlan": LinkPlan}


@pytest.mark.parametrize("seed", range(100))
def test_a_plan_pastes_back(seed: int) -> None:
    """What a failure prints as its plan is code that gives that plan."""
    plan = draw_world(seed)
    assert eval(repr(plan), NAMES) == plan


def test_all_times_may_tie() -> None:
    """Each timer is a whole number of ticks, as all planned times are."""
    for name, value in SETTINGS.items():
        assert value / TICK_S == int(value / TICK_S), name


@pytest.mark.parametrize(
    "limits",
    [
        {"outbox_messages_max": 16},
        {"outbox_messages_max": 16, "retained_outcomes_max": 4, "jobs_per_session_max": 6},
        {"outbox_bytes_max": 16 * 2**20, "retained_bytes_max": 8 * 2**20},
    ],
)
def test_whoever_resumes_must_fit_into_the_outbox(limits: dict[str, Any]) -> None:
    """Limits under which a resumed session would be cut off as a slow consumer are refused."""
    with pytest.raises(ConfigError, match="whoever resumes gets all at once"):
        Config(**limits)


def test_drawn_settings_are_consistent() -> None:
    """Every world that is drawn may exist."""
    assert all(isinstance(draw_world(seed).config, Config) for seed in range(3000))


def test_a_usual_world_says_nothing() -> None:
    """What is usual is left out."""
    assert repr(WorldPlan()) == "WorldPlan()"
