"""What sessions and the scheduler say to each other."""

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from scheduler.wire.common import (
    AudioFormat,
    ClientIndex,
    Error,
    Id,
    Index,
    Language,
    Name,
    Pipeline,
    Quality,
    Resume,
    SampleRate,
    ServiceTimings,
    SpeechOptions,
    TraceId,
    UiEventName,
)

# -- session to scheduler -------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SessionInit(SpeechOptions):
    """A client's hello: a new session, or ``resume`` for one that is known."""

    client_version: Name
    platform: Name
    src_lang: Language
    tgt_lang: Language
    pairing_code: Name | None = None
    tenant_id: Name | None = None
    trace_id: TraceId | None = None
    traceparent: Name | None = None
    receipts: bool | None = None
    resume: Resume | None = None


@attrs.frozen(kw_only=True)
class Utterance(SpeechOptions):
    """One whole utterance. ``audio`` is base64 and is passed on as it is."""

    session_id: Id
    utterance_index: ClientIndex
    manual_cut: bool
    src_lang: Language
    tgt_lang: Language
    audio: str
    audio_format: AudioFormat
    sample_rate: SampleRate
    trace_id: TraceId | None = None
    traceparent: Name | None = None
    pipeline: Pipeline | None = None


@attrs.frozen(kw_only=True)
class AudioChunk:
    """A piece of an utterance that the scheduler is to cut."""

    session_id: Id
    seq: int
    is_final: bool
    payload: str | None = None
    client_timestamp_ms: int | None = None


@attrs.frozen(kw_only=True)
class ClientHeartbeat:
    """A sign of life, answered by ``server_heartbeat``."""

    session_id: Id
    timestamp: int


@attrs.frozen(kw_only=True)
class SessionClose:
    """The session is over and will not be resumed."""

    session_id: Id
    reason: str


@attrs.frozen(kw_only=True)
class TtsStarted:
    """The client began to play a result."""

    session_id: Id
    trace_id: TraceId
    group_id: Id
    ts_start_ms: int


@attrs.frozen(kw_only=True)
class TtsPlayEnded:
    """The client has played a result to its end."""

    session_id: Id
    trace_id: TraceId
    group_id: Id
    ts_end_ms: int


@attrs.frozen(kw_only=True)
class ResultAck:
    """Every outcome up to ``seq`` was received."""

    session_id: Id
    seq: Index


@attrs.frozen(kw_only=True)
class JobCancel:
    """The person does not want this result any more."""

    session_id: Id
    job_id: Id


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

FROM_SESSION: Mapping[str, type[FromSession]] = {
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


# -- scheduler to session ----------------------------------------------------------------


@attrs.frozen(kw_only=True)
class SessionInitAck:
    """The answer to a hello: the session and how to come back to it."""

    session_id: Id
    assigned_node_id: Id | None
    message: str
    trace_id: TraceId
    protocol_version: Name
    use_binary_frame: bool
    negotiated_codec: Name
    resume_token: Id | None = None
    resumed: bool | None = None
    recovered: bool | None = None
    timers: dict[str, int] | None = None
    limits: dict[str, int] | None = None


@attrs.frozen(kw_only=True)
class AboutJob:
    """What messages about a job tell its session: which one."""

    session_id: Id
    utterance_index: Index
    job_id: Id
    trace_id: TraceId


@attrs.frozen(kw_only=True)
class UtteranceAccepted(AboutJob):
    """From here on the scheduler owes one outcome."""


@attrs.frozen(kw_only=True)
class UtteranceNeeded(AboutJob):
    """The audio of an accepted utterance did not survive a restart: send the utterance again."""


@attrs.frozen(kw_only=True)
class UiEvent(AboutJob):
    """How a job is getting on. ``elapsed_ms`` counts from its acceptance."""

    event: UiEventName
    status: Literal["ok", "error"]
    elapsed_ms: int | None = None
    error_code: Name | None = None
    hint: str | None = None


@attrs.frozen(kw_only=True)
class AsrPartial(AboutJob):
    """A text that is still being recognised; may be dropped."""

    text: str
    is_final: bool


@attrs.frozen(kw_only=True)
class TranslationResult(Quality):
    """The outcome of a job that succeeded and has at least one of its three contents."""

    session_id: Id
    utterance_index: Index
    job_id: Id
    text_asr: str
    text_translated: str
    tts_audio: str
    tts_format: Name
    trace_id: TraceId
    extra: dict[str, Any] | None = None
    group_id: Id | None = None
    part_index: int | None = None
    service_timings: ServiceTimings | None = None
    network_timings: dict[str, Any] | None = None
    scheduler_sent_at_ms: int | None = None
    seq: Index | None = None


@attrs.frozen(kw_only=True)
class MissingResult:
    """The outcome of a job without content; ``reason`` says why. ``created_at_ms`` is Unix time."""

    session_id: Id
    utterance_index: Index
    reason: Name
    created_at_ms: int
    trace_id: TraceId | None = None
    job_id: Id | None = None
    seq: Index | None = None
    code: Name | None = None
    hint: str | None = None


@attrs.frozen(kw_only=True)
class ServerHeartbeat:
    """The answer to ``client_heartbeat``; Unix time in milliseconds."""

    session_id: Id
    timestamp: int


@attrs.frozen(kw_only=True)
class SessionCloseAck:
    """The session is closed."""

    session_id: Id


@attrs.frozen(kw_only=True)
class LanguageDetected:
    """The language heard in a two-way session; confidence from 0 to 1."""

    session_id: Id
    lang: Language
    confidence: float


@attrs.frozen(kw_only=True)
class Backpressure:
    """A request to send less for a while."""

    action: Literal["BUSY", "SLOW_DOWN", "PAUSE"]
    resume_after_ms: int | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class GoingAway:
    """The server drains: connect again, then leave."""

    reason: str
    time_left_ms: int
    reconnect_after_ms: int


ToSession = (
    SessionInitAck
    | UtteranceAccepted
    | UtteranceNeeded
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

TO_SESSION: Mapping[str, type[ToSession]] = {
    "session_init_ack": SessionInitAck,
    "utterance_accepted": UtteranceAccepted,
    "utterance_needed": UtteranceNeeded,
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
