"""The engine's whole state as a value, to see whether a step has changed anything."""

import copy
from collections import OrderedDict, deque
from typing import Any

import attrs

from scheduler.core.engine import Engine
from scheduler.core.job import Attempt, Job
from scheduler.core.node import Node
from scheduler.core.session import Collected, OwedOutcome, Session

PARTS = (Attempt, Collected, OwedOutcome)
NOT_COMPARED = frozenset({"config", "counts", "story", "ids", "settled"})
"""A stale input is counted and told in the story. Old records may be forgotten at any step."""


def frozen(engine: Engine) -> dict[str, Any]:
    """Every record and every collection of the state, and the next id of each kind."""
    state = engine._state
    value: dict[str, Any] = {
        field.name: _freeze(getattr(state, field.name))
        for field in attrs.fields(type(state))
        if field.name not in NOT_COMPARED | {"jobs", "sessions", "nodes"}
    }
    for name in ("jobs", "sessions", "nodes"):
        records = getattr(state, name)
        value[name] = {key: _fields(record) for key, record in records.items()}
    value["ids"] = repr(vars(state.ids))
    return value


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A sentence for each field that differs, but for records that were forgotten."""
    for job_id in before["jobs"].keys() - after["jobs"].keys():
        if before["jobs"][job_id]["settled_at"] is not None:
            del before["jobs"][job_id]
    return list(_compare("state", before, after))


def _compare(where: str, before: Any, after: Any) -> list[str]:
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return [
            line for key in before for line in _compare(f"{where}.{key}", before[key], after[key])
        ]
    return [f"{where}: {before} became {after}"]


def _fields(record: Any) -> dict[str, Any]:
    return {
        field.name: _freeze(getattr(record, field.name))
        for field in attrs.fields(type(record))
        if field.name not in NOT_COMPARED
    }


def _freeze(value: Any) -> Any:
    """A copy of what can change; what cannot is its own copy."""
    if isinstance(value, Job):
        return value.job_id
    if isinstance(value, Session):
        return value.session_id
    if isinstance(value, Node):
        return f"{value.node_id} on {value.connection}"
    if isinstance(value, PARTS):
        return _fields(value)
    if isinstance(value, OrderedDict):
        return [(key, _freeze(item)) for key, item in value.items()]
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    if isinstance(value, list | deque):
        return [_freeze(item) for item in value]
    if isinstance(value, bytearray | set):
        return copy.copy(value)
    return value
