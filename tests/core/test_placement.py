"""Who can do what, who gets a job first, and why nobody does."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import capabilities, languages, result, utterance
from playbook import Playbook

from scheduler.core.placement import (
    Need,
    Rejection,
    abilities_of,
    need_of,
    unable,
    why_waiting,
)
from scheduler.wire import node
from scheduler.wire.common import (
    Capability,
    LanguageCapabilities,
    LanguagePair,
    NmtCapability,
    Pipeline,
)

ALL = frozenset({"asr", "nmt", "tts"})
EN_ES = Need(ALL, (("en", "es"),))


def assigned(book: Playbook, machine: int) -> list[tuple[str, int]]:
    return [(job.session_id, job.utterance_index) for job in book.all(machine, node.JobAssign)]


# -- what a job asks for -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "services"),
    [
        (None, {"asr", "nmt", "tts"}),
        (Pipeline(), {"asr", "nmt", "tts"}),
        (Pipeline(use_tts=False), {"asr", "nmt"}),
        (Pipeline(use_semantic=True, use_tone=True), {"asr", "nmt", "tts", "semantic", "tone"}),
        (Pipeline(use_asr=False, use_nmt=True, use_tts=False, use_semantic=False), {"nmt"}),
    ],
)
def test_stages_that_are_not_mentioned_are_the_usual_ones(
    said: Pipeline | None, services: set[str]
) -> None:
    """Recognition, translation and speech are on unless turned off, the others off unless on."""
    assert need_of(utterance("s-1", pipeline=said)).services == services


@pytest.mark.parametrize(
    ("said", "pairs"),
    [
        ({}, (("en", "es"),)),
        ({"src": "auto", "mode": "two_way_auto"}, (("en", "de"), ("de", "en"))),
        ({"src": "auto"}, (("en", "de"), ("de", "en"))),
        ({"mode": "two_way_auto"}, (("en", "de"), ("de", "en"))),
        ({"src": "auto", "lang_a": None, "auto_langs": ("fr", "es", "it")},
         (("fr", "es"), ("it", "es"))),
        ({"mode": "one_way"}, (("en", "es"),)),
    ],
)  # fmt: skip
def test_a_two_way_session_needs_both_directions(
    said: dict[str, Any], pairs: tuple[tuple[str, str], ...]
) -> None:
    """With two languages named and the direction open, one node must be able to do both."""
    both = {} if said in ({}, {"mode": "one_way"}) else {"lang_a": "en", "lang_b": "de"}
    assert need_of(utterance("s-1", **(both | said))).pairs == pairs


def test_a_two_way_job_goes_to_a_node_that_does_both_directions() -> None:
    """Half of a two-way session is not enough."""
    book = Playbook()
    half, _ = book.join_node(pairs=(("en", "es"),))
    whole, _ = book.join_node(pairs=(("en", "es"), ("es", "en")))
    person, ack = book.join_session()
    both: dict[str, Any] = {"mode": "two_way_auto", "lang_a": "en", "lang_b": "es"}
    book.say(person, utterance(ack.session_id, src="auto", **both))

    assert assigned(book, half) == []
    assert assigned(book, whole) == [(ack.session_id, 0)]


# -- what a node can do --------------------------------------------------------------------


def test_a_node_needs_every_service_and_each_of_them_ready() -> None:
    """A service that is missing and one that is not ready are different reasons."""
    able = abilities_of(capabilities(), languages())
    assert unable(EN_ES, able) is None
    assert unable(Need(ALL | {"tone"}, EN_ES.pairs), able) is Rejection.SERVICE
    loading = abilities_of(capabilities(ready=False), languages())
    assert unable(EN_ES, loading) is Rejection.NOT_READY
    one_loads = (*capabilities()[:2], Capability(type="tts", ready=False))
    assert unable(EN_ES, abilities_of(one_loads, languages())) is Rejection.NOT_READY
    assert unable(Need(frozenset({"asr", "nmt"}), EN_ES.pairs), abilities_of(one_loads, None)) is (
        None
    )


@pytest.mark.parametrize(
    ("services", "src", "tgt", "reason"),
    [
        (ALL, "en", "es", None),
        (ALL, "es", "en", Rejection.LANGUAGE),
        (ALL, "fr", "es", Rejection.LANGUAGE),
        (ALL, "en", "fr", Rejection.LANGUAGE),
        (frozenset({"asr"}), "en", "fr", None),
        (frozenset({"asr"}), "fr", "es", Rejection.LANGUAGE),
        (frozenset({"nmt"}), "es", "en", Rejection.LANGUAGE),
        (frozenset({"nmt"}), "fr", "fr", None),
        (frozenset({"tts"}), "fr", "es", None),
    ],
)
def test_languages_count_for_the_services_that_use_them(
    services: frozenset[str], src: str, tgt: str, reason: Rejection | None
) -> None:
    """What is heard, translated and spoken must each be among the node's languages."""
    able = abilities_of(capabilities(), languages((("en", "es"),)))
    assert unable(Need(services, ((src, tgt),)), able) is reason


