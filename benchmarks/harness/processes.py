"""Processes under measurement and processes that make load, and what they cost."""

import atexit
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
CPU_CLOCK_OF = 2
"""``CPUCLOCK_SCHED``: see clock_getcpuclockid(3) and <linux/posix-timers.h>."""

_running: set[subprocess.Popen[bytes]] = set()


@atexit.register
def _end_all() -> None:
    """What a failed measurement has left; else it would eat the CPU of the next one."""
    for process in _running:
        process.kill()


class Server:
    """A server process; :attr:`cpu_s` is what it has used since it began, kernel included.

    It is ready when a line of its output matches ``ready``, of which a group may be its port.

    Its log goes into a pipe that is read at once, as a service manager does: with a file on a
    disk that others keep busy, writing the log is what stands still.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        tree: Path = ROOT,
        ready: str = r"listening on [\d.]+:(\d+)",
        **environment: str,
    ) -> None:
        self.name = name
        self._ready = re.compile(ready.encode())
        self._log: deque[bytes] = deque(maxlen=200)
        self._listening = threading.Event()
        self.port = -1
        path = os.pathsep.join([str(tree / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**_usual_environment(), "PYTHONPATH": path, **environment}, cwd=ROOT,
        )  # fmt: skip
        _running.add(self._process)
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listening.wait(START_TIMEOUT_S) or self.port < 0:
            text = b"".join(self._log).decode()
            self.end()
            raise RuntimeError(f"{name} did not start: {text}")

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._log.append(line)
                if self.port < 0 and (found := self._ready.search(line)):
                    self.port = int(found[1]) if found.groups() else 0
                    self._listening.set()
        self._listening.set()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all its threads, those that have ended included."""
        return time.clock_gettime((~self.pid << 3) | CPU_CLOCK_OF)

    @property
    def memory_kib(self) -> int:
        """Memory of its own: private pages, in KiB."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return sum(int(kib) for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.M))

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait()
        _running.discard(self._process)
        self._reader.join()


def _usual_environment() -> dict[str, str]:
    """Without the settings that whoever measures may have made for schedulers of his own."""
    return {name: v for name, v in os.environ.items() if not name.startswith("SCHEDULER_")}


class Load:
    """A load process: :meth:`ask` gives it one command and waits for its answer."""

    def __init__(self, module: str, *, tree: Path = ROOT) -> None:
        path = os.pathsep.join([str(tree / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.load.{module}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        _running.add(self._process)

    def tell(self, do: str, **arguments: Any) -> None:
        """Give a command without waiting."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer to a command."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a load process has ended")
        answer: dict[str, Any] = json.loads(line)
        if problem := answer.get("problem"):
            raise RuntimeError(problem)
        return answer

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Give a command, and wait until it is done."""
        self.tell(do, **arguments)
        return self.answer()

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the load process."""
        return time.clock_gettime((~self._process.pid << 3) | CPU_CLOCK_OF)

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        _running.discard(self._process)


def scheduler(*flags: str, name: str = "scheduler", tree: Path = ROOT) -> Server:
    """The real thing: ``python -m scheduler``, by default with a journal in memory."""
    journal = [] if "--journal" in flags else ["--journal", "memory"]
    command = [sys.executable, "-m", "scheduler", "--port", "0", *journal, *flags]
    return Server(name, command, tree=tree)


def relay(*flags: str, name: str = "relay") -> Server:
    """The bare relay of ``references/relay.py``."""
    return reference("relay", *flags, name=name)


def reference(module: str, *flags: str, name: str) -> Server:
    """One of ``references/`` that listens for WebSockets."""
    return Server(name, [sys.executable, "-m", f"benchmarks.references.{module}", *flags])


class Ends(Protocol):
    """What can be ended."""

    def end(self) -> None:
        """Kill it and wait for its end."""


@contextlib.contextmanager
def ended(*processes: Ends) -> Iterator[None]:
    """End them all, however the block ends."""
    try:
        yield
    finally:
        for process in processes:
            process.end()


def favour(niceness: int) -> None:
    """Set the niceness of this process and of all that it starts from now on.

    Where Linux shares the processor between login sessions first, that of the session counts.
    """
    os.nice(niceness)
    group = Path("/proc/self/autogroup")
    if niceness and group.exists():
        group.write_text(str(niceness))
