"""What the list of nodes means for one pair of languages."""

from typing import Any

import pytest

from scheduler.commands.advice import about_nodes

URL = "ws://here:5010"


def machine(reason: str | None, text: str = "", *, error: str | None = None) -> dict[str, Any]:
    services = [{"service_id": "voice", "type": "tts", "status": "error", "last_error": error}]
    rejection = reason and {"reason": reason, "text": text}
    return {"node_id": "node-1", "rejection": rejection, "services": services, "slots_free": 2}


def view(*nodes: dict[str, Any], joined: int = 0) -> dict[str, Any]:
    return {"need": "en→es", "nodes": list(nodes), "facts": {"node_joined": joined}}


@pytest.mark.parametrize(
    ("reason", "well"),
    [
        ("service_missing", 1),
        ("language_missing", 1),
        ("service_not_ready", 2),
        ("draining", 2),
        ("quarantined", 2),
        ("silent", 2),
        ("no_free_slot", 3),
    ],
)
def test_each_rejection_fails_its_question(reason: str, well: int) -> None:
    """Nodes there, languages, services, slots: the first bad answer is the last, with advice."""
    found = about_nodes(view(machine(reason, "because")), URL)
    assert [bool(one.advice) for one in found] == [False] * well + [True]
    assert "node-1: because" in found[-1].text


def test_one_good_node_is_enough() -> None:
    """Of many nodes one that can is enough for each question."""
    found = about_nodes(view(machine("language_missing"), machine("draining"), machine(None)), URL)
    assert [one.advice for one in found] == [""] * 4
    assert found[-1].text == "2 slots are free"


def test_what_a_node_has_instead_is_told() -> None:
    """A node without the pair is named with the pairs that it has, the first of them."""
    other = machine("language_missing", "cannot do en→es") | {"pairs": ["de-fr"] * 9}
    found = about_nodes(view(other), URL)
    assert found[-1].text.endswith(f"cannot do en→es; it has {', '.join(['de-fr'] * 8)}, …")


def test_errors_of_services_are_told() -> None:
    """What a service says about its own fault is shown, once."""
    told = about_nodes(view(machine("service_not_ready", "tts is not ready", error="no key")), URL)
    assert told[-1].text.endswith("node-1: tts is not ready; voice: no key")
    told = about_nodes(view(machine("service_not_ready", "not ready: no key", error="no key")), URL)
    assert told[-1].text.endswith("node-1: not ready: no key")


def test_nobody_there() -> None:
    """Without nodes, it is said whether there have been any, and how to start one."""
    assert "none has been since" in about_nodes(view(), URL)[0].text
    assert "there were 3 registrations" in about_nodes(view(joined=3), URL)[0].text
    assert f"python -m scheduler node --url {URL}" in about_nodes(view(), URL)[0].advice


def test_many_nodes_are_not_all_told() -> None:
    """A large cluster does not fill the screen."""
    found = about_nodes(view(*[machine("silent", "has gone silent")] * 9), URL)
    assert found[-1].text.count("has gone silent") == 5
    assert found[-1].text.endswith("and 4 more")
