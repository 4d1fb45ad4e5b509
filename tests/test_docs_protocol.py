"""docs/protocol.md says of every message and word what the code says, and its examples are real."""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import attrs
import pytest
from playbook import Playbook
from repository import ROOT, source_modules
from wire.doc_types import NAMES, type_text
from wire.shapes import TABLES, records_in, split

from scheduler.config import Config
from scheduler.core.job import OutcomeKind
from scheduler.errors import Close, Code, may_reconnect
from scheduler.runtime.peer import ROLES
from scheduler.web.pages import PAGES
from scheduler.wire import codec
from scheduler.wire.common import UiEventName

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SECTIONS = {
    "from session": "Session to scheduler",
    "to session": "Scheduler to session",
    "from node": "Node to scheduler",
    "to node": "Scheduler to node",
}
MESSAGES = [(way, tag) for way, table in TABLES.items() for tag in table]
RECORDS = {kind.__name__: kind for kind in records_in()}


def chapter(title: str, document: str = DOCUMENT) -> str:
    """What stands under a heading of rank two, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", document, re.DOTALL | re.M)
    assert found, f"there is no chapter {title!r}"
    return found[1]


def sections(text: str) -> dict[str, str]:
    """What stands under each heading of rank three, by the name in its backquotes."""
    parts = re.split(r"^### `(\w+)`\n", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its head."""
    lines = re.search(r"^\|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n?)*)", text, re.M)
    assert lines, "there is no table"
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1].splitlines()]


def blocks(document: str = DOCUMENT) -> list[tuple[str, list[str]]]:
    """Each block of JSON: what stands behind ``json``, and its lines."""
    found = re.findall(r"^```json *([^\n]*)\n(.*?)^```", document, re.DOTALL | re.M)
    return [(info, body.splitlines()) for info, body in found]


def examples(way: str) -> list[str]:
    """The example messages of a direction."""
    return [line for info, lines in blocks() for line in lines if info == way]


def fields_as_documented(section: str) -> list[tuple[str, str, bool]]:
    """Name, type and "required" of each field in a section's table."""
    cells = [(row[0].replace("**+**", "").strip(" `"), row[1], row[2]) for row in rows(section)]
    assert all(required in ("yes", "") for _, _, required in cells)
    return sorted((name, kind, required == "yes") for name, kind, required in cells)


def fields_as_coded(kind: type[Any]) -> list[tuple[str, str, bool]]:
    """The same, from the class."""
    found = []
    for field in attrs.fields(kind):
        required = field.default is attrs.NOTHING
        nullable = required and split(field.type)[1]
        found.append((field.name, type_text(field.type, nullable=nullable), required))
    return sorted(found)


def words(title: str) -> list[str]:
    """The words in the first column of a chapter's table."""
    return [re.sub(r"[*`+ ]", "", row[0]) for row in rows(chapter(title))]


# -- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", TABLES)
def test_every_message_has_its_section(way: str) -> None:
    """The chapter of a direction has a section for each of its messages, and no other."""
    assert sorted(sections(chapter(SECTIONS[way]))) == sorted(TABLES[way])


@pytest.mark.parametrize(("way", "tag"), MESSAGES)
def test_the_fields_of_a_message_are_those_of_its_class(way: str, tag: str) -> None:
    """Names, types, and what is required: the table of a message says what its class says."""
    section = sections(chapter(SECTIONS[way]))[tag]
    assert fields_as_documented(section) == fields_as_coded(TABLES[way][tag])


@pytest.mark.parametrize(("way", "tag"), MESSAGES)
def test_a_message_has_an_example_in_its_section(way: str, tag: str) -> None:
    """Each section shows the message itself, in its direction."""
    section = sections(chapter(SECTIONS[way]))[tag]
    shown = [(info, json.loads(line)["type"]) for info, ls in blocks(section) for line in ls]
    assert shown
    assert set(shown) == {(way, tag)}


def test_the_records_are_those_of_the_code() -> None:
    """Every object that is part of a message has its table, and no other does."""
    found = sections(chapter("Records"))
    assert {name: fields_as_documented(text) for name, text in found.items()} == {
        name: fields_as_coded(kind) for name, kind in RECORDS.items()
    }


@pytest.mark.parametrize("way", TABLES)
def test_every_example_is_a_message(way: str) -> None:
    """An example decodes in its direction, and has no field that the message does not have."""
    table: Mapping[str, type[Any]] = TABLES[way]
    lines = examples(way)
    assert {json.loads(line)["type"] for line in lines} == set(table)
    for line in lines:
        assert json.loads(codec.encode(codec.decode(line, table))) == json.loads(line)


def test_every_block_of_json_has_a_direction() -> None:
    """No example escapes: each block of JSON says who speaks to whom."""
    assert {info for info, _ in blocks()} == set(TABLES)


def test_the_simple_types_are_explained() -> None:
    """Every name that a type column uses is in the table of types."""
    explained = {name.strip() for row in rows(chapter("Values")) for name in row[0].split(",")}
    assert explained == {name for _, name in NAMES}


# -- words ----------------------------------------------------------------------------------


