"""Records that several messages share, and the bounds of their simple values."""

from typing import Annotated, Any, Literal

import attrs

ID_CHARS_MAX = 128
LANGUAGE_CHARS_MAX = 35
"""The longest language tag that RFC 5646 asks software to support (section 4.4.1)."""
NAME_CHARS_MAX = 256
SAMPLE_RATE_MAX_HZ = 384_000
LANGUAGES_MAX = 256
AUTO_LANGUAGES_MAX = 32
"""Among how many languages a session may let the speaker's be detected."""
PAIRS_MAX = 65_536
"""Every direction between ``LANGUAGES_MAX`` languages."""
LIST_MAX = 1024
"""The longest of the other lists: services, models, attempts in flight."""


@attrs.frozen
class Chars:
    """At most this many characters, and at least ``least``."""

    most: int
    least: int = 0


@attrs.frozen
class Items:
    """A list of at most this many items."""

    most: int


@attrs.frozen
class Between:
    """A whole number from ``least`` to ``most``."""

    least: int
    most: int


Id = Annotated[str, Chars(ID_CHARS_MAX, 1)]
TraceId = Annotated[str, Chars(ID_CHARS_MAX)]
Name = Annotated[str, Chars(NAME_CHARS_MAX)]
"""A word for programs or a label: a version, a code, a model's name."""
Language = Annotated[str, Chars(LANGUAGE_CHARS_MAX, 1)]
Index = Annotated[int, Between(0, 2**53)]
"""A count or a position; 2**53 is the largest whole number every JSON peer can hold."""
ClientIndex = Annotated[int, Between(0, 2**52)]
"""An index that a client chooses. The scheduler may count on from it, and has as many to come:
what it counts is an :data:`Index`, and nobody is asked to say it as one of these."""
AttemptNumber = Annotated[int, Between(1, 2**31)]
SampleRate = Annotated[int, Between(1, SAMPLE_RATE_MAX_HZ)]
AudioFormat = Literal["pcm16", "wav", "opus"]
Mode = Literal["one_way", "two_way_auto"]
Languages = Annotated[tuple[Language, ...], Items(LANGUAGES_MAX)]
Names = Annotated[tuple[Name, ...], Items(LIST_MAX)]
ServiceType = Literal["asr", "nmt", "tts", "tone", "semantic", "phonetic", "punctuation"]
UiEventName = Literal[
    "INPUT_STARTED",
    "INPUT_ENDED",
    "ASR_PARTIAL",
    "ASR_FINAL",
    "DISPATCHED",
    "NODE_ACCEPTED",
    "NMT_DONE",
    "TTS_PLAY_STARTED",
    "TTS_PLAY_ENDED",
    "ERROR",
    "WAITING",
]


@attrs.frozen(kw_only=True)
class Pipeline:
    """Which stages a job goes through; what is left out is the receiver's default."""

    use_asr: bool | None = None
    use_nmt: bool | None = None
    use_tts: bool | None = None
    use_semantic: bool | None = None
    use_tone: bool | None = None


@attrs.frozen(kw_only=True)
class SpeechOptions:
    """How speech is to be understood: a session says it, a node is told.

    In a two-way session (``mode``) the speakers use ``lang_a`` and ``lang_b`` in turn.
    """

    dialect: Name | None = None
    features: dict[str, Any] | None = None
    mode: Mode | None = None
    lang_a: Language | None = None
    lang_b: Language | None = None
    auto_langs: Annotated[tuple[Language, ...], Items(AUTO_LANGUAGES_MAX)] | None = None
    enable_streaming_asr: bool | None = None
    partial_update_interval_ms: int | None = None


@attrs.frozen(kw_only=True)
class Quality:
    """What a node thinks of its own result; passed on to the session as it is."""

    asr_quality_level: Name | None = None
    reason_codes: Names | None = None
    quality_score: float | None = None
    rerun_count: int | None = None
    segments_meta: Any = None


