"""What the files of the front door share: refusing a request, its target, and writing.

:class:`RequestError` is a refusal on its way to the peer; :class:`Writer` keeps the rule that a
write which was not completed is the last one on its stream.
"""

import re
from http import HTTPStatus
from typing import Final

import h11
import trio

from scheduler.errors import SchedulerError

READ_BYTES: Final = 64 * 2**10
WRITE_BYTES: Final = 32 * 2**10
"""A response goes out in pieces of this size, so that a timeout measures progress, not length."""


class RequestError(SchedulerError):
    """A request that is answered by the front door itself, after which the connection ends."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text
        self.headers = headers

    def to_bytes(self, *, with_body: bool = True) -> bytes:
        """The whole response, ``Connection: close`` included; a HEAD gets it without the body."""
        body = f"{self.text}\n".encode()
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
        return head + body if with_body else head


class Writer:
    """Writes to one stream, until the first write that was not completed.

    After that nobody knows how much of it arrived, so nothing may follow: every later
    :meth:`write` raises :exc:`trio.BrokenResourceError` and sends nothing.
    """

    def __init__(self, stream: trio.abc.Stream, timeout: float) -> None:
        self._stream = stream
        self._timeout = timeout
        self._turn = trio.Lock()
        self.broken = False

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; each ``WRITE_BYTES`` of it have ``timeout`` seconds.

        Raises :exc:`trio.TooSlowError` or what the stream raises. Cancelling breaks the writer.
        """
        try:
            async with self._turn:
                if self.broken:
                    raise trio.BrokenResourceError("an earlier write was not completed")
                for start in range(0, len(data), WRITE_BYTES):
                    with trio.fail_after(self._timeout):
                        await self._stream.send_all(data[start : start + WRITE_BYTES])
        except BaseException:
            self.broken = True
            raise


def split_target(request: h11.Request) -> tuple[str, str]:
    """Path (still quoted) and query; RFC 9112 §3.2.2 makes us accept a whole URL as well."""
    target = request.target.decode("ascii")
    if whole_url := re.fullmatch(r"https?://[^/?]*(/?)(.*)", target, re.IGNORECASE):
        target = "/" + whole_url[2]
    if not target.startswith("/"):
        raise RequestError(400, "the request target must be a path that begins with /")
    path, _, query = target.partition("?")
    return path, query


def not_http(error: h11.RemoteProtocolError) -> RequestError:
    """What to answer to bytes that h11 could not read as HTTP."""
    return RequestError(error.error_status_hint or 400, f"this is not HTTP/1.1: {error}"[:200])
