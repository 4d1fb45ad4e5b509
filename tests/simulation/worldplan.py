"""What is to happen in one simulated world, as a value: the plan is the counterexample.

A plan says what everybody does and what befalls them; it says nothing of what should come out.
Its `repr` is code that gives the plan back, with what is usual left out, so that a world that
failed can be pasted into the corpus. All times are seconds, in whole ticks of 1/64.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs
from simulation.pipes import Fault, LinkPlan

from scheduler.config import Config

TICK_S = 1 / 64

SessionKind = Literal["sdk", "raw", "base", "chunks"]
NodeKind = Literal["agent", "raw", "base"]
When = Literal["before receipt", "after receipt", "without a word"]
WhenNode = Literal["before receipt", "after receipt", "before stored", "after stored"]
Receipts = Literal["each", "late", "never", "backwards", "beyond", "twice"]
Resumes = Literal["right", "old", "ahead", "wrong", "foreign", "anew"]
End = Literal["result", "silence", "failure", "final failure", "nothing", "crash"]
Attack = Literal[
    "nothing", "half a request", "not http", "a slow head", "no hello", "a foreign hello",
    "garbage", "too much garbage", "half a frame", "a reserved opcode", "endless fragments",
    "bytes one by one", "a message too large", "a forged result", "a foreign session",
    "a ping that crosses", "glued frames", "a second hello", "a bare get",
]  # fmt: skip
"""What a hostile peer does with its connection; see `hostiles.py`."""


def _one_of(words: Any) -> Any:
    return attrs.validators.in_(get_args(words))


@attrs.frozen
class Say:
    """An utterance: when (since its session began), how large, and whether it is taken back.

    `repeats` submits it twice under the same index (in chunks: it has no end but a pause);
    `cancelled_after` gives it up again.
    """

    at: float = 0.0
    padding: int = 0
    cancelled_after: float | None = None
    repeats: bool = False


@attrs.frozen
class Crash:
    """A session loses its connection `when` its `nth` outcome has come (counted from 1).

    If that happens `without a word` the scheduler is not told, and a client by hand comes back
    while its old connection still seems to live.
    """

    when: When = attrs.field(default="before receipt", validator=_one_of(When))
    nth: int = 1


@attrs.frozen
class NodeCrash:
    """A node dies with all its work, around its `nth` assignment or result (counted from 1).

    Before or after it has receipted the assignment; before or after it has read that its result
    is stored.
    """

    when: WhenNode = attrs.field(default="before receipt", validator=_one_of(WhenNode))
    nth: int = 1


@attrs.frozen
class Freeze:
    """A peer reads nothing for `seconds`, from `at` seconds after its first connection."""

    at: float
    seconds: float


@attrs.frozen(kw_only=True)
class SessionPlan:
    """A client. `sdk` is the real one; `raw` speaks the whole protocol by hand, `base` its base.

    `chunks` speaks the base as well, and lets the scheduler cut what it hears into utterances.
    `links` are its first connections; the later ones are plain. `pause` is the wait before it
    connects again; the SDK's own pause is a fraction of its back-off, and 0 makes it none.
    `gives_up` makes it vanish without a word that long after it began.
    """

    kind: SessionKind = attrs.field(default="sdk", validator=_one_of(SessionKind))
    at: float = 0.0
    says: tuple[Say, ...] = (Say(),)
    links: tuple[LinkPlan, ...] = ()
    pause: float = 0.5
    receipts: Receipts = attrs.field(default="each", validator=_one_of(Receipts))
    resumes: Resumes = attrs.field(default="right", validator=_one_of(Resumes))
    crashes: tuple[Crash, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    gives_up: float | None = None


@attrs.frozen
class Work:
    """What a node does with one job: how long it takes, and how it ends.

    With `due="deadline"` the result reaches the scheduler `seconds` after the job's deadline
    (0: at that very instant). Only nodes that are not real agents can leave out the receipt,
    send `copies` of a result, or be `deaf` to cancellation.
    """

    seconds: float = 0.5
    end: End = attrs.field(default="result", validator=_one_of(End))
    due: Literal["start", "deadline"] = "start"
    receipt: bool = True
    copies: int = 1
    deaf: bool = False


@attrs.frozen(kw_only=True)
class NodePlan:
    """A node. `agent` is the real one; `raw` speaks the whole protocol by hand, `base` its base.

    `works` says what it does with its jobs, over and over. It leaves after `leaves` seconds and
    comes back `returns` seconds later, as a new process. With `forges` it also claims results
    of jobs that it was never given.
    """

    kind: NodeKind = attrs.field(default="agent", validator=_one_of(NodeKind))
    at: float = 0.0
    slots: int = 1
    works: tuple[Work, ...] = (Work(),)
    links: tuple[LinkPlan, ...] = ()
    pause: float = 0.5
    crashes: tuple[NodeCrash, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    leaves: float | None = None
    returns: float | None = None
    named: bool = True
    forges: bool = False


@attrs.frozen(kw_only=True)
class HostilePlan:
    """A peer that means no good."""

    attack: Attack = attrs.field(default="nothing", validator=_one_of(Attack))
    at: float = 0.0
    link: LinkPlan = LinkPlan()


@attrs.frozen(kw_only=True)
class DiskPlan:
    """A journal on a disk that takes its time. `commit_s` is how long, commit after commit.

    `full` are spans (begin, seconds) in which nothing can be written. When more than `crowd`
    records wait for a commit the journal says that it fails, as the real one does.
    """

    commit_s: tuple[float, ...] = (TICK_S,)
    full: tuple[tuple[float, float], ...] = ()
    crowd: int = 20_000


@attrs.frozen(kw_only=True)
class WorldPlan:
    """Everybody, and what befalls all of them.

    `storms` are instants at which every link is reset at once. `stalls` are instants at which
    the whole process stands still for some seconds. `drains` is when the scheduler is asked to
    end (asked again `hurries` seconds later). `disk` is what its journal writes to; without one
    it remembers in memory. `settings` differ from `SETTINGS`. `prompt` links take what there is
    room for without waiting. `seed` decides the schedule and all chance.
    """

    sessions: tuple[SessionPlan, ...] = (SessionPlan(),)
    nodes: tuple[NodePlan, ...] = (NodePlan(),)
    hostiles: tuple[HostilePlan, ...] = ()
    storms: tuple[float, ...] = ()
    stalls: tuple[tuple[float, float], ...] = ()
    drains: float | None = None
    hurries: float | None = None
    disk: DiskPlan | None = None
    settings: tuple[tuple[str, float], ...] = ()
    prompt: bool = False
    seed: int = 0

    @property
    def config(self) -> Config:
        """The scheduler's settings in this world."""
        return Config(**{**SETTINGS, **dict(self.settings)})

    @property
    def last_planned(self) -> float:
        """The instant after which the plan lets nothing more happen, but for what is under way."""
        ends = [0.0, *self.storms, *(at + seconds for at, seconds in self.stalls)]
        ends += [at + seconds for at, seconds in (self.disk.full if self.disk else ())]
        for session in self.sessions:
            ends += [session.at + said.at + (said.cancelled_after or 0) for said in session.says]
            ends += [session.at + (session.gives_up or 0)]
            ends += [session.at + f.at + f.seconds for f in session.freezes]
        for node in self.nodes:
            ends += [node.at + (node.leaves or 0) + (node.returns or 0)]
            ends += [node.at + f.at + f.seconds for f in node.freezes]
        return max(ends)

    def __repr__(self) -> str:
        return as_code(self)


