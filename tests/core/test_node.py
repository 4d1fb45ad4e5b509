"""A node's record: its slots are derived, and a heartbeat tells what has changed."""

from typing import Any

import pytest
from messages import capabilities, heartbeat, languages, register

from scheduler.config import Config
from scheduler.core.node import Node, in_flight_of, new_node
from scheduler.wire.common import ResourceUsage


def a_node(config: Config | None = None, **said: Any) -> Node:
    return new_node(register(**said), "node-1", 7, 1, 0.0, config or Config())


@pytest.mark.parametrize(
    ("offered", "slots"), [(None, 4), (0, 0), (1, 1), (5, 5), (256, 256), (10_000, 256)]
)
def test_slots_are_what_was_offered_within_bounds(offered: int | None, slots: int) -> None:
    """A node that says nothing has four slots; none has more than the settings allow."""
    node = a_node(slots=offered)
    assert (node.slots, node.free) == (slots, slots)


def test_free_slots_are_computed_from_what_runs() -> None:
    """A slot is taken by a current attempt and by nothing else, and given back once."""
    node = a_node(slots=2)
    node.take("job-1", 1)
    node.take("job-2", 3)
    assert node.free == 0
    assert node.give_back("job-1") is True
    assert node.give_back("job-1") is False
    assert node.free == 1


def test_on_probation_one_slot_may_be_used() -> None:
    """What still runs there counts, and there are never less than no free slots."""
    node = a_node(slots=3)
    node.on_probation = True
    assert node.free == 1
    node.take("job-1", 1)
    node.take("job-2", 1)
    assert node.free == 0
    assert a_node(slots=0).free == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "ready"),
        ({"draining": True}, "draining"),
        ({"suspect": True}, "degraded"),
        ({"quarantined": "3 setbacks"}, "degraded"),
        ({"capabilities": capabilities(ready=False)}, "degraded"),
        ({"draining": True, "suspect": True}, "draining"),
    ],
)
def test_the_status_is_a_word_of_the_wire(change: dict[str, Any], status: str) -> None:
    """Draining is said first, then whatever makes the node less than ready."""
    node = a_node()
    for name, value in change.items():
        setattr(node, name, value)
    assert node.status == status


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({}, False),
        ({"language_capabilities": languages()}, False),
        ({"capability_by_type": capabilities(ready=False)}, True),
        ({"language_capabilities": languages((("de", "fr"),))}, True),
        ({"draining": True}, True),
        ({"draining": False}, False),
    ],
)
def test_a_heartbeat_says_whether_anything_has_changed(said: dict[str, Any], changed: bool) -> None:
    """Only what bears on placement counts as a change; the same words again do not."""
    node = a_node()
    assert node.heard(heartbeat("node-1", **said)) is changed
    assert node.heard(heartbeat("node-1", **said)) is False


def test_a_heartbeat_without_languages_leaves_them_as_they_are() -> None:
    """What a heartbeat does not mention has not changed."""
    node = a_node()
    before = node.abilities
    node.heard(heartbeat("node-1", language_capabilities=None))
    assert (node.abilities, node.languages) == (before, languages())


def test_draining_is_not_taken_back() -> None:
    """A node that drains gets no more jobs on this connection."""
    node = a_node()
    node.heard(heartbeat("node-1", draining=True))
    node.heard(heartbeat("node-1", draining=False))
    assert node.draining is True


def test_the_usage_is_that_of_the_last_heartbeat() -> None:
    """How busy a node says it is, is kept for those who look."""
    node = a_node()
    usage = ResourceUsage(cpu_percent=73.0, mem_percent=50.0, running_jobs=1)
    node.heard(heartbeat("node-1", resource_usage=usage))
    assert node.usage == usage


def test_what_is_in_flight_is_named_by_job_and_attempt() -> None:
    """Without in_flight nothing is."""
    assert dict(in_flight_of(register(in_flight=(("job-1", 2), ("job-2", 1))))) == {
        "job-1": 2,
        "job-2": 1,
    }
    assert list(in_flight_of(register(receipts=None))) == []
