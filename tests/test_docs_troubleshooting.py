"""What docs/troubleshooting.md shows is what the commands print."""

import re

import pytest
from ailments import AILMENTS, diagnose
from repository import ROOT
from troubles import TROUBLES

from scheduler.commands.checkup import STEPS
from scheduler.commands.doctor import EXIT_BASE, line_about
from scheduler.commands.trace import lines_about
from scheduler.core.job import OutcomeKind
from scheduler.errors import Close, Code

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- (trace|doctor): (\w+) -->\n\n```text\n(.*?)\n```\n", TEXT, re.DOTALL)


def printed(command: str, name: str) -> str:
    """What the command prints of this case."""
    if command == "trace":
        return "\n".join(lines_about(TROUBLES[name]()))
    return "\n".join(line_about(found, colours=False) for found in diagnose(name).found)


@pytest.mark.parametrize(("command", "name", "shown"), SHOWN)
def test_outputs_are_real(command: str, name: str, shown: str) -> None:
    """Each output in the document is what the command prints of that case, to the letter."""
    assert shown == printed(command, name)


def test_every_case_is_shown() -> None:
    """There is no trouble that the document does not show, and no ailment."""
    assert [n for c, n, _ in SHOWN if c == "trace"] == sorted_as_shown("trace", TROUBLES)
    assert [n for c, n, _ in SHOWN if c == "doctor"] == sorted_as_shown("doctor", AILMENTS)


def sorted_as_shown(command: str, cases: object) -> list[str]:
    """The names of all cases, in the order of the document; those it lacks come last."""
    order = [name for one, name, _ in SHOWN if one == command]
    assert isinstance(cases, dict)
    return sorted(cases, key=lambda name: order.index(name) if name in order else len(order))


def test_every_verdict_has_its_word() -> None:
    """The table of words has each code that a verdict of these cases has."""
    codes = {TROUBLES[name]()["jobs"][-1]["verdict"]["code"] for name in TROUBLES}
    listed = set(re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))
    assert codes <= listed


def test_the_steps_are_listed() -> None:
    """The table of the doctor's steps has each with its number and its exit code."""
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert rows == [(str(n), name, str(EXIT_BASE + n)) for n, name in enumerate(STEPS, 1)]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first column of the first table below a line that has these words."""
    lines = TEXT.split(heading, 1)[1].lstrip("\n").split("\n\n", 2)[1].splitlines()
    return [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in lines[2:]]


def test_every_reason_has_its_place() -> None:
    """Each reason that a client may be told leads to the part that explains it."""
    reasons = [str(kind) for kind in OutcomeKind if kind is not OutcomeKind.TRANSLATED]
    assert rows("What a client is told of an utterance") == [
        [reason] for reason in (*reasons, "gap")
    ]


def test_every_code_of_a_failure_is_explained() -> None:
    """Each code with which our own nodes fail a job, or the scheduler for them, has its entry."""
    explained = {code for (code,) in rows("The codes with which nodes fail")}
    given = {
        str(Code[name])
        for path in (ROOT / "src" / "scheduler" / "node").rglob("*.py")
        for name in re.findall(r"\bCode\.([A-Z_]+)", path.read_text(encoding="utf-8"))
    }
    assert explained == given | {str(Code.NODE_UNAVAILABLE)}


def test_every_close_code_can_be_looked_up() -> None:
    """The document says where close codes are explained, and that place has each of them."""
    assert "(operations.md#why-a-connection-was-closed)" in TEXT
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    part = operations.split("## Why a connection was closed", 1)[1].split("\n## ", 1)[0]
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", part, re.MULTILINE)} == {
        close.code for close in Close
    }
