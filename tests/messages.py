"""Valid messages for tests, each with as few words as the test needs to say."""

from typing import Any

from scheduler.wire import node, session
from scheduler.wire.common import (
    AttemptRef,
    Capability,
    Hardware,
    JobError,
    LanguageCapabilities,
    LanguagePair,
    ResourceUsage,
    Resume,
)

EN_ES = (("en", "es"),)


def hello(*, receipts: bool | None = True, resume: Resume | None = None) -> session.SessionInit:
    return session.SessionInit(
        client_version="1.0",
        platform="test",
        src_lang="en",
        tgt_lang="es",
        receipts=receipts,
        resume=resume,
    )


def utterance(
    session_id: str, index: int = 0, *, src: str = "en", tgt: str = "es", **more: Any
) -> session.Utterance:
    said: dict[str, Any] = {
        "session_id": session_id,
        "utterance_index": index,
        "manual_cut": True,
        "src_lang": src,
        "tgt_lang": tgt,
        "audio": "AAAA",
        "audio_format": "pcm16",
        "sample_rate": 16000,
    }
    return session.Utterance(**(said | more))


def capabilities(*, ready: bool = True) -> tuple[Capability, ...]:
    return tuple(
        Capability(type=kind, ready=ready, reason=None if ready else "loading")
        for kind in ("asr", "nmt", "tts")
    )


def languages(pairs: tuple[tuple[str, str], ...] = EN_ES) -> LanguageCapabilities:
    return LanguageCapabilities(
        asr_languages=tuple(dict.fromkeys(src for src, _ in pairs)),
        tts_languages=tuple(dict.fromkeys(tgt for _, tgt in pairs)),
        supported_language_pairs=tuple(LanguagePair(src=src, tgt=tgt) for src, tgt in pairs),
    )


def register(
    *,
    slots: int | None = 1,
    pairs: tuple[tuple[str, str], ...] = EN_ES,
    receipts: bool | None = True,
    node_id: str | None = None,
    in_flight: tuple[tuple[str, int], ...] = (),
    **more: Any,
) -> node.NodeRegister:
    said: dict[str, Any] = {
        "version": "1.0",
        "platform": "test",
        "hardware": Hardware(cpu_cores=2, memory_gb=4),
        "installed_models": (),
        "capability_by_type": capabilities(),
        "features_supported": {},
        "accept_public_jobs": True,
        "node_id": node_id,
        "language_capabilities": languages(pairs),
        "slots": slots,
        "receipts": receipts,
        "in_flight": tuple(AttemptRef(job_id=j, attempt_id=a) for j, a in in_flight),
    }
    return node.NodeRegister(**(said | more))


def heartbeat(node_id: str, **more: Any) -> node.NodeHeartbeat:
    said: dict[str, Any] = {
        "node_id": node_id,
        "timestamp": 0,
        "resource_usage": ResourceUsage(cpu_percent=1.0, mem_percent=1.0, running_jobs=0),
        "installed_services": (),
        "capability_by_type": capabilities(),
    }
    return node.NodeHeartbeat(**(said | more))


def node_error(node_id: str, code: str = "INTERNAL_ERROR") -> node.NodeError:
    return node.NodeError(node_id=node_id, code=code, message="it broke")


def job_ack(job: node.JobAssign, node_id: str) -> node.JobAck:
    return node.JobAck(
        job_id=job.job_id,
        attempt_id=job.attempt_id,
        node_id=node_id,
        session_id=job.session_id,
        trace_id=job.trace_id,
    )


def job_started(job: node.JobAssign, node_id: str) -> node.JobStarted:
    return node.JobStarted(
        job_id=job.job_id,
        attempt_id=job.attempt_id,
        node_id=node_id,
        session_id=job.session_id,
        trace_id=job.trace_id,
    )


def result(
    job: node.JobAssign,
    node_id: str,
    *,
    text: str = "hola",
    error: str | None = None,
    retryable: bool | None = None,
    **more: Any,
) -> node.JobResult:
    said: dict[str, Any] = {
        "job_id": job.job_id,
        "attempt_id": job.attempt_id,
        "node_id": node_id,
        "session_id": job.session_id,
        "utterance_index": job.utterance_index,
        "success": error is None,
        "trace_id": job.trace_id,
    }
    if error is None:
        said |= {"text_asr": text, "text_translated": text, "tts_audio": "", "tts_format": "wav"}
    else:
        said["error"] = JobError(code=error, message="it broke", retryable=retryable)
    return node.JobResult(**(said | more))
