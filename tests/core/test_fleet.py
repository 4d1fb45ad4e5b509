"""Choosing by the index is choosing by looking at every node."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import capabilities, register, utterance

from scheduler.config import Config
from scheduler.core.fleet import Fleet
from scheduler.core.job import Attempt, Job
from scheduler.core.node import Node, new_node
from scheduler.core.placement import feasible, need_of, rank, unable
from scheduler.core.states import JobState

PAIRS = ((("en", "es"),), (("en", "es"), ("es", "en")), (("en", "fr"),))
NAMES = [f"node-{number}" for number in range(5)]

CHANGES = st.one_of(
    st.tuples(st.just("join"), st.sampled_from(PAIRS), st.booleans(), st.integers(0, 3)),
    st.tuples(st.just("leave")),
    st.tuples(st.just("take"), st.sampled_from("abc")),
    st.tuples(st.just("give back"), st.sampled_from("abc")),
    st.tuples(st.sampled_from(["suspect", "draining", "on_probation"]), st.booleans()),
    st.tuples(st.just("quarantined"), st.sampled_from([None, "it failed"])),
    st.tuples(st.just("setbacks"), st.integers(0, 2)),
    st.tuples(st.just("ready"), st.booleans()),
)
JOBS = st.builds(
    lambda tgt, tried, needs_audio: (tgt, tuple(tried), needs_audio),
    st.sampled_from(["es", "fr", "de"]),
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.sampled_from([False, False, False, True]),
)


class World:
    """Nodes in a fleet, and the same nodes in a plain dictionary."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.nodes: dict[str, Node] = {}
        self.joined = 0

    def change(self, name: str, change: tuple[object, ...]) -> None:
        what, *more = change
        node = self.nodes.get(name)
        if what == "join" and node is None:
            pairs, receipts, slots = more
            self.joined += 1
            hello = register(pairs=pairs, receipts=receipts, slots=slots)  # type: ignore[arg-type]
            node = new_node(hello, name, self.joined, self.joined, 0.0, Config())
            self.nodes[name] = node
            self.fleet.add(node)
        elif node is None or what == "join":
            return
        elif what == "leave":
            self.fleet.remove(self.nodes.pop(name))
        elif what == "take":
            node.take(str(more[0]), 1)
        elif what == "give back":
            node.give_back(str(more[0]))
        elif what == "ready":
            node.capabilities = capabilities(ready=bool(more[0]))
        else:
            setattr(node, str(what), more[0])


def job(tgt: str, tried: tuple[str, ...], needs_audio: bool) -> Job:
    said = utterance("s", tgt=tgt)
    return Job(
        job_id="job", session_id="s", order=1, utterance_index=0, trace_id="t",
        need=need_of(said), accepted_at=0.0, utterance=said, state=JobState.PENDING,
        needs_audio=needs_audio,
        attempts=[
            Attempt(number=n, node_id=name, connection=0, assigned_at=0.0)
            for n, name in enumerate(tried, 1)
        ],
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), CHANGES), max_size=40),
    JOBS,
    st.sampled_from([None, *NAMES]),
)
def test_the_index_chooses_what_a_look_at_every_node_would(
    changes: list[tuple[str, tuple[object, ...]]],
    wanted: tuple[str, tuple[str, ...], bool],
    affine: str | None,
) -> None:
    """After any changes: the same node, the same rejections, and the same "others can"."""
    world, wish = World(), job(*wanted)
    for number, (name, change) in enumerate(changes):
        world.change(name, change)
        if number % 7 == 0:
            world.fleet.select(wish, affine)
    nodes = list(world.nodes.values())

    able = [node for node in nodes if feasible(wish, node) is None]
    best = min(able, key=lambda node: rank(wish, node, affine), default=None)
    assert world.fleet.select(wish, affine) is best
    reasons = Counter(reason for node in nodes if (reason := feasible(wish, node)) is not None)
    assert world.fleet.rejections(wish) == reasons
    tried = {attempt.node_id for attempt in wish.attempts}
    assert world.fleet.can(wish) == any(
        unable(wish.need, node.abilities) is None
        and not node.draining
        and (node.receipts or node.node_id not in tried)
        for node in nodes
    )
    world.fleet.check(world.nodes)


def test_a_change_behind_its_back_is_noticed() -> None:
    """``check`` finds a node whose record says something else than its place."""
    world = World()
    world.change("node-0", ("join", PAIRS[0], True, 1))
    world.fleet.check(world.nodes)
    world.nodes["node-0"].running["job"] = 1
    with pytest.raises(AssertionError, match="node-0"):
        world.fleet.check(world.nodes)


def test_a_node_that_was_removed_does_not_come_back() -> None:
    """What happens to the record of a node that is gone does not concern the fleet."""
    world = World()
    world.change("node-0", ("join", PAIRS[0], True, 1))
    node = world.nodes["node-0"]
    world.change("node-0", ("leave",))
    node.setbacks = 1
    node.give_back("job")
    assert world.fleet.select(job("es", (), False), None) is None
    world.fleet.check({})
