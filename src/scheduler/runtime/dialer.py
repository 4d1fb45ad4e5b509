"""Reaching a scheduler by its URL, and saying in one line why it cannot be reached."""

import errno
import os
import socket
import ssl
from urllib.parse import urlsplit

import attrs
import trio

from scheduler.errors import ConfigError, ConnectionLost

DEFAULT_PORT = 5010


@attrs.frozen
class Address:
    """Where a scheduler listens. ``text`` is how it is named to people."""

    host: str
    port: int
    tls: bool

    @property
    def text(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Read ``ws://host:port`` or ``wss://host:port``; a path is not needed and is ignored.

    Raises :class:`~scheduler.errors.ConfigError` for anything else.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ConfigError(f"{url!r} is no address; expected ws://host:port or wss://host:port")
    return Address(parts.hostname, port or DEFAULT_PORT, parts.scheme == "wss")


async def open_stream(address: Address, *, timeout: float) -> trio.abc.Stream:
    """A byte stream to ``address``. Cancelling leaves nothing open.

    Raises :class:`~scheduler.errors.ConnectionLost` with a text for people when nobody can
    be reached within ``timeout`` seconds.
    """
    try:
        with trio.fail_after(timeout):
            stream: trio.abc.Stream = await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError:
        raise ConnectionLost(None, f"no answer from {address.text} in {timeout:g} s") from None
    except OSError as error:
        raise ConnectionLost(None, explain(address, error)) from None
    if address.tls:
        context = ssl.create_default_context()
        stream = trio.SSLStream(stream, context, server_hostname=address.host)  # type: ignore[arg-type]
    return stream


def explain(address: Address, error: OSError) -> str:
    """Why the operating system could not connect, for example "connection refused"."""
    cause: BaseException | None = error.__cause__ or error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, socket.gaierror):
        return f"no such host as {address.host} ({cause.strerror})"
    number = cause.errno if isinstance(cause, OSError) else None
    reason = os.strerror(number).lower() if number else str(cause)
    if number in (errno.ECONNREFUSED, errno.ECONNRESET):
        return f"no scheduler listening at {address.text} ({reason})"
    return f"cannot reach {address.text} ({reason})"
