"""A scheduler that is killed at drawn points goes on from what its journal had kept."""

from collections import Counter
from collections.abc import Iterable

import attrs
import pytest
from simulation.disk import Disk
from simulation.rebirth import Kill, RebirthPlan, draw, play, violations
from simulation.worldplan import DiskPlan, NodePlan, Say, SessionPlan, Work, WorldPlan

from scheduler.core.records import JobSettled, Record

SMALL = RebirthPlan(
    world=WorldPlan(
        sessions=(SessionPlan(says=(Say(0.5), Say(0.75))),),
        nodes=(NodePlan(works=(Work(0.25),)),),
        disk=DiskPlan(commit_s=(2 / 64,)),
    ),
    kills=(),
)


@pytest.mark.parametrize(
    "seeds", [range(start, start + 10) for start in range(0, 40, 10)], ids=repr
)
def test_no_promise_is_broken_by_deaths(seeds: range) -> None:
    """Accepted, settled, delivered: each stays true, wherever and however often death strikes."""
    found = {seed: list(violations(play(draw(seed)))) for seed in seeds}
    assert {seed: broken for seed, broken in found.items() if broken} == {}


@pytest.mark.parametrize("when", ["decided", "kept"])
@pytest.mark.parametrize("tail", [0.0, 1.0])
def test_every_point_between_decision_commit_and_message(when: str, tail: float) -> None:
    """In a small world a death at every single record, before and after its commit."""
    for number in range(1, 9):
        kill = Kill(when, float(number), 0.25)  # type: ignore[arg-type]
        lives = play(attrs.evolve(SMALL, kills=(kill,), tail=tail))
        assert list(violations(lives)) == [], kill
        assert lives.deaths == 1, kill
        assert Counter(wish.ended for wish in lives.scene.wishes) == {"translated": 2}, kill


def test_a_journal_that_forgets_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If outcomes are said before they are kept, and a death takes them, that is found."""
    keep = Disk.keep

    def forget(self: Disk, batch: Iterable[Record]) -> None:
        keep(self, [one for one in batch if not isinstance(one, JobSettled)])

    monkeypatch.setattr(Disk, "keep", forget)
    lives = play(attrs.evolve(SMALL, kills=(Kill("at", 3.0),)))
    assert any("what is kept since inf" in line for line in violations(lives))
