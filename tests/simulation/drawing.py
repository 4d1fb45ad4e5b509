"""From a seed to a plan: worlds as they are wanted for a search, many, different and cheap.

A world has one of a few shapes: small and nasty, long talks, a crowd, a siege. What is drawn is
mostly on a grid of quarter seconds, or a tick beside it, since what never ties is never tested
at the tie. Everything of this comes up; `faultkinds.py` says how to tell, and a test counts:

    what             which
    link             each fault, at a byte or an instant, in either direction
    slow link        late, narrow, in pieces, byte by byte
    frozen           a client or a node that stops reading, a scheduler that stands still
    client dies      before and after its receipt for an outcome, without a word, for good
    node dies        at work, before and after its receipt for a job and ours for its result
    node leaves      for good, or comes back, with its name or without
    all links break  and everybody comes back, each in its time or all in the same instant
    receipts         late, twice, backwards, of what was never sent, never
    resumes          with an old or a future place, a wrong token, a foreign session, not at all
    utterance        said twice, taken back, large
    work ends in     silence, failures, nothing at all, a crash
    result           at its deadline or around it, after it was cancelled, twice, forged
    attack           every one of `hostiles.py`
    scheduler ends   politely, in a hurry
    disk             slow, full, with a crowd before it
    limits           settings under which one is near

In most worlds links are prompt, as sockets are, in the others every write is waited for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

import attrs
from simulation.pipes import Direction, Fault, Kind, LinkPlan
from simulation.worldplan import (
    TICK_S,
    Attack,
    Crash,
    DiskPlan,
    End,
    Freeze,
    HostilePlan,
    NodeCrash,
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
KINDS = get_args(Kind)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
KINDS_OF_SESSION: tuple[SessionKind, ...] = (
    *("sdk", "sdk", "sdk", "sdk"),
    *("raw", "raw", "raw", "raw"),
    *("base", "base", "chunks"),
)
HANDSHAKE_BYTES = 129
NARROW: dict[str, Any] = {
    "retained_outcomes_max": 2,
    "jobs_per_session_max": 2,
    "outbox_messages_max": 12,
}
"""With links that are prompt: else the answers to one breath of a peer are more than that."""
SMALL: dict[str, Any] = {
    **NARROW,
    "retained_bytes_max": 2048,
    "outbox_bytes_max": 10_240,
    "message_bytes_max": 4096,
}
TIGHT: tuple[dict[str, Any], ...] = (
    *({"attempts_max": most} for most in (1, 2)),
    *({"jobs_per_session_max": most} for most in (1, 3)),
    *({"retained_outcomes_max": most} for most in (1, 4)),
    *({"retained_total_bytes_max": most} for most in (2048, 8192)),
    *({"invalid_messages_max": most} for most in (1, 3)),
    *({"finished_retention": seconds} for seconds in (0.25, 2.0)),
    *({"finished_jobs_max": most} for most in (1, 4)),
    *({"quarantine_setbacks": most} for most in (1, 2)),
    *({"utterances_remembered_max": most} for most in (2, 8)),
    {"jobs_waiting_max": 2},
    {"outcome_retention": 7.0},
    {"sessions_max": 3},
    NARROW,
    SMALL,
    {**SMALL, "retained_bytes_max": 1024},
)
"""Settings under which a limit is near."""


class Dice:
    """Draws parts of plans. Everything comes from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"world {seed}")
        self.below = self._random.randrange

    def pick(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def chance(self, p: float) -> bool:
        return self._random.random() < p

    def many(self, draw: Callable[[], Any], p: float, most: int) -> tuple[Any, ...]:
        """Some draws, perhaps none; one more each time with probability `p`."""
        found: list[Any] = []
        while len(found) < most and self.chance(p):
            found.append(draw())
        return tuple(found)

    def time(self, most_s: int) -> float:
        """An instant: often a quarter, sometimes any tick."""
        if self.chance(0.7):
            return self.below(4 * most_s + 1) / 4
        return self.below(64 * most_s + 1) * TICK_S

    # -- links ---------------------------------------------------------------------

    def fault(self) -> Fault:
        kind, direction = self.pick(KINDS), self.pick(DIRECTIONS)
        duration = self.pick((1.0, 2.5, 5.0, 10.0))
        if self.chance(0.6):
            offset = self.below(3000) if self.chance(0.7) else HANDSHAKE_BYTES + self.below(1200)
            return Fault(kind, direction, offset=offset, duration=duration)
        return Fault(kind, direction, at=self.time(12), duration=duration)

    def link(self, p_fault: float) -> LinkPlan:
        slow = self.chance(0.2)
        return LinkPlan(
            latency=self.pick((TICK_S, TICK_S, 0.0, 0.25, 1.0)) if slow else TICK_S,
            window=self.pick((65_536, 4_096, 256, 16)) if slow else 65_536,
            mtu=self.pick((65_536, 64, 7, 1)) if slow else 65_536,
            faults=self.many(self.fault, p_fault, 2),
        )

    def links(self, p_fault: float) -> tuple[LinkPlan, ...]:
        found = list(self.many(lambda: self.link(p_fault), 0.75, 4))
        while found and found[-1] == LinkPlan():
            found.pop()
        return tuple(found)

    def freeze(self) -> Freeze:
        return Freeze(self.time(8), self.pick((0.5, 2.0, 4.0, 7.5, 12.0)))

    # -- peers ---------------------------------------------------------------------

    def say(self, most_s: int, p_odd: float) -> Say:
        return Say(
            at=self.time(most_s),
            padding=self.pick((0, 0, 0, 300, 1500)) if self.chance(p_odd) else 0,
            cancelled_after=self.time(3) if self.chance(p_odd / 2) else None,
            repeats=self.chance(p_odd / 2),
        )

    def session(self, utterances: int, most_s: int, trouble: float) -> SessionPlan:
        kind: SessionKind = self.pick(KINDS_OF_SESSION)
        raw = kind == "raw" and self.chance(trouble)
        said = [self.say(most_s, 0.3 * trouble) for _ in range(1 + self.below(utterances))]
        return SessionPlan(
            kind=kind,
            at=self.time(6) if self.chance(0.5) else 0.0,
            says=tuple(sorted(said, key=lambda one: one.at)),
            links=self.links(trouble) if self.chance(trouble) else (),
            pause=self.pick((0.5, 0.0, 0.25, 2.0)),
            receipts=self.pick(get_args(Receipts)) if raw else "each",
            resumes=self.pick(get_args(Resumes)) if raw else "right",
            crashes=self.many(self.crash, 0.3 * trouble, 3),
            freezes=self.many(self.freeze, 0.2 * trouble, 2),
            gives_up=self.time(10) if self.chance(0.1 * trouble) else None,
        )

    def crash(self) -> Crash:
        when: When = self.pick(get_args(When))
        return Crash(when, 1 + self.below(4))

    def work(self, trouble: float) -> Work:
        if not self.chance(trouble):
            return Work(self.pick((0.0, TICK_S, 0.25, 0.5, 0.5, 2.0)))
        ends: tuple[End, ...] = (
            "result",
            "result",
            "silence",
            "failure",
            "final failure",
            "nothing",
            "crash",
        )
        if self.chance(0.3):
            seconds = self.pick((0.0, 0.0, -TICK_S, TICK_S, 1.0))
            return Work(seconds, due="deadline", copies=1 + self.below(2), deaf=self.chance(0.5))
        return Work(
            self.pick((0.0, TICK_S, 0.5, 2.0, 6.0, 11.0)),
            self.pick(ends),
            receipt=self.chance(0.8),
            copies=1 + self.below(3),
            deaf=self.chance(0.3),
        )

    def node(self, trouble: float, slots: int) -> NodePlan:
        leaves = self.time(10) if self.chance(0.25 * trouble) else None
        return NodePlan(
            kind=self.pick(("agent", "agent", "raw", "raw", "base")),
            at=self.time(8) if self.chance(0.4) else 0.0,
            slots=1 + self.below(slots),
            works=(self.work(trouble / 2), *self.many(lambda: self.work(trouble / 2), 0.7, 5)),
            links=self.links(trouble) if self.chance(trouble) else (),
            pause=self.pick((0.5, 0.0, 0.25, 2.0)),
            crashes=self.many(self.node_crash, 0.25 * trouble, 3),
            freezes=self.many(self.freeze, 0.15 * trouble, 2),
            leaves=leaves,
            returns=self.time(4) if leaves is not None and self.chance(0.7) else None,
            named=self.chance(0.8),
            forges=self.chance(0.2 * trouble),
        )

    def node_crash(self) -> NodeCrash:
        when: WhenNode = self.pick(get_args(WhenNode))
        return NodeCrash(when, 1 + self.below(4))

    def hostile(self) -> HostilePlan:
        return HostilePlan(attack=self.pick(get_args(Attack)), at=self.time(4), link=self.link(0.3))

    def disk(self) -> DiskPlan:
        """From one that is slow for once to one that hangs; often full when much is going on."""
        seconds = self.pick(((0.0, TICK_S), (TICK_S, 0.25), (0.25, 0.5, 1.0), (0.0, 2.5)))
        return DiskPlan(
            commit_s=tuple(self.pick(seconds) for _ in range(1 + self.below(4))),
            full=self.many(lambda: (self.time(12), self.pick((0.5, 2.0, 5.0))), 0.4, 2),
            crowd=self.pick((20_000, 20_000, 20_000, 6, 12)),
        )

    def settings(self) -> tuple[tuple[str, float], ...]:
        chosen = {**NARROW, **self.pick(TIGHT)} if self.chance(0.1) else dict(self.pick(TIGHT))
        return tuple(chosen.items())


def draw_world(seed: int) -> WorldPlan:
    """The world of a seed. Neighbouring seeds have nothing in common."""
    dice = Dice(seed)
    shape = dice.below(100)
    if shape < 50:  # small and nasty
        sessions, utterances, seconds, nodes, slots, trouble = 1 + dice.below(2), 4, 6, 2, 2, 0.9
    elif shape < 85:  # long talks
        sessions, utterances, seconds, nodes, slots, trouble = 1 + dice.below(3), 45, 20, 3, 4, 0.3
    elif shape < 95:  # a crowd
        sessions, utterances, seconds, nodes, slots, trouble = 4 + dice.below(6), 6, 6, 4, 4, 0.4
    else:  # a siege
        sessions, utterances, seconds, nodes, slots, trouble = 2, 6, 6, 2, 3, 0.5
    plan = WorldPlan(
        sessions=tuple(dice.session(utterances, seconds, trouble) for _ in range(sessions)),
        nodes=tuple(dice.node(trouble, slots) for _ in range(1 + dice.below(nodes))),
        hostiles=dice.many(dice.hostile, 0.85 if shape >= 95 else 0.15, 8),
        storms=dice.many(lambda: dice.time(10), 0.6 if 85 <= shape < 95 else 0.1, 3),
        stalls=dice.many(lambda: (dice.time(8), dice.pick((0.5, 2.0, 6.0))), 0.06, 1),
        drains=dice.time(12) if dice.chance(0.07) else None,
        hurries=dice.time(4) if dice.chance(0.3) else None,
        settings=dice.settings() if dice.chance(0.25) else (),
        disk=dice.disk() if dice.chance(0.4) else None,
        seed=seed,
    )
    if plan.storms and dice.chance(0.5):
        plan = _back_at_once(plan)
    narrow = dict(plan.settings).get("outbox_messages_max") == NARROW["outbox_messages_max"]
    return attrs.evolve(plan, prompt=narrow or dice.chance(0.7))


def _back_at_once(plan: WorldPlan) -> WorldPlan:
    """The same, and whoever loses its connection dials again in that very instant."""
    return attrs.evolve(
        plan,
        sessions=tuple(attrs.evolve(one, pause=0.0) for one in plan.sessions),
        nodes=tuple(attrs.evolve(one, pause=0.0) for one in plan.nodes),
    )
