"""What must outlive the process: the records that a journal keeps and gives back.

A record is a fact that was decided. It is an *effect* on its way out
(:class:`~scheduler.core.events.Remember`), and after a restart what the journal kept of it
comes back as one :class:`~scheduler.core.events.Recovered`. Only sessions with receipts are
remembered: nobody else can come back for an outcome.

Instants are Unix milliseconds, since the monotonic clock of another process means nothing.
"""

import attrs

from scheduler.wire.session import MissingResult, SessionInit, TranslationResult, Utterance


@attrs.frozen(kw_only=True)
class SessionBegan:
    """A session that may be resumed with this token."""

    session_id: str
    resume_token: str
    hello: SessionInit
    trace_id: str
    joined_at_ms: int


@attrs.frozen(kw_only=True)
class SessionForgotten:
    """The session is over; nothing of it is needed any more."""

    session_id: str


@attrs.frozen(kw_only=True)
class JobAccepted:
    """An outcome is owed. ``order`` is the job's place among all accepted jobs.

    ``cut`` says why the utterance was cut here; None if the client cut it.
    """

    job_id: str
    session_id: str
    order: int
    trace_id: str
    accepted_at_ms: int
    utterance: Utterance
    cut: str | None = None


@attrs.frozen(kw_only=True)
class JobAttempted:
    """A node was asked; ``deadline_ms`` is when the job as a whole must have ended."""

    job_id: str
    attempt: int
    node_id: str
    assigned_at_ms: int
    deadline_ms: int


@attrs.frozen(kw_only=True)
class JobSettled:
    """The job's outcome; a later one of the same job (salvaged, or dropped) takes its place.

    ``message`` has no ``seq``. From here on the audio is not needed.
    """

    job_id: str
    kind: str
    settled_at_ms: int
    message: TranslationResult | MissingResult
    code: str | None = None
    hint: str | None = None
    dropped: bool = False


@attrs.frozen(kw_only=True)
class OutcomesReceived:
    """The session acknowledged everything up to ``seq``; these jobs are done with."""

    session_id: str
    seq: int
    job_ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class JobForgotten:
    """The job never was, or was so long ago that its index need not be known any more."""

    job_id: str


Record = (
    SessionBegan
    | SessionForgotten
    | JobAccepted
    | JobAttempted
    | JobSettled
    | OutcomesReceived
    | JobForgotten
)


@attrs.frozen(kw_only=True)
class RememberedJob:
    """What was kept of one job that is not known to be received; attempts by their number."""

    accepted: JobAccepted
    attempted: tuple[JobAttempted, ...] = ()
    settled: JobSettled | None = None


@attrs.frozen(kw_only=True)
class RememberedSession:
    """What was kept of one session.

    ``jobs`` are those without an acknowledged outcome, in the order of acceptance;
    ``received`` maps the indexes of the others to their job ids, oldest first.
    """

    began: SessionBegan
    acked_seq: int = 0
    jobs: tuple[RememberedJob, ...] = ()
    received: tuple[tuple[int, str], ...] = ()
