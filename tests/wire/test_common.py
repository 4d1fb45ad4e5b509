"""What the records and bounds of the wire have in common, whatever message they are in."""

import json
from typing import Any

import attrs
import pytest
from wire import shapes

from scheduler.errors import ProtocolError
from scheduler.wire import common, session

NULL_IS_SAID = {("JobAssign", "dialect"), ("SessionInitAck", "assigned_node_id")}
"""Required fields that may be null: peers of the base expect to find them."""


CLASSES = [*dict.fromkeys(table[tag] for table, tag in shapes.MESSAGES), *shapes.records_in()]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_records_are_frozen_and_named_by_keyword(kind: type[Any]) -> None:
    """A message cannot be changed, and no field of it is set by its position."""
    names = [field.name for field in attrs.fields(kind)]
    record = kind(**dict.fromkeys(names))
    for name in names:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(record, name, 1)
    with pytest.raises(TypeError):
        kind(*names)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_optional_means_none_by_default(kind: type[Any]) -> None:
    """A field has a default exactly if it may be null; the default is None."""
    for field in attrs.fields(kind):
        _, nullable = shapes.split(field.type)
        if (kind.__name__, field.name) in NULL_IS_SAID:
            assert nullable
            assert field.default is attrs.NOTHING
        else:
            assert field.default is (None if nullable else attrs.NOTHING)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__qualname__)
def test_times_are_whole_milliseconds(kind: type[Any]) -> None:
    """A field that is a time ends in ``_ms`` and is an int, unless it is measured in megabytes."""
    for field in attrs.fields(kind):
        if field.name.endswith("_ms") and field.name != "warmup_ms":
            assert shapes.kind_of(field.type) == "int", field.name


def accepts(value: Any, field: str, message: dict[str, Any]) -> bool:
    """Whether a session's message is understood with ``value`` in ``field``."""
    found = shapes.answer(json.dumps(message | {field: value}), session.FROM_SESSION)
    if isinstance(found, ProtocolError):
        assert found.place == f"$.{field}"
        return False
    return True


ACK = {"type": "result_ack", "session_id": "s-1", "seq": 1}
SAID = {"type": "utterance", **shapes.full(session.Utterance)}


@pytest.mark.parametrize(
    ("field", "message", "least", "most"),
    [
        ("session_id", ACK, 1, common.ID_CHARS_MAX),
        ("trace_id", SAID, 0, common.ID_CHARS_MAX),
        ("src_lang", SAID, 1, common.LANGUAGE_CHARS_MAX),
        ("dialect", SAID, 0, common.NAME_CHARS_MAX),
    ],
)
def test_texts_have_a_length(field: str, message: dict[str, Any], least: int, most: int) -> None:
    """Both bounds of a text belong to it; they count characters, not bytes."""
    assert accepts("ñ" * least, field, message)
    assert accepts("ñ" * most, field, message)
    assert not accepts("ñ" * (most + 1), field, message)
    assert least == 0 or not accepts("ñ" * (least - 1), field, message)


@pytest.mark.parametrize(
    ("field", "message", "least", "most"),
    [
        ("seq", ACK, 0, 2**53),
        ("utterance_index", SAID, 0, 2**52),
        ("sample_rate", SAID, 1, common.SAMPLE_RATE_MAX_HZ),
    ],
)
def test_numbers_have_bounds(field: str, message: dict[str, Any], least: int, most: int) -> None:
    """Both bounds of a number belong to it."""
    assert accepts(least, field, message)
    assert accepts(most, field, message)
    assert not accepts(least - 1, field, message)
    assert not accepts(most + 1, field, message)


def test_lists_have_a_length() -> None:
    """The bound of a list belongs to it; a session cannot make placement look at more."""
    most = common.AUTO_LANGUAGES_MAX
    assert accepts([], "auto_langs", SAID)
    assert accepts(["en"] * most, "auto_langs", SAID)
    assert not accepts(["en"] * (most + 1), "auto_langs", SAID)