def test_a_node_of_the_base_that_names_no_pairs_does_any_of_its_languages() -> None:
    """Without pairs, any pair of the recognised and the spoken or semantic languages will do."""
    said = LanguageCapabilities(
        asr_languages=("en", "de"), tts_languages=("es",), semantic_languages=("fr",)
    )
    able = abilities_of(capabilities(), said)
    possible = {
        (src, tgt)
        for src in ("en", "de", "es", "fr")
        for tgt in ("en", "de", "es", "fr")
        if unable(Need(ALL, ((src, tgt),)), able) is None
    }
    assert possible == {("en", "es"), ("en", "fr"), ("de", "es"), ("de", "fr")}
    assert unable(EN_ES, abilities_of(capabilities(), None)) is None


@pytest.mark.parametrize(
    ("rule", "more", "possible"),
    [
        ("any_to_any", {}, {"en-es", "es-en", "en-de", "de-en", "es-de", "de-es"}),
        ("any_to_en", {}, {"es-en", "de-en"}),
        ("en_to_any", {}, {"en-es", "en-de"}),
        ("specific_pairs", {"supported_pairs": (LanguagePair(src="es", tgt="de"),)}, {"es-de"}),
        ("specific_pairs", {}, set()),
        ("en_to_any", {"blocked_pairs": (LanguagePair(src="en", tgt="de"),)}, {"en-es"}),
    ],
)
def test_the_rules_of_translation_models(
    rule: Any, more: dict[str, Any], possible: set[str]
) -> None:
    """A model translates what its rule says, but for the pairs that it blocks."""
    model = NmtCapability(model_id="m", languages=("en", "es", "de"), rule=rule, **more)
    able = abilities_of(capabilities(), LanguageCapabilities(nmt_capabilities=(model,)))
    names = ("en", "es", "de", "fr")
    found = {
        f"{src}-{tgt}"
        for src in names
        for tgt in names
        if src != tgt and unable(Need(ALL, ((src, tgt),)), able) is None
    }
    assert found == possible


# -- who gets it first ------------------------------------------------------------------------


def test_a_session_stays_with_its_node() -> None:
    """The node that served a session last gets its next job, although another has less to do."""
    book = Playbook()
    busy, busy_id = book.join_node(slots=3)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id, 0))
    idle, _ = book.join_node(slots=3)

    book.say(person, utterance(ack.session_id, 1))

    assert assigned(book, busy) == [(ack.session_id, 0), (ack.session_id, 1)]
    assert assigned(book, idle) == []
    for job in book.all(busy, node.JobAssign):
        book.say(busy, result(job, busy_id))
    other, other_ack = book.join_session()
    book.say(other, utterance(other_ack.session_id, 0))
    assert assigned(book, busy)[2:] == [(other_ack.session_id, 0)]


