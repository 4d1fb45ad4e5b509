"""Messages made from the classes themselves, so that a new field is tested as soon as it exists.

A *hint* is the declared type of a field. Everything here is derived from hints alone; only
what a hint means in JSON is written down a second time, in :func:`kind_of`.
"""

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import attrs
from hypothesis import strategies as st

from scheduler.errors import ProtocolError
from scheduler.wire import codec, node, session
from scheduler.wire.common import Between, Chars, Items

TABLES: dict[str, Mapping[str, type[Any]]] = {
    "from session": session.FROM_SESSION,
    "to session": session.TO_SESSION,
    "from node": node.FROM_NODE,
    "to node": node.TO_NODE,
}
MESSAGES: list[tuple[Mapping[str, type[Any]], str]] = [
    (table, tag) for table in TABLES.values() for tag in table
]
"""Every message with the table that it is decoded by."""
MESSAGE_NAMES = [f"{way} {tag}" for way, table in TABLES.items() for tag in table]

Json = Any
Path = tuple[str | int, ...]


def split(hint: Any) -> tuple[Any, bool]:
    """The hint without ``| None``, and whether it had one. ``Any`` may be anything, null too."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        return inner, True
    return hint, hint is Any


def bare(hint: Any) -> tuple[Any, Any]:
    """The hint without its bound, and the bound if it has one."""
    if typing.get_origin(hint) is Annotated:
        inner, bound = typing.get_args(hint)
        return inner, bound
    return hint, None


def kind_of(hint: Any) -> str:
    """What JSON value a hint asks for, null aside."""
    inner, _ = bare(split(hint)[0])
    names = {str: "str", bool: "bool", int: "int", float: "number", Any: "anything"}
    if inner in names:
        return names[inner]
    origin = typing.get_origin(inner)
    if origin is Literal:
        return "word"
    if origin is tuple:
        return "list"
    if origin is dict or attrs.has(inner):
        return "object"
    raise TypeError(f"{hint!r} has no meaning on the wire")


def records_in(tables: Mapping[str, Mapping[str, type[Any]]] = TABLES) -> list[type[Any]]:
    """The classes of all objects inside of messages, in the order in which they are met."""
    found: dict[type[Any], None] = {}
    for table in tables.values():
        for message in table.values():
            for field in attrs.fields(message):
                found.update(dict.fromkeys(_classes(field.type)))
    return list(found)


def _classes(hint: Any) -> Iterator[type[Any]]:
    inner, _ = bare(split(hint)[0])
    if attrs.has(inner):
        yield inner
        for field in attrs.fields(inner):
            yield from _classes(field.type)
    elif typing.get_origin(inner) in (tuple, dict):
        for arg in typing.get_args(inner):
            yield from _classes(arg)


def answer(text: str | bytes, table: Mapping[str, type[Any]]) -> Any:
    """What the decoder makes of a text: a message, or its ``ProtocolError``. It raises the rest."""
    try:
        return codec.decode(text, table)
    except ProtocolError as error:
        return error


# -- any message ------------------------------------------------------------------------

INTEGERS = st.integers(-(2**63) + 1, 2**63 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
"""Any JSON value."""


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a hint, as Python holds them."""
    inner, nullable = split(hint)
    found = _values(*bare(inner))
    return st.none() | found if nullable else found


def _values(inner: Any, bound: Any) -> st.SearchStrategy[Any]:
    if attrs.has(inner):
        return records(inner)
    args = typing.get_args(inner)
    match kind_of(inner):
        case "str":
            least, most = (bound.least, bound.most) if bound else (0, 20)
            return st.text(min_size=least, max_size=min(most, 20)) | st.just("é" * most)
        case "bool":
            return st.booleans()
        case "int":
            return st.integers(bound.least, bound.most) if bound else INTEGERS
        case "number":
            return NUMBERS
        case "word":
            return st.sampled_from(args)
        case "list":
            return st.lists(values(args[0]), max_size=3).map(tuple)
        case "object" if args[1] is not Any:
            return st.dictionaries(st.text(max_size=8), values(args[1]), max_size=3)
        case "object":
            return st.dictionaries(st.text(max_size=8), ANYTHING, max_size=3)
        case _:
            return ANYTHING


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of a record or message class, with any of its optional fields absent."""
    return st.builds(kind, **{field.name: values(field.type) for field in attrs.fields(kind)})


# -- one message with everything in it, as JSON -------------------------------------------


def full(hint: Any) -> Json:
    """A value of a hint in which every optional field and every list has something in it."""
    inner, bound = bare(split(hint)[0])
    if attrs.has(inner):
        return {field.name: full(field.type) for field in attrs.fields(inner)}
    args = typing.get_args(inner)
    match kind_of(inner):
        case "str":
            return "x"
        case "bool":
            return True
        case "int":
            return bound.least if bound else 7
        case "number":
            return 1.5
        case "word":
            return args[0]
        case "list":
            return [full(args[0])]
        case "object":
            return {"key": full(args[1])}
        case _:
            return {"free": ["x", None]}


def places(hint: Any, value: Json, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place inside ``value`` that has a declared type, with its hint."""
    inner, _ = bare(split(hint)[0])
    args = typing.get_args(inner)
    below: list[tuple[str | int, Any]] = []
    if attrs.has(inner):
        below = [(field.name, field.type) for field in attrs.fields(inner)]
    elif kind_of(inner) == "list":
        below = [(place, args[0]) for place in range(len(value))]
    elif kind_of(inner) == "object" and args[1] is not Any:
        below = [(name, args[1]) for name in value]
    for step, step_hint in below:
        yield (*path, step), step_hint
        yield from places(step_hint, value[step], (*path, step))


def text_of(path: Path) -> str:
    """The JSON path of a place, as a ``ProtocolError`` names it; table keys are quoted."""
    steps = (f"[{s!r}]" if s == "key" or isinstance(s, int) else f".{s}" for s in path)
    return "$" + "".join(steps)


def replaced(value: Json, path: Path, new: Json) -> Json:
    """A copy of ``value`` with another value at ``path``."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


SAMPLES: dict[str, list[Json]] = {
    "null": [None],
    "bool": [True, False],
    "int": [0, 1, -1],
    "number": [1.0, 0.5, -0.0],
    "str": ["", "7", "true"],
    "list": [[], ["x"]],
    "object": [{}, {"x": 1}],
}


def wrong(hint: Any) -> Iterator[Json]:
    """JSON values that a hint does not allow: other types, other words, out of bounds."""
    inner, nullable = split(hint)
    inner, bound = bare(inner)
    kind = kind_of(inner)
    allowed = {
        "anything": set(SAMPLES),
        "number": {"int", "number"},
        "word": set(),
    }.get(kind, {kind})
    for other, samples in SAMPLES.items():
        if other not in allowed and not (other == "null" and nullable):
            yield from samples
    match bound:
        case Chars(most=most, least=least):
            yield "x" * (most + 1)
            if least:
                yield "x" * (least - 1)
        case Between(least=least, most=most):
            yield from (least - 1, most + 1)
        case Items(most=most):
            yield [full(typing.get_args(inner)[0])] * (most + 1)
    if kind == "int":
        yield from (2**63, -(2**63), 10**40)
    if kind == "number":
        yield 10**400
    if kind == "anything" or inner == dict[str, Any]:
        deep: Json = {}
        for _ in range(40):
            deep = {"in": deep}
        yield from (deep, {"int": 2**63})
