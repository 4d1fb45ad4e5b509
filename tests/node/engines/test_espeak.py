"""The voice: whole WAV files for any text, and no process left over."""

import io
import shutil
import stat
import sys
import wave
from pathlib import Path

import pytest
import trio
from processes import children
from trio.testing import MockClock

from scheduler.errors import Code, StageFailed
from scheduler.node.engines.espeak import TEXT_CHARS_MAX, Espeak, mend_wav, voices_of

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="the Debian package espeak-ng is not installed"
)

LISTING = """\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  af              --/M      Afrikaans          gmw/af
 5  cmn             --/M      Chinese_(Mandarin) sit/cmn              (zh-cmn 5)(zh 5)
 2  en-gb           --/M      English_(Great_Britain) gmw/en          (en 2)
 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  fr-be           --/M      French_(Belgium)   roa/fr-BE            (fr 8)
 5  fr-fr           --/M      French_(France)    roa/fr               (fr 5)
 5  nb              --/M      Norwegian_Bokmål   gmq/nb               (no 5)
 4  pl              --/M      polish-mbrola-1    mb/mb-pl1
 5  pt-br           --/M      Portuguese_(Brazil) roa/pt-BR           (pt 6)
"""


async def spoken(text: str, language: str = "es") -> wave.Wave_read:
    espeak = Espeak()
    await espeak.probe()
    wav = io.BytesIO(await espeak.synthesize(text, language))
    sound: wave.Wave_read = wave.open(wav)  # noqa: SIM115  # a file in memory
    return sound


def seconds(sound: wave.Wave_read) -> float:
    return sound.getnframes() / sound.getframerate()


@needs_espeak
async def test_it_speaks() -> None:
    """A sentence is a WAV file with true lengths: 16 bits, mono, some seconds long."""
    before = children().keys()
    sound = await spoken("Va de frente 10 metros")
    assert (sound.getsampwidth(), sound.getnchannels()) == (2, 1)
    assert len(sound.readframes(10**9)) == 2 * sound.getnframes()
    assert 0.8 < seconds(sound) < 4
    assert children().keys() == before


@needs_espeak
async def test_no_text_is_taken_for_something_else() -> None:
    """Options, phonemes, markup and control characters are words or nothing, never orders."""
    for text in ("-5 grados", "--version", "-w /tmp", "[[hola]] hola", "<speak>hola", "ho\0la\x1b"):
        assert seconds(await spoken(text)) > 0.3
    phonemes, brackets = await spoken("[[ola]]"), await spoken("[ [ola]]")
    assert phonemes.readframes(10**6) == brackets.readframes(10**6)


@needs_espeak
async def test_languages_are_those_of_the_wire() -> None:
    """The usual languages have a voice under the name that the wire has for them."""
    espeak = Espeak()
    await espeak.probe()
    assert espeak.fault is None
    assert espeak.version
    assert {"en", "es", "fr", "de", "it", "pt", "zh", "no"} <= espeak.languages
    for language in ("fr", "zh", "pt", "no"):
        assert seconds(await spoken("12", language)) > 0.3


