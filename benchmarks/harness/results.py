"""What a case has found: rows of a table, and the figures behind them."""

import json
import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

RESULTS = Path(__file__).resolve().parents[1] / "results"
DOCUMENT = RESULTS.parents[1] / "docs" / "benchmarks.md"
TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.S)


@attrs.frozen(kw_only=True)
class Options:
    """How much is measured. ``trees`` are other source trees to measure in the same rounds."""

    quick: bool = False
    rounds: int = 5
    trees: dict[str, Path] = attrs.Factory(dict)

    def seconds(self, usual: float) -> float:
        """The length of one window."""
        return min(usual, 1.5) if self.quick else usual


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
class Result:
    """A case's rows, and under ``raw`` what plots and later readers need."""

    case: str
    title: str
    rows: list[Row]
    raw: dict[str, Any]


def machine() -> dict[str, Any]:
    """Where it was measured, and beside how much other work."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "trio": version("trio"),
        "trio_websocket": version("trio-websocket"),
    }


def save(result: Result) -> None:
    """Put the case's newest result in the place of its last one."""
    RESULTS.mkdir(exist_ok=True)
    content = attrs.asdict(result) | {"machine": machine()}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (RESULTS / f"{result.case}.json").write_text(text + "\n", encoding="utf-8")


def load() -> list[dict[str, Any]]:
    """The newest result of every case that was ever run here."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]


def table(results: Iterable[dict[str, Any]]) -> str:
    """All rows as a Markdown table."""
    lines = ["| case | figure | ours | reference | ratio | aim | |", "|" + "---|" * 7]
    for result in results:
        for row in result["rows"]:
            met = {True: "met", False: "**missed**", None: ""}[row["met"]]
            cells = (row["what"], row["ours"], row["reference"], row["ratio"], row["aim"], met)
            lines.append(f"| {result['case']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def put_table(results: list[dict[str, Any]]) -> None:
    """Put the table of these results where the document has its place for it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    new = TABLE.sub(lambda found: f"{found[1]}\n{table(results)}\n\n{found[2]}", text)
    DOCUMENT.write_text(new, encoding="utf-8")
