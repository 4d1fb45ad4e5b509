"""What may befall a world, by kinds: what to look for in plans, so that nothing is left undrawn."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from typing import Any, get_args

import attrs
from simulation.pipes import Direction, Kind, LinkPlan
from simulation.worldplan import (
    TICK_S,
    Attack,
    DiskPlan,
    End,
    NodePlan,
    Receipts,
    Resumes,
    SessionPlan,
    When,
    WhenNode,
    Work,
    WorldPlan,
)

PLAIN = LinkPlan()
NEVER_CROWDED = DiskPlan().crowd
CROWD_MIN = 4
"""So many peers that come back at one instant are a crowd."""


@attrs.frozen
class Family:
    """Kinds that belong together: which there are, and those that a plan has, one by one."""

    kinds: frozenset[str]
    of: Callable[[WorldPlan], Iterator[str]]


FAMILIES: dict[str, Family] = {}

Finder = Callable[[WorldPlan], Iterator[str]]


def family(name: str, *kinds: str) -> Callable[[Finder], Finder]:
    def register(of: Finder) -> Finder:
        FAMILIES[name] = Family(frozenset(kinds), of)
        return of

    return register


def drawn(plan: WorldPlan) -> collections.Counter[tuple[str, str]]:
    """How often a plan has each kind, by family and kind."""
    return collections.Counter(
        (name, kind) for name, one in FAMILIES.items() for kind in one.of(plan)
    )


def _links(plan: WorldPlan) -> Iterator[LinkPlan]:
    yield from (link for session in plan.sessions for link in session.links)
    yield from (link for node in plan.nodes for link in node.links)
    yield from (hostile.link for hostile in plan.hostiles)


def _works(plan: WorldPlan) -> Iterator[tuple[NodePlan, Work]]:
    return ((node, work) for node in plan.nodes for work in node.works)


def _others(words: Any, usual: str) -> tuple[str, ...]:
    return tuple(word for word in get_args(words) if word != usual)


WAYS = itertools.product(get_args(Kind), get_args(Direction), ("at a byte", "at an instant"))


@family("link", *(" ".join(way) for way in WAYS))
def _link_faults(plan: WorldPlan) -> Iterator[str]:
    for fault in (fault for link in _links(plan) for fault in link.faults):
        where = "at an instant" if fault.offset is None else "at a byte"
        yield f"{fault.kind} {fault.direction} {where}"


@family("slow link", "late", "narrow", "in pieces", "byte by byte")
def _slow_links(plan: WorldPlan) -> Iterator[str]:
    for link in _links(plan):
        yield from ["late"] * (link.latency > PLAIN.latency)
        yield from ["narrow"] * (link.window < PLAIN.window)
        yield from ["in pieces"] * (1 < link.mtu < PLAIN.mtu) + ["byte by byte"] * (link.mtu == 1)


@family("frozen", "client", "node", "scheduler")
def _frozen(plan: WorldPlan) -> Iterator[str]:
    yield from ("client" for session in plan.sessions for _ in session.freezes)
    yield from ("node" for node in plan.nodes for _ in node.freezes)
    yield from ("scheduler" for _ in plan.stalls)


@family("client dies", *get_args(When), "for good")
def _client_crashes(plan: WorldPlan) -> Iterator[str]:
    for session in plan.sessions:
        yield from (crash.when for crash in session.crashes)
        yield from ["for good"] * (session.gives_up is not None)


@family("node dies", *get_args(WhenNode), "at work")
def _node_crashes(plan: WorldPlan) -> Iterator[str]:
    yield from (crash.when for node in plan.nodes for crash in node.crashes)
    yield from ("at work" for _, work in _works(plan) if work.end == "crash")


@family("node leaves", "for good", "and returns", "and returns nameless")
def _departures(plan: WorldPlan) -> Iterator[str]:
    for node in plan.nodes:
        if node.leaves is not None and node.returns is None:
            yield "for good"
        elif node.leaves is not None:
            yield "and returns" if node.named else "and returns nameless"


@family("all links break", "and come back", "and come back at once")
def _storms(plan: WorldPlan) -> Iterator[str]:
    peers: tuple[SessionPlan | NodePlan, ...] = (*plan.sessions, *plan.nodes)
    crowd = len(peers) >= CROWD_MIN and not any(peer.pause for peer in peers)
    yield from ("and come back at once" if crowd else "and come back" for _ in plan.storms)


@family("receipts", *_others(Receipts, "each"))
def _receipts(plan: WorldPlan) -> Iterator[str]:
    return (session.receipts for session in plan.sessions if session.receipts != "each")


@family("resumes", *_others(Resumes, "right"))
def _resumes(plan: WorldPlan) -> Iterator[str]:
    return (session.resumes for session in plan.sessions if session.resumes != "right")


@family("utterance", "said twice", "taken back", "large")
def _utterances(plan: WorldPlan) -> Iterator[str]:
    for said in (said for session in plan.sessions for said in session.says):
        yield from ["said twice"] * said.repeats + ["large"] * (said.padding > 0)
        yield from ["taken back"] * (said.cancelled_after is not None)


@family("work ends in", *_others(End, "result"))
def _ends(plan: WorldPlan) -> Iterator[str]:
    return (work.end for _, work in _works(plan) if work.end != "result")


@family(
    "result", "a tick early", "at the deadline", "late", "after it was cancelled", "twice",
    "without a receipt of its job", "forged",
)  # fmt: skip
def _results(plan: WorldPlan) -> Iterator[str]:
    for node, work in _works(plan):
        if work.due == "deadline":
            early, late = work.seconds < 0, work.seconds > 0
            yield "a tick early" if early else "late" if late else "at the deadline"
        if node.kind != "agent":
            yield from ["twice"] * (work.copies > 1) + ["after it was cancelled"] * work.deaf
        if node.kind == "raw" and not work.receipt:
            yield "without a receipt of its job"
    yield from ("forged" for node in plan.nodes if node.forges and node.kind != "agent")


@family("attack", *get_args(Attack))
def _attacks(plan: WorldPlan) -> Iterator[str]:
    return (hostile.attack for hostile in plan.hostiles)


@family("scheduler ends", "politely", "in a hurry")
def _drains(plan: WorldPlan) -> Iterator[str]:
    if plan.drains is not None:
        yield "politely" if plan.hurries is None else "in a hurry"


@family("disk", "slow", "full", "crowded")
def _disks(plan: WorldPlan) -> Iterator[str]:
    if plan.disk is not None:
        yield from ["slow"] * (max(plan.disk.commit_s) > TICK_S) + ["full"] * len(plan.disk.full)
        yield from ["crowded"] * (plan.disk.crowd < NEVER_CROWDED)


@family("limits", "near")
def _limits(plan: WorldPlan) -> Iterator[str]:
    yield from ["near"] * bool(plan.settings)