@needs_espeak
async def test_a_long_text_is_spoken_or_refused() -> None:
    """As much as is allowed comes out whole; more is refused, without another try."""
    word = "hola "
    sound = await spoken(word * (TEXT_CHARS_MAX // len(word)))
    assert seconds(sound) > 60
    with pytest.raises(StageFailed) as caught:
        await spoken("x" * (TEXT_CHARS_MAX + 1))
    assert (caught.value.code, caught.value.retryable) == (Code.TOO_LARGE, False)


@needs_espeak
async def test_a_language_without_voice_is_told() -> None:
    """MODEL_NOT_AVAILABLE, worth a try elsewhere."""
    with pytest.raises(StageFailed, match="'tlh'") as caught:
        await spoken("nuqneH", "tlh")
    assert (caught.value.code, caught.value.retryable) == (Code.MODEL_NOT_AVAILABLE, True)


@needs_espeak
async def test_cancelling_ends_the_process() -> None:
    """A synthesis that nobody waits for any more leaves no process."""
    espeak = Espeak()
    await espeak.probe()
    before = children().keys()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(espeak.synthesize, "hola " * 900, "es")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert children().keys() == before


# -- stand-ins for the program, for what the real one does not do ------------------------------


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program of that name which lists one voice, and otherwise does what ``body`` says."""
    folder.mkdir(exist_ok=True)
    path = folder / "espeak-ng"
    path.write_text(
        f"#!{sys.executable}\n"
        "import sys, time\n"
        "if '--voices' in sys.argv:\n"
        "    print('Pty Language\\n 5  es  --/M  Spanish  roa/es')\n"
        "elif '--version' in sys.argv:\n"
        "    print('eSpeak NG text-to-speech: 9.9')\n"
        "else:\n"
        f"    {body}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sys.exit(0)", "no sound"),
        ("sys.stdout.write('RIFF....WAVEdata....')", "no sound"),
        ("sys.exit('the voice is hoarse')", "ended with 1: the voice is hoarse"),
    ],
)
async def test_what_is_no_sound_is_a_failure(
    body: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that says nothing, whatever its exit code, has failed the text."""
    install(tmp_path, monkeypatch, body)
    with pytest.raises(StageFailed, match=problem) as caught:
        await spoken("hola")
    assert (caught.value.code, caught.value.retryable) == (Code.PROCESSING_ERROR, True)


async def test_a_program_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """No answer in time is TTS_TIMEOUT, and the process is gone."""
    install(tmp_path, monkeypatch, "time.sleep(1000)")
    espeak = Espeak()
    espeak._voices = {"es": "es"}
    before = children().keys()
    with pytest.raises(StageFailed) as caught:
        await espeak.synthesize("hola", "es")
    assert (caught.value.code, caught.value.retryable) == (Code.TTS_TIMEOUT, True)
    assert children().keys() == before


async def test_it_comes_and_goes_with_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not there, not ready, with the hint; there, ready; gone again, not ready again."""
    monkeypatch.setenv("PATH", str(tmp_path))
    espeak = Espeak()
    await espeak.probe()
    assert str(espeak.fault) == "not installed (apt-get install espeak-ng)"
    install(tmp_path, monkeypatch, "pass")
    await espeak.probe()
    assert espeak.fault is None
    assert espeak.version == "9.9"
    assert espeak.languages == {"es"}
    (tmp_path / "espeak-ng").unlink()
    await espeak.probe()
    assert espeak.fault is not None


async def test_a_program_that_does_not_run_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken program is not ready, and says why."""
    install(tmp_path, monkeypatch, "pass")
    (tmp_path / "espeak-ng").write_text("#!/nonexistent/interpreter\n")
    espeak = Espeak()
    await espeak.probe()
    assert espeak.fault is not None
    assert "does not run" in str(espeak.fault)


# -- its words ---------------------------------------------------------------------------------


def test_voices_are_named_by_their_files() -> None:
    """A language has the voice of its own name, else the first; none needs a second program."""
    assert voices_of(LISTING) == {
        "af": "af", "cmn": "cmn", "zh": "cmn", "en": "en", "fr": "fr", "nb": "nb", "no": "nb",
        "pt": "pt-BR",
    }  # fmt: skip
    assert voices_of("") == {}


def test_a_wav_file_gets_its_true_lengths() -> None:
    """Whatever lengths a pipe invented, the head says what is there."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(22_050)
        sound.writeframes(bytes(2_000))
    true = file.getvalue()
    piped = true[:4] + b"\x24\xf0\xff\x7f" + true[8:40] + b"\x00\xf0\xff\x7f" + true[44:]
    assert mend_wav(piped) == true
    for broken in (b"", b"RIFF", true[:44], true[:45], b"X" + true[1:]):
        with pytest.raises(ValueError, match="no sound"):
            mend_wav(broken)
