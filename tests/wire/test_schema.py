"""The schema of a message allows exactly what the codec takes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from wire.shapes import MESSAGE_NAMES, MESSAGES, answer, full, places, replaced, wrong

from scheduler.errors import ProtocolError
from scheduler.wire.schema import Schemas, description

PLACE = "#/"
KINDS: dict[str, Any] = {
    "string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict,
    "array": list, "null": type(None),
}  # fmt: skip
every_message = pytest.mark.parametrize(("table", "tag"), MESSAGES, ids=MESSAGE_NAMES)


def allows(schema: Mapping[str, Any], records: Mapping[str, Any], value: Any) -> bool:
    """Whether ``schema`` allows ``value``: as much of JSON Schema as the messages need."""
    if "$ref" in schema:
        return allows(records[schema["$ref"].removeprefix(PLACE)], records, value)
    if "anyOf" in schema:
        return any(allows(each, records, value) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return bool(value in schema.get("enum", [schema.get("const")]))
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_a(name, value) for name in names):
            return False
    if isinstance(value, str):
        most: int = schema.get("maxLength", len(value))
        return len(value) <= most and len(value) >= int(schema.get("minLength", 0))
    if isinstance(value, list):
        fits = len(value) <= schema.get("maxItems", len(value))
        return fits and all(allows(schema.get("items", {}), records, each) for each in value)
    if isinstance(value, dict):
        return fields_allowed(schema, records, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def is_a(name: str, value: Any) -> bool:
    """Types are strict: true is no number, 1.0 is no integer."""
    right: bool = isinstance(value, KINDS[name])
    return right and (name == "boolean") == isinstance(value, bool)


def fields_allowed(schema: Mapping[str, Any], records: Mapping[str, Any], value: Any) -> bool:
    known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    return set(schema.get("required", [])) <= set(value) and all(
        allows(known.get(name, other), records, each) for name, each in value.items()
    )


def agree(table: Mapping[str, type[Any]], tag: str, message: Any) -> bool:
    """What both say of a message; they must say the same."""
    schemas = Schemas(PLACE)
    by_schema = allows(schemas.message(tag, table[tag]), schemas.records, message)
    by_codec = not isinstance(answer(json.dumps(message), table), ProtocolError)
    assert by_schema == by_codec, message
    return by_schema


def sayable(value: Any) -> bool:
    """What a schema can forbid: not the depth of free objects, nor numbers beyond all types."""
    return value != 10**400 and not (isinstance(value, dict) and {"in", "int"} & set(value))


@every_message
def test_a_full_message_and_a_short_one_are_allowed(
    table: Mapping[str, type[Any]], tag: str
) -> None:
    """With all optional fields or without them, and without any required one not."""
    whole = {"type": tag, **full(table[tag])}
    assert agree(table, tag, whole)
    required = Schemas(PLACE).message(tag, table[tag])["required"]
    short = {name: whole[name] for name in required}
    assert agree(table, tag, short)
    for name in required[1:]:
        assert not agree(table, tag, {k: v for k, v in short.items() if k != name})


@every_message
def test_what_the_codec_refuses_anywhere_is_not_allowed(
    table: Mapping[str, type[Any]], tag: str
) -> None:
    """At each place of a message: wrong types, wrong words, out of bounds."""
    whole = {"type": tag, **full(table[tag])}
    for path, hint in places(table[tag], full(table[tag])):
        for value in filter(sayable, wrong(hint)):
            assert not agree(table, tag, replaced(whole, path, value)), (path, value)


def test_a_type_that_the_wire_does_not_have_is_noticed() -> None:
    """A new kind of field needs its schema before it can be documented."""
    with pytest.raises(KeyError):
        Schemas(PLACE).of(bytes)


def test_a_docstring_is_running_text() -> None:
    """Lines are joined, paragraphs are kept, code is marked as in Markdown."""

    class Spoken:
        """One thing that
        was ``said``.

        And more.
        """

    assert description(Spoken) == "One thing that was `said`.\n\nAnd more."