def test_without_a_bond_the_less_loaded_node_gets_it() -> None:
    """Load is the part of the slots that is taken, not their number."""
    book = Playbook()
    small, _ = book.join_node(slots=2)
    large, _ = book.join_node(slots=4)
    for index in range(6):
        person, ack = book.join_session()
        book.say(person, utterance(ack.session_id, index))

    assert len(assigned(book, small)) == 2
    assert len(assigned(book, large)) == 4
    assert [index for _, index in assigned(book, small)] == [0, 3]


def test_a_node_that_failed_comes_after_those_that_did_not() -> None:
    """A setback ranks a node down, even for the sessions that it served."""
    book = Playbook()
    first, first_id = book.join_node(slots=2)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id, 0))
    second, _ = book.join_node(slots=2)
    book.say(first, result(book.last(first, node.JobAssign), first_id, error="PROCESSING_ERROR"))
    assert assigned(book, second) == [(ack.session_id, 0)]

    other, other_ack = book.join_session()
    book.say(other, utterance(other_ack.session_id, 1))

    assert assigned(book, second)[1:] == [(other_ack.session_id, 1)]


def test_the_next_attempt_goes_to_another_node_if_there_is_one() -> None:
    """A node that had the job before gets it again only if no other can take it."""
    book = Playbook()
    first, first_id = book.join_node(slots=1)
    second, _ = book.join_node(slots=1)
    person, ack = book.join_session()
    book.say(person, utterance(ack.session_id))
    book.say(first, result(book.last(first, node.JobAssign), first_id, error="PROCESSING_ERROR"))
    book.leave(second)

    attempts = [job.attempt_id for job in book.all(first, node.JobAssign)]
    assert attempts == [1, 3]
    assert [job.attempt_id for job in book.all(second, node.JobAssign)] == [2]


# -- why nobody does -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rejections", "word", "text"),
    [
        ({}, "no_node", "no node is connected"),
        ({"BUSY": 1}, "all_busy", "the one node that can do en→es is busy"),
        ({"BUSY": 2, "LANGUAGE": 5}, "all_busy", "all 2 nodes that can do en→es are busy"),
        ({"SUSPECT": 1, "LANGUAGE": 1}, "silent", "has gone silent"),
        ({"DRAINING": 2}, "draining", "is draining"),
        ({"QUARANTINED": 1}, "quarantined", "is in quarantine after repeated failures"),
        ({"TRIED": 1}, "already_tried", "has already had this job"),
        ({"NOT_READY": 1, "SERVICE": 1}, "service_not_ready", "is not ready"),
        ({"LANGUAGE": 2, "SERVICE": 1}, "no_capability", "none of the 3 connected nodes can do"),
    ],
)
def test_the_reason_is_the_one_most_likely_to_pass(
    rejections: dict[str, int], word: str, text: str
) -> None:
    """Of all that keeps nodes from a job, people are told what they may wait for."""
    counted = Counter({Rejection[name]: count for name, count in rejections.items()})
    said = why_waiting(EN_ES, counted)
    assert said[0] == word
    assert text in said[1]


@given(st.sets(st.sampled_from(["asr", "nmt", "tts"])), st.sampled_from(["en", "es", "xx"]))
def test_a_node_that_can_do_more_can_do_what_one_with_less_could(
    services: set[str], tgt: str
) -> None:
    """More services and more languages never make a node unable."""
    need = Need(frozenset(services), (("en", tgt),))
    less = abilities_of(capabilities(), languages((("en", "es"), ("en", "en"))))
    more = abilities_of(
        (*capabilities(), Capability(type="tone", ready=True)),
        languages((("en", "es"), ("en", "en"), ("en", "xx"), ("xx", "es"))),
    )
    assert unable(need, less) is not None or unable(need, more) is None
