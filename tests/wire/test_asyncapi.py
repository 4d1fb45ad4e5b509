"""docs/asyncapi.json is what the message classes say."""

import json
from collections.abc import Iterator
from typing import Any

from repository import ROOT
from wire.shapes import TABLES

from scheduler.runtime.peer import ROLES
from scheduler.wire.asyncapi import CHANNELS, document

FILE = ROOT / "docs" / "asyncapi.json"


def references(part: Any) -> Iterator[str]:
    """Every ``$ref`` anywhere in a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def resolved(whole: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        whole = whole[step]
    return whole


def test_the_file_is_up_to_date() -> None:
    """If this fails: python -m scheduler.wire.asyncapi > docs/asyncapi.json"""
    assert json.loads(FILE.read_text(encoding="utf-8")) == document()


def test_every_message_is_there_in_its_direction() -> None:
    """The operations have all messages of the four directions, each once."""
    whole = document()
    found = {
        f"{name.split('_')[0]} {name.split('_')[1]}": [
            resolved(whole, resolved(whole, message["$ref"])["$ref"])["name"]
            for message in operation["messages"]
        ]
        for name, operation in whole["operations"].items()
    }
    assert found == {way: list(table) for way, table in TABLES.items()}
    for channel in CHANNELS:
        assert not set(channel.heard) & set(channel.said), "a tag has one meaning on its channel"


def test_the_channels_are_the_doors() -> None:
    """The addresses are the paths at which the scheduler takes WebSockets."""
    assert {channel["address"] for channel in document()["channels"].values()} == set(ROLES)


def test_every_reference_leads_somewhere() -> None:
    """No reference of the document is broken, and no shared record is unused."""
    whole = document()
    used = set(references(whole))
    for reference in used:
        assert resolved(whole, reference)
    records = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert records <= used
