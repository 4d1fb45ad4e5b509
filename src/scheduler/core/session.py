"""A session as the scheduler knows it: the order of its jobs and the outcomes it is owed."""

from collections import OrderedDict, deque
from typing import Literal

import attrs

from scheduler.core.events import Generation
from scheduler.core.job import Job
from scheduler.wire.session import MissingResult, SessionInit, TranslationResult


@attrs.define(kw_only=True)
class OwedOutcome:
    """An outcome that has its ``seq`` and is not known to be received.

    ``size_bytes`` is what it counts against retention, ``since`` is when its age began.
    ``dropped`` marks one whose content was given up; its message is then a ``gap``.
    ``told`` is what a writer took last, for the connection ``told_on``: from then on the client
    may know it, and says that it does by acknowledging the ``seq``.
    """

    seq: int
    job_id: str
    message: TranslationResult | MissingResult
    size_bytes: int
    since: float
    dropped: bool = False
    told: Literal["content", "gap"] | None = None
    told_on: int | None = None

    @property
    def content_told(self) -> bool:
        """Whether an acknowledgement that comes now means that the content was received."""
        return not self.dropped or self.told == "content"


@attrs.define(kw_only=True)
class Collected:
    """The speech of ``audio_chunk``s that is no utterance yet: 16-bit samples, maybe none.

    ``begun_at`` is when the first of it came, ``ends_at`` when it is an utterance if no chunk
    comes before. ``last_seq`` is the number of the last chunk that was taken, ``first_seq`` that
    with which the present count began. ``resumed`` is whether the client may still be repeating
    what it sent over an earlier connection.
    """

    audio: bytearray = attrs.Factory(bytearray)
    begun_at: float = 0.0
    ends_at: float = 0.0
    first_seq: int | None = None
    last_seq: int | None = None
    resumed: bool = False


@attrs.define(kw_only=True, eq=False)
class Session:
    """One person's conversation. It may outlive its connections if it can resume.

    ``order`` holds the accepted jobs whose outcome has not had its turn; ``owed`` the
    outcomes that had, by ``seq``, oldest first. ``sent_seq`` is the highest that was ever
    handed to a connection: nothing above it can have been received. ``receipt_by`` is when
    a session that was told something must have acknowledged something; ``resumable_until``
    is when one without a connection is given up, ``retained_until`` when the content of its
    oldest outcome is. ``forgotten_index`` is the highest index that is remembered no more.
    """

    session_id: str
    resume_token: str
    hello: SessionInit
    trace_id: str
    joined_at: float
    connection: Generation | None
    order: deque[Job] = attrs.Factory(deque)
    owed: OrderedDict[int, OwedOutcome] = attrs.Factory(OrderedDict)
    owed_bytes: int = 0
    next_seq: int = 1
    sent_seq: int = 0
    acked_seq: int = 0
    by_index: OrderedDict[int, str] = attrs.Factory(OrderedDict)
    forgotten_index: int = -1
    affine_node: str | None = None
    receipt_by: float | None = None
    resumable_until: float | None = None
    retained_until: float | None = None
    collected: Collected = attrs.Factory(Collected)

    @property
    def receipts(self) -> bool:
        """Whether this session acknowledges outcomes, and may therefore resume."""
        return bool(self.hello.receipts)

    @property
    def next_index(self) -> int:
        """The utterance index after the highest that was used, by whoever numbered it."""
        return max(self.forgotten_index, *self.by_index, -1) + 1
