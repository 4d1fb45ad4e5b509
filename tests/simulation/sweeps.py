"""Not drawn but all: every byte at which a link may be struck, every step that may be cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import trio
from simulation.pipes import Direction, Fault, Kind, LinkPlan
from simulation.world import Run, play
from simulation.worldplan import NodePlan, SessionPlan, Work, WorldPlan
from trio.lowlevel import Task

from scheduler.server import serve

Swept = Literal["sdk", "raw", "base", "agent"]
"""Whose link is struck: that of a session of one of three kinds, or of a real node."""
LINKS_A_WORLD = 32
STALL_S = 4.0
WORK = Work(0.25)


def small_world(kind: Swept, links: list[LinkPlan]) -> WorldPlan:
    """As many sessions as links, each with one utterance, and what it takes to serve them all.

    The links are those of the sessions, or of as many nodes with one slot.
    """
    if kind == "agent":
        return WorldPlan(
            sessions=(SessionPlan(kind="raw"),) * len(links),
            nodes=tuple(NodePlan(works=(WORK,), links=(link,), pause=0.25) for link in links),
        )
    return WorldPlan(
        sessions=tuple(SessionPlan(kind=kind, links=(link,), pause=0.25) for link in links),
        nodes=(NodePlan(kind="raw", slots=len(links), works=(WORK,)),),
    )


def bytes_of(kind: Swept, direction: Direction) -> int:
    """How many bytes go that way over a link to which nothing happens."""
    run = play(small_world(kind, [LinkPlan()]))
    owner = "machine-0" if kind == "agent" else "client-0"
    link = next(talk.link for talk in run.scene.talks if talk.owner == owner)
    return link.to_server.sent if direction == "to_server" else link.to_client.sent


def byte_worlds(
    kind: Swept, fault: Kind, direction: Direction, *, first: int = 0, every: int = 1
) -> Iterator[WorldPlan]:
    """Worlds in which a link is struck before each of its bytes, all in turn.

    Or before the `first` one and each `every`th after it. The links of a world have little to do
    with each other, so that one world serves for many bytes.
    """
    offsets = range(first, bytes_of(kind, direction), every)
    for place in range(0, len(offsets), LINKS_A_WORLD):
        yield small_world(
            kind,
            [
                LinkPlan(faults=(Fault(fault, direction, offset=offset, duration=STALL_S),))
                for offset in offsets[place : place + LINKS_A_WORLD]
            ],
        )


class CancelAtStep(trio.abc.Instrument):
    """Cancels a connection's handler, or counts: `steps` are those of the server's connections.

    The scope is that of the handler of the connection which is about to take its `nth` step.
    """

    def __init__(self, nth: int | None = None) -> None:
        self.nth = nth
        self.steps = 0
        self.cancelled = False
        self.scopes: dict[Task, trio.CancelScope] = {}

    def before_task_step(self, task: Task) -> None:
        handler: Task | None = task
        while handler is not None and handler not in self.scopes:
            handler = handler.parent_nursery.parent_task if handler.parent_nursery else None
        if handler is None:
            return
        self.steps += 1
        if self.steps == self.nth:
            self.cancelled = True
            self.scopes[handler].cancel()


@contextmanager
def cancellable_handlers(instrument: CancelAtStep) -> Iterator[None]:
    """Put each connection's handler into a scope that the instrument knows."""
    handler = serve._Doorkeeper.serve

    async def scoped(self: serve._Doorkeeper, stream: trio.abc.Stream) -> None:
        with trio.CancelScope() as scope:
            instrument.scopes[trio.lowlevel.current_task()] = scope
            await handler(self, stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve._Doorkeeper, "serve", scoped)
        yield


def play_cancelled(plan: WorldPlan, nth: int | None) -> tuple[Run, CancelAtStep]:
    """Run a world, and cancel one connection's handler before its step."""
    instrument = CancelAtStep(nth)
    with cancellable_handlers(instrument):
        return play(plan, instruments=(instrument,)), instrument