SETTINGS: dict[str, Any] = {
    "pending_timeout": 5.0,
    "dispatched_timeout": 12.0,
    "node_receipt_timeout": 1.5,
    "node_dead_timeout": 4.0,
    "node_suspect_timeout": 2.0,
    "heartbeat_interval": 1.0,
    "canary_interval": 4.0,
    "canary_timeout": 4.0,
    "result_stored_timeout": 3.0,
    "node_backoff_max": 2.0,
    "session_retention": 16.0,
    "outcome_retention": 14.0,
    "client_receipt_timeout": 6.0,
    "client_probe_timeout": 1.5,
    "client_backoff_max": 4.0,
    "handshake_timeout": 3.0,
    "hello_timeout": 3.0,
    "close_timeout": 1.0,
    "write_timeout": 3.0,
    "ping_interval": 5.0,
    "pong_timeout": 2.5,
    "drain_timeout": 8.0,
    "http_idle_timeout": 6.0,
    "chunk_pause": 2.0,
    "chunked_seconds_max": 4.0,
    "message_bytes_max": 2**16,
}
"""Shorter than in real life, in whole ticks, and with the same inequalities between them."""

_VALUES = (
    *(WorldPlan, SessionPlan, NodePlan, HostilePlan, DiskPlan),
    *(Say, Work, Crash, NodeCrash, Freeze, LinkPlan, Fault),
)


def as_code(value: Any) -> str:
    """Code that gives a plan, or a part of one, back: only what differs from the usual."""
    if isinstance(value, tuple):
        inside = ", ".join(map(as_code, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if not isinstance(value, _VALUES):
        return repr(value)
    said = []
    for place, field in enumerate(attrs.fields(type(value))):
        given = getattr(value, field.name)
        if given != field.default:
            name = f"{field.name}=" if place or field.kw_only else ""
            said.append(name + as_code(given))
    return f"{type(value).__name__}({', '.join(said)})"
