"""What caught which mutant: filled by the tests, printed behind them."""

from __future__ import annotations

import attrs
from mutants.mutants import Mutant


@attrs.frozen
class Catch:
    """The properties that a mutant broke, in which world, and how many worlds that took."""

    mutant: Mutant
    properties: list[str]
    world: str
    worlds: int


CAUGHT: list[Catch] = []
