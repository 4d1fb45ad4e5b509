"""Hypothesis strategies for what may happen to a link, and for the order of things.

Every time is a whole number of 64ths of a second. Such numbers and their sums are exact in binary
floating point, so that two events can fall on the very same instant, and ties are where the races
are: 0.01 + 29.99 is not 30.0. Thresholds that a simulation compares with must be of this kind too.

The simplest choice always comes first, since that is where Hypothesis shrinks to. A drawn plan is a
value whose `repr` is code: a counterexample becomes a test with `@example(...)`.
"""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st
from simulation.network import Direction, Fault, Kind, LinkPlan
from simulation.schedules import Schedule, mixed

TICK_S = 1 / 64


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
