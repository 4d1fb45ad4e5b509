"""What nodes and the scheduler say to each other."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import attrs

from scheduler.wire.common import (
    LIST_MAX,
    AttemptNumber,
    AudioFormat,
    Capabilities,
    Error,
    Hardware,
    Id,
    Index,
    InFlight,
    Items,
    JobError,
    Language,
    LanguageCapabilities,
    Name,
    Pipeline,
    ProcessingMetrics,
    Quality,
    ResourceUsage,
    SampleRate,
    Services,
    SpeechOptions,
    TraceId,
)

NodeStatus = Literal["registering", "ready", "degraded", "draining", "offline"]
Models = Annotated[tuple[Any, ...], Items(LIST_MAX)]

# -- node to scheduler ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class NodeRegister:
    """A node's hello: what it is, what it can do, and what it still holds."""

    version: Name
    platform: Name
    hardware: Hardware
    installed_models: Models
    capability_by_type: Capabilities
    features_supported: dict[str, Any]
    accept_public_jobs: bool
    node_id: Id | None = None
    capability_schema_version: Name | None = None
    installed_services: Services | None = None
    advanced_features: Any = None
    language_capabilities: LanguageCapabilities | None = None
    slots: Index | None = None
    in_flight: InFlight | None = None
    receipts: bool | None = None


@attrs.frozen(kw_only=True)
class NodeHeartbeat:
    """A node's state, repeated at the pace of ``timers.heartbeat_ms``."""

    node_id: Id
    timestamp: int
    resource_usage: ResourceUsage
    installed_services: Services
    capability_by_type: Capabilities
    installed_models: Models | None = None
    language_capabilities: LanguageCapabilities | None = None
    processing_metrics: ProcessingMetrics | None = None
    in_flight: InFlight | None = None
    draining: bool | None = None


@attrs.frozen(kw_only=True)
class AboutAttempt:
    """Which attempt a node speaks of, in full."""

    job_id: Id
    attempt_id: AttemptNumber
    node_id: Id
    session_id: Id
    trace_id: TraceId


@attrs.frozen(kw_only=True)
class JobAck(AboutAttempt):
    """The node has the job and is not yet running it."""


@attrs.frozen(kw_only=True)
class JobStarted(AboutAttempt):
    """The node is running the job."""


@attrs.frozen(kw_only=True)
class AsrPartial:
    """A text that is still being recognised."""

    job_id: Id
    node_id: Id
    session_id: Id
    utterance_index: Index
    text: str
    is_final: bool
    trace_id: TraceId
    attempt_id: AttemptNumber | None = None


@attrs.frozen(kw_only=True)
class JobProgress:
    """Proof of life of a running job."""

    job_id: Id
    attempt_id: AttemptNumber
    stage: Name


@attrs.frozen(kw_only=True)
class JobResult(Quality):
    """The end of an attempt: contents, or ``error``."""

    job_id: Id
    attempt_id: AttemptNumber
    node_id: Id
    session_id: Id
    utterance_index: Index
    success: bool
    trace_id: TraceId
    text_asr: str | None = None
    text_translated: str | None = None
    tts_audio: str | None = None
    tts_format: Name | None = None
    extra: dict[str, Any] | None = None
    processing_time_ms: int | None = None
    node_completed_at_ms: int | None = None
    error: JobError | None = None


@attrs.frozen(kw_only=True)
class NodeError:
    """Something is wrong with the node itself."""

    node_id: Id
    code: Name
    message: str
    details: Any = None


FromNode = (
    NodeRegister
    | NodeHeartbeat
    | JobAck
    | JobStarted
    | AsrPartial
    | JobProgress
    | JobResult
    | NodeError
)

FROM_NODE: Mapping[str, type[FromNode]] = {
    "node_register": NodeRegister,
    "node_heartbeat": NodeHeartbeat,
    "job_ack": JobAck,
    "job_started": JobStarted,
    "asr_partial": AsrPartial,
    "job_progress": JobProgress,
    "job_result": JobResult,
    "node_error": NodeError,
}


# -- scheduler to node ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class NodeRegisterAck:
    """The node is registered under ``node_id``."""

    node_id: Id
    message: str
    status: NodeStatus
    timers: dict[str, int] | None = None
    limits: dict[str, int] | None = None


@attrs.frozen(kw_only=True)
class JobAssign(SpeechOptions):
    """A job to run. ``deadline_ms`` is the time left for all of it."""

    job_id: Id
    attempt_id: AttemptNumber
    session_id: Id
    utterance_index: Index
    src_lang: Language
    tgt_lang: Language
    dialect: Name | None
    pipeline: Pipeline
    audio: str
    audio_format: AudioFormat
    sample_rate: SampleRate
    trace_id: TraceId
    traceparent: Name | None = None
    is_manual_cut: bool | None = None
    is_timeout_triggered: bool | None = None
    is_max_duration_triggered: bool | None = None
    turn_id: Name | None = None
    context_text: str | None = None
    padding_ms: int | None = None
    deadline_ms: int | None = None


@attrs.frozen(kw_only=True)
class JobCancel:
    """The attempt (or, without one, the job) is not wanted any more."""

    job_id: Id
    trace_id: TraceId | None = None
    reason: str | None = None
    attempt_id: AttemptNumber | None = None


@attrs.frozen(kw_only=True)
class JobResultAck:
    """The result was stored or is stale; the node may forget it."""

    job_id: Id
    attempt_id: AttemptNumber
    status: Literal["stored", "stale"]


@attrs.frozen(kw_only=True)
class NodeControl:
    """An instruction to the node itself."""

    command: Literal["shutdown", "reload_config", "drain"]
    reason: str | None = None


ToNode = NodeRegisterAck | JobAssign | JobCancel | JobResultAck | NodeControl | Error

TO_NODE: Mapping[str, type[ToNode]] = {
    "node_register_ack": NodeRegisterAck,
    "job_assign": JobAssign,
    "job_cancel": JobCancel,
    "job_result_ack": JobResultAck,
    "node_control": NodeControl,
    "error": Error,
}
