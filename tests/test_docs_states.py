"""docs/states.md shows the table of moves, the meaning of each state, and where its jobs are."""

import re

from repository import ROOT

from scheduler.core.check import FOUND_IN
from scheduler.core.states import LIVE, MEANING, ON_NODE, TRANSITIONS, JobState, picture

DOCUMENT = ROOT / "docs" / "states.md"


def states_table() -> str:
    lines = ["| state | meaning | found in | perhaps in |", "|---|---|---|---|"]
    for state in JobState:
        always, perhaps = (
            ", ".join(f"`{name}`" for name in names)
            for names in (FOUND_IN[state].always, FOUND_IN[state].perhaps)
        )
        lines.append(f"| *{state}* | {MEANING[state]} | {always} | {perhaps} |")
    return "\n".join(lines)


def as_it_should_be(document: str) -> str:
    """The document with its picture and its table drawn anew."""
    with_picture = re.sub(
        r"```mermaid\n.*?```", lambda _: f"```mermaid\n{picture()}\n```", document, flags=re.DOTALL
    )
    table = re.compile(r"\n\| state \|.*\Z|\Z", re.DOTALL)
    return table.sub(lambda _: f"\n{states_table()}\n", with_picture, count=1)


def test_the_document_is_drawn_from_the_code() -> None:
    """The picture and the table of docs/states.md are those of the code."""
    stands = DOCUMENT.read_text(encoding="utf-8")
    drawn = as_it_should_be(stands)
    assert stands == drawn, f"docs/states.md should be:\n\n{drawn}"


def test_a_change_of_the_table_would_be_noticed() -> None:
    """A move, a meaning or a place that the document does not have makes it differ."""
    stands = DOCUMENT.read_text(encoding="utf-8")
    for (state, move), after in TRANSITIONS.items():
        assert stands.count(f"    {state} --> {after}: {move}\n") == 1
    for found, replaced in ((": salvage", ": rescue"), ("is running the job", "has it")):
        assert found in stands
        changed = stands.replace(found, replaced)
        assert as_it_should_be(changed) == stands


def test_the_laws_are_those_of_the_table() -> None:
    """What the document says of live states, of slots and of settling is true of the table."""
    settled = set(JobState) - LIVE
    assert {s for s, p in FOUND_IN.items() if "Node.running" in p.always} == ON_NODE
    assert {s for s, p in FOUND_IN.items() if "State.settled" in p.always} == settled
    assert {s for (s, move) in TRANSITIONS if move == "finish"} <= LIVE
    assert {s for (s, move) in TRANSITIONS if move == "lose"} == ON_NODE
