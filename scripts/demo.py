"""Three programs, started in the "wrong" order, and what the person hears at the end.

The client starts first and waits for a scheduler; the scheduler starts second and has no
node; the node comes last. Exits with 0 only if "go forward ten meters" came through and the
scheduler knows, from the client's own acknowledgement, that it did.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
import wave
from functools import partial
from pathlib import Path
from typing import Any

import trio

RECORDINGS = Path("/usr/share/pocketsphinx/test/data")
FILES = [
    RECORDINGS / "goforward.raw",
    RECORDINGS / "something.raw",
    RECORDINGS / "cards" / "005.wav",
    RECORDINGS / "numbers.raw",
]
PROMISE = "go forward ten meters"
OUT = Path("demo-out")
STEP_TIMEOUT_SECONDS = 60.0
END_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 3.0

ON_TERMINAL = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class DemoFailed(Exception):
    """The demo cannot go on; the text says why."""


class Interrupted(Exception):
    """A person has seen enough."""


def styled(code: str, text: str) -> str:
    """The text in bold (1) or dim (2) on a terminal, plain anywhere else."""
    return f"\x1b[{code}m{text}\x1b[0m" if ON_TERMINAL else text


class Stage:
    """Where the programs appear: each of their lines with its time and its speaker."""

    def __init__(self) -> None:
        self._begun = trio.current_time()

    def line(self, who: str, text: str) -> None:
        """Show one line of a program."""
        at = trio.current_time() - self._begun
        print(styled("2", f"{at:5.1f} s  {who:<9}  {text}"), flush=True)


class Program:
    """One of the three programs. ``heard`` is what it has written to standard error."""

    def __init__(self, name: str, process: trio.Process, stage: Stage) -> None:
        self.name = name
        self.process = process
        self._stage = stage
        self._heard: list[str] = []
        self._over = False
        self._changed = trio.Event()

    async def listen(self) -> None:
        """Show what it says, line by line, until it ends."""
        assert self.process.stderr is not None
        async for line in lines_of(self.process.stderr):
            self._stage.line(self.name, line)
            self._heard.append(line)
            self._notify()
        self._over = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def says(self, words: str) -> None:
        """Wait until it has said these words; raises ``DemoFailed`` if it ends or is too slow."""
        with trio.move_on_after(STEP_TIMEOUT_SECONDS):
            while not any(words in line for line in self._heard):
                if self._over:
                    raise DemoFailed(f"the {self.name} ended; its last lines say why")
                await self._changed.wait()
            return
        raise DemoFailed(f"the {self.name} did not say {words!r} in {STEP_TIMEOUT_SECONDS:g} s")

    async def must_live(self) -> None:
        """Raises ``DemoFailed`` when the program ends."""
        await self.process.wait()
        raise DemoFailed(f"the {self.name} ended with {self.process.returncode}")

    async def stop(self) -> None:
        """Ask the program to end, once more for what does not want to wait, and then kill it."""
        for ask in (self.process.terminate, self.process.terminate, self.process.kill):
            if self.process.returncode is None:
                ask()
            with trio.move_on_after(STOP_TIMEOUT_SECONDS):
                await self.process.wait()
                return


async def lines_of(stream: trio.abc.ReceiveStream) -> Any:
    """The lines of a stream as they come."""
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


class Demo:
    """The course of events; ``programs`` are those started so far."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.stage = Stage()
        self.programs: list[Program] = []
        self._nursery = nursery

    async def start(self, name: str, *arguments: str, shown: str = "") -> Program:
        """Start one program and show the command, or what is ``shown`` instead of it."""
        self.stage.line(name, f"$ python -m scheduler {shown or ' '.join(arguments)}")
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "scheduler", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"COLUMNS": "200"},  # a line stays one line
        )
        program = Program(name, process, self.stage)
        self.programs.append(program)
        self._nursery.start_soon(program.listen)
        return program

    async def run(self, url: str, port: int) -> bool:
        """Start the three, each once the one before waits for it; show what comes back."""
        wish = ["--from", "en", "--to", "es", "--url", url]
        client = await self.start(
            "client", "translate", *map(str, FILES), *wish, "--out", str(OUT), "--json",
            shown=" ".join(["translate", *(path.name for path in FILES), *wish]),
        )  # fmt: skip
        await client.says("no scheduler listening")
        quiet = ["--log-level", "warning"]
        scheduler = await self.start(
            "scheduler", "serve", "--port", str(port), "--journal", "memory", *quiet
        )
        self._nursery.start_soon(scheduler.must_live)
        await client.says("no node is connected")
        node = await self.start("node", "node", "--url", url, *quiet)
        self._nursery.start_soon(node.must_live)
        kept = False
        with trio.move_on_after(END_TIMEOUT_SECONDS) as patience:
            assert client.process.stdout is not None
            async for line in lines_of(client.process.stdout):
                report = json.loads(line)
                state = await state_of(port, report)
                tell(report, state)
                kept = kept or is_kept(report, state)
        if patience.cancelled_caught:
            raise DemoFailed(f"no end in {END_TIMEOUT_SECONDS:g} s")
        return kept


