"""A node's socket is reset in the middle of a job: when has another node the next attempt?"""

from typing import Any

from benchmarks.harness.contenders import Contender
from benchmarks.harness.figures import quantile, spread
from benchmarks.harness.processes import Load, scheduler
from benchmarks.harness.results import Options, Result, Row

TRIALS = 100
SECONDS_PER_TRIAL = 0.1
AIM_MS = 20
BESIDE_RATE = 100


def run(options: Options) -> Result:
    """On an idle server, and on one that has a hundred other jobs a second."""
    rows, raw = [], {}
    for busy in (False, True):
        beside, load = Contender("beside", scheduler()), Load("failover")
        try:
            rounds = [_round(load, beside, options, busy) for _ in range(options.rounds)]
        finally:
            load.end()
            beside.end()
        every = [ms for found in rounds for ms in found["gap_ms"]]
        how = f"beside {BESIDE_RATE} jobs/s" if busy else "on an idle server"
        for part, aim in ((0.5, None), (0.99, AIM_MS)):
            value = quantile(every, part)
            by_round = spread([quantile(found["gap_ms"], part) for found in rounds])
            rows.append(
                Row(
                    what=f"reset to next attempt p{part * 100:.0f}, ms, {how}, n = {len(every)}",
                    ours=f"{value:.3g}, in rounds {by_round}",
                    aim=f"≤ {aim}" if aim else "",
                    met=value <= aim if aim else None,
                )
            )
        raw[how] = {"gap_ms": every, "failed_jobs": sum(found["lost"] for found in rounds)}
    return Result(case="6-failover", title="failover", rows=rows, raw=raw)


def _round(load: Load, beside: Contender, options: Options, busy: bool) -> dict[str, Any]:
    trials = TRIALS // 4 if options.quick else TRIALS
    if busy:
        seconds = trials * SECONDS_PER_TRIAL
        beside.sessions.tell("speak", rate=BESIDE_RATE, seconds=seconds, seed=1)
    found = load.ask("run", port=beside.server.port, trials=trials)
    if busy:
        beside.sessions.answer()
    return found
