"""The worlds of the corpus, each by its sentence."""

from __future__ import annotations

import pytest
from simulation.corpus import CORPUS, Entry
from simulation.liveness import violations
from simulation.world import play

from scheduler.core.events import Left


@pytest.mark.parametrize("entry", CORPUS.values(), ids=CORPUS)
def test_the_corpus(entry: Entry) -> None:
    """Every property holds in every world that is remembered, and it shows what it should."""
    run = play(entry.plan)
    assert violations(run) == {}, entry.why
    ends = [s.event.close.name for s in run.history.steps if isinstance(s.event, Left)]
    assert not set(entry.spares) & set(ends), entry.why
    assert set(entry.reaches) <= {fact.name for fact in run.history.facts}, entry.why
