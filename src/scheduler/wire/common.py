from typing import Any
import attrs


@attrs.frozen(kw_only=True)
class Pipeline:
    use_asr: bool | None = None
    use_nmt: bool | None = None
    use_tts: bool | None = None
    use_semantic: bool | None = None
    use_tone: bool | None = None


@attrs.frozen(kw_only=True)
class Resume:
    session_id: str
    resume_token: str
    last_seq: int


@attrs.frozen(kw_only=True)
class LanguagePair:
    src: str
    tgt: str


@attrs.frozen(kw_only=True)
class AttemptRef:
    job_id: str
    attempt_id: int


@attrs.frozen(kw_only=True)
class Gpu:
    name: str
    memory_gb: float


@attrs.frozen(kw_only=True)
class Hardware:
    cpu_cores: int
    memory_gb: float
    gpus: tuple[Gpu, ...] | None = None


@attrs.frozen(kw_only=True)
class Capability:
    type: str
    ready: bool
    reason: str | None = None
    ready_impl_ids: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class InstalledService:
    service_id: str
    type: str
    device: str
    status: str
    version: str | None = None
    model_id: str | None = None
    engine: str | None = None
    mem_mb: float | None = None
    warmup_ms: float | None = None
    last_error: str | None = None


@attrs.frozen(kw_only=True)
class NmtCapability:
    model_id: str
    languages: tuple[str, ...]
    rule: str
    blocked_pairs: tuple[LanguagePair, ...] | None = None
    supported_pairs: tuple[LanguagePair, ...] | None = None


@attrs.frozen(kw_only=True)
class LanguageCapabilities:
    asr_languages: tuple[str, ...] | None = None
    tts_languages: tuple[str, ...] | None = None
    semantic_languages: tuple[str, ...] | None = None
    semantic_core_ready: bool | None = None
    supported_language_pairs: tuple[LanguagePair, ...] | None = None
    nmt_capabilities: tuple[NmtCapability, ...] | None = None


@attrs.frozen(kw_only=True)
class ResourceUsage:
    cpu_percent: float
    mem_percent: float
    running_jobs: int
    gpu_percent: float | None = None
    gpu_mem_percent: float | None = None


@attrs.frozen(kw_only=True)
class ProcessingMetrics:
    serviceEfficiencies: dict[str, float] | None = None


@attrs.frozen(kw_only=True)
class JobError:
    code: str
    message: str
    details: dict[str, Any] | None = None
    retryable: bool | None = None


@attrs.frozen(kw_only=True)
class ServiceTimings:
    asr_ms: int | None = None
    nmt_ms: int | None = None
    tts_ms: int | None = None
    total_ms: int | None = None


@attrs.frozen(kw_only=True)
class Error:
    code: str
    message: str
    details: dict[str, Any] | None = None
