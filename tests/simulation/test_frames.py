"""Frames by hand agree with the library, and notice what is none."""

from __future__ import annotations

import pytest
import wsproto.frame_protocol as library
from hypothesis import given
from hypothesis import strategies as st
from simulation import frames
from simulation.frames import FrameReader, TornError

ANSWER = b"HTTP/1.1 101 \r\nUpgrade: WebSocket\r\n\r\n"
payloads = st.one_of(
    st.binary(max_size=200), st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 65_535, b"x" * 65_536])
)


def from_server(payload: bytes) -> bytes:
    protocol = library.FrameProtocol(client=False, extensions=[])
    return bytes(protocol.send_data(payload, fin=True))


@given(st.lists(payloads, max_size=4), st.integers(1, 70_000))
def test_a_reader_gives_back_what_the_library_sent(sent: list[bytes], portion: int) -> None:
    """However the bytes are cut up, every frame comes out whole and once."""
    data = ANSWER + b"".join(map(from_server, sent))
    reader = FrameReader()
    found = [
        payload
        for start in range(0, len(data), portion)
        for _, payload in reader.feed(data[start : start + portion])
    ]
    assert (reader.status, found, reader.pending) == (101, sent, 0)


@given(payloads)
def test_the_library_reads_what_is_made_by_hand(payload: bytes) -> None:
    """A frame made here is one that the library takes from a client."""
    protocol = library.FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(frames.frame(frames.BINARY, payload))
    read = bytearray()
    for part in protocol.received_frames():
        assert isinstance(part.payload, bytes | bytearray)
        read += part.payload
    assert read == payload


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x83\x00",
        b"\xc1\x00",
        b"\x81\x80mask",
        frames.frame(frames.TEXT, b"a client's"),
        b"pe\x00",
    ],
)
def test_what_no_server_sends_is_torn(garbage: bytes) -> None:
    """Half a frame followed by anything shows, then and at every later byte."""
    reader = FrameReader()
    reader.feed(ANSWER)
    with pytest.raises(TornError):
        reader.feed(garbage)
    with pytest.raises(TornError):
        reader.feed(from_server(b"all is well"))


def test_an_answer_that_is_no_upgrade_has_no_frames() -> None:
    """Behind a refusal there is nothing to read."""
    reader = FrameReader()
    assert reader.feed(b"HTTP/1.1 503 \r\n\r\n" + from_server(b"x")) == []
    assert reader.status == 503
