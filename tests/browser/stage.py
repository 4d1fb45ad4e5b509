"""A real scheduler, a real node and a real browser with a microphone that plays real speech."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SPEECH = Path("/usr/share/pocketsphinx/test/data")
"""Human speech, 16-bit samples of 16 kHz, from the Debian package pocketsphinx-testdata."""
GO_FORWARD = SPEECH / "goforward.raw"
CARDS = SPEECH / "cards/005.wav"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_SECONDS = 60.0


class Stage:
    """A scheduler on a port that stays its own, and nodes. ``journal`` is a file or "memory"."""

    def __init__(self, folder: Path, journal: str, settings: tuple[str, ...]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self._folder = folder
        self._settings = ("--journal", journal, *settings)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_scheduler(self) -> None:
        self._start("scheduler", "--port", str(self.port), *self._settings)
        until(self._is_ready, "the scheduler is ready")

    def _is_ready(self) -> bool:
        log = self._folder / "scheduler.log"
        assert self._processes["scheduler"].poll() is None, log.read_text()[-2000:]
        return _answers(f"{self.url}/ready")

    def start_node(self) -> None:
        self._start("node", "node", "--url", f"ws://127.0.0.1:{self.port}", "--node-id", "node-1")

    def _start(self, name: str, *args: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "scheduler", *args], stdout=log, stderr=log, env=os.environ
            )

    def kill(self, name: str) -> None:
        """As a power cut would end it."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        self._end(name, signal.SIGTERM)

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name)
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def close(self) -> None:
        for name in ("node", "scheduler"):
            if name in self._processes:
                self.stop(name)


@contextlib.contextmanager
def staged(
    folder: Path, journal: str = "memory", *settings: str, node: bool = True
) -> Iterator[Stage]:
    """A stage for the length of the block; no process of it is left behind."""
    stage = Stage(folder, journal, settings)
    try:
        stage.start_scheduler()
        if node:
            stage.start_node()
        yield stage
    finally:
        stage.close()


def until(condition: Any, what: str) -> None:
    """Look until ``condition()`` is true; the world outside has no virtual clock."""
    end = time.monotonic() + PATIENCE_SECONDS  # noqa: TID251
    while not condition():
        assert time.monotonic() < end, f"it never came: {what}"  # noqa: TID251
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def spoken_wav(folder: Path, *, pause_seconds: float) -> Path:
    """What the microphone hears, again and again: a sentence, then a pause."""
    path = folder / f"spoken-{pause_seconds:g}.wav"
    silence = bytes(int(pause_seconds * 16000) * 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(16000) + GO_FORWARD.read_bytes() + silence)
    return path
