"""One utterance's way through the scheduler: the job, its attempts, its outcome."""

import enum
from typing import Any

import attrs

from scheduler.core.events import Generation, Timer
from scheduler.core.placement import Need
from scheduler.core.states import LIVE, ON_NODE, JobState, Move, next_state
from scheduler.wire.session import MissingResult, TranslationResult, Utterance

STORY_LINES_MAX = 200
RESTARTED = "scheduler_restarted"
"""How an attempt ended whose scheduler was gone before its result came."""
INSTANTS = frozenset({"heard_at", "unanswered_since", "resumable_until"})


class OutcomeKind(enum.StrEnum):
    """How a job ended. All but the first are a ``reason`` of ``missing_result``."""

    TRANSLATED = "translated"
    SILENCE = "silence_detected"
    NO_NODE = "no_available_node"
    TIMEOUT = "job_timeout"
    NODE_FAILED = "node_failed"
    CANCELLED = "cancelled"

    @property
    def is_failure(self) -> bool:
        """Whether the person asked for something that they did not get."""
        return self not in (OutcomeKind.TRANSLATED, OutcomeKind.SILENCE, OutcomeKind.CANCELLED)


class Cut(enum.StrEnum):
    """What ended an utterance that came in chunks."""

    FINAL = "is_final"
    PAUSE = "pause"
    LENGTH = "length"


@attrs.frozen(kw_only=True)
class Outcome:
    """The one end of a job.

    ``message`` is what the session is to get, still without its ``seq``. It is given up when
    its turn has come: from then on its content is the session's, which may keep only so much.
    """

    kind: OutcomeKind
    at: float
    message: TranslationResult | MissingResult | None
    code: str | None = None
    hint: str | None = None


@attrs.define(kw_only=True)
class Attempt:
    """One try of a job on one node. ``end`` and ``code`` say why it is over, once it is.

    ``hint`` says it in words, if the job went on without it.
    """

    number: int
    node_id: str
    connection: Generation
    assigned_at: float
    received_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    end: str | None = None
    code: str | None = None
    hint: str | None = None


@attrs.frozen
class StoryLine:
    """One thing that happened to a job: when (monotonic seconds), what, and by whom.

    Details whose names are in :data:`INSTANTS` are monotonic seconds as well.
    """

    at: float
    what: str
    actor: str
    detail: dict[str, Any]


@attrs.define(kw_only=True, eq=False)
class Job:
    """The only record of a job; everything else that speaks of it is derived from it.

    ``utterance`` is given up once the job is settled: the audio is needed no more.
    ``needs_audio`` marks a job whose audio did not survive a restart.
    ``traceparent`` is the client's own place in a distributed trace, if it said one.
    ``cut`` is None for an utterance that the client cut itself.
    ``deadline`` is that of the current phase; ``overall_deadline`` is set by the first
    assignment and never moves. ``order`` is the job's place among all accepted jobs.
    """

    job_id: str
    session_id: str
    order: int
    utterance_index: int
    trace_id: str
    need: Need
    accepted_at: float
    utterance: Utterance | None = None
    cut: Cut | None = None
    traceparent: str | None = None
    state: JobState = JobState.ACCEPTED
    deadline: float = 0.0
    overall_deadline: float | None = None
    attempts: list[Attempt] = attrs.Factory(list)
    next_attempt: int = 1
    needs_audio: bool = False
    waiting_because: str | None = None
    outcome: Outcome | None = None
    seq: int | None = None
    settled_at: float | None = None
    played_at: float | None = None
    story: list[StoryLine] = attrs.Factory(list)

    @property
    def live(self) -> bool:
        """Not settled: an outcome is still owed."""
        return self.state in LIVE

    @property
    def timer(self) -> Timer:
        """The name of the one timer that follows ``deadline``."""
        return Timer("job", self.job_id)

    @property
    def tries(self) -> int:
        """Attempts that count: one that ended because we were restarted is not the job's fault."""
        return sum(attempt.end != RESTARTED for attempt in self.attempts)

    @property
    def attempt(self) -> Attempt | None:
        """The current attempt, or None while no node has the job."""
        return self.attempts[-1] if self.state in ON_NODE else None

    def is_current(self, connection: Generation, attempt: int | None) -> bool:
        """Whether a message about ``attempt`` from ``connection`` concerns the current one.

        ``None`` stands for messages of the base that do not carry an attempt.
        """
        current = self.attempt
        return (
            current is not None
            and current.connection == connection
            and attempt in (None, current.number)
        )

    def move(self, move: Move, now: float, actor: str, /, **detail: Any) -> None:
        """Change the state along the table and write the receipt into the story."""
        self.state = next_state(self.state, move)
        self.tell(now, str(self.state) if move is not Move.LOSE else "lost", actor, **detail)

    def tell(self, now: float, what: str, actor: str, /, **detail: Any) -> None:
        """Add a line to the story. A story that is too long keeps its beginning and its end."""
        if len(self.story) >= STORY_LINES_MAX:
            del self.story[STORY_LINES_MAX // 2]
        known = {name: value for name, value in detail.items() if value is not None}
        self.story.append(StoryLine(now, what, actor, known))
