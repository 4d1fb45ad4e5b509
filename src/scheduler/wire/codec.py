"""Text to messages and back: the only place that knows JSON and cattrs.

Decoding is strict: a type is the type that was asked for (``true`` is no number, ``"7"`` is
not 7, a text is no list), numbers are finite, texts can be encoded again. Unknown fields are
ignored, and of a key that comes twice the last counts. A null stands for an absent optional
field. Whatever is wrong, :func:`decode` raises one error that names the place, and no other.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import attrs
import msgspec
from cattrs import Converter
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn
from cattrs.preconf.msgspec import make_converter

from scheduler.errors import ProtocolError
from scheduler.wire import node, session
from scheduler.wire.common import Between, Chars, Items

FREE_DEPTH_MAX = 32
"""How deep a free object (``extra``, ``features``) may be nested."""
FREE_CHARS_MAX = 256 * 2**10
"""How many characters the texts and keys in a free object may have together."""
VALUES_MAX = 256 * 2**10
"""About how many values one message may have: far more than any has, and soon looked at."""
INTEGER_MAX = 2**63 - 1
KEY_SHOWN_CHARS = 64
"""How much of a word of the peer's own choice is repeated to it in an error."""

M = TypeVar("M")
Hook = Callable[[Any, Any], Any]


class _Wrong(ValueError):
    """A value that is not what was asked for; the text says what was."""


def _exactly(kind: type, name: str) -> Hook:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"expected {name}")
        return value

    return check


def _integer(value: Any, _: Any) -> int:
    if type(value) is not int:
        raise _Wrong("expected int")
    if not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise _Wrong("expected a 64-bit int")
    return value


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise _Wrong("expected number")
    try:
        return float(value)
    except OverflowError:
        raise _Wrong("number out of range") from None


