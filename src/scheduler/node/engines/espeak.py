"""eSpeak NG (a GPL program of the operating system): one process per text, some 25 ms."""

import re
import shutil
import struct
import subprocess
from collections.abc import Mapping

import trio

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.wire.common import ServiceType

PROGRAM = "espeak-ng"
HINT = "apt-get install espeak-ng"
SYNTHESIZE_TIMEOUT_SECONDS = 10.0
PROBE_TIMEOUT_SECONDS = 5.0
TEXT_CHARS_MAX = 5_000
"""Some five minutes of speech, 15 MB."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_PHONEMES = re.compile(r"\[(?=\[)")
_MBROLA = "mb/"
"""Voices that need a second program."""

_ALIASES = {"zh": "cmn", "no": "nb"}
"""Words of the wire for languages that eSpeak NG names otherwise."""


def voices_of(listing: str) -> dict[str, str]:
    """From ``espeak-ng --voices``: language of two or three letters to the voice's name.

    The name is that of the voice's file: ``fr-fr`` is listed, but only ``fr`` is understood.
    """
    voices: dict[str, str] = {}
    for line in listing.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 5 or columns[4].startswith(_MBROLA):
            continue
        language, voice = columns[1].partition("-")[0], columns[4].rpartition("/")[2]
        if voice == language or language not in voices:
            voices[language] = voice
    for alias, language in _ALIASES.items():
        if language in voices:
            voices.setdefault(alias, voices[language])
    return voices


def mend_wav(data: bytes) -> bytes:
    """A WAV file as written to a pipe, with its true lengths in place of the invented ones.

    Raises ``ValueError`` if there is not a single sample in it.
    """
    start = data.find(b"data", 12) + 8
    if data[:4] != b"RIFF" or start < 8 or len(data) - start < 2:
        raise ValueError("no sound came out")
    head = bytearray(data[:start])
    struct.pack_into("<I", head, 4, len(data) - 8)
    struct.pack_into("<I", head, start - 4, len(data) - start)
    return bytes(head) + data[start:]


class Espeak:
    """The synthesizer; 22050 samples per second, 16 bits, mono."""

    service_id = "espeak-ng"
    type: ServiceType = "tts"

    def __init__(self) -> None:
        self._voices: Mapping[str, str] = {}
        self.version: str | None = None
        self.fault: EngineUnavailable | None = EngineUnavailable("not looked for yet", HINT)

    @property
    def languages(self) -> frozenset[str]:
        """The languages of the installed voices."""
        return frozenset(self._voices)

    async def probe(self) -> None:
        """Look whether the program is there; ask it once for its voices and its version."""
        if shutil.which(PROGRAM) is None:
            self.fault = EngineUnavailable("not installed", HINT)
            return
        if self.fault is None:
            return
        try:
            with trio.fail_after(PROBE_TIMEOUT_SECONDS):
                listing = (await _run(["--voices"])).decode(errors="replace")
                said = re.search(r"\d+(\.\d+)+", (await _run(["--version"])).decode())
        except (OSError, subprocess.CalledProcessError, trio.TooSlowError) as error:
            self.fault = EngineUnavailable(f"it does not run: {error}", HINT)
            return
        self._voices = voices_of(listing)
        self.version = said.group() if said else None
        self.fault = None if self._voices else EngineUnavailable("it has no voices", HINT)

    async def synthesize(self, text: str, language: str) -> bytes:
        """See :class:`~scheduler.node.services.Synthesizer`."""
        voice = self._voices.get(language)
        if voice is None:
            why = f"no voice for {language!r} is installed"
            raise StageFailed("tts", Code.MODEL_NOT_AVAILABLE, why, retryable=True)
        if len(text) > TEXT_CHARS_MAX:
            why = f"the text is longer than {TEXT_CHARS_MAX} characters"
            raise StageFailed("tts", Code.TOO_LARGE, why, retryable=False)
        # Two brackets would begin phonemes. The text goes by standard input: as an argument,
        # one that begins with a dash is taken for an option, and the exit code is 0 all the same.
        text = _PHONEMES.sub("[ ", _CONTROL.sub(" ", text))
        try:
            with trio.fail_after(SYNTHESIZE_TIMEOUT_SECONDS):
                arguments = ["-v", voice, "-b", "1", "--stdin", "--stdout"]
                return mend_wav(await _run(arguments, text.encode()))
        except trio.TooSlowError:
            why = f"no answer in {SYNTHESIZE_TIMEOUT_SECONDS:g} s"
            raise StageFailed("tts", Code.TTS_TIMEOUT, why, retryable=True) from None
        except subprocess.CalledProcessError as error:
            why = f"{PROGRAM} ended with {error.returncode}: {error.stderr.decode().strip()[:200]}"
            raise StageFailed("tts", Code.PROCESSING_ERROR, why, retryable=True) from None
        except (OSError, ValueError) as error:
            raise StageFailed("tts", Code.PROCESSING_ERROR, str(error), retryable=True) from None


async def _run(arguments: list[str], text: bytes = b"") -> bytes:
    """The program's output. Cancelling kills it and waits until it is gone."""
    done = await trio.run_process(
        [PROGRAM, *arguments],
        stdin=text,
        capture_stdout=True,
        capture_stderr=True,
        deliver_cancel=_kill,
        start_new_session=True,
    )
    return done.stdout


async def _kill(process: trio.Process) -> None:
    process.kill()
