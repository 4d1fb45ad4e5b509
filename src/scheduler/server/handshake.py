"""Whether a request is a WebSocket handshake that the library behind will accept.

It waits for ever on one that it does not like, so everything it checks is checked here first.
"""

import base64
import binascii
from collections.abc import Collection, Set

import h11

from scheduler.consistency import parts
from scheduler.server.http11 import RequestError, split_target

_UPGRADE_TO = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))


def wants_websocket(request: h11.Request) -> bool:
    """Whether the request asks to become a WebSocket. Any other upgrade is ignored (RFC 9110)."""
    return b"websocket" in _tokens(request, b"upgrade")


def origins_of(setting: str) -> frozenset[bytes]:
    """The origins that ``allowed_origins`` names, as browsers send them; none for any."""
    return frozenset(origin.lower().encode() for origin in parts(setting))


def check_handshake(
    request: h11.Request, paths: Collection[str], origins: Set[bytes] = frozenset()
) -> None:
    """Raise the :exc:`RequestError` that RFC 6455 §4.2 asks for, unless the handshake is valid.

    ``origins`` are those from which a browser may come, if there are any; the Host is no proof
    of the same origin, since whoever has a name can let it point here.

    Stricter than the RFC where the library behind is: one ``Upgrade`` and one ``Connection``
    header, and nothing but ASCII in the headers that it decodes.
    """
    path, _ = split_target(request)
    if path not in paths:
        raise RequestError(
            404, f"no WebSocket endpoint here; there are: {', '.join(sorted(paths))}"
        )
    if not wants_websocket(request):
        raise RequestError(
            426,
            "this is a WebSocket endpoint: the header 'Upgrade: websocket' is missing",
            _UPGRADE_TO,
        )
    if request.method != b"GET" or request.http_version != b"1.1":
        raise _bad_handshake("the request must be GET with HTTP/1.1")
    if b"upgrade" not in _tokens(request, b"connection"):
        raise _bad_handshake("the header 'Connection: Upgrade' is missing")
    if len(_values(request, b"connection")) > 1 or _values(request, b"upgrade") != [b"websocket"]:
        raise _bad_handshake("send exactly one Connection and one 'Upgrade: websocket' header")
    if origins and not {value.lower() for value in _values(request, b"origin")} <= origins:
        raise RequestError(403, "pages of this site may not connect here (allowed_origins)")
    if _values(request, b"sec-websocket-version") != [b"13"]:
        raise RequestError(
            426,
            "the header 'Sec-WebSocket-Version: 13' is missing; no other version is spoken here",
            _UPGRADE_TO,
        )
    keys = _values(request, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise _bad_handshake("Sec-WebSocket-Key must be 16 bytes in base64")
    if _values(request, b"transfer-encoding") or set(_values(request, b"content-length")) - {b"0"}:
        raise _bad_handshake("the request must have no body")
    if not all(_is_host(value) for value in _values(request, b"host")) or any(
        not value.isascii()
        for name in (b"sec-websocket-protocol", b"sec-websocket-extensions", b"connection")
        for value in _values(request, name)
    ):
        raise _bad_handshake("a header has characters that are not ASCII, or a malformed Host")


def _bad_handshake(text: str) -> RequestError:
    return RequestError(400, f"not a WebSocket handshake: {text}")


def _values(request: h11.Request, name: bytes) -> list[bytes]:
    return [
        value.lower() if name == b"upgrade" else value for n, value in request.headers if n == name
    ]


def _tokens(request: h11.Request, name: bytes) -> set[bytes]:
    return {
        token.strip().lower() for value in _values(request, name) for token in value.split(b",")
    }


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _is_host(value: bytes) -> bool:
    try:
        value.decode("idna")
    except UnicodeError:
        return False
    return True
