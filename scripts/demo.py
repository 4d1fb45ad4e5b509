"""Three programs, started in the "wrong" order, and what the person hears at the end.

The client starts first and waits for a scheduler; the scheduler starts second and has no
node; the node comes last. Exits with 0 only if "go forward ten meters" came through and the
scheduler knows, from the client's own acknowledgement, that it did.
"""

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

RECORDINGS = Path("/usr/share/pocketsphinx/test/data")
FILES = [
    RECORDINGS / "goforward.raw",
    RECORDINGS / "something.raw",
    RECORDINGS / "cards" / "005.wav",
    RECORDINGS / "numbers.raw",
]
OUT = Path("demo-out")
HEAD_START_S = 2.0
END_TIMEOUT_S = 180.0


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """One of the three programs; what it says is shown line by line under its name."""

    def __init__(self, name: str, *arguments: str, keep_stdout: bool = False) -> None:
        self.name = name
        print(f"[{name}] $ python -m scheduler {' '.join(arguments)}", flush=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", *arguments],
            stdout=subprocess.PIPE if keep_stdout else None,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._shower = threading.Thread(target=self._show, daemon=True)
        self._shower.start()

    def _show(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            print(f"[{self.name}] {line}", end="", flush=True)

    def stop(self) -> int:
        """Ask the program to end, and wait for that."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def acknowledged(port: int, job_id: str) -> bool:
    """Whether the scheduler says that the session has this job's outcome."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/api/v1/jobs/{job_id}", timeout=10
    ) as answer:
        return bool(json.load(answer)["state"] == "acknowledged")


def tell(report: dict[str, object]) -> None:
    """Show one result to a person."""
    print(f"\n{Path(str(report['file'])).name}")
    if "error" in report:
        print(f"  failed: {report['error']}")
        return
    print(f"  English: {report['text_source']}")
    print(f"  Spanish: {report['text_translated']}")
    timings = report["timings"]
    assert isinstance(timings, dict)
    print("  " + ", ".join(f"{k.removesuffix('_ms')} {v} ms" for k, v in timings.items()))
    print(f"  audio:   {report.get('audio', 'none')}")


def main() -> int:
    """Run the demo; the exit code says whether the promise was kept."""
    missing = [str(path) for path in FILES if not path.exists()]
    if missing:
        print(f"these recordings are missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    programs: list[Program] = []
    try:
        client = Program(
            "client", "translate", *map(str, FILES), "--from", "en", "--to", "es", "--url", url,
            "--out", str(OUT), "--timeout", "120", "--json", keep_stdout=True,
        )  # fmt: skip
        programs.append(client)
        time.sleep(HEAD_START_S)
        programs.append(Program("scheduler", "serve", "--port", str(port)))
        time.sleep(HEAD_START_S)
        programs.append(Program("node", "node", "--url", url))
        watchdog = threading.Timer(END_TIMEOUT_S, client.process.kill)
        watchdog.start()
        assert client.process.stdout is not None
        reports = [json.loads(line) for line in client.process.stdout]
        watchdog.cancel()
        for report in reports:
            tell(report)
        kept = any(
            report.get("text_source") == "go forward ten meters"
            and report.get("text_translated")
            and report.get("audio")
            and acknowledged(port, str(report["job_id"]))
            for report in reports
        )
    finally:
        for program in reversed(programs):
            program.stop()
    print()
    if not kept:
        print('"go forward ten meters" did not come through', file=sys.stderr)
        return 1
    print('"go forward ten meters" came through, and its receipt was acknowledged.')
    return 0


if __name__ == "__main__":
    sys.exit(main())
