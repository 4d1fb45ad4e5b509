"""What the engine is told (events) and what it wants done (effects).

A connection is named by its *generation*: a number that the shell counts up and never
uses twice. Whatever concerns a connection carries it, so that the end of an old
connection can never touch its successor.
"""

from typing import Any, Literal

import attrs

from scheduler.core.records import Record, RememberedSession
from scheduler.errors import Close
from scheduler.wire.node import FromNode, JobResultAck, NodeRegister, ToNode
from scheduler.wire.session import (
    FromSession,
    MissingResult,
    SessionCloseAck,
    SessionInit,
    SessionInitAck,
    ToSession,
    TranslationResult,
    UtteranceAccepted,
)

Generation = int


@attrs.frozen
class Timer:
    """The name of one deadline. There is at most one of each at any time."""

    kind: Literal["job", "session", "receipt", "canary", "pause", "retention"]
    key: str


# -- events -----------------------------------------------------------------------


@attrs.frozen
class SessionJoined:
    """A connection said ``session_init``, perhaps to resume a session."""

    connection: Generation
    hello: SessionInit


@attrs.frozen
class NodeJoined:
    """A connection said ``node_register``."""

    connection: Generation
    hello: NodeRegister


@attrs.frozen
class Received:
    """A joined peer sent a message."""

    connection: Generation
    message: FromSession | FromNode


@attrs.frozen
class Writing:
    """The writer is about to write the outcome with this ``seq``: it cannot be replaced now."""

    connection: Generation
    seq: int


@attrs.frozen
class SignsOfLife:
    """When a peer was last heard; when the ping was sent that it has not answered, if any.

    They decide nothing. They are for the story: bytes that were written prove nothing, and
    these say what the peer's silence was like at that moment.
    """

    heard_at: float
    unanswered_since: float | None = None


@attrs.frozen
class Written:
    """The outcome with this ``seq`` was handed whole to the operating system."""

    connection: Generation
    seq: int
    signs: SignsOfLife | None = None


@attrs.frozen
class Left:
    """The connection has ended, however it ended."""

    connection: Generation
    close: Close
    signs: SignsOfLife | None = None


@attrs.frozen
class Silent:
    """Nothing was heard from this node for the suspect timeout."""

    connection: Generation


@attrs.frozen
class Heard:
    """A silent node was heard again."""

    connection: Generation


@attrs.frozen
class Expired:
    """A timer that was set has run out."""

    timer: Timer


@attrs.frozen
class DrainStarted:
    """From now on no new work is accepted; what runs may finish."""


@attrs.frozen
class Recovered:
    """What a journal kept from an earlier process. The first event, if it comes at all."""

    sessions: tuple[RememberedSession, ...]


@attrs.frozen
class JournalFailed:
    """The journal cannot keep anything now, and why. ``job_ids`` were never promised."""

    why: str
    job_ids: tuple[str, ...]


@attrs.frozen
class JournalMended:
    """The journal keeps again what it is given."""


Event = (
    SessionJoined
    | NodeJoined
    | Received
    | Writing
    | Written
    | Left
    | Silent
    | Heard
    | Expired
    | DrainStarted
    | Recovered
    | JournalFailed
    | JournalMended
)


# -- effects ----------------------------------------------------------------------


@attrs.frozen
class Send:
    """Put a message into the connection's outbox.

    ``seq`` marks an outcome: the shell answers with :class:`Written` once it is out.
    ``droppable`` marks what may be left out when the peer reads too slowly.
    """

    connection: Generation
    message: ToSession | ToNode
    seq: int | None = None
    droppable: bool = False


@attrs.frozen
class Replace:
    """Put this message in the place of the outcome ``seq`` that still waits in the outbox."""

    connection: Generation
    message: ToSession
    seq: int


@attrs.frozen
class Probe:
    """Ask this connection for a sign of life now."""

    connection: Generation


@attrs.frozen
class End:
    """Let the outbox drain, then close the connection with this reason.

    ``at_once`` leaves out what still waits in the outbox: a successor is told it instead, and
    may already be told something newer.
    """

    connection: Generation
    close: Close
    at_once: bool = False


@attrs.frozen
class SetTimer:
    """Tell :class:`Expired` at ``at`` (seconds, monotonic); replaces an earlier setting."""

    timer: Timer
    at: float


@attrs.frozen
class ClearTimer:
    """Forget this timer if it is set."""

    timer: Timer


@attrs.frozen
class Note:
    """A fact worth recording: its name and the ids and details that belong to it.

    Never holds speech, tokens or addresses, so that it may be logged as it is.
    """

    name: str
    detail: dict[str, Any]


@attrs.frozen
class Remember:
    """Keep this record. A promise sent in the same step or later waits until it is kept."""

    record: Record


@attrs.frozen
class Withdraw:
    """Take back what still waits in the outbox about this job: it was never promised."""

    connection: Generation
    job_id: str


Effect = Send | Replace | Probe | End | SetTimer | ClearTimer | Note | Remember | Withdraw

PROMISES = (
    SessionInitAck,
    SessionCloseAck,
    UtteranceAccepted,
    TranslationResult,
    MissingResult,
    JobResultAck,
)
"""Messages that say that something is remembered: none leaves before it is."""
