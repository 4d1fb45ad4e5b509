"""The long search: what it counts, and what it prints when it finds something."""

from __future__ import annotations

import io

import pytest
from mutants.mutants import MUTANTS
from rich.console import Console
from simulation.drawing import draw_world
from simulation.longrun import (
    Tally,
    explain,
    look_at_seeds,
    search,
    summarise,
    what_breaks,
)
from simulation.shrinking import shrink, simpler
from simulation.worldplan import SessionPlan, WorldPlan

BROKEN_SEED = 6
"""A world with several sessions, in which the first mutant shows."""


def console() -> tuple[Console, io.StringIO]:
    printed = io.StringIO()
    return Console(file=printed, width=100), printed


def test_a_search_ends_when_enough_was_said() -> None:
    """The worlds are played in several processes, and counted together."""
    out, printed = console()
    total = search(1, utterances=40, worlds=None, workers=2, console=out)
    assert total.utterances >= 40
    assert total.broken == {}
    summarise(total, 1.0, out)
    for word in ("worlds", "utterances", "virtual time", "faults", "translated"):
        assert word in printed.getvalue()


def test_portions_add_up() -> None:
    """It makes no difference how the worlds are shared out."""
    whole, parts = look_at_seeds(range(3)), Tally()
    for seed in range(3):
        parts.merge(look_at_seeds(range(seed, seed + 1)))
    parts.cpu_s = whole.cpu_s
    assert parts == whole


def test_a_failure_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints seed, plan, what is broken, a smaller plan that breaks it too, and its story."""
    MUTANTS[0].plant(monkeypatch)
    tally = look_at_seeds(range(BROKEN_SEED, BROKEN_SEED + 1))
    plan = draw_world(BROKEN_SEED)
    assert list(tally.broken) == [plan]
    out, printed = console()
    explain(plan, tally.broken[plan], out, runs_max=60)
    said = printed.getvalue()
    assert f"world {BROKEN_SEED} fails" in said
    assert repr(plan) in said
    assert said.count("delivered_means_received:") == 2
    assert "SessionJoined" in said
    assert f"--seed {BROKEN_SEED} --worlds 1" in said


def test_shrinking_leaves_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest plan that was found still fails, and nothing simpler than its parts is left."""
    MUTANTS[0].plant(monkeypatch)

    def fails(plan: WorldPlan) -> bool:
        return "delivered_means_received" in what_breaks(plan)

    plan = draw_world(BROKEN_SEED)
    small = shrink(plan, fails, runs_max=200)
    assert fails(small)
    assert len(repr(small)) < len(repr(plan)) / 2
    assert len(small.sessions) == 1


def test_simpler_plans_are_other_plans() -> None:
    """What is called simpler is never the same, and a world of usual things gets no simpler."""
    plan = draw_world(3)
    candidates = list(simpler(plan))
    assert candidates
    assert plan not in candidates
    assert WorldPlan(sessions=(SessionPlan(),)) not in list(simpler(WorldPlan()))