def shared(base: type[attrs.AttrsInstance], said: attrs.AttrsInstance) -> dict[str, Any]:
    """What ``said`` says of ``base``, a class both messages inherit: passed on as it is."""
    return {field.name: getattr(said, field.name) for field in attrs.fields(base)}


@attrs.frozen(kw_only=True)
class Resume:
    """How a client goes on with a session: its id, its secret, the last ``seq`` it has."""

    session_id: Id
    resume_token: Id
    last_seq: Index


@attrs.frozen(kw_only=True)
class LanguagePair:
    """One direction of translation, by language tags."""

    src: Language
    tgt: Language


Pairs = Annotated[tuple[LanguagePair, ...], Items(PAIRS_MAX)]


@attrs.frozen(kw_only=True)
class AttemptRef:
    """One attempt of one job."""

    job_id: Id
    attempt_id: AttemptNumber


InFlight = Annotated[tuple[AttemptRef, ...], Items(LIST_MAX)]


@attrs.frozen(kw_only=True)
class Gpu:
    """One graphics processor; memory in GB."""

    name: Name
    memory_gb: float


@attrs.frozen(kw_only=True)
class Hardware:
    """What a node runs on; memory in GB."""

    cpu_cores: Index
    memory_gb: float
    gpus: Annotated[tuple[Gpu, ...], Items(LIST_MAX)] | None = None


@attrs.frozen(kw_only=True)
class Capability:
    """A type of service and whether it is ready; ``reason`` says why not."""

    type: ServiceType
    ready: bool
    reason: str | None = None
    ready_impl_ids: Names | None = None


Capabilities = Annotated[tuple[Capability, ...], Items(LIST_MAX)]


@attrs.frozen(kw_only=True)
class InstalledService:
    """One service of a node; memory in MB, warm-up in milliseconds."""

    service_id: Name
    type: ServiceType
    device: Literal["gpu", "cpu"]
    status: Literal["running", "stopped", "error"]
    version: Name | None = None
    model_id: Name | None = None
    engine: Name | None = None
    mem_mb: float | None = None
    warmup_ms: float | None = None
    last_error: str | None = None


Services = Annotated[tuple[InstalledService, ...], Items(LIST_MAX)]


@attrs.frozen(kw_only=True)
class NmtCapability:
    """Which languages a translation model covers, and by which rule."""

    model_id: Name
    languages: Languages
    rule: Literal["any_to_any", "any_to_en", "en_to_any", "specific_pairs"]
    blocked_pairs: Pairs | None = None
    supported_pairs: Pairs | None = None


@attrs.frozen(kw_only=True)
class LanguageCapabilities:
    """Which languages a node hears, speaks and translates."""

    asr_languages: Languages | None = None
    tts_languages: Languages | None = None
    semantic_languages: Languages | None = None
    semantic_core_ready: bool | None = None
    supported_language_pairs: Pairs | None = None
    nmt_capabilities: Annotated[tuple[NmtCapability, ...], Items(LIST_MAX)] | None = None


@attrs.frozen(kw_only=True)
class ResourceUsage:
    """How busy a node is; percentages from 0 to 100."""

    cpu_percent: float
    mem_percent: float
    running_jobs: Index
    gpu_percent: float | None = None
    gpu_mem_percent: float | None = None


@attrs.frozen(kw_only=True)
class ProcessingMetrics:
    """Measured efficiency by service name."""

    serviceEfficiencies: dict[str, float] | None = None  # noqa: N815  # the wire's own spelling


@attrs.frozen(kw_only=True)
class JobError:
    """Why a job failed on a node; ``retryable`` says whether another may do better."""

    code: Name
    message: str
    details: Any = None
    retryable: bool | None = None


@attrs.frozen(kw_only=True)
class ServiceTimings:
    """Milliseconds spent in each stage."""

    asr_ms: int | None = None
    nmt_ms: int | None = None
    tts_ms: int | None = None
    total_ms: int | None = None


@attrs.frozen(kw_only=True)
class Error:
    """Something a peer did could not be done; never the outcome of a job."""

    code: Name
    message: str
    details: dict[str, Any] | None = None
