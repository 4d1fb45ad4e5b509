"""docs/operations.md says of every setting, close code, outcome and refusal what the code says."""

import re
from typing import Any

import attrs
import pytest
from repository import ROOT

from scheduler.config import Config, NodeConfig
from scheduler.core.job import OutcomeKind
from scheduler.errors import Close, Code

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    part = TEXT.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines[2:]]


def shown(value: Any, name: str) -> str:
    """A default as the table writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return f"`{value}`" if value else "none"
    if value >= 2**20 and value % 2**20 == 0:
        return f"{value // 2**20} Mi"
    return f"{value // 2**10} Ki" if "bytes" in name and value % 2**10 == 0 else str(value)


@pytest.mark.parametrize(("heading", "cls"), [("Every setting", Config), ("Of a node", NodeConfig)])
def test_every_setting_is_listed(heading: str, cls: type) -> None:
    """Name, default and sentence of each setting stand in the table, in the order of the code."""
    settings = cls()
    expected = [
        [
            f"`{field.name}`",
            shown(getattr(settings, field.name), field.name),
            field.metadata["help"].split(" Follows the others")[0].replace("|", "\\|"),
        ]
        for field in attrs.fields(cls)
    ]
    assert rows(heading) == expected


def test_every_close_code_is_explained() -> None:
    """Each close code stands there with the text that the peer is told, and with what to do."""
    listed = {int(row[0]): row[1] for row in rows("Why a connection was closed") if all(row)}
    assert listed == {close.code: close.text for close in Close}


def test_every_outcome_is_explained() -> None:
    """Each way in which a job can end stands there, and the gap that is left of some."""
    listed = [row[0].strip("`") for row in rows("How an utterance can end")]
    assert listed == [*(str(kind) for kind in OutcomeKind), "gap"]


def test_names_in_the_text_exist() -> None:
    """Every setting and every code that the text names is one of the program's."""
    known = {f.name for cls in (Config, NodeConfig) for f in attrs.fields(cls)}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", TEXT.split("## Every setting")[0]))
    words = {"session_init", "node_register", "going_away", *(str(kind) for kind in OutcomeKind)}
    assert named - known - words == set()
    codes = set(re.findall(r"`([A-Z]+_?[A-Z_]*[A-Z])`", TEXT))
    assert {code for code in codes if not code.startswith("SCHEDULER_")} <= set(map(str, Code))
