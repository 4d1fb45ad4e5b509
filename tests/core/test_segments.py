"""Chunks become utterances: each sound is in exactly one, and none is lost or cut off alone."""

import base64
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import result, utterance
from playbook import Playbook

from scheduler.config import Config
from scheduler.consistency import inconsistencies
from scheduler.core.events import Expired, Timer
from scheduler.core.segments import longest_bytes
from scheduler.errors import ConfigError
from scheduler.wire import node, session
from scheduler.wire.common import Error

TENTH = b"\x01\x02" * 1600
"""100 ms of sound."""


class Speaker:
    """A session that speaks in chunks, and the node that is given its utterances."""

    def __init__(self, *, receipts: bool = True, slots: int = 64, **settings: Any) -> None:
        self.book = Playbook(**settings)
        self.connection, self.ack = self.book.join_session(receipts=receipts)
        self.machine, self.node_id = self.book.join_node(slots=slots, receipts=None)
        self._seqs = count()
        self._answered = 0

    def say(
        self, sound: bytes = TENTH, *, final: bool = False, seq: int | None = None
    ) -> session.AudioChunk:
        chunk = session.AudioChunk(
            session_id=self.ack.session_id,
            seq=next(self._seqs) if seq is None else seq,
            is_final=final,
            payload=base64.b64encode(sound).decode() if sound else None,
        )
        self.book.say(self.connection, chunk)
        return chunk

    def wait(self, seconds: float) -> None:
        """Let time pass; the node is done with all that it had."""
        for job in self.jobs[self._answered :]:
            self.book.say(self.machine, result(job, self.node_id))
        self._answered = len(self.jobs)
        self.book.advance(seconds)

    @property
    def jobs(self) -> list[node.JobAssign]:
        return self.book.all(self.machine, node.JobAssign)

    @property
    def sounds(self) -> list[bytes]:
        return [base64.b64decode(job.audio) for job in self.jobs]


def test_is_final_ends_an_utterance() -> None:
    """An empty final chunk, as clients of the base send it, makes what came before a job."""
    speaker = Speaker()
    speaker.say(TENTH)
    speaker.say(TENTH)
    assert speaker.jobs == []
    speaker.say(b"", final=True)

    (job,) = speaker.jobs
    assert base64.b64decode(job.audio) == TENTH * 2
    assert (job.utterance_index, job.audio_format, job.sample_rate) == (0, "pcm16", 16000)
    assert (job.src_lang, job.tgt_lang, job.is_manual_cut, job.padding_ms) == (
        "en",
        "es",
        True,
        280,
    )
    assert (job.is_timeout_triggered, job.is_max_duration_triggered) == (None, None)
    accepted = speaker.book.last(speaker.connection, session.UtteranceAccepted)
    assert (accepted.job_id, accepted.utterance_index) == (job.job_id, 0)


def test_a_pause_ends_an_utterance_and_the_next_chunk_begins_another() -> None:
    """After 3 s without a chunk it is a job; a chunk after the pause is not cut off alone."""
    speaker = Speaker()
    speaker.say()
    speaker.wait(2.99)
    speaker.say()
    speaker.wait(2.99)
    assert speaker.jobs == []
    speaker.wait(0.01)
    assert speaker.sounds == [TENTH * 2]
    assert (speaker.jobs[0].is_timeout_triggered, speaker.jobs[0].padding_ms) == (True, 220)
    assert speaker.jobs[0].is_manual_cut is None

    speaker.wait(60)
    speaker.say()
    assert len(speaker.jobs) == 1
    speaker.say()
    speaker.say(b"", final=True)
    assert speaker.sounds == [TENTH * 2, TENTH * 2]
    assert [job.utterance_index for job in speaker.jobs] == [0, 1]


def test_a_pause_is_one_of_arrival() -> None:
    """Nobody listens to the chunks: silence that is sent goes on with the utterance."""
    speaker = Speaker()
    speaker.say()
    for _ in range(50):
        speaker.wait(0.1)
        speaker.say(bytes(3200))
    assert speaker.jobs == []
    speaker.wait(3)
    assert speaker.sounds == [TENTH + bytes(3200) * 50]


def test_an_utterance_is_never_longer_than_it_may_be() -> None:
    """36 s of speech without a pause are cut by size, with nothing lost and nothing twice."""
    speaker = Speaker()
    spoken = b""
    for tenth in range(360):
        sound = tenth.to_bytes(2, "little") * 1600
        spoken += sound
        speaker.say(sound)
        speaker.wait(0.1)
    speaker.say(b"", final=True)

    longest = longest_bytes(Config())
    assert longest == 500 * 2**10
    assert [len(sound) for sound in speaker.sounds] == [longest, longest, len(spoken) - 2 * longest]
    assert b"".join(speaker.sounds) == spoken
    assert [job.is_max_duration_triggered for job in speaker.jobs] == [True, True, None]


def test_slow_drips_do_not_hold_an_utterance_open() -> None:
    """Chunks that come just before each pause would end make no utterance beyond 20 s."""
    speaker = Speaker()
    for _ in range(8):
        speaker.say()
        speaker.wait(2.5)
    (job,) = speaker.jobs
    assert base64.b64decode(job.audio) == TENTH * 8
    assert job.is_max_duration_triggered


