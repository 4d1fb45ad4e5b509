"""Ids have the shape of the wire, as much entropy as they need, and none but what is given."""

import itertools
import re
import uuid
from collections.abc import Callable

import pytest

from scheduler.runtime.ids import RandomIds

SHAPES = {
    "session": r"s-[0-9A-F]{24}",
    "node": r"node-[0-9A-F]{16}",
    "job": r"job-[0-9A-F]{16}",
    "token": r"[0-9a-f]{48}",
}


def counting() -> Callable[[int], bytes]:
    """An entropy that can be read: 1, 2, 3, ... as numbers of the length asked for."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.mark.parametrize("kind", SHAPES)
def test_an_id_has_its_shape(kind: str) -> None:
    """Prefix, upper-case hex, and the length that makes it hard enough to guess."""
    assert re.fullmatch(SHAPES[kind], getattr(RandomIds(counting()), kind)())


def test_a_trace_id_is_a_uuid() -> None:
    """A trace id is a UUID of version 4, whatever the entropy says."""
    assert uuid.UUID(RandomIds(lambda size: b"\xff" * size).trace()).version == 4


def test_ids_are_what_the_entropy_makes_them() -> None:
    """The same entropy gives the same ids; another draw gives another id."""
    first, second = RandomIds(counting()), RandomIds(counting())
    ids = [first.session(), first.node(), first.job(), first.token(), first.trace()]
    assert ids == [second.session(), second.node(), second.job(), second.token(), second.trace()]
    assert len({first.job() for _ in range(100)}) == 100
