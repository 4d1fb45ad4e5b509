"""Frames are followed through any cut of the stream, and bounded in size and number."""

import itertools

import raw_peer
from hypothesis import given
from hypothesis import strategies as st
from raw_peer import frame

from scheduler.errors import Close
from scheduler.runtime.frames import (
    FRAGMENTS_MAX,
    FRAMES_AT_ONCE,
    Frames,
    close_frame,
    is_close_frame,
)

HEAD = b"GET /ws/session HTTP/1.1\r\nHost: here\r\n\r\n"
MESSAGE = [
    frame(raw_peer.TEXT, b"x" * 100, final=False),
    frame(raw_peer.PING, b"beat"),
    frame(raw_peer.CONTINUATION, b"", final=False),
    frame(raw_peer.CONTINUATION, b"x" * 70_000, final=False),
    frame(raw_peer.PONG),
    frame(raw_peer.CONTINUATION, b"x" * 1_000),
]
MESSAGE_BYTES = 71_100
CLOSE_TEXT_MAX = 123
"""What a control frame has room for, beside the code."""


def feed(frames: Frames, data: bytes) -> int:
    """Hand on all that may be; how much that was."""
    done = 0
    while done < len(data) and not frames.exceeded:
        size = frames.follow(data[done:])
        assert size > 0
        done += size
    return done


@given(st.lists(st.integers(1, 72_000), max_size=20))
def test_any_cut_of_the_stream_counts_the_same(cuts: list[int]) -> None:
    """Bytes and fragments of a message are the same however it arrives; control frames are none."""
    data, frames = HEAD + b"".join(MESSAGE), Frames(MESSAGE_BYTES)
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for start, end in itertools.pairwise(places):
        assert feed(frames, data[start:end]) == end - start
    assert (frames.message_bytes, frames.fragments) == (MESSAGE_BYTES, 4)
    assert not frames.exceeded


def test_one_byte_too_many_is_known_from_its_header() -> None:
    """A frame that makes its message too large is not waited for: what it declares is enough."""
    frames = Frames(MESSAGE_BYTES - 1)
    assert feed(frames, HEAD + b"".join(MESSAGE)) == len(HEAD + b"".join(MESSAGE)) - 1_000
    assert frames.exceeded


def test_fragments_are_bounded_though_they_are_empty() -> None:
    """``FRAGMENTS_MAX`` is all that one message may have; the next one begins anew."""
    frames = Frames(100)
    message = frame(raw_peer.TEXT, final=False)
    message += frame(raw_peer.CONTINUATION, final=False) * (FRAGMENTS_MAX - 1)
    feed(frames, HEAD + message)
    assert (frames.fragments, frames.exceeded) == (FRAGMENTS_MAX, False)
    feed(frames, frame(raw_peer.TEXT, final=False))
    assert frames.fragments == 1
    feed(frames, frame(raw_peer.CONTINUATION, final=False) * FRAGMENTS_MAX)
    assert frames.exceeded


def test_control_frames_never_add_up() -> None:
    """A peer that only pings may do so for ever."""
    frames = Frames(100)
    feed(frames, HEAD + frame(raw_peer.PING, b"x" * 125) * (FRAGMENTS_MAX + 1))
    assert (frames.message_bytes, frames.fragments, frames.exceeded) == (0, 0, False)


def test_few_frames_are_handed_on_at_once() -> None:
    """However many have arrived, the library gets ``FRAMES_AT_ONCE`` of them."""
    frames = Frames(100)
    feed(frames, HEAD)
    assert frames.follow(frame(raw_peer.PONG) * 10_000) == 6 * FRAMES_AT_ONCE


def test_a_close_frame_is_one() -> None:
    """Unmasked it is what a server says, masked it is a client's."""
    said = close_frame(Close.NORMAL, masked=False)
    assert said == b"\x88\x08\x03\xe8normal"
    assert is_close_frame(said)
    assert not is_close_frame(b"")
    assert not is_close_frame(frame(raw_peer.PING))
    masked = close_frame(Close.NORMAL, masked=True)
    assert masked[:2] == b"\x88\x88"
    assert len(masked) == len(said) + 4
    assert all(len(close.text) <= CLOSE_TEXT_MAX for close in Close)
