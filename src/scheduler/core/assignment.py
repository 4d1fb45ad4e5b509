"""What a node is asked to do, and until when."""

from collections.abc import Set

from scheduler.core.job import Cut, Job
from scheduler.core.state import Step
from scheduler.core.tracecontext import context_of, span_id
from scheduler.wire.common import Pipeline, SpeechOptions, shared
from scheduler.wire.node import JobAssign


def dispatched_timeout(step: Step, job: Job) -> float:
    """Seconds from the first assignment; grows with the audio if the settings say so."""
    config, utterance = step.config, job.utterance
    assert utterance is not None
    seconds = len(utterance.audio) * 3 / 4 / 2 / max(1, utterance.sample_rate)
    grown = config.dispatched_timeout + config.dispatched_timeout_per_audio * seconds
    return min(grown, config.dispatched_timeout_max)


def assignment(step: Step, job: Job, attempt: int) -> JobAssign:
    """The message that gives ``job`` to a node, with the time that is left for it."""
    said = job.utterance
    assert said is not None
    assert job.overall_deadline is not None
    return JobAssign(
        **shared(SpeechOptions, said),
        job_id=job.job_id,
        attempt_id=attempt,
        session_id=job.session_id,
        utterance_index=job.utterance_index,
        src_lang=said.src_lang,
        tgt_lang=said.tgt_lang,
        pipeline=pipeline(job.need.services),
        audio=said.audio,
        audio_format=said.audio_format,
        sample_rate=said.sample_rate,
        trace_id=job.trace_id,
        traceparent=_traceparent(step, job, attempt),
        is_manual_cut=said.manual_cut or None,
        is_timeout_triggered=job.cut is Cut.PAUSE or None,
        is_max_duration_triggered=job.cut is Cut.LENGTH or None,
        padding_ms=_padding_ms(step, job.cut),
        deadline_ms=max(0, int((job.overall_deadline - step.now) * 1000)),
    )


def pipeline(services: Set[str]) -> Pipeline:
    """The stages of a job, each said outright."""
    return Pipeline(
        use_asr="asr" in services,
        use_nmt="nmt" in services,
        use_tts="tts" in services,
        use_semantic="semantic" in services,
        use_tone="tone" in services,
    )


def _traceparent(step: Step, job: Job, attempt: int) -> str | None:
    """Whose child the node's own spans are: this attempt's if we make spans, else the client's."""
    if not step.config.otel_endpoint:
        return job.traceparent
    context = context_of(job.job_id, job.traceparent)
    return context.at(span_id(job.job_id, f"attempt {attempt}")).traceparent


def _padding_ms(step: Step, cut: Cut | None) -> int | None:
    """What the node may add around an utterance that was cut here; the client's own has its own."""
    if cut is None:
        return None
    config = step.config
    by_hand = cut is Cut.FINAL
    return int(1000 * (config.padding_manual if by_hand else config.padding_automatic))
