from typing import Any
import attrs

from scheduler.wire.common import *


@attrs.frozen(kw_only=True)
class SessionInit:
    client_version: str
    platform: str
    src_lang: str
    tgt_lang: str
    dialect: str | None = None
    features: dict[str, Any] | None = None
    pairing_code: str | None = None
    tenant_id: str | None = None
    mode: str | None = None
    lang_a: str | None = None
    lang_b: str | None = None
    auto_langs: tuple[str, ...] | None = None
    enable_streaming_asr: bool | None = None
    partial_update_interval_ms: int | None = None
    trace_id: str | None = None
    receipts: bool | None = None
    resume: Resume | None = None


@attrs.frozen(kw_only=True)
class Utterance:
    session_id: str
    utterance_index: int
    manual_cut: bool
    src_lang: str
    tgt_lang: str
    audio: str
    audio_format: str
    sample_rate: int
    dialect: str | None = None
    features: dict[str, Any] | None = None
    pairing_code: str | None = None
    tenant_id: str | None = None
    mode: str | None = None
    lang_a: str | None = None
    lang_b: str | None = None
    auto_langs: tuple[str, ...] | None = None
    enable_streaming_asr: bool | None = None
    partial_update_interval_ms: int | None = None
    trace_id: str | None = None
    pipeline: Pipeline | None = None


@attrs.frozen(kw_only=True)
class AudioChunk:
    session_id: str
    seq: int
    is_final: bool
    payload: str | None = None
    client_timestamp_ms: int | None = None


@attrs.frozen(kw_only=True)
class ClientHeartbeat:
    session_id: str
    timestamp: int


@attrs.frozen(kw_only=True)
class SessionClose:
    session_id: str
    reason: str


@attrs.frozen(kw_only=True)
class TtsStarted:
    session_id: str
    trace_id: str
    group_id: str
    ts_start_ms: int


@attrs.frozen(kw_only=True)
class TtsPlayEnded:
    session_id: str
    trace_id: str
    group_id: str
    ts_end_ms: int


@attrs.frozen(kw_only=True)
class ResultAck:
    session_id: str
    seq: int


@attrs.frozen(kw_only=True)
class JobCancel:
    session_id: str
    job_id: str


FROM_SESSION: dict[str, type] = {
    "session_init": SessionInit,
    "utterance": Utterance,
    "audio_chunk": AudioChunk,
    "client_heartbeat": ClientHeartbeat,
    "session_close": SessionClose,
    "tts_started": TtsStarted,
    "tts_play_ended": TtsPlayEnded,
    "result_ack": ResultAck,
    "job_cancel": JobCancel,
}

FromSession = (
    SessionInit
    | Utterance
    | AudioChunk
    | ClientHeartbeat
    | SessionClose
    | TtsStarted
    | TtsPlayEnded
    | ResultAck
    | JobCancel
)


@attrs.frozen(kw_only=True)
class SessionInitAck:
    session_id: str
    assigned_node_id: str | None
    message: str
    trace_id: str
    protocol_version: str
    use_binary_frame: bool
    negotiated_codec: str
    resume_token: str | None = None
    resumed: bool | None = None
    recovered: bool | None = None
    timers: dict[str, int] | None = None
    limits: dict[str, int] | None = None


@attrs.frozen(kw_only=True)
class UtteranceAccepted:
    session_id: str
    utterance_index: int
    job_id: str
    trace_id: str


@attrs.frozen(kw_only=True)
class UiEvent:
    trace_id: str
    session_id: str
    job_id: str
    utterance_index: int
    event: str
    status: str
    elapsed_ms: int | None = None
    error_code: str | None = None
    hint: str | None = None


@attrs.frozen(kw_only=True)
class AsrPartial:
    session_id: str
    utterance_index: int
    job_id: str
    text: str
    is_final: bool
    trace_id: str


@attrs.frozen(kw_only=True)
class TranslationResult:
    session_id: str
    utterance_index: int
    job_id: str
    text_asr: str
    text_translated: str
    tts_audio: str
    tts_format: str
    trace_id: str
    extra: dict[str, Any] | None = None
    group_id: str | None = None
    part_index: int | None = None
    service_timings: ServiceTimings | None = None
    network_timings: dict[str, Any] | None = None
    scheduler_sent_at_ms: int | None = None
    asr_quality_level: str | None = None
    reason_codes: tuple[str, ...] | None = None
    quality_score: float | None = None
    rerun_count: int | None = None
    segments_meta: dict[str, Any] | None = None
    seq: int | None = None


@attrs.frozen(kw_only=True)
class MissingResult:
    session_id: str
    utterance_index: int
    reason: str
    created_at_ms: int
    trace_id: str | None = None
    job_id: str | None = None
    seq: int | None = None
    code: str | None = None
    hint: str | None = None


@attrs.frozen(kw_only=True)
class ServerHeartbeat:
    session_id: str
    timestamp: int


@attrs.frozen(kw_only=True)
class SessionCloseAck:
    session_id: str


@attrs.frozen(kw_only=True)
class LanguageDetected:
    session_id: str
    lang: str
    confidence: float


@attrs.frozen(kw_only=True)
class Backpressure:
    action: str
    resume_after_ms: int | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class GoingAway:
    reason: str
    time_left_ms: int
    reconnect_after_ms: int


TO_SESSION: dict[str, type] = {
    "session_init_ack": SessionInitAck,
    "utterance_accepted": UtteranceAccepted,
    "ui_event": UiEvent,
    "asr_partial": AsrPartial,
    "translation_result": TranslationResult,
    "missing_result": MissingResult,
    "server_heartbeat": ServerHeartbeat,
    "session_close_ack": SessionCloseAck,
    "language_detected": LanguageDetected,
    "backpressure": Backpressure,
    "going_away": GoingAway,
    "error": Error,
}

ToSession = (
    SessionInitAck
    | UtteranceAccepted
    | UiEvent
    | AsrPartial
    | TranslationResult
    | MissingResult
    | ServerHeartbeat
    | SessionCloseAck
    | LanguageDetected
    | Backpressure
    | GoingAway
    | Error
)
