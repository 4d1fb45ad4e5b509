"""Rolling restarts under load: SIGTERM, wait for the end, the next process on the same port.

    python -m crash.rolling --restarts 10      (with tests/ on the path; see nox -s crash)

Prints how long utterances took while nothing was restarted and while something was, and exits
with 1 if one of them failed.
"""

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from crash.referee import lines
from crash.rig import Rig

QUIET_S = 5.0
EXIT_TIMEOUT_S = 60.0


def restart(rig: Rig) -> float:
    """Replace the scheduler politely; the seconds from the signal to the new process."""
    begun = time.monotonic()  # noqa: TID251
    process = rig.processes["scheduler"]
    process.send_signal(signal.SIGTERM)
    status = process.wait(timeout=EXIT_TIMEOUT_S)
    assert status == 0, f"the scheduler ended with {status}"
    rig.start("scheduler")
    return time.monotonic() - begun  # noqa: TID251


def latencies_s(rig: Rig, begun: float, ended: float) -> list[float]:
    """From submission to outcome, of what was submitted between two wall-clock instants."""
    found = []
    for log in rig.logs:
        submitted = {}
        for line in lines(log):
            if line["what"] == "submitted" and begun <= line["at"] < ended:
                submitted[line["index"]] = line["at"]
            elif line["what"] == "outcome" and line["index"] in submitted:
                found.append(line["at"] - submitted[line["index"]])
    return sorted(found)


def tell(name: str, latencies: list[float]) -> None:
    """One line of milliseconds."""
    cut = statistics.quantiles(latencies, n=100)
    print(
        f"{name}: {len(latencies)} utterances, p50 {cut[49] * 1000:.0f} ms, "
        f"p99 {cut[98] * 1000:.0f} ms, longest {latencies[-1] * 1000:.0f} ms"
    )


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    wish = parser.parse_args()
    dice = random.Random(wish.seed)
    with tempfile.TemporaryDirectory() as place:
        rig = Rig(Path(place))
        rig.start_all()
        try:
            rig.wait_for_outcomes(10)
            marks = [time.time()]  # noqa: TID251
            time.sleep(QUIET_S)
            marks.append(time.time())  # noqa: TID251
            away = []
            for _ in range(wish.restarts):
                rig.wait_for_outcomes(20)
                time.sleep(dice.uniform(0, 0.5))
                away.append(restart(rig))
            rig.wait_for_outcomes(20)
            marks.append(time.time())  # noqa: TID251
            rig.finish()
        finally:
            rig.end()
        tell("undisturbed", latencies_s(rig, marks[0], marks[1]))
        tell(f"with {wish.restarts} restarts", latencies_s(rig, marks[1], marks[2]))
        print(f"a restart took {statistics.median(away):.2f} s (median, to the new process)")
        broken = rig.violations()
    for text in broken:
        print(f"BROKEN: {text}")
    print(f"{len(broken)} failed utterances")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
