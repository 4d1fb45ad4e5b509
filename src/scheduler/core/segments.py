"""Cutting ``audio_chunk``s into utterances: where one ends, the next begins.

An utterance ends at ``is_final``, after a pause without a chunk, or when it is as long as one
may be, whatever comes first. It begins with the next sound that comes. So nothing here ever
waits for anything but that pause, a chunk is never put into an utterance that is already cut,
and silence leaves nothing behind that could keep a session from speaking again.

Chunks are decoded here, unlike the audio of an ``utterance``: texts of base64 cannot be put
together when their lengths are no multiples of three bytes. A chunk of 100 ms has 3 kB.

``seq`` counts a session's chunks upwards. One that is not greater than the last that was taken is
a *repeat*: it is ignored, but for an ``is_final`` of that last one. Clients send chunks again when
they have resumed, since they cannot know what we had when their connection broke. Others count
anew for each utterance. Within a connection the two cannot be confused: a smaller number while no
utterance is open begins a new count. After a resume they can, so whoever resumes counts on: until
a greater number has come, every other is a repeat.

What is collected lives in memory only: nothing was promised before ``utterance_accepted``.
"""

import binascii
from collections.abc import Callable

from scheduler.config import Config
from scheduler.core.events import Timer
from scheduler.core.job import Cut
from scheduler.core.session import Collected, Session
from scheduler.core.state import Step
from scheduler.wire.common import SpeechOptions, shared
from scheduler.wire.session import AudioChunk, Utterance

SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2

Submit = Callable[[Cut, Utterance], None]
"""What is done with an utterance at once: the next one gets the index after it."""


class BadPayload(ValueError):
    """A chunk without whole samples; the text says what was expected."""


def collect(step: Step, session: Session, chunk: AudioChunk, submit: Submit) -> None:
    """Take a chunk, and submit the utterances that end with it.

    Raises :exc:`BadPayload`, and has then changed nothing.
    """
    samples = _decode(chunk.payload or "")
    collected = session.collected
    if not _counts_on(step, session, chunk):
        if chunk.is_final and chunk.seq == collected.last_seq:
            _cut(step, session, Cut.FINAL, submit)
        return
    longest = longest_bytes(step.config)
    while samples:
        if not collected.audio:
            collected.begun_at = step.now
        room = longest - len(collected.audio)
        collected.audio += samples[:room]
        samples = samples[room:]
        if len(collected.audio) == longest:
            _cut(step, session, Cut.LENGTH, submit)
    if chunk.is_final:
        _cut(step, session, Cut.FINAL, submit)
    if collected.audio:
        too_long = collected.begun_at + step.config.chunked_seconds_max
        collected.ends_at = min(step.now + step.config.chunk_pause, too_long)
        step.set_timer(_timer(session), collected.ends_at)


def paused(step: Step, session: Session, submit: Submit) -> None:
    """The timer ran out: no chunk came for the length of a pause, or the utterance is too long."""
    if step.now >= session.collected.ends_at:
        too_long = session.collected.begun_at + step.config.chunked_seconds_max
        _cut(step, session, Cut.LENGTH if step.now >= too_long else Cut.PAUSE, submit)


def _cut(step: Step, session: Session, why: Cut, submit: Submit) -> None:
    """End the utterance that is being collected. Where there is no sound there is none."""
    step.clear_timer(_timer(session))
    if not session.collected.audio:
        return
    hello = session.hello
    utterance = Utterance(
        **shared(SpeechOptions, hello),
        src_lang=hello.src_lang,
        tgt_lang=hello.tgt_lang,
        session_id=session.session_id,
        utterance_index=session.next_index,
        manual_cut=why is Cut.FINAL,
        audio=binascii.b2a_base64(session.collected.audio, newline=False).decode("ascii"),
        audio_format="pcm16",
        sample_rate=SAMPLE_RATE_HZ,
    )
    step.note("utterance_cut", session_id=session.session_id, why=str(why))
    session.collected.audio = bytearray()
    submit(why, utterance)


def discard(step: Step, session: Session) -> None:
    """The session is over for good: nobody is left who could be told an outcome."""
    step.clear_timer(_timer(session))
    if size := len(session.collected.audio):
        lost_ms = size * 1000 // (SAMPLE_RATE_HZ * SAMPLE_BYTES)
        step.note("speech_discarded", session_id=session.session_id, audio_ms=lost_ms)
        session.collected = Collected()


def longest_bytes(config: Config) -> int:
    """How many bytes of samples an utterance may have; whole samples."""
    by_seconds = int(config.chunked_seconds_max * SAMPLE_RATE_HZ) * SAMPLE_BYTES
    by_bytes = config.chunked_bytes_max // SAMPLE_BYTES * SAMPLE_BYTES
    return max(SAMPLE_BYTES, min(by_seconds, by_bytes))


def _counts_on(step: Step, session: Session, chunk: AudioChunk) -> bool:
    """Whether the chunk is a new one; remembers that it came."""
    collected = session.collected
    last = collected.last_seq
    if last is None or _counted_anew(collected, chunk.seq, last):
        collected.first_seq = chunk.seq
    elif chunk.seq <= last:
        step.note("chunk_repeated", session_id=session.session_id, seq=chunk.seq)
        return False
    else:
        collected.resumed = False
        if missing := chunk.seq - last - 1:
            step.note("chunks_missing", session_id=session.session_id, missing=missing)
    collected.last_seq = chunk.seq
    return True


def _counted_anew(collected: Collected, seq: int, last: int) -> bool:
    """Whether the number begins a new count: an utterance of one chunk has one number for ever."""
    return not (collected.audio or collected.resumed) and (
        seq < last or seq == last == collected.first_seq
    )


def _decode(payload: str) -> bytes:
    try:
        samples = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        raise BadPayload("expected base64") from None
    if len(samples) % SAMPLE_BYTES:
        raise BadPayload("expected whole samples of 16 bits")
    return samples


def _timer(session: Session) -> Timer:
    return Timer("pause", session.session_id)
