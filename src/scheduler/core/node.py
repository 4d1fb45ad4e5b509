"""A node as the scheduler knows it: what it can do, and which of its slots are taken."""

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from scheduler.config import Config
from scheduler.core.events import Generation
from scheduler.core.placement import Abilities, Need, abilities_of
from scheduler.wire.common import Capability, InstalledService, LanguageCapabilities, ResourceUsage
from scheduler.wire.node import NodeHeartbeat, NodeRegister


@attrs.frozen(kw_only=True)
class Canary:
    """The job that is to show whether a quarantined node works again."""

    job_id: str
    need: Need


@attrs.frozen(kw_only=True)
class HeldAgainst:
    """What is held against a node that is away, for when it comes back; see :class:`Node`."""

    setbacks: int
    quarantined: str | None
    on_probation: bool
    canary_due: float
    left_at: float


def _tell(node: "Node", _: "attrs.Attribute[Any]", value: Any) -> Any:
    """Whoever keeps nodes in order hears of every change."""
    node.on_change(node)
    return value


def nobody(node: "Node") -> None:
    """Hears of the changes of nodes that stand in no order."""


@attrs.define(kw_only=True, eq=False, on_setattr=_tell)
class Node:
    """One registered node: exactly as long-lived as its connection.

    ``running`` maps the id of each job that has its current attempt here to that
    attempt's number; taken and free slots are derived from it and kept nowhere else. It is
    changed by :meth:`take` and :meth:`give_back` alone; ``on_change`` is told of every change.
    ``setbacks`` are failures in a row by the node's own fault; ``quarantined`` says why it
    gets no jobs, if it gets none; ``on_probation`` gives it one at a time. ``canary_due`` is when
    a canary is next sent, or the one under way given up.
    """

    node_id: str
    connection: Generation
    joined_at: float
    order: int
    hello: NodeRegister
    slots: int
    abilities: Abilities
    capabilities: tuple[Capability, ...]
    services: tuple[InstalledService, ...]
    languages: LanguageCapabilities | None
    usage: ResourceUsage | None = attrs.field(default=None, on_setattr=attrs.setters.NO_OP)
    draining: bool = False
    suspect: bool = False
    setbacks: int = 0
    completed: int = attrs.field(default=0, on_setattr=attrs.setters.NO_OP)
    running: dict[str, int] = attrs.Factory(dict)
    quarantined: str | None = None
    on_probation: bool = False
    canary: Canary | None = None
    canary_due: float = attrs.field(default=0.0, on_setattr=attrs.setters.NO_OP)
    on_change: "Callable[[Node], None]" = attrs.field(
        default=nobody, repr=False, on_setattr=attrs.setters.NO_OP
    )

    def take(self, job_id: str, attempt: int) -> None:
        """The job's current attempt is here: a slot is taken."""
        self.running[job_id] = attempt
        self.on_change(self)

    def give_back(self, job_id: str) -> bool:
        """The job's attempt is here no more; False if it was not."""
        self.on_change(self)
        return self.running.pop(job_id, None) is not None

    @property
    def receipts(self) -> bool:
        """Whether this node receipts assignments and awaits receipts of its results."""
        return bool(self.hello.receipts)

    @property
    def free(self) -> int:
        """Slots that may be used and that no current attempt takes."""
        usable = min(self.slots, 1) if self.on_probation else self.slots
        return max(0, usable - len(self.running))

    @property
    def status(self) -> str:
        """One of the words of ``node_register_ack.status``."""
        if self.draining:
            return "draining"
        if self.suspect or self.quarantined or not all(c.ready for c in self.capabilities):
            return "degraded"
        return "ready"

    def heard(self, beat: NodeHeartbeat) -> bool:
        """Take over what a heartbeat says; True if what the node can do has changed."""
        before = (self.abilities, self.draining)
        self.usage = beat.resource_usage
        self.draining = self.draining or bool(beat.draining)
        self.services = beat.installed_services
        if (beat.capability_by_type, beat.language_capabilities) != (
            self.capabilities,
            self.languages,
        ):
            self.capabilities = beat.capability_by_type
            self.languages = beat.language_capabilities or self.languages
            self.abilities = abilities_of(self.capabilities, self.languages)
        return before != (self.abilities, self.draining)


def new_node(
    hello: NodeRegister,
    node_id: str,
    connection: Generation,
    order: int,
    now: float,
    config: Config,
) -> Node:
    """The record of a node that has just registered. Slots are bounded by the settings."""
    offered = hello.slots if hello.slots is not None else config.base_node_slots
    return Node(
        node_id=node_id,
        connection=connection,
        joined_at=now,
        order=order,
        hello=hello,
        slots=max(0, min(offered, config.slots_per_node_max)),
        abilities=abilities_of(hello.capability_by_type, hello.language_capabilities),
        capabilities=hello.capability_by_type,
        services=hello.installed_services or (),
        languages=hello.language_capabilities,
    )


def in_flight_of(hello: NodeRegister) -> Iterable[tuple[str, int]]:
    """The (job, attempt) pairs that a registering node still holds."""
    return ((ref.job_id, ref.attempt_id) for ref in hello.in_flight or ())
