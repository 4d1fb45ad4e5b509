"""The fingerprints of whole worlds: what a seed gives, in this process and in any other."""

from __future__ import annotations

import hashlib

from simulation.drawing import draw_world
from simulation.schedules import Trace
from simulation.story import tell
from simulation.world import play


def world_digests(seeds: range) -> list[str]:
    """For each world, every step of every task with its time, and the whole story."""
    found = []
    for seed in seeds:
        trace = Trace()
        run = play(draw_world(seed), instruments=(trace,))
        story = hashlib.sha256(tell(run, lines_max=1_000_000).encode()).hexdigest()
        found.append(f"{trace.digest}/{trace.steps}/{story}")
    return found
