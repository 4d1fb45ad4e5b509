"""Every known mistake, planted into the real code, is caught."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mutants import more_mutants
from mutants.caught import CAUGHT, Catch
from mutants.mutants import MUTANTS, Mutant
from simulation.corpus import CORPUS
from simulation.drawing import draw_world
from simulation.liveness import violations
from simulation.world import play
from simulation.worldplan import WorldPlan

SEEDS = range(40)


def worlds(mutant: Mutant) -> Iterator[tuple[str, WorldPlan]]:
    """Where to look for a mutant: where it should show, then everywhere."""
    names = [*mutant.worlds, *(name for name in CORPUS if name not in mutant.worlds)]
    yield from ((name, CORPUS[name].plan) for name in names)
    yield from ((f"world {seed}", draw_world(seed)) for seed in SEEDS)


def broken_by(plan: WorldPlan) -> list[str]:
    """The properties that do not hold in a world; one that does not end breaks one, too."""
    try:
        return list(violations(play(plan)))
    except Exception:  # noqa: BLE001 - a mutant may break anything
        return ["the_world_ends"]


def hunt(mutant: Mutant) -> Catch | None:
    """The first world in which the planted mistake breaks its property, and which it breaks."""
    for tried, (name, plan) in enumerate(worlds(mutant), 1):
        if mutant.by in (broken := broken_by(plan)):
            return Catch(mutant, broken, name, tried)
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.number:02}")
def test_a_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake breaks the property that is about it, in the corpus or in the first worlds."""
    mutant.plant(monkeypatch)
    catch = hunt(mutant)
    assert catch is not None, f"nothing notices: {mutant.mistake}"
    CAUGHT.append(catch)


def test_the_list_is_complete() -> None:
    """There is a mutant for each of the twenty known mistakes, and there are more."""
    more = [name for name in vars(more_mutants) if name.startswith("_") and name[1] != "_"]
    assert [mutant.number for mutant in MUTANTS] == list(range(1, 21 + len(more)))