def test_the_error_codes_are_those_of_the_code() -> None:
    """The table lists every code once, and no other."""
    assert sorted(words("Error codes")) == sorted(Code)


def users() -> dict[str, set[str]]:
    """For each code who names it, in the scheduler's rooms and in the node's."""
    rooms = {"core": "scheduler", "runtime": "scheduler", "server": "scheduler", "node": "node"}
    found: dict[str, set[str]] = {code: set() for code in Code}
    for path, module in source_modules().items():
        room = rooms.get(path.parts[2])
        for node in ast.walk(module):
            if room and isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Code":
                found[Code[node.attr]].add(room)
    return found


def test_who_uses_an_error_code_is_said() -> None:
    """Whoever is said to use a code does name it; one that nobody names is not claimed."""
    named = users()
    for row in rows(chapter("Error codes")):
        code, said = row[0].strip("` *+"), set(filter(None, row[1].split(", ")))
        assert said <= named[code], code
        assert bool(said) == bool(named[code]), code


def test_the_close_codes_are_those_of_the_code() -> None:
    """Code, reason, and whether to connect again, for every end that has a code."""
    said = [(row[0], row[1], row[2]) for row in rows(chapter("Close codes"))]
    assert said == [
        (str(close.code), close.text, "yes" if may_reconnect(close.code) else "no")
        for close in Close
    ]


def test_the_reasons_of_a_missing_result_are_those_of_the_code() -> None:
    """Every outcome without content has its reason; a gap is the one that is no outcome."""
    assert sorted(words("Reasons of a missing result")) == sorted(
        {*OutcomeKind, "gap"} - {OutcomeKind.TRANSLATED}
    )


def test_the_events_of_a_job_are_those_of_the_code() -> None:
    """The table lists every event; those that the scheduler says are not in italics."""
    assert sorted(words("Events of a job")) == sorted(get_args(UiEventName))
    said = {row[0].strip("` *+") for row in rows(chapter("Events of a job")) if row[0][0] == "`"}
    core = [m for path, m in source_modules().items() if path.parts[2:3] == ("core",)]
    texts = {n.value for m in core for n in ast.walk(m) if isinstance(n, ast.Constant)}
    assert said == set(get_args(UiEventName)) & texts


def test_a_message_that_is_never_sent_is_said_to_be() -> None:
    """The sections that say *Not sent yet* are those of messages that nothing here makes."""
    made = {
        ast.unparse(node.func).rpartition(".")[2]
        for path, module in source_modules().items()
        if path.parts[2] in ("core", "runtime")
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
    }
    for way in ("to session", "to node"):
        silent = {tag for tag, kind in TABLES[way].items() if kind.__name__ not in made}
        texts = sections(chapter(SECTIONS[way]))
        assert {tag for tag, text in texts.items() if "Not sent yet." in text} == silent


# -- figures ----------------------------------------------------------------------------------


def welcomes() -> dict[tuple[str, str], Any]:
    """What a new session and a new node are told first."""
    world = Playbook()
    _, session_ack = world.join_session()
    node, _ = world.join_node()
    node_ack = world.last(node, TABLES["to node"]["node_register_ack"])
    return {
        ("to session", "session_init_ack"): session_ack,
        ("to node", "node_register_ack"): node_ack,
    }


def test_timers_and_limits_are_those_of_the_welcome() -> None:
    """The tables name every timer and every limit that a peer is told, and no other."""
    for (way, tag), ack in welcomes().items():
        meaning = {
            row[0].strip("` *+"): row[3] for row in rows(sections(chapter(SECTIONS[way]))[tag])
        }
        for field in ("timers", "limits"):
            assert sorted(re.findall(r"`(\w+)`", meaning[field])) == sorted(getattr(ack, field))


def test_figures_are_the_usual_settings() -> None:
    """A figure that is followed by a name in brackets is what that setting or timer usually is."""
    told = {name: value for ack in welcomes().values() for name, value in ack.timers.items()}
    figure = r"(\d[\d.]*) (s|min|MiB|attempts|such messages) \(`(\w+)`\)"
    found = re.findall(figure, " ".join(DOCUMENT.split()))
    assert len(found) > 10
    units = {"s": 1, "min": 60, "MiB": 2**20}
    for number, unit, name in found:
        usual = told[name] / 1000 if name in told else getattr(Config(), name)
        assert float(number) * units.get(unit, 1) == usual, name


# -- addresses ------------------------------------------------------------------------------


def test_the_websocket_paths_are_those_of_the_code() -> None:
    """Each door, and the message that opens it."""
    table = rows(chapter("Connections"))
    said = {re.sub(r"^ws://[^/]*|`", "", row[0].strip("`")): row[2].strip("`") for row in table}
    assert said == {path: role.hello for path, role in ROLES.items()}


def test_what_http_serves_is_documented() -> None:
    """Every path that has a route is in the table, and every path in the table has one."""
    routed = {
        node.args[0].value
        for module in source_modules().values()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "Route"
        and isinstance(node.args[0], ast.Constant)
    }
    assert set(words("HTTP")) == routed | set(PAGES)
