"""One utterance through the engines: audio → speech → words → repair → translation → voice."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import trio

from scheduler.errors import Code, StageFailed
from scheduler.node.audio import Audio, decode_audio
from scheduler.node.jobs import Done
from scheduler.node.services import Services, Span
from scheduler.wire.common import Pipeline
from scheduler.wire.node import JobAssign

AUDIO_FORMAT = "wav"
PADDING_MS_MAX = 1_000


@attrs.define
class Stages:
    """Tells when a stage begins, and how many milliseconds each took."""

    tell: Callable[[str], None]
    timings_ms: dict[str, int] = attrs.Factory(dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; what fails is not timed."""
        begun = trio.current_time()
        if name != "total":
            self.tell(name)
        yield
        self.timings_ms[f"{name}_ms"] = round((trio.current_time() - begun) * 1000)


async def translate_utterance(
    services: Services, job: JobAssign, on_stage: Callable[[str], None]
) -> Done:
    """Do what the flags of ``job.pipeline`` ask for; silence gives a :class:`Done` of no texts.

    Without translation the words are spoken as they are, in their own language; a "translation"
    into the same language is the words themselves. Timings are whole milliseconds; ``asr_ms``
    counts from the coded audio on. Raises :class:`~scheduler.errors.StageFailed`. Cancelling
    stops the engine that works and frees it.
    """
    stages = Stages(on_stage)
    flags = job.pipeline
    _refuse_unknown(flags)
    language = _spoken_language(services, job)
    with stages.stage("total"):
        with stages.stage("asr"):
            heard = await _recognise(services, job, language)
        if not heard:
            return Done()
        translated = audio = ""
        speak, speak_in = heard, language
        if flags.use_nmt is not False:
            with stages.stage("nmt"):
                translated = await _translate(services, heard, language, job.tgt_lang)
            speak, speak_in = translated, job.tgt_lang
        if flags.use_tts is not False and any(map(str.isalnum, speak)):
            with stages.stage("tts"):
                sound = await services.synthesizer.synthesize(speak, speak_in)
                audio = base64.b64encode(sound).decode()
    return Done(
        text_asr=heard,
        text_translated=translated,
        tts_audio=audio,
        tts_format=AUDIO_FORMAT,
        timings_ms=stages.timings_ms,
    )


def _refuse_unknown(flags: Pipeline) -> None:
    if flags.use_asr is False:
        why = "without recognition there is no text to work on"
        raise StageFailed("asr", Code.UNSUPPORTED_FEATURE, why, retryable=False)
    for stage, wanted in (("semantic", flags.use_semantic), ("tone", flags.use_tone)):
        if wanted:
            why = "this node has no such service"
            raise StageFailed(stage, Code.MODEL_NOT_AVAILABLE, why, retryable=True)


def _spoken_language(services: Services, job: JobAssign) -> str:
    """The language to listen for; for ``auto``, the one candidate that can be recognised."""
    if job.src_lang != "auto":
        candidates: tuple[str | None, ...] = (job.src_lang,)
    else:
        candidates = (job.lang_a, job.lang_b, *(job.auto_langs or ()))
    known = {c for c in candidates if c and c in services.recognizer.languages}
    if len(known) == 1:
        return known.pop()
    if known:
        why = f"this node cannot tell {' and '.join(sorted(known))} apart"
    else:
        why = f"no recogniser for {job.src_lang!r} is installed"
    raise StageFailed("asr", Code.MODEL_NOT_AVAILABLE, why, retryable=True)


async def _recognise(services: Services, job: JobAssign, language: str) -> str:
    """The words of the utterance; empty for silence."""
    # In a thread: resampling a minute of audio takes long enough to delay a heartbeat.
    audio = await trio.to_thread.run_sync(
        decode_audio, job.audio, job.audio_format, job.sample_rate
    )
    if job.padding_ms is not None:
        audio = audio.padded(max(0, min(job.padding_ms, PADDING_MS_MAX)))
    spans = await services.detector.detect(audio)
    if not spans:
        return ""
    return await services.recognizer.recognize(speech_of(audio, spans), language)


def speech_of(audio: Audio, spans: tuple[Span, ...]) -> Audio:
    """From where speech begins to where it ends. Pauses stay: words on both sides need them."""
    return Audio(audio.pcm[2 * spans[0].start : 2 * spans[-1].end])


async def _translate(services: Services, heard: str, src: str, tgt: str) -> str:
    if src == tgt:
        return heard
    text = heard
    if services.repairer.fault is None:  # a translation of unrepaired words is still one
        text = await services.repairer.repair(heard, src)
    return await services.translator.translate(text, (src, tgt))
