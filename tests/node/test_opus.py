"""Opus packets without a container are decoded, and what is none is refused with the reason."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from speech import RATE_HZ, needs_recordings, recording

from scheduler.node.opus import decode_opus


def packets_of(pcm: bytes) -> list[bytes]:
    """Speech as 20 ms Opus packets: encoded into an Ogg file, and taken out of it."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 2**15
    soundfile.write(file, samples, RATE_HZ, format="OGG", subtype="OPUS")
    data, place = file.getvalue(), 0
    packets, packet = [], b""
    while place < len(data):
        lengths = data[place + 27 : place + 27 + data[place + 26]]
        place += 27 + len(lengths)
        for length in lengths:
            packet += data[place : place + length]
            place += length
            if length < 255:
                packets.append(packet)
                packet = b""
    return packets[2:]


def on_the_wire(packets: list[bytes]) -> bytes:
    return b"".join(struct.pack("<H", len(packet)) + packet for packet in packets)


NOISE = np.random.default_rng(1).integers(-8000, 8000, 16_000, np.int16).tobytes()
PACKETS = packets_of(NOISE)


@needs_recordings
def test_speech_comes_out_as_it_went_in() -> None:
    """A recording is the same after the codec, but for its delay and what the codec leaves out."""
    pcm = recording("goforward.raw")
    samples, rate_hz = decode_opus(on_the_wire(packets_of(pcm)), seconds_max=60)
    said = np.frombuffer(pcm, "<i2").astype(np.float32)
    heard = samples[:: rate_hz // RATE_HZ]
    assert abs(len(heard) - len(said)) <= 0.04 * RATE_HZ
    alike = [np.corrcoef(said[:40_000], heard[k : k + 40_000])[0, 1] for k in range(0, 320, 4)]
    assert max(alike) > 0.95


def test_the_length_is_that_of_the_packets() -> None:
    """Fifty packets are a second."""
    samples, rate_hz = decode_opus(on_the_wire(PACKETS[:50]), seconds_max=60)
    assert len(samples) == rate_hz


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x01", "end within a packet's length"),
        (b"\x00\x00", "packet 0 is empty"),
        (b"\x05\x00\x48", "packet 0 is truncated"),
        (b"\x01\x00\x00", "packet 0 does not last 20 ms"),  # 10 ms
        (b"\x01\x00\x49", "packet 0 does not last 20 ms"),  # two frames of 20 ms
        (b"\x01\x00\x4b", "packet 0 does not last 20 ms"),  # a number of frames that is missing
        (on_the_wire(PACKETS[:3]) + b"\x00\x00", "packet 3 is empty"),
    ],
)
def test_what_is_no_row_of_packets_is_named(data: bytes, problem: str) -> None:
    """The error says which packet is wrong, and how."""
    with pytest.raises(ValueError, match=problem):
        decode_opus(data, seconds_max=60)


def test_the_length_is_bounded_before_anything_is_decoded() -> None:
    """More packets than the maximum are refused; just as many are not."""
    decode_opus(on_the_wire(PACKETS[:25]), seconds_max=0.5)
    with pytest.raises(ValueError, match=r"more than 0\.5 s"):
        decode_opus(on_the_wire(PACKETS[:26]), seconds_max=0.5)


def test_a_packet_longer_than_an_ogg_page_holds_is_refused() -> None:
    """A page has room for 65025 bytes; no true packet comes near that."""
    with pytest.raises(ValueError, match="too long"):
        decode_opus(on_the_wire([b"\x48" + bytes(65_030)]), seconds_max=60)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40), st.integers(0, 255)), max_size=20))
def test_damaged_packets_are_sound_or_an_error(changes: list[tuple[int, int, int]]) -> None:
    """Whatever the contents of the packets, the decoder gives samples or the error it may give."""
    packets = [bytearray(packet) for packet in PACKETS[:10]]
    for number, place, value in changes:
        packets[number][place % len(packets[number]) or 1] = value
    try:
        samples, _ = decode_opus(on_the_wire([bytes(p) for p in packets]), seconds_max=60)
    except ValueError:
        return
    assert samples.ndim == 1
