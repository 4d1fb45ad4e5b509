"""Labels are few, and never what people said."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.placement import Need
from scheduler.observe.labels import OTHER, Pairs, one_of


def text(*pairs: tuple[str, str]) -> str:
    return Need(frozenset({"asr"}), pairs).text


def test_pairs_are_named() -> None:
    """A pair, and both directions of a two-way session, are words of their own."""
    pairs = Pairs(8)
    assert pairs.label(text(("en", "es"))) == "en-es"
    assert pairs.label(text(("en", "es"), ("es", "en"))) == "en-es+es-en"
    assert pairs.label(text(("zh-Hant", "pt-BR"))) == "zh-Hant-pt-BR"


def test_there_are_never_more_than_allowed() -> None:
    """The first pairs keep their names; what comes later is counted together."""
    pairs = Pairs(2)
    named = [pairs.label(text((src, "es"))) for src in ("en", "de", "fr", "en")]
    assert named == ["en-es", "de-es", OTHER, "en-es"]


@given(st.text(max_size=35), st.text(max_size=35))
def test_what_is_no_language_is_no_label(src: str, tgt: str) -> None:
    """Whatever a client sends as a language, a label consists of short tags, or is ``other``."""
    label = Pairs(8).label(text((src, tgt)))
    assert label == OTHER or (len(label) <= 45 and label.replace("-", "").isalnum())


def test_known_words_only() -> None:
    """A word that is not in the list is ``other``."""
    assert one_of("failed", {"failed"}) == "failed"
    assert one_of("s-4505917C9E21", {"failed"}) == OTHER