def test_one_great_chunk_is_several_utterances() -> None:
    """A chunk that holds a whole recording is cut like any other speech."""
    speaker = Speaker(chunked_seconds_max=4.0)
    speaker.say(TENTH * 100, final=True)
    assert [len(sound) for sound in speaker.sounds] == [128_000, 128_000, 64_000]
    assert [job.is_manual_cut for job in speaker.jobs] == [None, None, True]


@pytest.mark.parametrize("silence", [0.0, 1.0, 61.0, 3600.0])
def test_silence_makes_no_job_and_no_session_deaf(silence: float) -> None:
    """Empty utterances use no index; after any silence the session is heard again."""
    speaker = Speaker()
    speaker.say(b"", final=True)
    speaker.say(b"")
    speaker.wait(silence)
    speaker.say(b"", final=True)
    assert speaker.jobs == []
    assert speaker.book.timers == {}

    speaker.say(TENTH, final=True)
    assert [job.utterance_index for job in speaker.jobs] == [0]


def test_the_scheduler_counts_on_after_the_client() -> None:
    """The next index after the last used, whoever used it: never an index twice."""
    speaker = Speaker()
    speaker.book.say(speaker.connection, utterance(speaker.ack.session_id, 7))
    speaker.say(TENTH, final=True)
    speaker.say(TENTH, final=True)
    assert [job.utterance_index for job in speaker.jobs] == [7, 8, 9]


def test_a_chunk_that_comes_again_is_ignored() -> None:
    """A seq that was seen is no sound; it may still say that it was the last."""
    speaker = Speaker()
    for seq in (5, 6, 6, 5, 7):
        speaker.say(bytes([seq, seq]), seq=seq)
    speaker.say(b"\x07\x07", seq=7, final=True)
    assert speaker.sounds == [b"\x05\x05\x06\x06\x07\x07"]
    assert len(speaker.book.noted("chunk_repeated")) == 3

    speaker.say(b"\x07\x07", seq=7, final=True)
    assert len(speaker.jobs) == 1, "a final chunk that comes again after its utterance was cut"


def test_missing_chunks_are_counted() -> None:
    """A gap in seq is a fact; what came is used."""
    speaker = Speaker()
    speaker.say(seq=0)
    speaker.say(seq=4, final=True)
    assert speaker.sounds == [TENTH * 2]
    assert [fact["missing"] for fact in speaker.book.noted("chunks_missing")] == [3]


def test_a_client_may_count_anew_for_each_utterance() -> None:
    """A client that begins each utterance with the same number is not taken for a repetition."""
    speaker = Speaker()
    for _ in range(3):
        speaker.say(seq=1)
        speaker.say(seq=2)
        speaker.say(b"", seq=3, final=True)
    assert speaker.sounds == [TENTH * 2] * 3


def test_utterances_of_one_chunk_may_have_one_number() -> None:
    """A client for which each chunk is a whole utterance may call every one of them 0."""
    speaker = Speaker()
    for _ in range(3):
        speaker.say(TENTH, seq=0, final=True)
    assert speaker.sounds == [TENTH] * 3


def test_a_new_count_may_begin_with_another_number() -> None:
    """The first count began with 0, the others with 1, one after a pause and no final chunk."""
    speaker = Speaker()
    speaker.say(b"", seq=0)
    for _ in range(2):
        speaker.say(seq=1)
        speaker.say(seq=2, final=True)
    speaker.say(seq=3)
    speaker.wait(3)
    speaker.say(seq=1, final=True)
    assert speaker.sounds == [TENTH * 2, TENTH * 2, TENTH, TENTH]


def test_what_is_sent_again_after_a_resume_is_a_repeat() -> None:
    """An utterance that was cut already is not heard twice, though it begins with the first number.

    What goes on from there is new, and from then on a client may count anew again.
    """
    speaker = Speaker()
    for seq in range(3):
        speaker.say(seq=seq, final=seq == 2)
    for _ in range(2):
        speaker.book.leave(speaker.connection)
        speaker.connection = speaker.book.resume(speaker.ack)
        for seq in range(3):
            speaker.say(seq=seq, final=seq == 2)
    assert speaker.sounds == [TENTH * 3]
    speaker.say(seq=3, final=True)
    speaker.say(seq=0, final=True)
    assert speaker.sounds == [TENTH * 3, TENTH, TENTH]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("A", "base64"),
        ("AAA=AAAA", "base64"),
        ("AAA\n", "base64"),
        ("ÄÄÄÄ", "base64"),
        ("AAAA", "whole samples of 16 bits"),
    ],
)
def test_a_payload_that_is_no_sound_harms_only_itself(payload: str, expected: str) -> None:
    """It is answered INVALID_MESSAGE at $.payload; the utterance goes on, its seq included."""
    speaker = Speaker()
    speaker.say(seq=0)
    bad = session.AudioChunk(
        session_id=speaker.ack.session_id, seq=1, is_final=True, payload=payload
    )
    speaker.book.say(speaker.connection, bad)
    error = speaker.book.last(speaker.connection, Error)
    assert (error.code, error.message) == ("INVALID_MESSAGE", f"$.payload: expected {expected}")
    assert speaker.jobs == []
    speaker.say(seq=1, final=True)
    assert speaker.sounds == [TENTH * 2]


