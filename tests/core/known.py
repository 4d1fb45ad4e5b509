"""What the ledger knows of sessions, jobs and nodes; each record is made from effects alone.

A job's *place* is its number among the accepted jobs of its session. It must come back as the
outcome with that ``seq``; so the ledger knows every ``seq`` beforehand and believes none.
"""

import math
from collections.abc import Iterable

import attrs

from scheduler.core.events import Generation
from scheduler.wire import session
from scheduler.wire.common import LanguageCapabilities

Pairs = frozenset[tuple[str, str]]


class Broken(AssertionError):
    """A property does not hold; the text begins with its name."""

    def __init__(self, name: str, text: object) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@attrs.define(eq=False)
class Task:
    """A job. ``on`` is the connection of its current attempt, ``last_on`` of its last one."""

    job_id: str
    session_id: str
    index: int
    place: int
    pairs: Pairs
    accepted_at: float
    waiting_since: float
    remembered: bool
    why: str | None = None
    kind: str | None = None
    text: str | None = None
    attempt: int = 0
    next_attempt: int = 1
    tries: int = 0
    on: Generation | None = None
    last_on: Generation | None = None
    assigned_at: float = 0.0
    receipted: bool = False
    overall: float | None = None
    base_nodes: set[str] = attrs.Factory(set)
    fate: str | None = None
    settled_remembered: bool = False

    @property
    def live(self) -> bool:
        return self.kind is None


@attrs.define(eq=False)
class Person:
    """A session. ``turn`` is how many of its first jobs have ended: those must be told.

    ``sent`` and ``sent_here`` are the last outcomes sent at all and on this connection;
    ``told`` those that a writer has taken; ``gaps`` those whose content was given up, and
    ``received_if_acked`` those whose content was the last that a writer has taken.
    """

    session_id: str
    token: str | None
    receipts: bool
    connection: Generation | None
    pairs: Pairs
    left_at: float = 0.0
    accepted: int = 0
    tasks: dict[int, Task] = attrs.Factory(dict)
    indexes: dict[int, str] = attrs.Factory(dict)
    turn: int = 0
    acked: int = 0
    sent: int = 0
    sent_here: int = 0
    told: set[int] = attrs.Factory(set)
    written_here: set[int] = attrs.Factory(set)
    gaps: set[int] = attrs.Factory(set)
    received_if_acked: set[int] = attrs.Factory(set)

    def owes_content(self) -> bool:
        """Whether an outcome had its turn, is not let go, and has its content still."""
        return any(place <= self.turn and place not in self.gaps for place in self.tasks)

    def is_owed(self, place: int) -> bool:
        return place in self.tasks and place <= self.turn


@attrs.define(eq=False)
class Machine:
    """A node on one connection. ``held`` are the current attempts by job id.

    ``left_at`` is when the connection ended: what is held against the node outlives it.
    """

    node_id: str
    connection: Generation
    receipts: bool
    slots: int
    pairs: Pairs
    ready: bool
    draining: bool
    suspect: bool = False
    quarantined: bool = False
    on_probation: bool = False
    left_at: float = math.inf
    held: dict[str, int] = attrs.Factory(dict)
    canary: str | None = None

    @property
    def free(self) -> int:
        usable = min(self.slots, 1) if self.on_probation else self.slots
        return max(0, usable - len(self.held))

    def why_not(self, task: Task) -> str | None:
        """The reason that counts most against giving the task to this node; None if none does."""
        reasons = (
            ("service_not_ready", not self.ready),
            ("language_missing", not task.pairs <= self.pairs),
            ("already_tried", not self.receipts and self.node_id in task.base_nodes),
            ("draining", self.draining),
            ("quarantined", self.quarantined),
            ("silent", self.suspect),
            ("no_free_slot", self.free == 0),
        )
        return next((reason for reason, holds in reasons if holds), None)


SAID_FIRST = ("no_free_slot", "silent", "draining", "quarantined", "already_tried")
"""Of the reasons of several nodes the one is told that is most likely to pass."""


def why_waiting(task: Task, machines: Iterable[Machine]) -> str:
    """The word that the session must have been told for its waiting job."""
    reasons = {machine.why_not(task) for machine in machines}
    if not reasons:
        return "no_node"
    for reason in (*SAID_FIRST, "service_not_ready"):
        if reason in reasons:
            return "all_busy" if reason == "no_free_slot" else reason
    return "no_capability"


def pairs_of(languages: LanguageCapabilities | None) -> Pairs:
    assert languages is not None
    return frozenset((p.src, p.tgt) for p in languages.supported_language_pairs or ())


def needed_pairs(said: session.Utterance) -> Pairs:
    if said.mode == "two_way_auto":
        assert said.lang_a
        assert said.lang_b
        return frozenset({(said.lang_a, said.lang_b), (said.lang_b, said.lang_a)})
    return frozenset({(said.src_lang, said.tgt_lang)})
