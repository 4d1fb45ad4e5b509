"""Which way a message takes cannot be told from what is heard: same messages, same order."""

from collections import deque
from typing import Any

import pytest
import raw_peer
from hypothesis import given
from hypothesis import strategies as st
from raw_peer import close_frame, frame, handshake
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from scheduler.runtime.lane import HEAD_END, IN_A_ROW_MAX, Lane, text_frame, under_mask

MOST = 1000
HEAD = b"GET / HTTP/1.1\r\nHost: here" + HEAD_END


class Reader:
    """A lane with the library behind it, as a connection has them: ``heard`` is what both tell.

    What the library has read waits in ``unread`` until :meth:`hand_over`.
    """

    def __init__(self, *, head: bytes = HEAD) -> None:
        self.lane = Lane(masked=True, message_bytes_max=MOST)
        self.heard: list[str | bytes] = []
        self.taken: list[str] = []
        self.pings: list[bytes] = []
        self.unread: deque[str | bytes] = deque()
        self.closed: int | None = None
        self._library = Connection(ConnectionType.SERVER)
        self._parts: list[Any] = []
        self._head = len(head)
        self.read(head)
        self.lane.on_text = self._take

    def _take(self, text: str) -> None:
        assert self.closed is None
        self.taken.append(text)
        self.heard.append(text)

    def read(self, data: bytes) -> None:
        left = self.lane.feed(data)
        while self.lane.pending:
            left += self.lane.feed(b"")
        skipped = min(self._head, len(left))
        self._head -= skipped
        self._library.receive_data(left[skipped:])
        for event in self._library.events():
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    kind = b"" if isinstance(event, BytesMessage) else ""
                    self.unread.append(kind.join(self._parts))
                    self._parts = []
            elif isinstance(event, Ping):
                self.pings.append(bytes(event.payload))
            elif isinstance(event, CloseConnection):
                self.closed = event.code

    def hand_over(self) -> None:
        if self.unread:
            self.lane.handed_over()
            self.heard.append(self.unread.popleft())


Piece = tuple[bytes, list[str | bytes], list[bytes]]
"""Frames, the messages that they are, and the pings among them."""


def whole(text: str) -> Piece:
    return frame(raw_peer.TEXT, text.encode()), [text], []


def binary(content: bytes) -> Piece:
    return frame(raw_peer.BINARY, content), [content], []


def ping(content: bytes) -> Piece:
    return frame(raw_peer.PING, content), [], [content]


def fragmented(parts: list[str], pinged: bytes) -> Piece:
    """A text in several frames, with a ping in the middle of them."""
    frames = frame(raw_peer.TEXT, parts[0].encode(), final=False)
    frames += frame(raw_peer.PING, pinged)
    for part in parts[1:]:
        frames += frame(raw_peer.CONTINUATION, part.encode(), final=False)
    return frames + frame(raw_peer.CONTINUATION), ["".join(parts)], [pinged]


texts = st.text(max_size=150)
pieces = st.one_of(
    st.builds(whole, texts),
    st.builds(whole, texts),
    st.builds(binary, st.binary(max_size=150)),
    st.builds(ping, st.binary(max_size=125)),
    st.builds(fragmented, st.lists(texts, min_size=1, max_size=3), st.binary(max_size=9)),
)


@given(st.lists(pieces, max_size=30), st.data())
def test_messages_keep_their_order_whichever_way_they_take(
    said: list[Piece], data: st.DataObject
) -> None:
    """However the bytes are cut, and whenever the library hands over what it has."""
    reader = Reader()
    stream = b"".join(frames for frames, _, _ in said)
    while stream:
        size = data.draw(st.integers(1, len(stream)), "read")
        reader.read(stream[:size])
        stream = stream[size:]
        if data.draw(st.booleans(), "hand over"):
            reader.hand_over()
    while reader.unread:
        reader.hand_over()
    assert reader.heard == [message for _, messages, _ in said for message in messages]
    assert reader.pings == [content for _, _, pings in said for content in pings]


def test_whole_texts_do_not_reach_the_library() -> None:
    """The usual message is taken out, also right behind a ping or a message of another kind."""
    reader = Reader()
    reader.read(whole("one")[0] + ping(b"?")[0] + whole("two")[0] + binary(b"three")[0])
    assert reader.taken == ["one", "two"]
    reader.hand_over()
    reader.read(whole("four")[0])
    assert reader.taken == ["one", "two", "four"]


def test_a_message_waits_for_the_one_that_the_library_has() -> None:
    """What comes behind a message that was left to the library follows it there."""
    reader = Reader()
    reader.read(binary(b"one")[0] + whole("two")[0])
    assert reader.heard == []
    assert list(reader.unread) == [b"one", "two"]


@given(st.binary(max_size=200), st.data())
def test_what_is_not_taken_arrives_as_it_came(stream: bytes, data: st.DataObject) -> None:
    """While nobody takes messages the library gets every byte, whatever they are."""
    lane = Lane(masked=True, message_bytes_max=MOST)
    sent, left = HEAD + stream, b""
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        left += lane.feed(sent[:size])
        sent = sent[size:]
        while lane.pending:
            left += lane.feed(b"")
    assert (HEAD + stream).startswith(left)
    assert len(HEAD + stream) - len(left) < 14  # the beginning of a head that says how long it is


