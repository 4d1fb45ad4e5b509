"""Which node gets a job: feasible → rank → select, three plain functions.

A node is *feasible* for a need when it has the services and the languages, is ready,
not draining, and has a free slot. What makes it infeasible is data (a ``Rejection``): the
session, the page and the timeline show it. The feasible ones are *ranked*, and the best
is *selected*; ties are broken by the order of registration, so the choice is deterministic.
"""

import enum
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from scheduler.wire.common import Capability, LanguageCapabilities, NmtCapability
from scheduler.wire.session import Utterance

if TYPE_CHECKING:
    from scheduler.core.job import Job
    from scheduler.core.node import Node

Pair = tuple[str, str]


@attrs.frozen
class Need:
    """What a job asks of a node: service types and language pairs. Jobs alike share one."""

    services: frozenset[str]
    pairs: tuple[Pair, ...]

    @property
    def text(self) -> str:
        """For people: ``en→es``, or ``en→es + es→en`` for a two-way session."""
        return " + ".join(f"{src}→{tgt}" for src, tgt in self.pairs)


class Rejection(enum.StrEnum):
    """Why a node is not feasible; ordered from what lasts to what will pass."""

    SERVICE = "service_missing"
    NOT_READY = "service_not_ready"
    LANGUAGE = "language_missing"
    TRIED = "already_tried"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    SUSPECT = "silent"
    NO_AUDIO = "audio_lost"
    BUSY = "no_free_slot"


@attrs.frozen(cache_hash=True)
class Abilities:
    """What a node can do, in the form that feasibility asks for. ``None`` means any."""

    offered: frozenset[str]
    ready: frozenset[str]
    asr: frozenset[str] | None
    tts: frozenset[str] | None
    pairs: frozenset[Pair] | None
    nmt: tuple[NmtCapability, ...]


def abilities_of(
    capabilities: tuple[Capability, ...], languages: LanguageCapabilities | None
) -> Abilities:
    """Read a node's words. A node of the base that names no pairs can do any of its languages."""
    said = languages or LanguageCapabilities()
    asr, tts, pairs = said.asr_languages, said.tts_languages, said.supported_language_pairs
    return Abilities(
        offered=frozenset(c.type for c in capabilities),
        ready=frozenset(c.type for c in capabilities if c.ready),
        asr=None if asr is None else frozenset(asr),
        tts=None if tts is None else frozenset((*tts, *(said.semantic_languages or ()))),
        pairs=None if pairs is None else frozenset((p.src, p.tgt) for p in pairs),
        nmt=said.nmt_capabilities or (),
    )


def need_of(utterance: Utterance) -> Need:
    """What an utterance asks for. A two-way session needs both directions on one node."""
    flags = utterance.pipeline
    wanted = {
        "asr": flags is None or flags.use_asr is not False,
        "nmt": flags is None or flags.use_nmt is not False,
        "tts": flags is None or flags.use_tts is not False,
        "semantic": flags is not None and bool(flags.use_semantic),
        "tone": flags is not None and bool(flags.use_tone),
    }
    services = frozenset(name for name, on in wanted.items() if on)
    if (
        utterance.lang_a
        and utterance.lang_b
        and (utterance.mode == "two_way_auto" or utterance.src_lang == "auto")
    ):
        a, b = utterance.lang_a, utterance.lang_b
        return Need(services, ((a, b), (b, a)))
    tgt = utterance.tgt_lang
    if utterance.src_lang == "auto" and utterance.auto_langs:
        return Need(services, tuple((src, tgt) for src in utterance.auto_langs if src != tgt))
    return Need(services, ((utterance.src_lang, tgt),))


def unable(need: Need, abilities: Abilities) -> Rejection | None:
    """Why a node of these abilities can never do this need; None if it can."""
    if not need.services <= abilities.offered:
        return Rejection.SERVICE
    if not need.services <= abilities.ready:
        return Rejection.NOT_READY
    if not all(_speaks(need, abilities, src, tgt) for src, tgt in need.pairs):
        return Rejection.LANGUAGE
    return None


def _speaks(need: Need, able: Abilities, src: str, tgt: str) -> bool:
    if "asr" in need.services and able.asr is not None and src not in able.asr:
        return False
    if "tts" in need.services and able.tts is not None and tgt not in able.tts:
        return False
    if "nmt" not in need.services or src == tgt:
        return True
    if able.pairs is not None:
        return (src, tgt) in able.pairs
    return not able.nmt or any(_translates(model, src, tgt) for model in able.nmt)


def _translates(model: NmtCapability, src: str, tgt: str) -> bool:
    if any((p.src, p.tgt) == (src, tgt) for p in model.blocked_pairs or ()):
        return False
    known = src in model.languages and tgt in model.languages
    match model.rule:
        case "any_to_any":
            return known
        case "any_to_en":
            return known and tgt == "en"
        case "en_to_any":
            return known and src == "en"
        case _:
            return any((p.src, p.tgt) == (src, tgt) for p in model.supported_pairs or ())


def feasible(job: "Job", node: "Node") -> Rejection | None:
    """None if ``node`` may get ``job`` now, else why not.

    A node of the base refuses any job id that it has seen before, so the same job is
    never given to it twice.
    """
    if job.needs_audio:
        return Rejection.NO_AUDIO
    if (reason := unable(job.need, node.abilities)) is not None:
        return reason
    if not node.receipts and any(a.node_id == node.node_id for a in job.attempts):
        return Rejection.TRIED
    return unavailable(node)


def unavailable(node: "Node") -> Rejection | None:
    """None if ``node`` takes jobs at all now, whatever they need, else why not."""
    if node.draining:
        return Rejection.DRAINING
    if node.quarantined is not None:
        return Rejection.QUARANTINED
    if node.suspect:
        return Rejection.SUSPECT
    return None if node.free > 0 else Rejection.BUSY


def rank(job: "Job", node: "Node", affine: str | None) -> tuple[bool, int, bool, float, int]:
    """The smaller, the better: not tried yet, few setbacks, same node as before, least load.

    ``affine`` is the node that served the session last; its context is warm.
    """
    tried = any(a.node_id == node.node_id for a in job.attempts)
    load = len(node.running) / node.slots
    return (tried, node.setbacks, node.node_id != affine, load, node.order)


def why_waiting(need: Need, rejections: Counter[Rejection]) -> tuple[str, str]:
    """Why nobody can take a job of this need now: a word for programs, a text for people."""
    total = rejections.total()
    if total == 0:
        return "no_node", "no node is connected"
    if rejections[Rejection.NO_AUDIO]:
        return str(Rejection.NO_AUDIO), "the audio was lost in a restart and has to come again"
    if busy := rejections[Rejection.BUSY]:
        return "all_busy", f"all {busy} nodes that can do {need.text} are busy" if busy > 1 else (
            f"the one node that can do {need.text} is busy"
        )
    for reason, text in (
        (Rejection.SUSPECT, "has gone silent"),
        (Rejection.DRAINING, "is draining"),
        (Rejection.QUARANTINED, "is in quarantine after repeated failures"),
        (Rejection.TRIED, "has already had this job"),
        (Rejection.NOT_READY, "is not ready"),
    ):
        if rejections[reason]:
            return str(reason), f"every node that can do {need.text} {text}"
    return "no_capability", f"none of the {total} connected nodes can do {need.text}"
