"""From a world that fails to a small one that fails in the same way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from simulation.worldplan import WorldPlan

RUNS_MAX = 400


def simpler(value: Any) -> Iterator[Any]:
    """Values that are a little simpler than this one, the boldest first."""
    if attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            given = getattr(value, field.name)
            if given != field.default and field.default is not attrs.NOTHING:
                yield from _changed(value, field.name, field.default)
        for field in attrs.fields(type(value)):
            for less in simpler(getattr(value, field.name)):
                yield from _changed(value, field.name, less)
    elif isinstance(value, tuple):
        yield from _shorter(value)
        for place, one in enumerate(value):
            for less in simpler(one):
                yield (*value[:place], less, *value[place + 1 :])
    elif isinstance(value, float):
        yield from {float(round(value)), round(value * 4) / 4} - {value}


def _changed(value: Any, name: str, content: Any) -> Iterator[Any]:
    """The value with another content, unless that cannot be."""
    with contextlib.suppress(ValueError):
        yield attrs.evolve(value, **{name: content})


def _shorter(values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    size = len(values) // 2
    while size:
        for start in range(0, len(values), size):
            yield (*values[:start], *values[start + size :])
        size //= 2


def shrink(
    plan: WorldPlan, fails: Callable[[WorldPlan], bool], *, runs_max: int = RUNS_MAX
) -> WorldPlan:
    """The simplest plan that was found within `runs_max` runs for which `fails` is true."""
    tried = {plan}
    while True:
        for candidate in simpler(plan):
            if candidate in tried or not _may_exist(candidate):
                continue
            if len(tried) > runs_max:
                return plan
            tried.add(candidate)
            if fails(candidate):
                plan = candidate
                break
        else:
            return plan


def _may_exist(plan: WorldPlan) -> bool:
    """A world without anybody to speak shows nothing, and its settings must be consistent."""
    try:
        return bool(plan.sessions and plan.config)
    except Exception:  # noqa: BLE001 - whatever is wrong with them
        return False
