"""The recogniser on recordings of people: right words, and the same words every time."""

from collections.abc import Callable

import pytest
from speech import needs_recordings, recording

from scheduler.node.audio import Audio
from scheduler.node.engines.sphinx import PocketSphinx, load_decoder
from scheduler.node.pool import Pool


@pytest.fixture(scope="module")
def recognise() -> Callable[[bytes], str]:
    decode = load_decoder()
    return lambda pcm: decode(pcm).decode()


@needs_recordings
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("goforward.raw", "go forward ten meters"),
        ("something.raw", "go somewhere and do something"),
        ("cards/001.wav", "ten of clubs"),
        ("cards/005.wav", "eight of spades four of clubs seven of hearts"),
    ],
)
def test_it_understands_people(name: str, words: str, recognise: Callable[[bytes], str]) -> None:
    """Recorded command-like English is recognised word for word."""
    assert recognise(recording(name)) == words


@needs_recordings
def test_the_words_do_not_depend_on_what_was_heard_before(
    recognise: Callable[[bytes], str],
) -> None:
    """Loud, quiet or foreign audio before an utterance does not change its words."""
    pcm = recording("goforward.raw")
    for before in (recording("numbers.raw"), bytes(32_000), b""):
        recognise(before)
        assert recognise(pcm) == "go forward ten meters"


@pytest.mark.parametrize("pcm", [b"", b"\0\0", bytes(100)])
def test_too_little_audio_has_no_words(pcm: bytes, recognise: Callable[[bytes], str]) -> None:
    """Where the decoder has no hypothesis the text is empty."""
    assert recognise(pcm) == ""


async def test_it_hears_only_its_language() -> None:
    """A language it did not announce is a mistake of the caller's."""
    sphinx = PocketSphinx(Pool(1), "5")
    assert sphinx.languages == {"en"}
    with pytest.raises(AssertionError):
        await sphinx.recognize(Audio(b"\0\0"), "es")