def test_the_head_of_http_is_the_librarys() -> None:
    """The handshake goes through whole, and what is glued behind it is frames already."""
    for cut in range(1, len(HEAD)):
        lane = Lane(masked=True, message_bytes_max=MOST)
        taken: list[str] = []
        lane.on_text = taken.append
        left = lane.feed(HEAD[:cut]) + lane.feed(HEAD[cut:] + whole("hello")[0])
        assert (left, taken) == (HEAD, ["hello"])


def test_the_handshake_of_the_real_library_passes() -> None:
    """The library finds its request, and the lane begins at the right byte."""
    lane, library = Lane(masked=True, message_bytes_max=MOST), WSConnection(ConnectionType.SERVER)
    library.receive_data(lane.feed(handshake("/ws/session")))
    assert len(list(library.events())) == 1


WRONG = {
    "not UTF-8": frame(raw_peer.TEXT, b"\xff\xfe"),
    "half a character": frame(raw_peer.TEXT, "é".encode()[:1]),
    "unmasked": b"\x81\x02hi",
    "a reserved bit": b"\xc1\x80\x00\x00\x00\x00",
    "an unknown opcode": b"\x83\x80\x00\x00\x00\x00",
    "an unknown control": b"\x8b\x80\x00\x00\x00\x00",
    "a long ping": frame(raw_peer.PING, b"x" * 126),
    "a ping in pieces": frame(raw_peer.PING, b"x", final=False),
    "a length in too many bytes": b"\x81\xfe\x00\x02" + bytes(4) + b"hi",
    "a length in far too many bytes": b"\x81\xff" + bytes(7) + b"\x02" + bytes(4) + b"hi",
    "a text inside of another": frame(raw_peer.TEXT, b"a", final=False) + whole("b")[0],
    "a continuation of nothing": frame(raw_peer.CONTINUATION, b"x"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_the_librarys_to_refuse(wrong: bytes) -> None:
    """The library sees each error as soon as it would without a lane, and nothing follows it."""
    reader = Reader()
    reader.read(whole("before")[0])
    reader.read(wrong + whole("behind")[0])
    assert reader.closed in (CloseReason.PROTOCOL_ERROR, CloseReason.INVALID_FRAME_PAYLOAD_DATA)
    assert reader.taken == ["before"]


def test_a_message_that_is_too_large_is_the_librarys() -> None:
    """One more byte than may be is not waited for here."""
    reader = Reader()
    reader.read(whole("x" * MOST)[0])
    assert reader.taken == ["x" * MOST]
    reader.read(whole("x" * (MOST + 1))[0][:20])
    reader.read(whole("x" * (MOST + 1))[0][20:])
    assert list(reader.unread) == ["x" * (MOST + 1)]
    assert len(reader.taken) == 1


def test_behind_a_close_frame_nothing_is_taken() -> None:
    """Whoever has said goodbye is not heard any more."""
    reader = Reader()
    reader.read(close_frame(1000) + whole("and another thing")[0])
    assert reader.closed == CloseReason.NORMAL_CLOSURE
    assert reader.heard == []


def test_others_have_their_turn() -> None:
    """So many messages are handled at one time; the next are found without anything new."""
    lane = Lane(masked=True, message_bytes_max=MOST)
    heard: list[str] = []
    lane.on_text = heard.append
    lane.feed(HEAD + whole("x")[0] * (2 * IN_A_ROW_MAX + 1))
    for handled in (1, 2):
        assert (len(heard), lane.pending) == (handled * IN_A_ROW_MAX, True)
        lane.feed(b"")
    assert (len(heard), lane.pending) == (2 * IN_A_ROW_MAX + 1, False)


SIZES = [0, 1, 125, 126, 2**16 - 1, 2**16]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [ConnectionType.CLIENT, ConnectionType.SERVER])
def test_the_library_reads_our_frames(kind: ConnectionType, size: int) -> None:
    """A frame of either side is what the library on the other side expects, at every length."""
    other = ConnectionType.SERVER if kind is ConnectionType.CLIENT else ConnectionType.CLIENT
    for text in ("x" * size, "é" * (size // 2)):
        library = Connection(other)
        library.receive_data(text_frame(text, masked=kind is ConnectionType.CLIENT))
        assert "".join(event.data for event in library.events()) == text  # type: ignore[attr-defined]


@given(st.binary(max_size=50), st.binary(min_size=4, max_size=4))
def test_a_mask_is_taken_off_as_it_was_put_on(content: bytes, key: bytes) -> None:
    """Byte for byte the exclusive or with the key, over and over."""
    masked = under_mask(bytearray(content), key)
    assert masked == bytes(byte ^ key[place % 4] for place, byte in enumerate(content))
    assert under_mask(masked, key) == content
