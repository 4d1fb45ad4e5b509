"""What is accepted as a WebSocket handshake, and what is said to the rest."""

import h11
import pytest
import wsproto
from front_support import HANDSHAKE, PATHS
from hypothesis import given
from hypothesis import strategies as st

from scheduler.server.handshake import check_handshake, origins_of, wants_websocket
from scheduler.server.http11 import RequestError


def parsed(raw: bytes) -> h11.Request:
    """The request whose head is ``raw``; raises h11.RemoteProtocolError if it is none."""
    http = h11.Connection(h11.SERVER)
    http.receive_data(raw)
    request = http.next_event()
    if not isinstance(request, h11.Request):
        raise h11.RemoteProtocolError("incomplete")
    return request


def test_a_good_handshake_passes() -> None:
    """The handshake of RFC 6455 passes, however its words are capitalised."""
    check_handshake(parsed(HANDSHAKE), PATHS)
    shouted = HANDSHAKE.replace(b": websocket", b": WebSocket").replace(
        b"Connection: Upgrade", b"connection: keep-alive, upgrade"
    )
    check_handshake(parsed(shouted), PATHS)


@pytest.mark.parametrize(
    ("old", "new", "status", "word"),
    [
        (b"/ws/session?", b"/ws/other?", 404, "/ws/node, /ws/session"),
        (b"GET ", b"POST ", 400, "GET"),
        (b"HTTP/1.1", b"HTTP/1.0", 400, "HTTP/1.1"),
        (b"Connection: Upgrade", b"Connection: keep-alive", 400, "Connection: Upgrade"),
        (b"Connection: Upgrade\r\n", b"", 400, "Connection: Upgrade"),
        (b"Connection: U", b"Connection: a\r\nConnection: U", 400, "exactly one"),
        (b": websocket", b": h2c, websocket", 400, "exactly one"),
        (b": websocket", b": h2c", 426, "Upgrade: websocket"),
        (b"Upgrade: websocket\r\n", b"", 426, "Upgrade: websocket"),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426, "Sec-WebSocket-Version: 13"),
        (b": 13", b": 8", 426, "Sec-WebSocket-Version: 13"),
        (b"Sec-WebSocket-Key: ", b"X-Key: ", 400, "Sec-WebSocket-Key"),
        (b"Key: dGhl", b"Key: d*hl", 400, "Sec-WebSocket-Key"),
        (b"Key: dGhl", b"Key: ", 400, "Sec-WebSocket-Key"),
        (b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 400, "no body"),
        (b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "no body"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \xff\r\n\r\n", 400, "ASCII"),
        (b"Host: here", b"Host: \xff", 400, "Host"),
    ],
)
def test_a_bad_handshake_is_told_what_is_wrong(
    old: bytes, new: bytes, status: int, word: str
) -> None:
    """Each way of getting the handshake wrong has its status and its sentence."""
    with pytest.raises(RequestError) as caught:
        check_handshake(parsed(HANDSHAKE.replace(old, new, 1)), PATHS)
    assert caught.value.status == status
    assert word in caught.value.text
    if status == 426:
        assert b"Sec-WebSocket-Version: 13\r\n" in caught.value.to_bytes()


ORIGINS = origins_of(" https://Speech.example, http://127.0.0.1:5010,")


@pytest.mark.parametrize(
    ("sent", "passes"),
    [
        (b"", True),
        (b"Origin: https://speech.example\r\n", True),
        (b"Origin: HTTPS://SPEECH.EXAMPLE\r\n", True),
        (b"Origin: http://127.0.0.1:5010\r\n", True),
        (b"Origin: http://speech.example\r\n", False),
        (b"Origin: https://speech.example:444\r\n", False),
        (b"Origin: https://speech.example.evil.example\r\n", False),
        (b"Origin: null\r\n", False),
        (b"Origin: \r\n", False),
        (b"Origin: http://here\r\n", False),  # the Host of the handshake: names can be made to lie
        (b"Origin: https://speech.example\r\nOrigin: https://evil.example\r\n", False),
    ],
)
def test_pages_of_other_sites_may_be_kept_out(sent: bytes, passes: bool) -> None:
    """With origins given, a browser comes from one of them; programs that send none may come."""
    request = parsed(HANDSHAKE.replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n" + sent))
    check_handshake(request, PATHS)
    if passes:
        check_handshake(request, PATHS, ORIGINS)
        return
    with pytest.raises(RequestError, match="403"):
        check_handshake(request, PATHS, ORIGINS)


def test_other_upgrades_are_not_ours() -> None:
    """A request that offers another protocol is plain HTTP, as RFC 9110 lets a server decide."""
    assert wants_websocket(parsed(HANDSHAKE))
    assert not wants_websocket(parsed(HANDSHAKE.replace(b"websocket", b"h2c")))
    assert not wants_websocket(parsed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))


NAMES = st.sampled_from(
    [
        "Connection",
        "Content-Length",
        "Expect",
        "Host",
        "Origin",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Version",
        "Upgrade",
    ]
)
VALUES = st.one_of(
    st.sampled_from([b"Upgrade", b"websocket", b"WebSocket, h2c", b"13", b"", b"0", b"a, Upgrade"]),
    st.binary(max_size=12),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=3), st.sets(st.integers(1, 5), max_size=1))
def test_what_passes_is_accepted_behind(extra: list[tuple[str, bytes]], without: set[int]) -> None:
    """No handshake that passes here is one that the library behind would wait over for ever."""
    lines = [line for i, line in enumerate(HANDSHAKE.split(b"\r\n")[:-2]) if i not in without]
    raw = b"\r\n".join([*lines, *(n.encode() + b": " + v for n, v in extra), b"", b""])
    try:
        check_handshake(parsed(raw), PATHS)
    except (h11.RemoteProtocolError, RequestError):
        return
    behind = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    behind.receive_data(raw)
    assert [type(event).__name__ for event in behind.events()] == ["Request"]
