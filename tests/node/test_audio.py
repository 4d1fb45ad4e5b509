"""Audio in any form the wire allows becomes one form, or a clear refusal, and nothing else."""

import base64
import importlib.util
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.errors import Code, StageFailed
from scheduler.node.audio import AUDIO_SECONDS_MAX, ENGINE_RATE_HZ, decode_audio

Samples = NDArray[np.float32]
TONE_HZ = 440


def tone(rate_hz: int, seconds: float = 0.5, hz: float = TONE_HZ) -> Samples:
    """A sine at half of full scale."""
    at = np.arange(round(rate_hz * seconds)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def wav(
    samples: Samples, rate_hz: int = ENGINE_RATE_HZ, subtype: str = "PCM_16", container: str = "WAV"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def decode(data: bytes, audio_format: str, rate_hz: int = ENGINE_RATE_HZ) -> Samples:
    """The decoded samples, full scale is 1.0."""
    audio = decode_audio(base64.b64encode(data).decode(), audio_format, rate_hz)
    return np.frombuffer(audio.pcm, "<i2").astype(np.float32) / np.float32(2**15)


def refusal(data: bytes, audio_format: str, rate_hz: int = ENGINE_RATE_HZ) -> tuple[str, str]:
    with pytest.raises(StageFailed) as caught:
        decode(data, audio_format, rate_hz)
    assert not caught.value.retryable
    return caught.value.code, str(caught.value)


def loudest_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(spectrum.argmax() * ENGINE_RATE_HZ / len(samples))


def test_samples_at_the_engines_rate_stay_as_they_are() -> None:
    """pcm16 at 16000 Hz is passed on bit by bit."""
    pcm = (tone(16_000) * 2**15).astype("<i2").tobytes()
    assert decode_audio(base64.b64encode(pcm).decode(), "pcm16", 16_000).pcm == pcm


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("audio_format", ["pcm16", "wav"])
def test_every_rate_becomes_the_engines(rate_hz: int, audio_format: str) -> None:
    """Length in seconds and pitch stay; a WAV file's own rate counts, not the message's."""
    samples = tone(rate_hz)
    if audio_format == "pcm16":
        decoded = decode((samples * 2**15).astype("<i2").tobytes(), "pcm16", rate_hz)
    else:
        decoded = decode(wav(samples, rate_hz), "wav", 16_000)
    assert abs(len(decoded) - ENGINE_RATE_HZ / 2) <= 2
    assert abs(loudest_hz(decoded) - TONE_HZ) <= 2
    assert 0.45 < np.abs(decoded).max() < 0.55


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_every_linear_encoding_sounds_the_same(subtype: str, container: str) -> None:
    """8 to 32 bits and both floats, plain or extensible: the same samples within rounding."""
    decoded = decode(wav(tone(16_000), subtype=subtype, container=container), "wav")
    assert np.abs(decoded - tone(16_000)).max() < 1 / 64


@pytest.mark.parametrize("channels", [2, 3, 8])
def test_channels_are_mixed(channels: int) -> None:
    """Of several channels the mean is heard, whichever of them holds the voice."""
    samples = np.zeros((8_000, channels), np.float32)
    samples[:, -1] = tone(16_000)
    decoded = decode(wav(samples), "wav")
    assert len(decoded) == 8_000
    assert np.abs(decoded - tone(16_000) / channels).max() < 1 / 1000


def test_what_is_too_loud_or_no_number_is_clipped() -> None:
    """Float samples beyond full scale, infinities and NaN give audio, not noise or an error."""
    samples = np.array([0, 2, -2, np.inf, -np.inf, np.nan, 0.25], np.float32)
    decoded = decode(wav(samples, subtype="FLOAT"), "wav")
    assert decoded.round(2).tolist() == [0, 1, -1, 1, -1, 0, 0.25]


def test_a_length_that_a_pipe_invented_means_all_there_is() -> None:
    """A WAV file written to a pipe claims some two gigabytes; its data go on to its end."""
    data = bytearray(wav(tone(16_000)))
    place = data.index(b"data") + 4
    for invented in (0x7FFFF000, 0xFFFFFFFF):
        struct.pack_into("<I", data, place, invented)
        assert len(decode(bytes(data), "wav")) == 8_000


def test_other_chunks_are_skipped() -> None:
    """Notes before the samples, padded to an even length, do not matter."""
    data = wav(tone(16_000))
    place = data.index(b"data")
    note = b"LIST" + struct.pack("<I", 5) + b"hello" + b"\0"
    assert len(decode(data[:place] + note + data[place:], "wav")) == 8_000


def test_broken_audio_is_refused_as_invalid() -> None:
    """What is damaged gets INVALID_MESSAGE with the damage named."""
    good = wav(tone(16_000))
    for data, audio_format, problem in (
        (b"", "pcm16", "empty"),
        (b"abc", "pcm16", "16-bit"),
        (b"RIFFxxxxWAVE", "wav", "lacks"),
        (b"ID3 something else", "wav", "no WAV"),
        (good[:-2], "wav", "truncated: 2 bytes"),
        (good[:44], "wav", "truncated"),
        (wav(np.zeros(0, np.float32)), "wav", "no samples"),
    ):
        code, text = refusal(data, audio_format)
        assert code == Code.INVALID_MESSAGE
        assert problem in text
    with pytest.raises(StageFailed, match="base64"):
        decode_audio("%%%", "pcm16", 16_000)


@pytest.mark.parametrize("rate_hz", [1, 7_999, 192_001, 384_000])
def test_rates_nobody_speaks_at_are_refused(rate_hz: int) -> None:
    """A rate beyond what can be speech is a mistake of the sender."""
    assert refusal(bytes(3200), "pcm16", rate_hz)[0] == Code.INVALID_MESSAGE


@pytest.mark.parametrize("audio_format", ["pcm16", "wav"])
def test_audio_that_is_too_long_is_refused(audio_format: str) -> None:
    """Longer than the maximum would hold the slot beyond any deadline; exactly as long is fine."""
    frames = round(AUDIO_SECONDS_MAX * ENGINE_RATE_HZ)

    def silence(count: int) -> bytes:
        return bytes(2 * count) if audio_format == "pcm16" else wav(np.zeros(count, np.float32))

    assert len(decode(silence(frames), audio_format)) == frames
    assert "is more than 60 s" in refusal(silence(frames + 1), audio_format)[1]


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM", "GSM610"])
def test_encodings_that_are_not_linear_are_unsupported(subtype: str) -> None:
    """A whole file of another encoding is no mistake, but nothing for this node."""
    assert refusal(wav(tone(16_000), subtype=subtype), "wav")[0] == Code.UNSUPPORTED_FEATURE


def test_unknown_formats_are_unsupported() -> None:
    """A format that is none of the wire's is named in the refusal."""
    code, text = refusal(b"xx", "mp3")
    assert code == Code.UNSUPPORTED_FEATURE
    assert "'mp3'" in text


def test_without_its_decoder_opus_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose decoder is not installed says so, and that another try would be in vain."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, text = refusal(b"\x01\x00\x48", "opus")
    assert code == Code.UNSUPPORTED_FEATURE
    assert "soundfile" in text


def test_broken_opus_is_invalid() -> None:
    """What is wrong with the packets is told as any other damage is."""
    assert refusal(b"\xff\xff\x48", "opus") == (
        Code.INVALID_MESSAGE, "decode: opus packet 0 is truncated",
    )  # fmt: skip


GOOD_WAV = wav(tone(16_000, 0.01))


@given(
    changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6),
    length=st.integers(0, len(GOOD_WAV)),
)
def test_a_damaged_file_is_audio_or_a_refusal(changes: list[tuple[int, int]], length: int) -> None:
    """Whatever bytes of the head are wrong or missing, there is no third possibility."""
    data = bytearray(GOOD_WAV)
    for place, value in changes:
        data[place] = value
    outcome: object
    try:
        outcome = len(decode(bytes(data[:length]), "wav")) >= 1
    except StageFailed as refused:
        outcome = refused.code
    assert outcome in (True, Code.INVALID_MESSAGE, Code.UNSUPPORTED_FEATURE)
