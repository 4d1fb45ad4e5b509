"""The wire as an AsyncAPI 3 document, drawn from the message classes.

    python -m scheduler.wire.asyncapi > docs/asyncapi.json

It is written from the scheduler's side: it *receives* what sessions and nodes say.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from scheduler import __version__
from scheduler.wire.node import FROM_NODE, TO_NODE
from scheduler.wire.schema import Schemas, description
from scheduler.wire.session import FROM_SESSION, TO_SESSION

Part = dict[str, Any]


@attrs.frozen
class Channel:
    """One path for WebSockets, with what is said on it in both directions, by tag."""

    name: str
    summary: str
    heard: Mapping[str, type]
    said: Mapping[str, type]


CHANNELS = (
    Channel("session", "Where people's devices connect.", FROM_SESSION, TO_SESSION),
    Channel("node", "Where machines with speech models connect.", FROM_NODE, TO_NODE),
)
TEXT = (
    "One JSON object per WebSocket text message, told apart by `type`. Unknown fields are "
    "ignored, types are strict, and a null stands for an absent optional field. What the messages "
    "mean, when they are sent and what is promised stands in protocol.md beside this file."
)


def document() -> Part:
    """The whole document, as plain data."""
    schemas = Schemas("#/components/schemas/")
    messages: dict[str, Part] = {}
    for channel in CHANNELS:
        for tag, kind in {**channel.heard, **channel.said}.items():
            messages[_key(channel, tag)] = {
                "name": tag,
                "title": kind.__name__,
                "summary": description(kind).split("\n\n", 1)[0],
                "payload": schemas.message(tag, kind),
            }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "lingua-scheduler",
            "version": __version__,
            "description": TEXT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:5010", "protocol": "ws"}},
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(operation for channel in CHANNELS for operation in _operations(channel)),
        "components": {"messages": messages, "schemas": dict(sorted(schemas.records.items()))},
    }


def _key(channel: Channel, tag: str) -> str:
    return f"{channel.name}.{tag}"


def _channel(channel: Channel) -> Part:
    return {
        "address": f"/ws/{channel.name}",
        "summary": channel.summary,
        "messages": {
            tag: {"$ref": f"#/components/messages/{_key(channel, tag)}"}
            for tag in (*channel.heard, *channel.said)
        },
    }


def _operations(channel: Channel) -> list[tuple[str, Part]]:
    def operation(action: str, tags: Mapping[str, type]) -> Part:
        place = f"#/channels/{channel.name}"
        return {
            "action": action,
            "channel": {"$ref": place},
            "messages": [{"$ref": f"{place}/messages/{tag}"} for tag in tags],
        }

    return [
        (f"from_{channel.name}", operation("receive", channel.heard)),
        (f"to_{channel.name}", operation("send", channel.said)),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=2, ensure_ascii=False) + "\n")
