"""The decoder: whatever comes, a message or one error that names the place."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire import shapes

from scheduler.errors import ProtocolError
from scheduler.wire import codec, node, session

BEAT = {"type": "client_heartbeat", "session_id": "s-1", "timestamp": 7}
HELLO = {
    "type": "session_init",
    "client_version": "1",
    "platform": "web",
    "src_lang": "en",
    "tgt_lang": "es",
}
every_message = pytest.mark.parametrize(("table", "tag"), shapes.MESSAGES, ids=shapes.MESSAGE_NAMES)


def beat(timestamp: str) -> str:
    """A heartbeat with one number written as given."""
    return json.dumps(BEAT).replace("7", timestamp)


def problem(text: str | bytes, table: Mapping[str, type[Any]] = session.FROM_SESSION) -> str:
    """What the decoder has against a text."""
    with pytest.raises(ProtocolError) as caught:
        codec.decode(text, table)
    return str(caught.value)


# -- one place, one problem -----------------------------------------------------------------


@every_message
def test_a_message_with_everything_in_it_is_understood(
    table: Mapping[str, type[Any]], tag: str
) -> None:
    """Every message with all its fields present decodes, and encodes to the same JSON."""
    said = {"type": tag, **shapes.full(table[tag])}
    assert json.loads(codec.encode(codec.decode(json.dumps(said), table))) == said


@every_message
def test_a_wrong_value_is_named_by_its_place(table: Mapping[str, type[Any]], tag: str) -> None:
    """Whichever field of whichever record gets a value that is not allowed: it is named."""
    kind = table[tag]
    said = shapes.full(kind)
    for path, hint in shapes.places(kind, said):
        for value in shapes.wrong(hint):
            text = json.dumps({"type": tag, **shapes.replaced(said, path, value)})
            with pytest.raises(ProtocolError) as caught:
                codec.decode(text, table)
            assert caught.value.place == shapes.text_of(path)
            assert caught.value.problem.startswith(("expected ", "nested ", "number out of "))


@every_message
def test_a_field_may_be_absent_exactly_if_it_is_optional(
    table: Mapping[str, type[Any]], tag: str
) -> None:
    """A missing required field is named; a missing optional one is the same as a null."""
    kind = table[tag]
    said = {"type": tag, **shapes.full(kind)}
    for field in attrs.fields(kind):
        less = json.dumps({name: value for name, value in said.items() if name != field.name})
        if field.default is attrs.NOTHING:
            assert problem(less, table) == f"$.{field.name}: required"
        else:
            null = json.dumps(said | {field.name: None})
            assert codec.decode(less, table) == codec.decode(null, table)


def test_an_absent_optional_field_is_not_said() -> None:
    """What is None is left out, inside other records too, unless the wire wants a null there."""
    ack = session.SessionInitAck(
        session_id="s-1",
        assigned_node_id=None,
        message="",
        trace_id="t",
        protocol_version="1.0",
        use_binary_frame=False,
        negotiated_codec="pcm16",
    )
    said = json.loads(codec.encode(ack))
    assert said["assigned_node_id"] is None
    assert set(said) == {
        *("type", "session_id", "assigned_node_id", "message", "trace_id"),
        *("protocol_version", "use_binary_frame", "negotiated_codec"),
    }


@pytest.mark.parametrize("extra", [{"x": 1}, {"seq": "1"}, {"": None}, {"Session_id": 2}])
def test_unknown_fields_are_ignored(extra: dict[str, Any]) -> None:
    """A field that the message does not have changes nothing, whatever is in it."""
    assert codec.decode_from_session(json.dumps(BEAT | extra)) == codec.decode_from_session(
        json.dumps(BEAT)
    )


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    """As in most JSON readers; ``type`` is no exception."""
    text = '{"type":"client_heartbeat","session_id":1,"session_id":"b","timestamp":7}'
    assert codec.decode_from_session(text) == session.ClientHeartbeat(session_id="b", timestamp=7)
    text = '{"type":"client_heartbeat","type":"session_close","session_id":"s-1","reason":"r"}'
    assert isinstance(codec.decode_from_session(text), session.SessionClose)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{}", "$.type: required"),
        ('{"type":null}', "$.type: required"),
        ('{"type":7}', "$.type: expected str"),
        ('{"type":["client_heartbeat"]}', "$.type: expected str"),
        ('{"type":"translate"}', "$.type: unknown message type 'translate'"),
        ('{"type":"session_init_ack"}', "$.type: unknown message type 'session_init_ack'"),
        ("[]", "$: expected object"),
        ("null", "$: expected object"),
        ('"client_heartbeat"', "$: expected object"),
        ("7", "$: expected object"),
    ],
)
def test_what_is_no_message_is_told_so(text: str, answer: str) -> None:
    """JSON that is no object, or has no tag of this direction, is refused as such."""
    assert problem(text) == answer


def test_a_peer_gets_its_own_words_back_in_small_pieces() -> None:
    """However long an unknown tag or key is, the error about it stays short."""
    assert len(problem(json.dumps({"type": "x" * 100_000}))) < 120
    said = shapes.full(node.NodeHeartbeat)
    said["processing_metrics"] = {"serviceEfficiencies": {"k" * 100_000: "fast"}}
    text = problem(json.dumps({"type": "node_heartbeat", **said}), node.FROM_NODE)
    assert text.startswith("$.processing_metrics.serviceEfficiencies['kkk")
    assert len(text) < 160


# -- hostile texts --------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["0", "-1", "7", "-0", str(2**63 - 1)])
def test_whole_numbers_of_64_bits_are_ints(number: str) -> None:
    """Written as JSON writes them, without a point or an exponent."""
    assert codec.decode_from_session(beat(number)) == session.ClientHeartbeat(
        session_id="s-1", timestamp=int(number)
    )


@pytest.mark.parametrize(
    "number",
    [
        *("1.0", "-0.0", "1e2", "1E400", "-1e400", "NaN", "Infinity", "-Infinity"),
        *("true", '"7"', "null", "01", "+1", "1_0", "0x1", "1.", ".5", "--1", "\u0661"),
        *(str(2**63), "9" * 20, "-" + "9" * 30, "9" * 400, "9" * 5000),
    ],
)
def test_what_is_no_whole_number_of_64_bits_is_refused(number: str) -> None:
    """A float is no int, a text is no number, and a number has an end."""
    assert problem(beat(number)).startswith(("$.timestamp: expected", "$: not JSON"))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "[", '{"type"', "{}{}", "{}x", "\ufeff{}", "{'type':'x'}", "{,}", "//"),
        b"\xff\xfe{\x00}\x00",
        b'{"type":"client_heartbeat","session_id":"\xff","timestamp":1}',
        b'{"type":"client_heartbeat","session_id":"\xc0\x80","timestamp":1}',
        b'{"type":"client_heartbeat","session_id":"\xed\xa0\x80","timestamp":1}',
        *("\ud800", '{"type":"\ud800"}', '{"\udfff":1}'),
        *(r'{"type":"\ud800"}', r'{"type":"\udc00\ud800"}', r'{"x":"\ud800x"}', r'{"x":"\uZZZZ"}'),
        '{"type":"a\nb"}',
    ],
)
def test_what_is_not_json_is_refused_whole(text: str | bytes) -> None:
    """Truncated, trailing, badly encoded, with half a surrogate pair: one error, place ``$``."""
    assert problem(text).startswith("$: not JSON (")


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("closing", ["", "]", "}"])
def test_nesting_has_an_end(opening: str, closing: str) -> None:
    """However deep a text goes, in a field that is read or in one that is not: one error."""
    for depth in (300, 3_000):  # what is unread may pass
        deep = opening * depth + closing * depth
        for text in (deep, beat(deep), beat('1,"unknown":' + deep)):
            decodes_or_refuses(text)
    deep = opening * 30_000 + closing * 30_000
    for text in (deep, beat(deep), beat('1,"unknown":' + deep)):
        assert problem(text) == "$: nested too deeply"


def test_free_objects_are_nested_so_deep_and_no_deeper() -> None:
    """``features`` and its like may have FREE_DEPTH_MAX levels, the innermost value included."""

    def features(levels: int) -> dict[str, Any]:
        return {"a": features(levels - 1)} if levels > 2 else {"a": 1}

    fits, deeper = features(codec.FREE_DEPTH_MAX), features(codec.FREE_DEPTH_MAX + 1)
    message = codec.decode_from_session(json.dumps(HELLO | {"features": fits}))
    assert isinstance(message, session.SessionInit)
    assert message.features == fits
    assert problem(json.dumps(HELLO | {"features": deeper})) == "$.features: nested too deeply"


def test_large_texts_of_every_shape_are_read_or_refused() -> None:
    """A megabyte of key, of text, of items or of keys is nothing special."""
    million = 1_000_000
    understood = session.ClientHeartbeat(session_id="s-1", timestamp=7)
    assert codec.decode_from_session(json.dumps(BEAT | {"k" * million: 1})) == understood
    assert problem(json.dumps(BEAT | {"session_id": "s" * million})).startswith("$.session_id: ")
    many = json.dumps(HELLO | {"auto_langs": ["en"] * 60_000})
    assert problem(many) == "$.auto_langs: expected at most 32 items"
    keys = {str(i): i for i in range(60_000)}
    assert codec.decode_from_session(json.dumps(BEAT | keys)) == understood


# -- whatever comes ---------------------------------------------------------------------------


def decodes_or_refuses(text: str | bytes) -> None:
    """Decode in every direction; anything but a message or a ProtocolError fails the test.

    What was understood can be said again, and means the same.
    """
    for table in shapes.TABLES.values():
        found = shapes.answer(text, table)
        if isinstance(found, ProtocolError):
            assert found.place.startswith("$")
            assert found.problem
        else:
            assert codec.decode(codec.encode(found), table) == found


TAGS = [tag for _, tag in shapes.MESSAGES]
FIELDS = sorted({
    field.name for table, tag in shapes.MESSAGES for field in attrs.fields(table[tag])
})  # fmt: skip


@given(st.binary(max_size=200))
def test_bytes_of_any_kind(raw: bytes) -> None:
    """Any bytes are a message or a ProtocolError."""
    decodes_or_refuses(raw)


@given(st.text(st.characters(), max_size=200))
@example("\ud800")
def test_text_of_any_kind(text: str) -> None:
    """Any text is a message or a ProtocolError, half surrogate pairs included."""
    decodes_or_refuses(text)


@given(shapes.ANYTHING)
def test_json_of_any_kind(value: Any) -> None:
    """Any JSON is a message or a ProtocolError."""
    decodes_or_refuses(json.dumps(value))


@given(st.sampled_from(TAGS), st.dictionaries(st.sampled_from(FIELDS), shapes.ANYTHING))
def test_a_known_tag_with_any_fields(tag: str, fields: dict[str, Any]) -> None:
    """A message of a known type with any values in known fields is one or is refused."""
    decodes_or_refuses(json.dumps(fields | {"type": tag}))


@given(st.data())
def test_a_message_that_was_damaged(data: st.DataObject) -> None:
    """A message with some of its bytes replaced, dropped or repeated is one or is refused."""
    table, tag = data.draw(st.sampled_from(shapes.MESSAGES))
    raw = codec.encode(data.draw(shapes.records(table[tag]))).encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 8)))
    decodes_or_refuses(raw[:start] + data.draw(st.binary(max_size=8)) + raw[end:])


@given(st.data())
def test_a_message_with_one_field_that_became_something_else(data: st.DataObject) -> None:
    """A message with any JSON in place of one value, at any depth, is one or is refused there."""
    table, tag = data.draw(st.sampled_from(shapes.MESSAGES))
    said = shapes.full(table[tag])
    path, _ = data.draw(st.sampled_from(list(shapes.places(table[tag], said))))
    text = json.dumps({"type": tag, **shapes.replaced(said, path, data.draw(shapes.ANYTHING))})
    found = shapes.answer(text, table)
    if isinstance(found, ProtocolError):
        assert found.place.startswith(shapes.text_of(path))


def test_free_objects_have_so_many_characters_and_no_more() -> None:
    """``features`` and its like are no place for a book, however it is divided."""
    fits = {"a": "x" * (codec.FREE_CHARS_MAX - 1)}
    message = codec.decode_from_session(json.dumps(HELLO | {"features": fits}))
    assert isinstance(message, session.SessionInit)
    assert message.features == fits
    for larger in (fits | {"b": ""}, {"": ["x"] * codec.FREE_CHARS_MAX}):
        assert "at most" in problem(json.dumps(HELLO | {"features": larger | {"c": "x"}}))


@pytest.mark.parametrize("tiny", ["[],", "0,", "{},"])
def test_a_message_of_many_tiny_values_is_not_even_read(tiny: str) -> None:
    """What would take long to look at is refused at once; a long audio is not that."""
    text = json.dumps(HELLO)[:-1] + ', "features": {"a": [' + tiny * codec.VALUES_MAX + "0]}}"
    assert problem(text) == f"$: expected at most {codec.VALUES_MAX} values"
    audio = json.dumps(HELLO | {"audio": "A" * 4 * codec.VALUES_MAX})
    assert codec.decode_from_session(audio) == codec.decode_from_session(json.dumps(HELLO))
