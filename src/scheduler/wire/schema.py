"""JSON Schema of the messages, drawn from their classes: the same types that the codec reads.

A field without a default is required. One that may be null may also be left out, and the other
way round: the codec takes a null for an absent field.
"""

import inspect
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from scheduler.wire.common import Between, Chars, Items

Schema = dict[str, Any]
PLAIN: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1},
    float: {"type": "number"},
    NoneType: {"type": "null"},
    Any: {},
}
BOUNDS: Mapping[type, Callable[[Any], Schema]] = {
    Chars: lambda bound: {"minLength": bound.least, "maxLength": bound.most},
    Items: lambda bound: {"maxItems": bound.most},
    Between: lambda bound: {"minimum": bound.least, "maximum": bound.most},
}


class Schemas:
    """Makes schemas, and collects those of the records that they refer to by ``place``."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.records: dict[str, Schema] = {}

    def message(self, tag: str, kind: type) -> Schema:
        """A whole message: its fields and its ``type``."""
        schema = self._record(kind)
        schema["properties"] = {"type": {"const": tag}, **schema["properties"]}
        schema["required"] = ["type", *schema["required"]]
        return schema

    def of(self, kind: Any) -> Schema:
        """The schema of a field's type. Raises ``KeyError`` for one that the wire does not have."""
        origin, args = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.of(args[0]) | BOUNDS[type(args[1])](args[1])
        if origin is Literal:
            return {"enum": list(args)}
        if origin in (UnionType, Union):
            return _either([self.of(arg) for arg in args])
        if origin is tuple:
            return {"type": "array", "items": self.of(args[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(args[1])}
        if attrs.has(kind):
            if kind.__name__ not in self.records:
                self.records[kind.__name__] = self._record(kind)
            return {"$ref": self._place + kind.__name__}
        return dict(PLAIN[kind])

    def _record(self, kind: type) -> Schema:
        fields = attrs.fields(attrs.resolve_types(kind))
        return {
            "type": "object",
            "description": description(kind),
            "required": [field.name for field in fields if field.default is attrs.NOTHING],
            "properties": {field.name: self.of(field.type) for field in fields},
        }


def description(kind: type) -> str:
    """The docstring of a class as running text."""
    paragraphs = inspect.cleandoc(kind.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _either(schemas: list[Schema]) -> Schema:
    """One of several; a plain type that may be null stays one line."""
    (first, *others) = schemas
    if others == [PLAIN[NoneType]] and isinstance(first.get("type"), str):
        return {**first, "type": [first["type"], "null"]}
    return {"anyOf": schemas}
