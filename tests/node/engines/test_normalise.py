"""Numbers become digits, courtesy finds its place, and nothing else changes."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from scheduler.node.engines.normalise import (
    NUMBER_LANGUAGES,
    PLEASE,
    Numbers,
    append_please,
    split_please,
)


@pytest.mark.parametrize(
    ("heard", "repaired"),
    [
        ("go forward ten meters", "go forward 10 meters"),
        ("two hundred and five", "205"),
        ("two nine three four zero", "2 9 3 4 0"),
        ("eight of spades four of clubs", "8 of spades 4 of clubs"),
        ("no one knows", "no one knows"),
        ("go somewhere and do something", "go somewhere and do something"),
        ("", ""),
    ],
)
async def test_numbers_become_digits(heard: str, repaired: str) -> None:
    """What people say as a number is written as one; other words stay."""
    assert await Numbers().repair(heard, "en") == repaired


async def test_a_language_without_number_words_stays_as_it_is() -> None:
    """A language that the library does not know is left alone."""
    assert await Numbers().repair("dos", "ca") == "dos"


WORDS = st.sampled_from(
    ["one", "two", "hundred", "million", "and", "point", "minus", ",", ".", "5", "日", "é", "dos"]
)


@pytest.mark.parametrize("language", sorted(NUMBER_LANGUAGES))
@given(words=st.lists(WORDS, max_size=8), gap=st.sampled_from(["", " ", "-"]))
def test_no_words_are_too_much(language: str, words: list[str], gap: str) -> None:
    """Every language that is named is known to the library, whatever the words."""
    assert isinstance(trio.run(Numbers().repair, gap.join(words), language), str)


@pytest.mark.parametrize(
    ("text", "rest", "said"),
    [
        ("please wait", "wait", True),
        ("Please, wait a moment.", "wait a moment.", True),
        ("wait a moment please", "wait a moment", True),
        ("wait, please!", "wait!", True),
        ("please do come in please", "do come in", True),
        ("please", "please", False),
        ("Please.", "Please.", False),
        ("it pleases me", "it pleases me", False),
        ("say please to him", "say please to him", False),
        ("", "", False),
    ],
)
def test_courtesy_is_set_apart(text: str, rest: str, said: bool) -> None:
    """A please at either end is taken off and remembered; one that is meant stays."""
    assert split_please(text) == (rest, said)


@pytest.mark.parametrize(
    ("text", "polite"),
    [
        ("espera", "espera, por favor"),
        ("Espera un momento.", "Espera un momento, por favor."),
        ("Quién?!", "Quién, por favor?!"),
    ],
)
def test_courtesy_comes_before_the_end_of_the_sentence(text: str, polite: str) -> None:
    """The courtesy word stands last, and the punctuation behind it."""
    assert append_please(text, "es") == polite
    assert set(PLEASE) >= {"es", "ca"}


async def test_it_is_ready_where_its_module_is() -> None:
    """The repairer has a version and no fault in an environment with the node's extra."""
    numbers = Numbers()
    await numbers.probe()
    assert numbers.fault is None
    assert numbers.version
