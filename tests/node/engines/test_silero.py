"""Where somebody speaks: people are found, and silence, noise and tones are not."""

import random
import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech import RATE_HZ, needs_recordings, recording

from scheduler.node.engines.silero import (
    CHUNK_SAMPLES,
    END_SECONDS,
    EVIDENCE_SECONDS,
    PAD_SECONDS,
    load_gate,
    spans_of,
)
from scheduler.node.services import Span

Gate = Callable[[bytes], list[Span]]

LOUD, QUIET = 0.9, 0.1
CHUNKS_A_SECOND = RATE_HZ / CHUNK_SAMPLES
EVIDENCE = round(EVIDENCE_SECONDS * CHUNKS_A_SECOND) + 1
PAUSE = round(END_SECONDS * CHUNKS_A_SECOND) + 1


def new_gate() -> Gate:
    packed = load_gate()
    return lambda pcm: [Span(*pair) for pair in struct.iter_unpack("<II", packed(pcm))]


@pytest.fixture(scope="module")
def gate() -> Gate:
    return new_gate()


def spans(*probabilities: float) -> list[Span]:
    return spans_of(probabilities, len(probabilities) * CHUNK_SAMPLES)


# -- the rule ----------------------------------------------------------------------------------


def test_a_click_is_no_speech() -> None:
    """Too little evidence counts for nothing, however sure the model is of each chunk."""
    assert spans(*[QUIET] * 40, *[LOUD] * (EVIDENCE - 2), *[QUIET] * 40) == []
    assert len(spans(*[QUIET] * 40, *[LOUD] * EVIDENCE, *[QUIET] * 40)) == 1


def test_doubtful_chunks_go_on_but_do_not_begin() -> None:
    """Between the two thresholds speech goes on, and does not begin; evidence is above both."""
    doubt = 0.5
    assert spans(*[doubt] * 100) == []
    (span,) = spans(*[LOUD] * EVIDENCE, *[doubt] * 60, *[QUIET] * 40)
    assert span.end >= (EVIDENCE + 60) * CHUNK_SAMPLES
    assert spans(*[LOUD, *[doubt] * 3] * (EVIDENCE // 2), *[QUIET] * 40) == []


def test_a_short_pause_does_not_cut() -> None:
    """A breath belongs to the sentence; a pause ends the stretch, unless the padding bridges it."""
    voice = [LOUD] * EVIDENCE
    assert len(spans(*voice, *[QUIET] * (PAUSE - 3), *voice)) == 1
    long = round((2 * PAD_SECONDS + 0.2) * CHUNKS_A_SECOND)
    assert len(spans(*voice, *[QUIET] * max(long, PAUSE), *voice)) == 2


def test_padding_stays_within_the_audio() -> None:
    """Speech from the first chunk to the last is all of the audio, and no more."""
    assert spans(*[LOUD] * 40) == [Span(0, 40 * CHUNK_SAMPLES)]
    assert spans_of([LOUD] * 40, 40 * CHUNK_SAMPLES - 100) == [Span(0, 40 * CHUNK_SAMPLES - 100)]


@given(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), max_size=300))
def test_spans_are_in_order_and_apart(probabilities: list[float]) -> None:
    """Whatever the model says, spans lie within the audio, in order, and do not touch."""
    found = spans(*probabilities)
    assert all(0 <= s.start < s.end <= len(probabilities) * CHUNK_SAMPLES for s in found)
    assert all(a.end < b.start for a, b in pairwise(found))
    assert bool(found) <= (sum(p >= 0.6 for p in probabilities) >= EVIDENCE - 1)


# -- the model ---------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("name", ["goforward.raw", "something.raw", "cards/001.wav"])
def test_people_are_heard(name: str, gate: Gate) -> None:
    """Recorded speech is found, surrounded by silence or not, loud or quiet."""
    pcm = recording(name)
    silence = bytes(2 * 2 * RATE_HZ)
    quiet = struct.pack(f"<{len(pcm) // 2}h", *(s // 4 for (s,) in struct.iter_unpack("<h", pcm)))
    assert gate(pcm)
    assert gate(quiet)
    found = gate(silence + pcm + silence)
    assert found[0].start >= RATE_HZ
    assert found[-1].end <= (len(pcm) + len(silence)) // 2 + RATE_HZ


@needs_recordings
def test_each_utterance_is_judged_alone() -> None:
    """What was heard before does not change what is found."""
    gate = new_gate()
    pcm = recording("goforward.raw")
    alone = gate(pcm)
    gate(recording("numbers.raw"))
    assert gate(pcm) == alone


def noise(samples: int, level: int) -> bytes:
    dice = random.Random(1)
    return struct.pack(f"<{samples}h", *(dice.randint(-level, level) for _ in range(samples)))


@pytest.mark.parametrize(
    "pcm",
    [
        b"",
        b"\0\0",
        bytes(2 * RATE_HZ * 3),
        noise(2 * RATE_HZ, 300),
        noise(2 * RATE_HZ, 15_000),
        struct.pack("<32000h", *(12_000 if at // 18 % 2 else -12_000 for at in range(32_000))),
    ],
    ids=["nothing", "one sample", "zeros", "hiss", "loud noise", "a tone"],
)
def test_what_nobody_says_is_not_speech(pcm: bytes, gate: Gate) -> None:
    """Silence, noise and tones give no span, so no recogniser can hear words in them."""
    assert gate(pcm) == []
