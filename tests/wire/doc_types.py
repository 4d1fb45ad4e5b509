"""How docs/protocol.md names the types of fields."""

from typing import Any, Literal, get_args, get_origin

import attrs
from wire.shapes import bare, split

from scheduler.wire import common

NAMES: list[tuple[Any, str]] = [
    (common.Id, "id"),
    (common.TraceId, "trace id"),
    (common.Language, "language"),
    (common.Name, "word"),
    (common.Index, "count"),
    (common.ClientIndex, "index"),
    (common.AttemptNumber, "attempt"),
    (common.SampleRate, "rate"),
    (common.ServiceType, "service type"),
    (common.UiEventName, "event"),
    (str, "text"),
    (bool, "bool"),
    (int, "int"),
    (float, "number"),
    (Any, "anything"),
    (dict[str, Any], "object"),
    (dict[str, int], "object of ints"),
    (dict[str, float], "object of numbers"),
]
"""The simple types, in the words of the document's own table."""


def type_text(hint: Any, *, nullable: bool = False) -> str:
    """What the document's column "type" says of a field; ``nullable`` if null is a value of it."""
    inner = split(hint)[0]
    found = _name(inner)
    return f"{found} or null" if nullable else found


def _name(hint: Any) -> str:
    for known, name in NAMES:
        if hint == known:
            return name
    inner, _ = bare(hint)
    if get_origin(inner) is tuple:
        item = _name(get_args(inner)[0])
        return f"list of {item}" if item.endswith((")", "anything")) else f"list of {item}s"
    if get_origin(inner) is Literal:
        words = [f"`{word}`" for word in get_args(inner)]
        return ", ".join(words[:-1]) + f" or {words[-1]}"
    if attrs.has(inner):
        return f"[{inner.__name__}](#{inner.__name__.lower()})"
    raise TypeError(f"the document has no name for {hint!r}")
