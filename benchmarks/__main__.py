"""``python -m benchmarks``: run cases, print the table, write results and plots."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks.cases import failover, idle, jobs, journal, latency, receipts, scale, storm
from benchmarks.harness import results
from benchmarks.harness.processes import favour
from benchmarks.harness.results import Options, Result

CASES: dict[str, Callable[[Options], Result]] = {
    "small": jobs.run_small,
    "large": jobs.run_large,
    "latency": latency.run,
    "engine": scale.run_engine,
    "whole": scale.run_whole,
    "journal": journal.run_alone,
    "journal-whole": journal.run_whole,
    "failover": failover.run,
    "receipts": receipts.run,
    "idle": idle.run,
    "storm": storm.run,
}


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short windows, two rounds")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", default=[])
    parser.add_argument("--rounds", type=int, help="rounds of each case (5; 2 with --quick)")
    parser.add_argument(
        "--tree", action="append", default=[], metavar="NAME=PATH",
        help="another source tree, measured in the same rounds",
    )  # fmt: skip
    parser.add_argument(
        "--nice", type=int, default=0, help="niceness of everything measured (below 0: as root)"
    )
    parser.add_argument("--publish", action="store_true", help="measure nothing, only draw")
    chosen = parser.parse_args()
    if chosen.publish:
        publish()
        return
    favour(chosen.nice)
    trees = dict(pair.split("=", 1) for pair in chosen.tree)
    options = Options(
        quick=chosen.quick,
        rounds=chosen.rounds or (2 if chosen.quick else 5),
        trees={name: Path(path).resolve() for name, path in trees.items()},
    )
    for name in chosen.only or CASES:
        started = time.perf_counter()
        result = CASES[name](options)
        print(f"\n{result.title} ({time.perf_counter() - started:.0f} s)\n")
        print(results.table([attrs.asdict(result)]), flush=True)
        if not options.quick and not options.trees:
            results.save(result)
    if not options.quick and not options.trees:
        publish()


def publish() -> None:
    """Bring the pictures and the table in docs/benchmarks.md up to the newest results."""
    from benchmarks.harness.plots import draw  # late: matplotlib takes its time

    found = results.load()
    draw(found)
    results.put_table(found)


if __name__ == "__main__":
    main()
