from typing import Any
import attrs

from scheduler.wire.common import *


@attrs.frozen(kw_only=True)
class NodeRegister:
    version: str
    platform: str
    hardware: Hardware
    installed_models: tuple[dict[str, Any], ...]
    capability_by_type: tuple[Capability, ...]
    features_supported: dict[str, Any]
    accept_public_jobs: bool
    node_id: str | None = None
    capability_schema_version: str | None = None
    installed_services: tuple[InstalledService, ...] | None = None
    advanced_features: dict[str, Any] | None = None
    language_capabilities: LanguageCapabilities | None = None
    slots: int | None = None
    in_flight: tuple[AttemptRef, ...] | None = None
    receipts: bool | None = None


@attrs.frozen(kw_only=True)
class NodeHeartbeat:
    node_id: str
    timestamp: int
    resource_usage: ResourceUsage
    installed_services: tuple[InstalledService, ...]
    capability_by_type: tuple[Capability, ...]
    installed_models: tuple[dict[str, Any], ...] | None = None
    language_capabilities: LanguageCapabilities | None = None
    processing_metrics: ProcessingMetrics | None = None
    in_flight: tuple[AttemptRef, ...] | None = None
    draining: bool | None = None


@attrs.frozen(kw_only=True)
class JobAck:
    job_id: str
    attempt_id: int
    node_id: str
    session_id: str
    trace_id: str


@attrs.frozen(kw_only=True)
class JobStarted:
    job_id: str
    attempt_id: int
    node_id: str
    session_id: str
    trace_id: str


@attrs.frozen(kw_only=True)
class AsrPartial:
    job_id: str
    node_id: str
    session_id: str
    utterance_index: int
    text: str
    is_final: bool
    trace_id: str
    attempt_id: int | None = None


@attrs.frozen(kw_only=True)
class JobProgress:
    job_id: str
    attempt_id: int
    stage: str


@attrs.frozen(kw_only=True)
class JobResult:
    job_id: str
    attempt_id: int
    node_id: str
    session_id: str
    utterance_index: int
    success: bool
    trace_id: str
    text_asr: str | None = None
    text_translated: str | None = None
    tts_audio: str | None = None
    tts_format: str | None = None
    extra: dict[str, Any] | None = None
    processing_time_ms: int | None = None
    node_completed_at_ms: int | None = None
    asr_quality_level: str | None = None
    reason_codes: tuple[str, ...] | None = None
    quality_score: float | None = None
    rerun_count: int | None = None
    segments_meta: dict[str, Any] | None = None
    error: JobError | None = None


@attrs.frozen(kw_only=True)
class NodeError:
    node_id: str
    code: str
    message: str
    details: dict[str, Any] | None = None


FROM_NODE: dict[str, type] = {
    "node_register": NodeRegister,
    "node_heartbeat": NodeHeartbeat,
    "job_ack": JobAck,
    "job_started": JobStarted,
    "asr_partial": AsrPartial,
    "job_progress": JobProgress,
    "job_result": JobResult,
    "node_error": NodeError,
}

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


@attrs.frozen(kw_only=True)
class NodeRegisterAck:
    node_id: str
    message: str
    status: str
    timers: dict[str, int] | None = None
    limits: dict[str, int] | None = None


@attrs.frozen(kw_only=True)
class JobAssign:
    job_id: str
    attempt_id: int
    session_id: str
    utterance_index: int
    src_lang: str
    tgt_lang: str
    dialect: str | None
    pipeline: Pipeline
    audio: str
    audio_format: str
    sample_rate: int
    trace_id: str
    features: dict[str, Any] | None = None
    mode: str | None = None
    lang_a: str | None = None
    lang_b: str | None = None
    auto_langs: tuple[str, ...] | None = None
    enable_streaming_asr: bool | None = None
    partial_update_interval_ms: int | None = None
    is_manual_cut: bool | None = None
    is_timeout_triggered: bool | None = None
    is_max_duration_triggered: bool | None = None
    turn_id: str | None = None
    context_text: str | None = None
    padding_ms: int | None = None
    deadline_ms: int | None = None


@attrs.frozen(kw_only=True)
class JobCancel:
    job_id: str
    trace_id: str | None = None
    reason: str | None = None
    attempt_id: int | None = None


@attrs.frozen(kw_only=True)
class JobResultAck:
    job_id: str
    attempt_id: int
    status: str


@attrs.frozen(kw_only=True)
class NodeControl:
    command: str
    reason: str | None = None


TO_NODE: dict[str, type] = {
    "node_register_ack": NodeRegisterAck,
    "job_assign": JobAssign,
    "job_cancel": JobCancel,
    "job_result_ack": JobResultAck,
    "node_control": NodeControl,
    "error": Error,
}

ToNode = NodeRegisterAck | JobAssign | JobCancel | JobResultAck | NodeControl | Error
