"""The scheduler is killed while each of many sessions is owed an outcome; all come back at once."""

import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import ROOT, Load, ended, relay, scheduler
from benchmarks.harness.results import Options, Result, Row, load_row

SESSIONS = 5000
AIM_S = 8.0


def run(options: Options) -> Result:
    """Every session speaks once and acknowledges nothing; kill -9; restart; all resume.

    Beside it as many sessions that begin at once at the relay, which has nothing to give them.
    """
    sessions = options.count(SESSIONS, least=10)
    rounds = []
    for _ in range(max(1, options.rounds // 2)):
        found = _storm(sessions)
        rounds.append(found | {"relay_s": _crowd(sessions)})
    total, start, relay_s = (
        spread([f[name] for f in rounds]) for name in ("seconds", "start_s", "relay_s")
    )
    complete = all(f["complete"] == f["spoken"] == sessions for f in rounds)
    rows = [
        Row(
            what=f"{sessions:,} sessions back with every outcome, s from the open port on",
            ours=f"{total}",
            reference=f"{relay_s} to a welcome by the relay",
            ratio=f"{ratios([f['seconds'] for f in rounds], [f['relay_s'] for f in rounds])}",
            aim=f"≤ {AIM_S:.0f}, none missing",
            met=complete and total.median <= AIM_S if sessions == SESSIONS else None,
        ),
        Row(what="start with that journal until the port is open, s", ours=f"{start}"),
        Row(
            what="sessions with every outcome, of those that had spoken, of all",
            ours=", ".join(f"{f['complete']}/{f['spoken']}/{sessions}" for f in rounds),
        ),
        Row(
            what="server CPU per session that comes back, ms",
            ours=f"{spread([f['cpu_ms'] for f in rounds])}",
        ),
        load_row([f["load_busy"] for f in rounds]),
    ]
    raw = {"rounds": rounds}
    return Result(case="8-storm", title="a storm after a restart", rows=rows, raw=raw)


def _crowd(sessions: int) -> float:
    people, server = Load("sessions"), relay()
    with ended(people, server):
        found = people.ask("open", port=server.port, sessions=sessions, receipts=False)
    seconds: float = found["seconds"]
    return seconds


def _storm(sessions: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as folder:
        path = str(Path(folder) / "journal.db")
        flags = ("--journal", path, "--client-receipt-timeout", "300", "--log-level", "warning")
        nodes, people, first = Load("nodes"), Load("sessions"), scheduler(*flags)
        with ended(nodes, people, first):
            nodes.ask("join", port=first.port, nodes=4)
            people.ask("open", port=first.port, sessions=sessions, pace_s=0.003)
            said = people.ask(
                "speak", rate=150, seconds=sessions / 150, seed=1, acks=False, exactly=sessions
            )
            first.end(signal.SIGKILL)
            people.ask("drop")
            before = time.perf_counter()
            second = scheduler(*flags)
            with ended(second):
                start_s = time.perf_counter() - before
                cpu, load_cpu = second.cpu_s, people.cpu_s
                back = people.ask("resume", port=second.port)
                return {
                    **back,
                    "spoken": said["done"],
                    "start_s": start_s,
                    "cpu_ms": (second.cpu_s - cpu) * 1000 / sessions,
                    "load_busy": (people.cpu_s - load_cpu) / back["seconds"],
                }
