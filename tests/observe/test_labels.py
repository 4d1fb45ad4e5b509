"""Labels are few, and never what people said."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.placement import Need
from scheduler.observe.labels import ASKED_MAX, OTHER, Pairs, one_of


def text(*pairs: tuple[str, str]) -> str:
    return Need(frozenset({"asr"}), pairs).text


def test_pairs_are_named() -> None:
    """A pair, and both directions of a two-way session, are words of their own."""
    pairs = Pairs(8)
    assert pairs.label(text(("en", "es"))) == "en-es"
    assert pairs.label(text(("en", "es"), ("es", "en"))) == "en-es+es-en"
    assert pairs.label(text(("zh-Hant", "pt-BR"))) == "zh-Hant-pt-BR"


def test_a_flood_of_inventions_hides_no_pair_that_is_served() -> None:
    """However many pairs clients make up, one that a node serves has its label, then and later."""
    dropped: list[str] = []
    pairs = Pairs(2, dropped=dropped.append)
    pairs.served(text(("en", "es")))
    for word in inventions(100):
        pairs.label(word)
    pairs.served(text(("de", "es")))
    assert pairs.label(text(("en", "es"))) == "en-es"
    assert pairs.label(text(("de", "es"))) == "de-es"
    assert len(pairs.named) == 2 + ASKED_MAX
    assert dropped == []


def test_an_expected_pair_has_its_label_in_any_case() -> None:
    """What the operator named is there before anybody asks, and no flood takes it away."""
    pairs = Pairs(1, expected=("en-es", "en-es+es-en"))
    for word in inventions(100):
        pairs.label(word)
    assert pairs.label(text(("en", "es"), ("es", "en"))) == "en-es+es-en"
    assert pairs.named[:2] == ["en-es", "en-es+es-en"]


def test_there_are_never_more_than_allowed() -> None:
    """Of more pairs than may be, the one that was served longest ago gives its label up.

    But none does that has jobs now: then the newcomer is counted with the others.
    """
    dropped: list[str] = []
    pairs = Pairs(2, dropped=dropped.append)
    for src in ("en", "de", "en", "fr"):
        pairs.served(text((src, "es")))
    assert (pairs.named, dropped) == (["en-es", "fr-es"], ["de-es"])
    pairs.arrange({}, [text(("en", "es")), text(("fr", "es"))])
    pairs.served(text(("it", "es")))
    assert (pairs.named, dropped) == (["en-es", "fr-es"], ["de-es"])


def test_without_nodes_what_waits_most_is_named() -> None:
    """Nobody serves anything: at each scrape the pairs with the most waiting jobs have labels."""
    dropped: list[str] = []
    pairs = Pairs(2, dropped=dropped.append)
    flood = dict.fromkeys(inventions(100), 1)
    for word in flood:
        pairs.label(word)
    assert pairs.label(text(("en", "es"))) == OTHER
    pairs.arrange({**flood, text(("en", "es")): 2}, [])
    assert pairs.label(text(("en", "es"))) == "en-es"
    assert (len(pairs.named), len(dropped)) == (ASKED_MAX, 1)
    before = pairs.named
    pairs.arrange(flood, [])
    assert "en-es" not in pairs.named, "it waits no more, and others do"
    assert len(set(before) & set(pairs.named)) == ASKED_MAX - 1, "labels do not change without need"


def test_idle_pairs_keep_their_zero() -> None:
    """A pair that was asked for and waits no more stays, as long as nobody needs its place."""
    pairs = Pairs(2)
    pairs.label(text(("en", "es")))
    pairs.arrange({}, [])
    assert pairs.named == ["en-es"]


def inventions(number: int) -> list[str]:
    """So many pairs that look like languages and are none."""
    return [text((f"{chr(97 + n // 26)}{chr(97 + n % 26)}q", "es")) for n in range(number)]


@given(st.text(max_size=35), st.text(max_size=35))
def test_what_is_no_language_is_no_label(src: str, tgt: str) -> None:
    """Whatever a client sends as a language, a label consists of short tags, or is ``other``."""
    label = Pairs(8).label(text((src, tgt)))
    assert label == OTHER or (len(label) <= 45 and label.replace("-", "").isalnum())


def test_known_words_only() -> None:
    """A word that is not in the list is ``other``."""
    assert one_of("failed", {"failed"}) == "failed"
    assert one_of("s-4505917C9E21", {"failed"}) == OTHER
