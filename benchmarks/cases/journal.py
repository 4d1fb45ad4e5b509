"""What remembering costs: no file, a file, and a file that waits for the disk."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.contenders import Contender, cpu_of, interleave, load_of
from benchmarks.harness.figures import quantile, ratios, spread
from benchmarks.harness.processes import ROOT, scheduler
from benchmarks.harness.results import Options, Result, Row

RATES = (200, 1000)
KINDS = {"memory": "", "normal": "normal", "full": "full"}
WHOLE_RATE = 200
FIGURES = {
    "commit_p50": "commit p50",
    "commit_p99": "commit p99",
    "lag_p50": "loop lag p50",
    "lag_p99": "loop lag p99",
}


def run_alone(options: Options) -> Result:
    """The journal in a process of its own: how long a commit takes, how late the loop is."""
    measured: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as folder:
        for number in range(options.rounds):
            for rate in RATES:
                for kind, sync in KINDS.items():
                    path = f"{folder}/{kind}-{rate}-{number}.db" if sync else ""
                    found = _alone(
                        path=path, sync=sync, rate=rate, seconds=options.seconds(4.0),
                        audio_chars=200,
                    )  # fmt: skip
                    measured.setdefault(f"{kind} {rate}/s", []).append(found)
    rows = []
    for rate in RATES:
        memory = measured[f"memory {rate}/s"]
        for kind in ("normal", "full"):
            every = measured[f"{kind} {rate}/s"]
            rows += [
                Row(
                    what=f"{what}, ms: sqlite {kind}, {rate} jobs/s",
                    ours=f"{spread([found[name] for found in every])}",
                    reference=f"{spread([found[name] for found in memory])} in memory",
                )
                for name, what in FIGURES.items()
            ]
    return Result(case="7-journal", title="the journal alone", rows=rows, raw=measured)


def _alone(**arguments: Any) -> dict[str, Any]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load.journal"],
        input=json.dumps(arguments), text=True, stdout=subprocess.PIPE, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found = json.loads(done.stdout)
    return {
        "jobs": found["jobs"],
        "cpu_ms": round(found["cpu_ms"], 4),
        "commit_p50": quantile(found["commit_ms"], 0.5),
        "commit_p99": quantile(found["commit_ms"], 0.99),
        "lag_p50": quantile(found["lag_ms"], 0.5),
        "lag_p99": quantile(found["lag_ms"], 0.99),
    }


def run_whole(options: Options) -> Result:
    """The whole server with each journal: CPU per job, and how long an acceptance waits."""
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as folder:
        contenders = [Contender("memory", scheduler())]
        for sync in ("normal", "full"):
            path = str(Path(folder) / f"{sync}.db")
            server = scheduler("--journal", path, "--journal-sync", sync)
            contenders.append(Contender(f"sqlite {sync}", server))
        try:
            interleave(
                contenders, rounds=options.rounds, rate=WHOLE_RATE, seconds=options.seconds(5.0)
            )
        finally:
            for contender in contenders:
                contender.end()
    memory, *files = contenders
    rows = []
    for contender in files:
        rows.append(
            Row(
                what=f"CPU per job, ms: {contender.name}, {WHOLE_RATE} jobs/s",
                ours=f"{spread(cpu_of(contender))}",
                reference=f"{spread(cpu_of(memory))} in memory",
                ratio=f"{ratios(cpu_of(contender), cpu_of(memory))}",
            )
        )
        for part in (0.5, 0.99):
            a, b = (
                [quantile(sample.accepted_ms, part) for sample in c.samples]
                for c in (contender, memory)
            )
            rows.append(
                Row(
                    what=f"utterance to its acceptance p{part * 100:.0f}, ms: {contender.name}",
                    ours=f"{spread(a)}",
                    reference=f"{spread(b)} in memory",
                )
            )
    rows.append(load_of(*contenders))
    raw = {c.name: [sample.summary() for sample in c.samples] for c in contenders}
    return Result(case="7-journal-whole", title="journal on and off", rows=rows, raw=raw)
