"""Reaching a scheduler by its URL, again and again, and saying in one line why it fails."""

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import attrs
import structlog
import trio

from scheduler.errors import ConfigError, ConnectionLost
from scheduler.runtime.backoff import Backoff

DEFAULT_PORT = 5010

log = structlog.get_logger()


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
            stream = await trio.open_tcp_stream(address.host, address.port)
            return await _secure(stream, address) if address.tls else stream
    except trio.TooSlowError:
        raise ConnectionLost(None, f"no answer from {address.text} in {timeout:g} s") from None
    except OSError as error:
        raise ConnectionLost(None, explain(address, error)) from None
    except UnicodeError:
        raise ConnectionLost(None, f"no such host as {address.host} (not a name)") from None


async def _secure(stream: trio.SocketStream, address: Address) -> trio.abc.Stream:
    """The TLS handshake, here and not with the first write, so that its failure is explained."""
    secured = trio.SSLStream(stream, ssl.create_default_context(), server_hostname=address.host)
    try:
        await secured.do_handshake()
    except BaseException as error:
        await trio.aclose_forcefully(stream)
        if not isinstance(error, trio.BrokenResourceError):
            raise
        raise ConnectionLost(None, _explain_tls(address, error.__cause__)) from None
    return secured


def _explain_tls(address: Address, cause: BaseException | None) -> str:
    """OpenSSL's own sentence about a certificate, or its word for anything else."""
    reason = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or cause
    return f"no TLS with {address.text} ({str(reason).lower()})"


def explain(address: Address, error: OSError) -> str:
    """Why the operating system could not connect, for example "connection refused"."""
    cause = _innermost(error.__cause__ or error)
    if isinstance(cause, socket.gaierror):
        return f"no such host as {address.host} ({cause.strerror})"
    number = cause.errno if isinstance(cause, OSError) else None
    reason = os.strerror(number).lower() if number else str(cause)
    if number in (errno.ECONNREFUSED, errno.ECONNRESET):
        return f"no scheduler listening at {address.text} ({reason})"
    return f"cannot reach {address.text} ({reason})"


async def redial(
    attempt: Callable[[], Awaitable[None]], backoff: Backoff, say: Callable[[str], None]
) -> ConnectionLost | None:
    """Make one connection after the other, with the pauses of ``backoff`` between them.

    ``attempt`` dials, converses, and raises ``ConnectionLost`` at the end (also in an
    exception group); ``say`` then gets the reason and when the next try is. Returns the loss
    after which no further try can help, or None when an attempt returned, which means that
    it was ended on purpose. Whatever else an attempt raises is a fault of our own: it is
    logged and counts as a lost connection.
    """
    while True:
        lost = await _outcome(attempt)
        if lost is None or not lost.reconnect:
            return lost
        pause = backoff.pause()
        say(f"{lost}, next try in {pause:.1f} s")
        await trio.sleep(pause)


async def _outcome(attempt: Callable[[], Awaitable[None]]) -> ConnectionLost | None:
    lost: ConnectionLost | None = None
    try:
        await attempt()
    except* ConnectionLost as group:
        first = _innermost(group)
        assert isinstance(first, ConnectionLost)
        lost = first
    except* Exception as group:
        log.exception("connection_fault", exc_info=group)
        lost = lost or ConnectionLost(None, "the connection failed; see the log")
    return lost


def _innermost(error: BaseException) -> BaseException:
    """The first error in a group of groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
