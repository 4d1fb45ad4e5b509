"""``python -m benchmarks``: run cases, print the table, write results and plots."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks.cases import (
    failover,
    idle,
    jobs,
    journal,
    latency,
    peers,
    receipts,
    scale,
    storm,
)
from benchmarks.harness import results
from benchmarks.harness.processes import favour
from benchmarks.harness.results import DOCUMENT, QUICK, RESULTS, Options, Result

PICTURES = DOCUMENT.with_suffix("")

CASES: dict[str, Callable[[Options], Result]] = {
    "small": jobs.run_small,
    "large": jobs.run_large,
    "latency": latency.run,
    "engine": scale.run_engine,
    "whole": scale.run_whole,
    "idle": idle.run,
    "failover": failover.run,
    "journal": journal.run_alone,
    "journal-whole": journal.run_whole,
    "storm": storm.run,
    "receipts": receipts.run,
    "peers": peers.run,
}


def main(arguments: list[str] | None = None) -> None:
    """Parse, run, print, write."""
    chosen = _parser().parse_args(arguments)
    results.commit()  # now, before what is measured changes the files that are compared with it
    publishing = bool(chosen.into) or not (chosen.quick or chosen.tree)
    if publishing:  # fails now if matplotlib is missing, not when everything is measured
        from benchmarks.harness.plots import draw
    folder, pictures, document = RESULTS, PICTURES, DOCUMENT
    if chosen.into:
        folder = pictures = chosen.into
        document = folder / "table.md"
    if not chosen.publish:
        favour(chosen.nice)
        options = attrs.evolve(
            QUICK if chosen.quick else Options(),
            trees=dict(chosen.tree),
        )
        if chosen.rounds:
            options = attrs.evolve(options, rounds=chosen.rounds)
        for name in chosen.only or CASES:
            started = time.perf_counter()
            result = CASES[name](options)
            print(f"\n{result.title} ({time.perf_counter() - started:.0f} s)\n")
            print(results.table([attrs.asdict(result)]), flush=True)
            if publishing:
                results.save(result, folder, options.rounds)
    if publishing:
        found = results.load(folder)
        results.put_table(found, document, draw(found, pictures))


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, not {text!r}")
    return int(text)


def _tree(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    tree = Path(path).resolve()
    if not (name and equals and (tree / "src" / "scheduler").is_dir()):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH of a checkout, not {text!r}")
    return name, tree


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short windows, two rounds, fewer")
    parser.add_argument(
        "--only", action="append", choices=CASES, metavar="CASE", default=[],
        help=f"one of {', '.join(CASES)}; may be given several times",
    )  # fmt: skip
    parser.add_argument("--rounds", type=_rounds, help="rounds of each case (5; 2 with --quick)")
    parser.add_argument(
        "--tree", action="append", default=[], metavar="NAME=PATH", type=_tree,
        help="another source tree, measured in the same rounds (of small, large, latency)",
    )  # fmt: skip
    parser.add_argument(
        "--nice", type=int, default=0, help="niceness of everything measured (below 0: as root)"
    )
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER",
        help="results, pictures and table go there and not into the documents",
    )  # fmt: skip
    parser.add_argument("--publish", action="store_true", help="measure nothing, only draw")
    return parser


if __name__ == "__main__":
    main()