def test_what_was_begun_survives_a_reconnect_within_the_pause() -> None:
    """A sentence that the connection broke in the middle of is one utterance."""
    speaker = Speaker()
    speaker.say()
    speaker.book.leave(speaker.connection)
    speaker.wait(2.9)
    speaker.connection = speaker.book.resume(speaker.ack)
    speaker.say(seq=0)  # sent again: the client cannot know that it had arrived
    speaker.say(final=True)
    assert speaker.sounds == [TENTH * 2]


def test_what_was_begun_is_a_job_if_nobody_comes_back() -> None:
    """The first half of a sentence is not lost with its connection: its outcome is kept."""
    speaker = Speaker()
    speaker.say()
    speaker.book.leave(speaker.connection)
    speaker.wait(3)
    (job,) = speaker.jobs
    speaker.book.say(speaker.machine, result(job, speaker.node_id))
    back = speaker.book.resume(speaker.ack)
    (outcome,) = speaker.book.outcomes(back)
    assert outcome.job_id == job.job_id


@pytest.mark.parametrize("receipts", [True, False])
def test_what_was_begun_ends_with_its_session(receipts: bool) -> None:
    """A session that is over for good has nobody to tell an outcome to; that is recorded."""
    speaker = Speaker(receipts=receipts)
    speaker.say()
    if receipts:
        close = session.SessionClose(session_id=speaker.ack.session_id, reason="done")
        speaker.book.say(speaker.connection, close)
    else:
        speaker.book.leave(speaker.connection)
    speaker.wait(60)
    assert speaker.jobs == []
    assert [fact["audio_ms"] for fact in speaker.book.noted("speech_discarded")] == [100]
    assert speaker.book.timers == {}


def test_an_utterance_that_is_refused_is_said_to_be() -> None:
    """Where there is no room the session hears which of its utterances was not taken."""
    speaker = Speaker(slots=1, jobs_per_session_max=2)
    for _ in range(3):
        speaker.say(TENTH, final=True)
    error = speaker.book.last(speaker.connection, Error)
    assert (error.code, error.details) == ("OVERLOADED", {"utterance_index": 2})


def test_a_timer_that_fires_for_an_earlier_pause_cuts_nothing() -> None:
    """An expiry that was under way when the next chunk came is no pause."""
    speaker = Speaker()
    speaker.say()
    speaker.wait(2)
    speaker.say()
    speaker.wait(1)
    speaker.book.apply(Expired(Timer("pause", speaker.ack.session_id)))
    assert speaker.jobs == []
    speaker.wait(2)
    assert speaker.sounds == [TENTH * 2]


def test_limits_that_clash_are_refused() -> None:
    """The pause is shorter than the longest utterance, which fits into what is accepted."""
    with pytest.raises(ConfigError, match=r"chunk_pause \(5\) must be less than"):
        Config(chunk_pause=5.0, chunked_seconds_max=4.0)
    with pytest.raises(ConfigError, match="audio_chars_max"):
        Config(chunked_bytes_max=1000, audio_chars_max=1332)
    assert inconsistencies(Config(chunked_bytes_max=999, audio_chars_max=1332)) == []


@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 3), st.booleans(), st.sampled_from((0, 64, 191, 192, 193)),
            st.sampled_from((None, 0, 1, 2, 5, 40)), st.booleans(),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_every_sample_is_in_exactly_one_utterance(
    steps: list[tuple[int, bool, int, int | None, bool]],
) -> None:
    """Whatever the chunks, pauses and lost connections: all sound, once, in order, bounded.

    With a lost connection the last chunk may be lost; the client resumes and sends that one
    again, and as many before it as it likes.
    """
    speaker = Speaker(
        chunked_seconds_max=4.0,
        chunked_bytes_max=14,
        jobs_per_session_max=1000,
        slots=256,
        outbox_messages_max=4096,
    )
    spoken: list[tuple[bytes, bool]] = []
    for seq, (samples, final, sixtyfourths, again, arrives) in enumerate(steps):
        spoken.append((seq.to_bytes(2, "little") * (samples * 3), final))
        broken = again is not None
        if arrives or not broken:
            speaker.say(spoken[seq][0], final=final, seq=seq)
        if broken:
            speaker.book.leave(speaker.connection)
        speaker.wait(sixtyfourths / 64)
        if again is not None:
            speaker.connection = speaker.book.resume(speaker.ack)
            for number in range(max(0, seq - again), seq + 1):
                speaker.say(spoken[number][0], final=spoken[number][1], seq=number)
    speaker.wait(3)
    assert b"".join(speaker.sounds) == b"".join(sound for sound, _ in spoken)
    assert all(0 < len(sound) <= 14 for sound in speaker.sounds)
    assert [job.utterance_index for job in speaker.jobs] == list(range(len(speaker.jobs)))
