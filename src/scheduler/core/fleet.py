"""The nodes, arranged so that choosing one does not mean looking at each.

Nodes of equal abilities form a *group*. In a group the nodes that take jobs now stand in the
order in which they rank, and the others are counted by why they do not. So a choice looks at
a few nodes of each group, however many there are, and a change moves one node.

Nothing here is the truth: a node says when something about it has changed, and its place is
looked up from its record before the next choice. ``check`` compares the two.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator

import attrs

from scheduler.core.job import Job
from scheduler.core.node import Node, nobody
from scheduler.core.placement import Abilities, Need, Rejection, rank, unable, unavailable

Standing = tuple[int, float, int]
"""What ranks a node whoever asks: setbacks, load, order of registration. No two are equal."""


@attrs.define(eq=False)
class Group:
    """The nodes of equal abilities: ``ready`` by standing, the rest counted in ``reasons``."""

    abilities: Abilities
    ready: list[tuple[Standing, Node]] = attrs.Factory(list)
    reasons: Counter[Rejection] = attrs.Factory(Counter)

    @property
    def size(self) -> int:
        """How many nodes are in the group."""
        return len(self.ready) + self.reasons.total()

    def put(self, node: Node, place: "Standing | Rejection") -> None:
        """Take a node in."""
        if isinstance(place, Rejection):
            self.reasons[place] += 1
        else:
            insort(self.ready, (place, node), key=_standing)

    def take(self, place: "Standing | Rejection") -> None:
        """Take out the node that stands here."""
        if isinstance(place, Rejection):
            self.reasons[place] -= 1
        else:
            del self.ready[bisect_left(self.ready, place, key=_standing)]


def _standing(entry: tuple[Standing, Node]) -> Standing:
    return entry[0]


class Fleet:
    """All registered nodes. Changed by :meth:`add` and :meth:`remove`, and by what nodes tell."""

    def __init__(self) -> None:
        self._groups: dict[Abilities, Group] = {}
        self._places: dict[str, tuple[Node, Group, Standing | Rejection]] = {}
        self._touched: dict[str, Node] = {}

    def add(self, node: Node) -> None:
        """A node has registered; one of the same name has been removed before."""
        node.on_change = self._touch
        self._touch(node)

    def remove(self, node: Node) -> None:
        """The node is gone."""
        node.on_change = nobody
        self._touched.pop(node.node_id, None)
        self._lift(node.node_id)

    def select(self, job: Job, affine: str | None) -> Node | None:
        """The best feasible node for the job, if there is one; see :func:`placement.rank`."""
        self._settle()
        if job.needs_audio:
            return None
        candidates = self._candidates(job, affine)
        return min(candidates, key=lambda node: rank(job, node, affine), default=None)

    def rejections(self, job: Job) -> Counter[Rejection]:
        """How many nodes cannot take the job now, by reason; see :func:`placement.feasible`."""
        self._settle()
        if job.needs_audio:
            return Counter({Rejection.NO_AUDIO: len(self._places)})
        found: Counter[Rejection] = Counter()
        for group in self._groups.values():
            if (reason := unable(job.need, group.abilities)) is not None:
                found[reason] += group.size
            else:
                found.update(group.reasons)
        for group, place in self._tried_of_the_base(job):
            if unable(job.need, group.abilities) is None:
                found[Rejection.TRIED] += 1
                if isinstance(place, Rejection):
                    found[place] -= 1
        return +found

    def can(self, job: Job) -> bool:
        """Whether a node could do this job now, or when it is free again."""
        self._settle()
        tried = list(self._tried_of_the_base(job))
        for group in self._able(job.need):
            staying = group.size - group.reasons[Rejection.DRAINING]
            staying -= sum(g is group and place is not Rejection.DRAINING for g, place in tried)
            if staying > 0:
                return True
        return False

    def check(self, nodes: dict[str, Node]) -> None:
        """Raise ``AssertionError`` if anything here differs from what the nodes' records say."""
        self._settle()
        assert self._places.keys() == nodes.keys(), "the fleet knows other nodes than there are"
        for node in nodes.values():
            known, group, place = self._places[node.node_id]
            assert known is node, f"{node.node_id}: the fleet knows another node of this name"
            assert group.abilities == node.abilities, f"{node.node_id}: in the wrong group"
            assert place == _place(node), f"{node.node_id}: stands at {place}"
        assert sum(group.size for group in self._groups.values()) == len(nodes)
        for group in self._groups.values():
            assert group.ready == sorted(group.ready, key=_standing), "a group is out of order"

    # -- small steps -----------------------------------------------------------------------

    def _touch(self, node: Node) -> None:
        self._touched[node.node_id] = node

    def _settle(self) -> None:
        """Put every node that has changed where it belongs now."""
        for node_id, node in self._touched.items():
            self._lift(node_id)
            group = self._groups.setdefault(node.abilities, Group(node.abilities))
            place = _place(node)
            group.put(node, place)
            self._places[node_id] = (node, group, place)
        self._touched.clear()

    def _lift(self, node_id: str) -> None:
        if (found := self._places.pop(node_id, None)) is not None:
            _, group, place = found
            group.take(place)
            if not group.size:
                del self._groups[group.abilities]

    def _able(self, need: Need) -> Iterator[Group]:
        return (g for g in self._groups.values() if unable(need, g.abilities) is None)

    def _candidates(self, job: Job, affine: str | None) -> Iterator[Node]:
        """In each able group the first that was not tried, and whatever may still be better.

        That is the node of the session's context, and the nodes that were tried, of which there
        are no more than attempts.
        """
        tried = {attempt.node_id for attempt in job.attempts}
        for group in self._able(job.need):
            for _, node in group.ready:
                if node.node_id not in tried:
                    yield node
                    break
                if node.receipts:
                    yield node
        if affine is not None and affine not in tried and (found := self._places.get(affine)):
            node, group, place = found
            if not isinstance(place, Rejection) and unable(job.need, group.abilities) is None:
                yield node

    def _tried_of_the_base(self, job: Job) -> Iterator[tuple[Group, Standing | Rejection]]:
        for node_id in {attempt.node_id for attempt in job.attempts}:
            if (found := self._places.get(node_id)) is not None and not found[0].receipts:
                yield found[1:]


def _place(node: Node) -> Standing | Rejection:
    """Where a node stands, from its record alone."""
    if (reason := unavailable(node)) is not None:
        return reason
    return (node.setbacks, len(node.running) / node.slots, node.order)
