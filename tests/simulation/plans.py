"""Hypothesis strategies for what may happen to a link, and for the order of things.

Every time is a whole number of 64ths of a second. Such numbers and their sums are exact in binary
floating point, so that two events can fall on the very same instant, and ties are where the races
are: 0.01 + 29.99 is not 30.0. Thresholds that a simulation compares with must be of this kind too.

The simplest choice always comes first, since that is where Hypothesis shrinks to. A drawn plan is a
value whose `repr` is code: a counterexample becomes a test with `@example(...)`.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from hypothesis import strategies as st
from simulation.network import Direction, Fault, Kind, LinkPlan
from simulation.schedules import Schedule, mixed
from simulation.worldplan import TICK_S as TICK_S
from simulation.worldplan import (
    Attack,
    Crash,
    DiskPlan,
    End,
    Freeze,
    HostilePlan,
    NodeCrash,
    NodeKind,
    NodePlan,
    Receipts,
    Resumes,
    Say,
    SessionKind,
    SessionPlan,
    When,
    WhenNode,
    Work,
    WorldPlan,
)

T = TypeVar("T")


def times(max_s: int = 50) -> st.SearchStrategy[float]:
    """Times up to `max_s` seconds, in ticks: mostly early, and on quarters so that they tie."""
    early = st.integers(0, 8).map(lambda quarters: quarters / 4)
    quarters = st.integers(0, 4 * max_s).map(lambda quarters: quarters / 4)
    ticks = st.integers(0, 64 * max_s).map(lambda ticks: ticks * TICK_S)
    return st.one_of(early, quarters, ticks)


def around(instant_s: float) -> st.SearchStrategy[float]:
    """The instant itself, the tick before and the tick after."""
    return st.sampled_from([instant_s, instant_s - TICK_S, instant_s + TICK_S])


def offsets(handshake_bytes: int = 129, max_bytes: int = 700) -> st.SearchStrategy[int]:
    """Byte offsets: anywhere, but often a little behind a WebSocket handshake."""
    return st.one_of(st.integers(handshake_bytes, handshake_bytes + 200), st.integers(0, max_bytes))


def faults(max_at_s: int = 50) -> st.SearchStrategy[Fault]:
    """Faults of every kind, either way, by byte offset or by time."""
    kinds = st.sampled_from(get_args(Kind))
    directions = st.sampled_from(sorted(get_args(Direction)))
    durations = st.sampled_from([5.0, 1.0, 40.0])
    return st.one_of(
        st.builds(Fault, kinds, directions, offset=offsets(), duration=durations),
        st.builds(Fault, kinds, directions, at=times(max_at_s), duration=durations),
    )


def link_plans(max_faults: int = 2, max_at_s: int = 50) -> st.SearchStrategy[LinkPlan]:
    """Links from plain ones to slow ones that pass one byte at a time and are struck by faults."""
    return st.builds(
        LinkPlan,
        latency=st.sampled_from([TICK_S, 0.0, 0.25, 1.5]),
        window=st.sampled_from([65_536, 64, 16, 1]),
        mtu=st.sampled_from([65_536, 7, 1]),
        faults=st.lists(faults(max_at_s), max_size=max_faults).map(tuple),
    )


def schedules(seeds_max: int = 2**16) -> st.SearchStrategy[Schedule]:
    """Schedules of every kind; shrinks to the plain one."""
    return st.integers(0, seeds_max).map(mixed)


def several(one: st.SearchStrategy[T], most: int) -> st.SearchStrategy[tuple[T, ...]]:
    """Up to so many of them."""
    return st.lists(one, max_size=most).map(tuple)


def of(words: Any) -> st.SearchStrategy[Any]:
    """One of the words of a literal type; the first one is the usual one."""
    return st.sampled_from(get_args(words))


def sessions() -> st.SearchStrategy[SessionPlan]:
    """Clients of every kind, with whatever may befall them."""
    said = st.builds(
        Say, times(6), st.sampled_from([0, 300]), st.none() | times(3), repeats=st.booleans()
    )
    return st.builds(
        SessionPlan,
        kind=of(SessionKind),
        at=times(6),
        says=st.lists(said, min_size=1, max_size=4).map(tuple),
        links=several(link_plans(max_at_s=12), 2),
        pause=st.sampled_from([0.5, 0.0, 2.0]),
        receipts=of(Receipts),
        resumes=of(Resumes),
        crashes=several(st.builds(Crash, of(When), st.integers(1, 4)), 2),
        freezes=several(freezes(), 1),
        gives_up=st.none() | times(10),
    )


def freezes() -> st.SearchStrategy[Freeze]:
    """Spans in which a peer reads nothing."""
    return st.builds(Freeze, times(8), st.sampled_from([0.5, 2.0, 4.0, 12.0]))


def nodes() -> st.SearchStrategy[NodePlan]:
    """Nodes of every kind, good and bad."""
    work = st.builds(
        Work,
        st.sampled_from([0.5, 0.0, TICK_S, -TICK_S, 2.0, 6.0]),
        of(End),
        st.sampled_from(["start", "deadline"]),
        receipt=st.booleans(),
        copies=st.integers(1, 3),
        deaf=st.booleans(),
    )
    return st.builds(
        NodePlan,
        kind=of(NodeKind),
        at=times(6),
        slots=st.integers(1, 3),
        works=st.lists(work, min_size=1, max_size=3).map(tuple),
        links=several(link_plans(max_at_s=12), 2),
        pause=st.sampled_from([0.5, 0.0, 2.0]),
        crashes=several(st.builds(NodeCrash, of(WhenNode), st.integers(1, 3)), 1),
        freezes=several(freezes(), 1),
        leaves=st.none() | times(8),
        returns=st.none() | times(4),
        named=st.booleans(),
        forges=st.booleans(),
    )


def disks() -> st.SearchStrategy[DiskPlan]:
    """Slow disks, full ones, and such before which a crowd waits."""
    return st.builds(
        DiskPlan,
        commit_s=st.lists(st.sampled_from([TICK_S, 0.0, 0.25, 1.0]), min_size=1, max_size=3).map(
            tuple
        ),
        full=several(st.tuples(times(8), st.sampled_from([0.5, 2.0, 5.0])), 1),
        crowd=st.sampled_from([20_000, 6, 1]),
    )


def worlds() -> st.SearchStrategy[WorldPlan]:
    """Whole worlds, small ones; shrink to one client, one node and the plain schedule."""
    return st.builds(
        WorldPlan,
        sessions=st.lists(sessions(), min_size=1, max_size=2).map(tuple),
        nodes=several(nodes(), 2),
        hostiles=several(st.builds(HostilePlan, attack=of(Attack), at=times(4)), 1),
        storms=several(times(8), 1),
        stalls=several(st.tuples(times(8), st.sampled_from([0.5, 2.0, 6.0])), 1),
        drains=st.none() | times(12),
        disk=st.none() | disks(),
        seed=st.integers(0, 2**16),
    )
