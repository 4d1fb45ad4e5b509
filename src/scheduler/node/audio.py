"""Audio from the wire, in any of its three formats, to the one form that engines hear.

Source: the RIFF/WAVE chunk layout of Microsoft's multimedia documentation.
"""

import base64
import binascii
import importlib.util
import struct
from typing import TYPE_CHECKING, Any

import attrs

from scheduler.errors import Code, StageFailed
from scheduler.node.opus import decode_opus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

ENGINE_RATE_HZ = 16_000
RATE_HZ_MIN = 8_000
RATE_HZ_MAX = 192_000
AUDIO_SECONDS_MAX = 60.0
"""A longer utterance would hold its slot beyond any deadline; the scheduler cuts at 20 s."""

CHANNELS_MAX = 8
MODULES = ("numpy", "soxr", "soundfile")


@attrs.frozen
class Audio:
    """Speech for engines: signed 16-bit little-endian samples, mono, 16000 per second."""

    pcm: bytes

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pcm) / (2 * ENGINE_RATE_HZ)

    def padded(self, milliseconds: int) -> "Audio":
        """With so much silence on either side: a word that is cut close is heard better."""
        silence = bytes(2 * (ENGINE_RATE_HZ * milliseconds // 1000))
        return Audio(silence + self.pcm + silence)


def decode_audio(text: str, audio_format: str, sample_rate: int) -> Audio:
    """Base64 ``text`` of ``pcm16``, ``wav`` or ``opus`` to :class:`Audio`. Blocks for a moment.

    ``sample_rate`` (Hz) counts for ``pcm16`` only; the other formats carry their own.
    Raises :class:`~scheduler.errors.StageFailed`, never worth retrying: INVALID_MESSAGE for
    what is broken, UNSUPPORTED_FEATURE for what is whole but not for us.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"the audio is not base64 ({error})") from None
    if not data:
        raise _invalid("the audio is empty")
    match audio_format:
        case "pcm16":
            return _from_pcm16(data, sample_rate)
        case "wav":
            return _from_wav(data)
        case "opus":
            return _from_opus(data)
    raise _unsupported(f"the audio format {audio_format[:40]!r} is not pcm16, wav or opus")


def _from_opus(data: bytes) -> Audio:
    if importlib.util.find_spec("soundfile") is None:
        raise _unsupported("this node cannot decode opus (its soundfile module is missing)")
    try:
        samples, rate_hz = decode_opus(data, seconds_max=AUDIO_SECONDS_MAX)
    except ValueError as error:
        raise _invalid(str(error)) from None
    _check(rate_hz, len(samples))
    return _resampled(samples, rate_hz)


def _invalid(problem: str) -> StageFailed:
    return StageFailed("decode", Code.INVALID_MESSAGE, problem, retryable=False)


def _unsupported(problem: str) -> StageFailed:
    return StageFailed("decode", Code.UNSUPPORTED_FEATURE, problem, retryable=False)


def _check(rate_hz: int, frames: int) -> None:
    if not RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX:
        raise _invalid(f"a rate of {rate_hz} Hz is not within {RATE_HZ_MIN} to {RATE_HZ_MAX}")
    if frames == 0:
        raise _invalid("the audio has no samples")
    if frames > AUDIO_SECONDS_MAX * rate_hz:
        seconds = frames / rate_hz
        raise _invalid(f"{seconds:.0f} s of audio is more than {AUDIO_SECONDS_MAX:g} s")


def _from_pcm16(data: bytes, rate_hz: int) -> Audio:
    if len(data) % 2:
        raise _invalid(f"{len(data)} bytes are not a whole number of 16-bit samples")
    _check(rate_hz, len(data) // 2)
    if rate_hz == ENGINE_RATE_HZ:
        return Audio(data)
    return _resampled(_pcm16(data), rate_hz)


def _resampled(mono: "Samples", rate_hz: int) -> Audio:
    """``mono`` (full scale is 1.0) as 16-bit samples at the engines' rate; louder is clipped."""
    import numpy as np
    import soxr

    mono = np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1.0, 1.0)
    if rate_hz != ENGINE_RATE_HZ:
        mono = soxr.resample(mono, rate_hz, ENGINE_RATE_HZ)
    pcm = (mono * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()
    if not pcm:
        raise _invalid("the audio is too short to hold a sample")
    return Audio(pcm)


# -- WAV ------------------------------------------------------------------------------

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_LENGTH = 0x7FFF0000
"""Programs that write to a pipe put a length like this one: the data go on to the end."""


def _from_wav(data: bytes) -> Audio:
    import numpy as np

    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise _invalid("this is no WAV file")
    chunks = _wav_chunks(data)
    layout, body = chunks.get(b"fmt "), chunks.get(b"data")
    if layout is None or len(layout) < 16 or body is None:
        raise _invalid("the WAV file lacks its format or its data")
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", layout)
    if tag == _EXTENSIBLE and len(layout) >= 26:
        (tag,) = struct.unpack_from("<H", layout, 24)
    if not 1 <= channels <= CHANNELS_MAX:
        raise _invalid(f"{channels} channels are not within 1 to {CHANNELS_MAX}")
    if (tag, bits) not in _WAV_READERS:
        raise _unsupported(f"WAV encoding {tag} with {bits} bits is not linear PCM or float")
    if frame_bytes != channels * bits // 8 or len(body) % frame_bytes:
        raise _invalid("the WAV data are not a whole number of samples")
    _check(rate_hz, len(body) // frame_bytes)
    with np.errstate(all="ignore"):
        samples = _WAV_READERS[tag, bits](body).reshape(-1, channels)
        mono = samples.mean(axis=1, dtype=np.float32)
    return _resampled(mono, rate_hz)


def _wav_chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks by their names; a chunk that claims more than there is means truncation."""
    chunks: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(data) and b"data" not in chunks:
        name = data[place : place + 4]
        (length,) = struct.unpack_from("<I", data, place + 4)
        place += 8
        if name == b"data" and length >= _UNKNOWN_LENGTH:
            length = len(data) - place
        if place + length > len(data):
            missing = place + length - len(data)
            raise _invalid(f"the WAV file is truncated: {missing} bytes are missing")
        chunks.setdefault(name, data[place : place + length])
        place += length + length % 2
    return chunks


def _pcm8(body: bytes) -> Any:
    import numpy as np

    return (np.frombuffer(body, np.uint8).astype(np.float32) - 128) / 2**7


def _pcm16(body: bytes) -> Any:
    import numpy as np

    return np.frombuffer(body, "<i2").astype(np.float32) / 2**15


def _pcm24(body: bytes) -> Any:
    import numpy as np

    # Each sample becomes the three high bytes of a 32-bit number, so that its sign is right.
    wide = np.zeros((len(body) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(body, np.uint8).reshape(-1, 3)
    return wide.view("<i4").ravel().astype(np.float32) / 2**31


def _pcm32(body: bytes) -> Any:
    import numpy as np

    return np.frombuffer(body, "<i4").astype(np.float32) / 2**31


def _float32(body: bytes) -> Any:
    import numpy as np

    return np.frombuffer(body, "<f4")


def _float64(body: bytes) -> Any:
    import numpy as np

    return np.frombuffer(body, "<f8").astype(np.float32)


_WAV_READERS = {
    (_PCM, 8): _pcm8,
    (_PCM, 16): _pcm16,
    (_PCM, 24): _pcm24,
    (_PCM, 32): _pcm32,
    (_FLOAT, 32): _float32,
    (_FLOAT, 64): _float64,
}