def _free(value: Any, _: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Wrong("expected object")
    _check_free(value, FREE_DEPTH_MAX)
    return value


def _anything(value: Any, _: Any) -> Any:
    _check_free(value, FREE_DEPTH_MAX)
    return value


def _as_it_is(value: Any, _: Any) -> Any:
    return value


def _check_free(value: Any, depth: int, chars: int = 0) -> int:
    """What is passed on unread must at least be sayable again, and no place to put a book.

    ``chars`` are those of what came before it; returns those with it.
    """
    if depth == 0:
        raise _Wrong("nested too deeply")
    if type(value) is int and not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise _Wrong("expected 64-bit ints")
    if type(value) is str:
        chars += len(value)
    elif type(value) is dict:
        chars += sum(map(len, value))
    if chars > FREE_CHARS_MAX:
        raise _Wrong(f"expected at most {FREE_CHARS_MAX} characters in all")
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    for item in inner:
        chars = _check_free(item, depth - 1, chars)
    return chars


def _has_too_many_values(text: str | bytes) -> bool:
    """Whether a message is made of tiny values: reading those would keep everybody waiting.

    Commas, brackets and braces in its texts are counted as well; in audio there are none.
    """
    if isinstance(text, bytes):
        return sum(map(text.count, (b",", b"[", b"{"))) > VALUES_MAX
    return sum(map(text.count, ",[{")) > VALUES_MAX


def _list_hook(kind: Any, converter: Converter) -> Hook:
    item_type = get_args(kind)[0]
    structure_item = converter.get_structure_hook(item_type)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _Wrong("expected list")
        return tuple([_inner(structure_item, item, item_type, i) for i, item in enumerate(value)])

    return structure


def _table_hook(kind: Any, converter: Converter) -> Hook:
    value_type = get_args(kind)[1]
    structure_value = converter.get_structure_hook(value_type)

    def structure(value: Any, _: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Wrong("expected object")
        return {k: _inner(structure_value, v, value_type, k) for k, v in value.items()}

    return structure


def _inner(structure: Hook, value: Any, kind: Any, index: int | str) -> Any:
    """One item of a list or a table; what is wrong with it is handed on with its place."""
    try:
        return structure(value, kind)
    except Exception as error:  # noqa: BLE001  # whatever it is, the peer caused it
        error.add_note(IterableValidationNote("item", index, kind))
        raise IterableValidationError("item", [error], type(value)) from None


def _literal_hook(kind: Any) -> Hook:
    words = get_args(kind)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not str or value not in words:
            raise _Wrong(f"expected one of {', '.join(words)}")
        return value

    return structure


def _unbounded_hook(kind: Any, converter: Converter) -> Hook:
    return converter.get_structure_hook(get_args(kind)[0])


def _bounded_hook(kind: Any, converter: Converter) -> Hook:
    base, bound = get_args(kind)[:2]
    structure_base = converter.get_structure_hook(base)

    def chars(value: Any, _: Any) -> Any:
        text = structure_base(value, base)
        if not bound.least <= len(text) <= bound.most:
            raise _Wrong(f"expected {bound.least} to {bound.most} characters")
        return text

    def items(value: Any, _: Any) -> Any:
        if type(value) is list and len(value) > bound.most:  # before any of them is looked at
            raise _Wrong(f"expected at most {bound.most} items")
        return structure_base(value, base)

    def between(value: Any, _: Any) -> Any:
        number = structure_base(value, base)
        if not bound.least <= number <= bound.most:
            raise _Wrong(f"expected {bound.least} to {bound.most}")
        return number

    return {Chars: chars, Items: items, Between: between}[type(bound)]


def _record_hook(kind: Any, converter: Converter) -> Hook:
    structure_record = make_dict_structure_fn(kind, converter)

    def structure(value: Any, as_type: Any) -> Any:
        if type(value) is not dict:
            raise _Wrong("expected object")
        return structure_record(value, as_type)

    return structure


def _is_bounded(kind: Any) -> bool:
    return get_origin(kind) is Annotated and isinstance(get_args(kind)[1], Chars | Items | Between)


def _made_of(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) == origin


def _strict_converter(*, bounded: bool) -> Any:
    converter: Any = make_converter(omit_if_default=True)
    converter.register_structure_hook_factory(attrs.has, _record_hook)
    bound_hook = _bounded_hook if bounded else _unbounded_hook
    converter.register_structure_hook_factory(_is_bounded, bound_hook)
    converter.register_structure_hook_factory(_made_of(Literal), _literal_hook)
    converter.register_structure_hook_factory(_made_of(tuple), _list_hook)
    converter.register_structure_hook_factory(_made_of(dict), _table_hook)
    free = _free if bounded else _exactly(dict, "object")
    converter.register_structure_hook_func(lambda t: t == dict[str, Any], free)
    converter.register_structure_hook_func(lambda t: t is Any, _anything if bounded else _as_it_is)
    converter.register_structure_hook(str, _exactly(str, "str"))
    converter.register_structure_hook(bool, _exactly(bool, "bool"))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    return converter


_converter = _strict_converter(bounded=True)
_own_converter = _strict_converter(bounded=False)
_json = msgspec.json.Decoder()
_TAGS: dict[type, str] = {
    kind: tag
    for table in (session.FROM_SESSION, session.TO_SESSION, node.FROM_NODE, node.TO_NODE)
    for tag, kind in table.items()
}


def encode(message: session.FromSession | session.ToSession | node.FromNode | node.ToNode) -> str:
    """The JSON text of a message; optional fields that are absent are left out."""
    content = _converter.unstructure(message)
    text: bytes = msgspec.json.encode({"type": _TAGS[type(message)], **content})
    return text.decode()


def decode(text: str | bytes, table: Mapping[str, type[M]]) -> M:
    """The message in ``text``, one of those in ``table`` (tag → class).

    Raises :class:`~scheduler.errors.ProtocolError` and nothing else, whatever comes.
    """
    if len(text) > VALUES_MAX and _has_too_many_values(text):
        raise ProtocolError("$", f"expected at most {VALUES_MAX} values")
    return _decode(text, table, _converter)


def decode_own(text: str, table: Mapping[str, type[M]]) -> M:
    """As :func:`decode`, for what this program wrote down: the bounds are for peers only."""
    return _decode(text, table, _own_converter)


def _decode(text: str | bytes, table: Mapping[str, type[M]], converter: Any) -> M:
    try:
        value = _json.decode(text)
    except RecursionError:
        raise ProtocolError("$", "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ProtocolError("$", f"not JSON ({error})") from None
    if type(value) is not dict:
        raise ProtocolError("$", "expected object")
    tag = value.get("type")
    if type(tag) is not str:
        raise ProtocolError("$.type", "required" if tag is None else "expected str")
    kind = table.get(tag)
    if kind is None:
        raise ProtocolError("$.type", f"unknown message type {tag[:KEY_SHOWN_CHARS]!r}")
    try:
        message: M = converter.structure(value, kind)
    except Exception as error:  # noqa: BLE001  # whatever a converter raises, the peer caused
        raise ProtocolError(*_first_problem(error, "$")) from None
    return message


def _first_problem(error: BaseException, place: str) -> tuple[str, str]:
    """Where in the message the first problem is, and what it is."""
    if isinstance(error, ClassValidationError | IterableValidationError):
        inner = error.exceptions[0]
        return _first_problem(inner, place + _step(inner))
    if isinstance(error, KeyError):
        return place, "required"
    return place, str(error) or type(error).__name__


def _step(error: BaseException) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            key = note.index if isinstance(note.index, int) else note.index[:KEY_SHOWN_CHARS]
            return f"[{key!r}]"
    return ""


def decode_from_session(text: str | bytes) -> session.FromSession:
    """A message of a session; raises ``ProtocolError``."""
    return decode(text, session.FROM_SESSION)


def decode_to_session(text: str | bytes) -> session.ToSession:
    """A message to a session; raises ``ProtocolError``."""
    return decode(text, session.TO_SESSION)


def decode_from_node(text: str | bytes) -> node.FromNode:
    """A message of a node; raises ``ProtocolError``."""
    return decode(text, node.FROM_NODE)


def decode_to_node(text: str | bytes) -> node.ToNode:
    """A message to a node; raises ``ProtocolError``."""
    return decode(text, node.TO_NODE)