async def state_of(port: int, report: dict[str, Any]) -> str:
    """What the scheduler says of a job; its acknowledgement may be a moment behind its result."""
    if not report.get("job_id"):
        return "unknown"
    url = f"http://127.0.0.1:{port}/api/v1/jobs/{report['job_id']}"
    state = "unknown"
    with trio.move_on_after(5.0):
        while state != "acknowledged":
            state = await trio.to_thread.run_sync(partial(ask_state, url), abandon_on_cancel=True)
            await trio.sleep(0.02)
    return state


def ask_state(url: str) -> str:
    """One look at a job by HTTP."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # an address of our own
        return str(json.load(answer)["state"])


def is_kept(report: dict[str, Any], state: str) -> bool:
    """Whether this is the promised sentence, whole, and known to have been received."""
    whole = report.get("text_translated") and report.get("audio")
    return report.get("text_source") == PROMISE and bool(whole) and state == "acknowledged"


def tell(report: dict[str, Any], state: str) -> None:
    """Show one result to a person."""
    print(f"\n  {styled('1', Path(report['file']).name)}")
    if "error" in report:
        print(f"    failed    {report['error']}\n", flush=True)
        return
    timings = {name.removesuffix("_ms"): ms for name, ms in report["timings"].items()}
    rows = {
        "English": styled("1", report["text_source"]),
        "Spanish": styled("1", report["text_translated"]),
        "took": ", ".join(f"{name} {ms} ms" for name, ms in timings.items() if ms is not None),
        "sound": sound_of(report.get("audio")),
        "outcome": state,
    }
    for name, text in rows.items():
        print(f"    {name:<9} {text}")
    print(flush=True)


def sound_of(path: str | None) -> str:
    """Where the sound lies, and how long it is."""
    if path is None:
        return "none"
    with wave.open(path) as sound:
        return f"{path} ({sound.getnframes() / sound.getframerate():.1f} s)"


def free_port() -> int:
    """A port that nobody listens on right now, and none that the system gives to clients.

    The client dials it again and again before anybody listens; from such a port it might be
    connected to itself.
    """
    for port in range(20_000, 30_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


async def main() -> int:
    """Run the demo; the exit code says whether the promise was kept."""
    if missing := [str(path) for path in FILES if not path.exists()]:
        print(f"these recordings are missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    port = free_port()
    kept, interrupted, problem = False, False, f'"{PROMISE}" did not come through'
    try:
        async with trio.open_nursery() as nursery:
            demo = Demo(nursery)
            nursery.start_soon(raise_on_signals)
            try:
                kept = await demo.run(f"ws://127.0.0.1:{port}", port)
            finally:
                with trio.CancelScope(shield=True):
                    async with trio.open_nursery() as stopping:
                        for program in demo.programs:
                            stopping.start_soon(program.stop)
            nursery.cancel_scope.cancel()
    except* DemoFailed as group:
        problem = str(group.exceptions[0])
    except* Interrupted:
        interrupted = True
    if interrupted:
        print("\ninterrupted; all programs were stopped", file=sys.stderr)
        return 130
    if not kept:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    print(f'\n"{PROMISE}" came through, and its receipt was acknowledged.')
    print(f"The sounds are in {OUT}/ (for example: aplay {OUT}/goforward.es.wav).")
    return 0


async def raise_on_signals() -> None:
    """Ctrl-C, or a polite kill, ends the demo and all three programs."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            raise Interrupted


if __name__ == "__main__":
    sys.exit(trio.run(main))
