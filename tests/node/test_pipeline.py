"""One utterance through the engines: which are asked, with what, and what is told about it."""

import base64
from typing import Any

import pytest
from fakes import ScriptedEngines
from node_support import assignment

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.node.audio import ENGINE_RATE_HZ, Audio
from scheduler.node.jobs import Done
from scheduler.node.pipeline import speech_of, translate_utterance
from scheduler.node.services import Span
from scheduler.wire.common import Pipeline
from scheduler.wire.node import JobAssign

PCM = bytes(range(256)) * 8
MISSING = EngineUnavailable("not installed", "install it")


def utterance(**more: Any) -> JobAssign:
    return assignment(**({"audio": base64.b64encode(PCM).decode()} | more))


async def run(engines: ScriptedEngines, **more: Any) -> tuple[Done, list[str]]:
    """What came of it, and the stages that were told."""
    stages: list[str] = []
    return await translate_utterance(engines.services, utterance(**more), stages.append), stages


async def refusal(engines: ScriptedEngines, **more: Any) -> StageFailed:
    with pytest.raises(StageFailed) as caught:
        await run(engines, **more)
    return caught.value


async def test_speech_goes_all_the_way() -> None:
    """Recognised, repaired, translated and spoken; the source text is what was heard."""
    engines = ScriptedEngines()
    done, stages = await run(engines)
    assert done.text_asr == "hello"
    assert done.text_translated == "hello repaired translated"
    assert base64.b64decode(done.tts_audio).decode() == "hello repaired translated"
    assert stages == ["asr", "nmt", "tts"]
    assert set(done.timings_ms) == {"asr_ms", "nmt_ms", "tts_ms", "total_ms"}
    assert [asked[0] for asked in engines.asked] == [
        "detector", "recognizer", "repairer", "translator", "synthesizer",
    ]  # fmt: skip
    assert engines.asked[3] == ("translator", "hello repaired", ("en", "es"))
    assert engines.asked[4] == ("synthesizer", "hello repaired translated", "es")


async def test_silence_is_a_success_without_text() -> None:
    """Where nobody speaks the recogniser is not even asked, and all contents are empty."""
    engines = ScriptedEngines(spoken=False)
    done, stages = await run(engines)
    assert done == Done()
    assert stages == ["asr"]
    assert [asked[0] for asked in engines.asked] == ["detector"]


async def test_speech_without_words_is_silence() -> None:
    """A recogniser that hears no words in it gives nothing to translate."""
    engines = ScriptedEngines()
    engines.heard = ""
    done, _ = await run(engines)
    assert done == Done()


