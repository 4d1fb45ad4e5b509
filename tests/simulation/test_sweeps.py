"""Small worlds in which everything that may go wrong with one link does, at every place."""

from __future__ import annotations

from typing import get_args

import pytest
from simulation.liveness import violations
from simulation.pipes import Direction, Kind, LinkPlan
from simulation.sweeps import Swept, byte_worlds, bytes_of, play_cancelled, small_world
from simulation.world import play

KINDS = get_args(Kind)


@pytest.mark.parametrize("direction", get_args(Direction))
@pytest.mark.parametrize("fault", get_args(Kind))
def test_every_byte(fault: Kind, direction: Direction) -> None:
    """Whichever byte of a session's link is struck, in whatever way, every property holds."""
    struck = 0
    for plan in byte_worlds("raw", fault, direction):
        run = play(plan)
        assert violations(run) == {}, plan
        struck += run.scene.network.strikes[fault]
    assert struck == bytes_of("raw", direction)


@pytest.mark.parametrize("direction", get_args(Direction))
@pytest.mark.parametrize("kind", ["sdk", "base", "agent"])
def test_bytes_of_other_links(kind: Swept, direction: Direction) -> None:
    """Every byte of other links is struck, the real client's and node's among them.

    The kinds of fault take turns, byte by byte; `nox -s simulate -- --sweep` strikes each byte in
    every way.
    """
    for first, fault in enumerate(KINDS):
        planned = struck = 0
        for plan in byte_worlds(kind, fault, direction, first=first, every=len(KINDS)):
            run = play(plan)
            assert violations(run) == {}, plan
            planned += max(len(plan.sessions), len(plan.nodes))
            struck += run.scene.network.strikes[fault]
        # A node is there longer than its client, and nothing is struck after that has been served.
        assert planned >= struck > 0.8 * planned


def test_every_step() -> None:
    """Whichever step of a connection's tasks is cancelled, every property holds."""
    plan = small_world("raw", [LinkPlan()])
    _, quiet = play_cancelled(plan, None)
    assert quiet.steps > 100
    for nth in range(1, quiet.steps + 1):
        run, instrument = play_cancelled(plan, nth)
        assert instrument.cancelled
        assert violations(run) == {}, f"cancelled before step {nth}"
