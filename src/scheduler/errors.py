"""Errors by whose fault they are, and the catalogue of every end that has a reason.

    SchedulerError
    ├── ConfigError          the operator's settings clash
    ├── ProtocolError        a peer said something that is no message (place, problem)
    ├── Refused              the scheduler said no to a request (code, retryable)
    ├── ConnectionLost       the conversation is over (code, reason, may reconnect)
    ├── TranslationFailed    the job's outcome is a failure (reason, code, hint)
    ├── StageFailed          a job failed on its node (stage, code, retryable)
    └── EngineUnavailable    a node's engine is missing or broken (hint: how to mend it)

Mistakes of the programmer are plain ``TypeError``, ``ValueError`` and ``AssertionError``.
"""

import enum


class SchedulerError(Exception):
    """The root of every error this package raises on purpose."""


class ConfigError(SchedulerError):
    """Settings that are wrong or clash; the text names them."""


class ProtocolError(SchedulerError):
    """What a peer sent is not a message. ``place`` is a JSON path such as ``$.seq``."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


class Refused(SchedulerError):
    """The scheduler refused a request and said why; nothing was started."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.retryable = retryable


class ConnectionLost(SchedulerError):
    """A connection ended. ``reconnect`` tells whether trying again can help."""

    def __init__(self, code: int | None, reason: str, *, reconnect: bool = True) -> None:
        super().__init__(f"{reason} [{code}]" if code is not None else reason)
        self.code = code
        self.reason = reason
        self.reconnect = reconnect


class TranslationFailed(SchedulerError):
    """The one outcome of an utterance is a failure; ``reason`` is a word of the wire."""

    def __init__(self, reason: str, code: str | None, hint: str | None) -> None:
        super().__init__(f"{hint or reason} [{code or reason}]")
        self.reason = reason
        self.code = code
        self.hint = hint


class StageFailed(SchedulerError):
    """A stage of a node's pipeline failed; ``code`` is one of :class:`Code`."""

    def __init__(self, stage: str, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage
        self.code = code
        self.retryable = retryable


class EngineUnavailable(SchedulerError):
    """An engine cannot run here; ``hint`` is the command or step that mends it."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason} ({hint})")
        self.reason = reason
        self.hint = hint


class Code(enum.StrEnum):
    """The error codes of the wire, each a word that a program can act on."""

    INVALID_MESSAGE = "INVALID_MESSAGE"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    INVALID_SESSION = "INVALID_SESSION"
    SESSION_CLOSED = "SESSION_CLOSED"
    NODE_UNAVAILABLE = "NODE_UNAVAILABLE"
    NODE_OVERLOADED = "NODE_OVERLOADED"
    MODEL_NOT_AVAILABLE = "MODEL_NOT_AVAILABLE"
    MODEL_LOAD_FAILED = "MODEL_LOAD_FAILED"
    UNSUPPORTED_FEATURE = "UNSUPPORTED_FEATURE"
    INVALID_PAIRING_CODE = "INVALID_PAIRING_CODE"
    NO_AVAILABLE_NODE = "NO_AVAILABLE_NODE"
    WS_DISCONNECTED = "WS_DISCONNECTED"
    NMT_TIMEOUT = "NMT_TIMEOUT"
    TTS_TIMEOUT = "TTS_TIMEOUT"
    JOB_TIMEOUT = "JOB_TIMEOUT"
    MODEL_VERIFY_FAILED = "MODEL_VERIFY_FAILED"
    MODEL_CORRUPTED = "MODEL_CORRUPTED"
    NO_GPU_AVAILABLE = "NO_GPU_AVAILABLE"
    NODE_ID_CONFLICT = "NODE_ID_CONFLICT"
    INVALID_CAPABILITY_SCHEMA = "INVALID_CAPABILITY_SCHEMA"
    SCHEDULER_DEPENDENCY_DOWN = "SCHEDULER_DEPENDENCY_DOWN"
    PROCESSING_ERROR = "PROCESSING_ERROR"
    OVERLOADED = "OVERLOADED"
    UNAUTHORIZED = "UNAUTHORIZED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_LARGE = "TOO_LARGE"
    DRAINING = "DRAINING"
    RESUME_REFUSED = "RESUME_REFUSED"


def may_retry(code: str) -> bool:
    """Whether what was refused with ``code`` may be taken a little later."""
    return code in (
        Code.OVERLOADED, Code.RATE_LIMITED, Code.DRAINING, Code.NODE_OVERLOADED,
        Code.NO_AVAILABLE_NODE, Code.SCHEDULER_DEPENDENCY_DOWN,
    )  # fmt: skip


class Close(enum.Enum):
    """Why a connection is closed: the WebSocket code and the text sent with it.

    4000 to 4499: connect again, with back-off. 4500 to 4999: do not connect again.
    """

    NORMAL = (1000, "normal")
    GOING_AWAY = (1001, "the server is going away")
    PROTOCOL_ERROR = (1002, "what came breaks the WebSocket protocol")
    INVALID_DATA = (1007, "a text message that is not UTF-8")
    POLICY = (1008, "not allowed")
    TOO_LARGE = (1009, "message too large")
    INTERNAL_ERROR = (1011, "a fault of the scheduler's own")
    TRY_LATER = (1013, "overloaded, try again later")
    HELLO_TIMEOUT = (4000, "no hello in time")
    KEEPALIVE_TIMEOUT = (4001, "no sign of life")
    SLOW_CONSUMER = (4002, "too slow a reader; unacknowledged outcomes are kept")
    REPLACED = (4003, "replaced by a newer connection")
    PEER_GONE = (4004, "the connection broke")
    RECEIPT_TIMEOUT = (4005, "an outcome was not acknowledged in time")
    TOO_MANY_INVALID = (4500, "too many invalid messages")
    UNAUTHORIZED = (4501, "unauthorized")

    @property
    def code(self) -> int:
        """The WebSocket close code."""
        return self.value[0]

    @property
    def text(self) -> str:
        """The reason sent with the close frame, and shown in logs."""
        return self.value[1]


def may_reconnect(code: int | None) -> bool:
    """Whether a peer closed with ``code`` should connect again (``None``: the link broke)."""
    hopeless = (Close.POLICY.code, Close.TOO_LARGE.code)
    return code is None or not (4500 <= code <= 4999 or code in hopeless)
