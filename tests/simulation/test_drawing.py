"""Worlds that are drawn have everything in them that may befall a world."""

from __future__ import annotations

import collections
import re

from simulation import drawing
from simulation.drawing import draw_world
from simulation.faultkinds import FAMILIES, drawn
from simulation.pipes import Direction, Kind
from simulation.world import play

DRAWN = 600
PLAYED = 40


def test_the_table_of_faults_is_complete() -> None:
    """The table of drawing.py names each family of faults, and no other."""
    assert re.findall(r"^    (\S.*?)  +\S", drawing.__doc__ or "", re.M) == ["what", *FAMILIES]


def test_every_kind_of_fault_is_drawn() -> None:
    """Each kind of fault that there is comes up again and again."""
    found = sum((drawn(draw_world(seed)) for seed in range(DRAWN)), collections.Counter())
    every = {(name, kind) for name, one in FAMILIES.items() for kind in one.kinds}
    assert set(found) == every
    assert {what: n for what, n in found.items() if n < 3} == {}


def test_every_kind_of_fault_strikes_links() -> None:
    """In worlds that are played links are really struck, in each way and from either side."""
    struck: collections.Counter[tuple[Kind, Direction]] = collections.Counter()
    for seed in range(PLAYED):
        for link in play(draw_world(seed)).scene.network.links:
            struck.update((fault.kind, fault.direction) for _, fault in link.struck)
    assert len(struck) == len(drawing.KINDS) * len(drawing.DIRECTIONS)
