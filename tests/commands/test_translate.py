"""`translate`: what it prints, what it writes, what it says when there is no result.

On a real port of this machine, with a real scheduler and a node whose engines are scripted.
"""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from client_support import scheduler_on_port
from fakes import ScriptedRunner
from structlog.testing import capture_logs

from scheduler.commands.translate import NotAudio, Wish, check_wav, run_translate, targets
from scheduler.config import TranslateConfig
from scheduler.errors import Code, ConfigError, StageFailed
from scheduler.node.agent import Done

WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt "
SPOKEN = b"RIFF....WAVE a voice"
NOWHERE = "ws://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log lines of scheduler and node are not what is looked at here."""
    with capture_logs():
        yield


class Voice(ScriptedRunner):
    """Hears "hello" in everything but ``silent`` files, and answers with a sound."""

    def __init__(self, *, silent: bool = False, fault: Exception | None = None) -> None:
        super().__init__()
        self._silent = silent
        self._fault = fault
        self.rates: list[tuple[str, int]] = []

    async def run(self, job: Any, on_stage: Any) -> Done:
        await trio.lowlevel.checkpoint()
        self.rates.append((job.audio_format, job.sample_rate))
        if self._fault is not None:
            raise self._fault
        if self._silent:
            return Done()
        return Done(
            text_asr="hello",
            text_translated="¡hola!",
            tts_audio=base64.b64encode(SPOKEN).decode(),
            timings_ms={"asr_ms": 12, "nmt_ms": 3, "total_ms": 15},
        )


def wish(url: str, out: Path, *, as_json: bool = False, **settings: Any) -> Wish:
    chosen = TranslateConfig(url=url, out=str(out), **settings)
    return Wish(src="en", tgt="es", settings=chosen, as_json=as_json)


def recording(place: Path, name: str, content: bytes = WAV) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(content)
    return place / name


async def test_a_recording_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts, timings and the place of the sound are printed; the sound is written."""
    path = recording(tmp_path, "hello.wav")
    async with scheduler_on_port(Voice()) as (url, _):
        assert await run_translate([path], wish(url, tmp_path / "new" / "out")) == 0
    said = capsys.readouterr()
    target = tmp_path / "new" / "out" / "hello.es.wav"
    assert said.out.splitlines() == [
        "hello.wav", "  en: hello", "  es: ¡hola!", "  asr 12 ms, nmt 3 ms, total 15 ms",
        f"  audio: {target}",
    ]  # fmt: skip
    assert target.read_bytes() == SPOKEN
    progress = said.err.splitlines()
    assert progress[0] == "connecting"
    assert "open: connected" in progress
    assert "dispatched" in progress
    assert "\x1b" not in said.err  # no colours where there is no terminal


async def test_json_is_one_object_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs get whole objects on standard output, also for files that failed."""
    files = [recording(tmp_path, "a.wav"), recording(tmp_path, "b.wav", b"no sound at all")]
    async with scheduler_on_port(Voice()) as (url, _):
        assert await run_translate(files, wish(url, tmp_path, as_json=True)) == 1
    good, bad = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (good["file"], good["text_source"], good["silence"]) == (str(files[0]), "hello", False)
    assert good["timings"]["asr_ms"] == 12
    assert good["job_id"] == "job-1"
    assert bad == {
        "file": str(files[1]),
        "error": "this is no WAV file; headerless samples need the ending .raw",
    }


async def test_headerless_samples_have_their_rate(tmp_path: Path) -> None:
    """A .raw file is sent as samples of the rate that was said, a WAV file as it is."""
    runner = Voice()
    files = [recording(tmp_path, "a.RAW", b"\0\0"), recording(tmp_path, "b.wav")]
    async with scheduler_on_port(runner) as (url, _):
        assert await run_translate(files, wish(url, tmp_path, rate=8000)) == 0
    assert [kind for kind, _ in runner.rates] == ["pcm16", "wav"]
    assert runner.rates[0][1] == 8000


async def test_silence_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody spoke, this is said, nothing is written, and all is well."""
    path = recording(tmp_path, "hush.wav")
    async with scheduler_on_port(Voice(silent=True)) as (url, _):
        assert await run_translate([path], wish(url, tmp_path / "out")) == 0
    assert capsys.readouterr().out == "hush.wav: nobody spoke\n"
    assert not (tmp_path / "out").exists()


async def test_a_failure_is_told_with_its_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line says what the scheduler said, and the other files are still done."""
    files = [recording(tmp_path, "a.wav"), recording(tmp_path, "b.wav")]
    fault = StageFailed("asr", Code.MODEL_NOT_AVAILABLE, "no ears", retryable=False)
    async with scheduler_on_port(Voice(fault=fault)) as (url, _):
        assert await run_translate(files, wish(url, tmp_path)) == 2
    said = capsys.readouterr()
    causes = [line for line in said.err.splitlines() if line.startswith(("a.wav:", "b.wav:"))]
    assert [cause.split(": ", 1)[0] for cause in causes] == ["a.wav", "b.wav"]
    assert all("no ears" in cause for cause in causes)
    assert said.out == ""


async def test_without_a_node_the_reason_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it waits the reason is shown, and at the pending deadline it is the cause."""
    path = recording(tmp_path, "a.wav")
    async with scheduler_on_port(pending_timeout=0.25) as (url, _):
        assert await run_translate([path], wish(url, tmp_path)) == 1
    said = capsys.readouterr().err
    assert "waiting: no node is connected" in said
    assert "a.wav: no node took the job within 0.25 s" in said
    assert "[NO_AVAILABLE_NODE]" in said


async def test_without_a_scheduler_the_time_is_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody listens, the cause tells how long was waited, and what for."""
    path = recording(tmp_path, "a.wav")
    assert await run_translate([path], wish(NOWHERE, tmp_path, timeout=0.25)) == 1
    said = capsys.readouterr().err
    assert "connecting: no scheduler listening at 127.0.0.1:1 (connection refused)" in said
    assert "a.wav: no result in 0.25 s; the connection is connecting (no scheduler" in said


async def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    """It is an error of settings, not one of each file."""
    with pytest.raises(ConfigError, match="'http://here' is no address; expected ws://host:port"):
        await run_translate([recording(tmp_path, "a.wav")], wish("http://here", tmp_path))


async def test_what_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that cannot be made fails the file whose sound should go there."""
    path = recording(tmp_path, "a.wav")
    async with scheduler_on_port(Voice()) as (url, _):
        assert await run_translate([path], wish(url, path / "below a file")) == 1
    assert f"a.wav: {path}/below a file: Not a directory" in capsys.readouterr().err


async def test_what_is_gone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that vanished since the command was typed fails alone."""
    assert await run_translate([tmp_path / "gone.wav"], wish(NOWHERE, tmp_path)) == 1
    assert f"gone.wav: {tmp_path}/gone.wav: No such file" in capsys.readouterr().err


def test_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    """Translations of equally named files go to different places."""
    files = [Path("a/x.wav"), Path("b/x.wav"), Path("c/x-2.wav"), Path("d/x.raw")]
    found = [path.name for path in targets(files, wish(NOWHERE, tmp_path))]
    assert found == ["x.es", "x-2.es", "x-2-2.es", "x-3.es"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"RIFF", "no WAV file"),
        (b"ID3 an mp3 file, say", "no WAV file"),
        (b"RIFF....AVI LIST", "no WAV file"),
    ],
)
def test_what_is_no_sound_is_seen_at_once(content: bytes, why: str) -> None:
    """A file that cannot be speech is refused before anything is sent."""
    with pytest.raises(NotAudio, match=why):
        check_wav(content)
    check_wav(WAV)