async def test_only_what_was_spoken_is_recognised() -> None:
    """The recogniser hears from the first span to the last, the pause between them included."""
    engines = ScriptedEngines()
    await run(engines)
    assert engines.asked[1] == ("recognizer", Audio(PCM[200:800]), "en")
    assert speech_of(Audio(PCM), (Span(0, len(PCM) // 2),)) == Audio(PCM)


@pytest.mark.parametrize(("padding_ms", "padded_ms"), [(None, 0), (0, 0), (220, 220), (-5, 0)])
async def test_padding_is_silence_on_both_sides(padding_ms: int | None, padded_ms: int) -> None:
    """An utterance that was cut close gets as much silence around it as the job says."""
    engines = ScriptedEngines()
    await run(engines, padding_ms=padding_ms)
    silence = bytes(2 * ENGINE_RATE_HZ * padded_ms // 1000)
    assert engines.asked[0] == ("detector", Audio(silence + PCM + silence))


async def test_padding_has_a_bound() -> None:
    """No message makes a node fill its memory with silence."""
    engines = ScriptedEngines()
    await run(engines, padding_ms=10**9)
    assert engines.asked[0][1].seconds < 2.1


async def test_without_translation_the_words_are_spoken_as_they_are() -> None:
    """use_nmt off: the voice speaks the source text in its own language."""
    engines = ScriptedEngines()
    done, stages = await run(engines, pipeline=Pipeline(use_nmt=False))
    assert (done.text_asr, done.text_translated) == ("hello", "")
    assert engines.asked[-1] == ("synthesizer", "hello", "en")
    assert stages == ["asr", "tts"]


async def test_without_a_voice_there_is_no_sound() -> None:
    """use_tts off: texts only."""
    engines = ScriptedEngines()
    done, stages = await run(engines, pipeline=Pipeline(use_tts=False))
    assert (done.text_translated, done.tts_audio) == ("hello repaired translated", "")
    assert stages == ["asr", "nmt"]


async def test_what_has_no_letters_is_not_spoken() -> None:
    """A text of nothing but punctuation would be an empty sound."""
    engines = ScriptedEngines()
    engines.heard = "..."
    done, _ = await run(engines, tgt_lang="en")
    assert (done.text_translated, done.tts_audio) == ("...", "")


async def test_the_same_language_is_no_translation() -> None:
    """From a language into itself the words stay as they were heard."""
    engines = ScriptedEngines()
    done, _ = await run(engines, tgt_lang="en")
    assert done.text_translated == "hello"
    assert "translator" not in [asked[0] for asked in engines.asked]


async def test_an_engine_that_only_mends_may_be_missing() -> None:
    """Without its repairer a node translates what it heard."""
    engines = ScriptedEngines()
    engines.faults["repairer"] = MISSING
    done, _ = await run(engines)
    assert done.text_translated == "hello translated"


@pytest.mark.parametrize("service", ["detector", "recognizer", "translator", "synthesizer"])
async def test_no_other_engine_is_replaced(service: str) -> None:
    """A stage whose engine is not there fails the job; nothing is made up in its place."""
    engines = ScriptedEngines()
    engines.faults[service] = MISSING
    failed = await refusal(engines)
    assert failed.stage == service
    assert failed.retryable


async def test_a_listener_needs_no_choice() -> None:
    """Language auto: the one candidate that can be recognised is the language."""
    engines = ScriptedEngines()
    engines.services.recognizer.languages.remove("es")  # type: ignore[attr-defined]
    done, _ = await run(engines, src_lang="auto", auto_langs=("en", "es"))
    assert engines.asked[1][2] == "en"
    assert done.text_translated


@pytest.mark.parametrize(
    ("job", "problem"),
    [
        ({"src_lang": "zh"}, "no recogniser for 'zh'"),
        ({"src_lang": "auto", "lang_a": "en", "lang_b": "es"}, "cannot tell en and es apart"),
        ({"src_lang": "auto"}, "no recogniser for 'auto'"),
    ],
)
async def test_what_cannot_be_heard_is_refused(job: dict[str, Any], problem: str) -> None:
    """A language that cannot be recognised, or not be told, may be another node's."""
    failed = await refusal(ScriptedEngines(), **job)
    assert problem in str(failed)
    assert (failed.code, failed.retryable) == (Code.MODEL_NOT_AVAILABLE, True)


@pytest.mark.parametrize(
    ("flags", "code", "retryable"),
    [
        (Pipeline(use_asr=False), Code.UNSUPPORTED_FEATURE, False),
        (Pipeline(use_semantic=True), Code.MODEL_NOT_AVAILABLE, True),
        (Pipeline(use_tone=True), Code.MODEL_NOT_AVAILABLE, True),
    ],
)
async def test_stages_that_do_not_exist_are_refused(
    flags: Pipeline, code: Code, retryable: bool
) -> None:
    """A job is never done without a stage that it asked for."""
    failed = await refusal(ScriptedEngines(), pipeline=flags)
    assert (failed.code, failed.retryable) == (code, retryable)


async def test_broken_audio_is_nobodys_fault_here() -> None:
    """What cannot be decoded fails for good, before any engine is asked."""
    engines = ScriptedEngines()
    failed = await refusal(engines, audio="%%%")
    assert (failed.code, failed.retryable) == (Code.INVALID_MESSAGE, False)
    assert engines.asked == []
