"""What a case has found: rows of a table, and the figures behind them."""

import functools
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
MARKERS = "<!-- table -->\n\n<!-- end -->\n"
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.S)
BUSY_MAX = 0.5
"""Part of one core: a load process that needs more may be what is measured."""


@attrs.frozen(kw_only=True)
class Options:
    """How much is measured.

    No window is longer than ``longest_s`` seconds; what is counted (sessions, trials, jobs that
    wait) is divided by ``shrink``. ``trees`` are other source trees to measure in the same rounds.
    """

    rounds: int = 5
    longest_s: float = math.inf
    shrink: int = 1
    trees: dict[str, Path] = attrs.Factory(dict)

    def seconds(self, usual: float) -> float:
        """The length of one window."""
        return min(usual, self.longest_s)

    def count(self, usual: int, least: int = 1) -> int:
        """How many of something, but no fewer than make sense, nor more than usual."""
        return min(usual, max(least, usual // self.shrink))


QUICK = Options(rounds=2, longest_s=1.5, shrink=10)


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table. ``met`` is None where there is no aim."""

    what: str
    ours: str
    reference: str = ""
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


@attrs.frozen(kw_only=True)
class Table:
    """A table of its own, for what has more than two sides. The first row is its head."""

    title: str
    rows: Sequence[Sequence[str]]


@attrs.frozen(kw_only=True)
class Result:
    """A case's rows and tables, and under ``raw`` what plots and later readers need."""

    case: str
    title: str
    rows: list[Row]
    raw: dict[str, Any]
    tables: list[Table] = attrs.Factory(list)


def load_row(
    busy: Sequence[float],
    late_ms: Sequence[float] = (),
    failed: int | None = None,
    late_max_ms: float = math.inf,
) -> Row:
    """Whether the load kept up, over all windows of a case: else its figures are worth nothing.

    ``busy``: what the busiest load process used in each window, as a part of one core;
    ``late_ms``: p99 of how much too late it sent, and at most ``late_max_ms``; ``failed``: jobs
    without a result.
    """
    said = [f"busy {max(busy):.2g}"]
    said += [f"late {max(late_ms):.2g} ms"] if late_ms else []
    said += [f"{failed} jobs failed"] if failed is not None else []
    return Row(
        what="the load itself in its worst window",
        ours=", ".join(said),
        aim=f"busy ≤ {BUSY_MAX}"
        + (f", late ≤ {late_max_ms:g} ms" if late_max_ms < math.inf else "")
        + (", none failed" if failed is not None else ""),
        met=max(busy) <= BUSY_MAX and max(late_ms, default=0) <= late_max_ms and not failed,
    )


@functools.cache
def commit() -> str:
    """What is measured, as it was when this was asked first; results change files later."""
    git = ("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*")
    described = subprocess.run(git, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def machine() -> dict[str, Any]:
    """Where, when and of what it was measured, and beside how much other work."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "trio": version("trio"),
        "trio_websocket": version("trio-websocket"),
    }


def save(result: Result, folder: Path, rounds: int) -> None:
    """Put the case's newest result, of so many ``rounds``, in the place of its last one."""
    folder.mkdir(parents=True, exist_ok=True)
    content = attrs.asdict(result) | {"machine": machine() | {"rounds": rounds}}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / f"{result.case}.json").write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> list[dict[str, Any]]:
    """The newest result of every case that was ever run here, in the order of their numbers."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(found, key=lambda result: (int(result["case"].split("-")[0]), result["case"]))


def table(results: Sequence[dict[str, Any]]) -> str:
    """All rows as a Markdown table, and after it the tables of their own."""
    rows = [["case", "figure", "ours", "reference", "ratio", "aim", ""]]
    for result in results:
        for row in result["rows"]:
            met = {True: "met", False: "**missed**", None: ""}[row["met"]]
            cells = (row["what"], row["ours"], row["reference"], row["ratio"], row["aim"], met)
            rows.append([result["case"], *cells])
    parts = [_markdown(rows)]
    for result in results:
        parts += [f"{t['title']}\n\n{_markdown(t['rows'])}" for t in result["tables"]]
    return "\n\n".join(parts)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def put_table(
    results: Sequence[dict[str, Any]], document: Path, pictures: Sequence[Path] = ()
) -> None:
    """Put tables and pictures of these results where the document has its place for them."""
    text = document.read_text(encoding="utf-8") if document.exists() else MARKERS
    parts = [_provenance(results), table(results)]
    parts += [f"![{p.stem}]({os.path.relpath(p, document.parent)})" for p in pictures]
    content = "\n\n".join(parts)
    new = TABLE.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)
    document.write_text(new, encoding="utf-8")


def _provenance(results: Iterable[dict[str, Any]]) -> str:
    """One sentence about where the figures come from; several commits if they differ."""
    found = [result["machine"] for result in results]

    def all_of(name: str) -> str:
        return ", ".join(sorted({str(machine.get(name, "unknown")) for machine in found}))

    least, most = (f(m["load_average"][0] for m in found) for f in (min, max))
    return (
        f"Of {all_of('date')}, commit {all_of('commit')}, Python {all_of('python')}, "
        f"{all_of('system')}, {all_of('cores')} cores, load average {least} to {most}, "
        f"--rounds {all_of('rounds')}."
    )
