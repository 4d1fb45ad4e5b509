"""A node's socket is reset in the middle of a job: when has another node the next attempt?"""

import time
from typing import Any

from benchmarks.harness.contenders import Contender
from benchmarks.harness.figures import quantile, spread
from benchmarks.harness.processes import Load, scheduler
from benchmarks.harness.results import Options, Result, Row, load_row

TRIALS = 100
SECONDS_PER_TRIAL = 0.1
AIM_MS = 20
BESIDE_RATE = 100


def run(options: Options) -> Result:
    """On an idle server, and on one that has a hundred other jobs a second, in turn.

    There is no reference: what the relay gave a node that is gone, it never gives another.
    """
    trials = options.count(TRIALS, least=2)
    servers = {
        "on an idle server": (Contender("idle", scheduler()), Load("failover"), False),
        f"beside {BESIDE_RATE} jobs/s": (Contender("busy", scheduler()), Load("failover"), True),
    }
    found: dict[str, list[dict[str, Any]]] = {how: [] for how in servers}
    try:
        for _ in range(options.rounds):
            for how, (beside, load, busy) in servers.items():
                found[how].append(_round(load, beside, trials, busy))
    finally:
        for beside, load, _ in servers.values():
            load.end()
            beside.end()
    rows = [
        _row(how, [one["gap_ms"] for one in rounds], part, aim)
        for how, rounds in found.items()
        for part, aim in ((0.5, None), (0.99, AIM_MS))
    ]
    every = [one for rounds in found.values() for one in rounds]
    rows.append(
        load_row(
            [one["load_busy"] for one in every],
            failed=sum(one["lost"] + one["failed_beside"] for one in every),
        )
    )
    raw = {
        how: {
            "gap_ms": [ms for one in rounds for ms in one["gap_ms"]],
            "load_busy": [one["load_busy"] for one in rounds],
            "failed_jobs": sum(one["lost"] + one["failed_beside"] for one in rounds),
        }
        for how, rounds in found.items()
    }
    return Result(case="6-failover", title="failover", rows=rows, raw=raw)


def _row(how: str, rounds: list[list[float]], part: float, aim: float | None) -> Row:
    every = [ms for gaps in rounds for ms in gaps]
    value = quantile(every, part)
    by_round = spread([quantile(gaps, part) for gaps in rounds])
    return Row(
        what=f"reset to next attempt p{part * 100:.0f}, ms, {how}, n = {len(every)}",
        ours=f"{value:.3g}, in rounds {by_round}",
        aim=f"≤ {aim}" if aim else "",
        met=value <= aim if aim else None,
    )


def _round(load: Load, beside: Contender, trials: int, busy: bool) -> dict[str, Any]:
    if busy:
        seconds = trials * SECONDS_PER_TRIAL
        beside.sessions.tell("speak", rate=BESIDE_RATE, seconds=seconds, seed=1)
    cpu, started = load.cpu_s, time.perf_counter()
    found = load.ask("run", port=beside.server.port, trials=trials)
    found["load_busy"] = (load.cpu_s - cpu) / (time.perf_counter() - started)
    found["failed_beside"] = beside.sessions.answer()["failed"] if busy else 0
    return found
