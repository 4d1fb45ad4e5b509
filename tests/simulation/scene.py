"""What everybody in a world shares: the network, the dice, and the memory of what happened."""

from __future__ import annotations

import random
from typing import Any

import attrs
import trio
from simulation.disk import Disk
from simulation.network import LinkStream, Network
from simulation.pipes import LinkPlan
from simulation.taps import Talk
from simulation.worldplan import WorldPlan

from scheduler.config import Config

PLAIN = LinkPlan()


@attrs.frozen
class Begun:
    """A node began to work on an attempt of a job, for an utterance of that text."""

    at: float
    node: str
    job_id: str
    attempt_id: int
    text: str


@attrs.define(eq=False)
class Wish:
    """An utterance as its session lived it: what it said, and what it was told in the end.

    `ended` is a word: `translated`, `silence`, a failure's reason, `refused`, `gave up` or
    `lost` (the scheduler said not to come back).
    """

    client: str
    text: str
    said_at: float
    ended_at: float | None = None
    ended: str | None = None
    answer: str = ""
    job_id: str | None = None

    def end(self, ended: str, answer: str = "") -> None:
        self.ended, self.answer, self.ended_at = ended, answer, trio.current_time()


@attrs.define(eq=False)
class Scene:
    """The shared world.

    `overrun` tells of nodes by hand that got too much, `sent_away` of agents that were told not
    to come back. `disk` is what the journal writes to, if it is not memory. `healed` means that
    from now on nothing goes wrong by plan.
    """

    plan: WorldPlan
    config: Config
    network: Network = attrs.Factory(Network)
    talks: list[Talk] = attrs.Factory(list)
    begun: list[Begun] = attrs.Factory(list)
    wishes: list[Wish] = attrs.Factory(list)
    overrun: list[str] = attrs.Factory(list)
    sent_away: list[str] = attrs.Factory(list)
    healed: bool = False
    _dialled: dict[str, int] = attrs.Factory(dict)
    disk: Disk | None = attrs.field(init=False)
    dice: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.disk = Disk(self.plan.disk) if self.plan.disk else None
        self.dice = random.Random(self.plan.seed)

    async def dial(
        self, owner: str, role: str, links: tuple[LinkPlan, ...]
    ) -> tuple[LinkStream, Talk]:
        """A new link on the next of its owner's plans. Raises `ConnectionRefusedError`."""
        number = self._dialled.get(owner, 0)
        self._dialled[owner] = number + 1
        plan = links[number] if number < len(links) and not self.healed else PLAIN
        plan = attrs.evolve(plan, prompt=self.plan.prompt)
        stream = await self.network.connect(plan, f"{owner}/{number}")
        talk = Talk(owner, role, stream.link, trio.current_time())
        self.talks.append(talk)
        return stream, talk

    def heal(self) -> None:
        """Faults that have not struck by now never will."""
        self.healed = True
        if self.disk is not None:
            self.disk.healed = True
        for link in self.network.links:
            link.spare()

    def storm(self) -> None:
        """Reset every link at once."""
        for talk in self.talks:
            talk.link.reset()

    def draw(self) -> float:
        """A uniform number in [0, 1), on a grid, so that pauses tie."""
        return self.dice.randrange(64) / 64


def message_of(kind: str, **said: Any) -> dict[str, Any]:
    """A JSON message of the wire, by hand."""
    return {"type": kind, **said}
