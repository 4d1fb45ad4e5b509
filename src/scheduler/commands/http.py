"""One GET of the scheduler's HTTP side, for commands that only look."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import h11
import trio

from scheduler.errors import ConfigError, ConnectionLost, SchedulerError
from scheduler.runtime.dialer import Address, open_stream, parse_url

READ_BYTES = 64 * 2**10
ANSWER_BYTES_MAX = 64 * 2**20
NO_HTTP = "what answers there does not speak HTTP"
_BEGINNING = b"HTTP/"
_AS_WEBSOCKET = {"http": "ws", "https": "wss"}

Reach = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a byte stream to the scheduler, or raises ``ConnectionLost``."""


def parse_http_url(url: str) -> Address:
    """Read ``http://host:port``; the ``ws://`` address of the same port will do as well.

    Raises :class:`~scheduler.errors.ConfigError` for anything else.
    """
    scheme = urlsplit(url).scheme
    try:
        return parse_url(url.replace(scheme, _AS_WEBSOCKET.get(scheme, scheme), 1))
    except ConfigError:
        raise ConfigError(f"{url!r} is no address; expected http://host:port") from None


def reach_by_tcp(address: Address, timeout: float) -> Reach:
    """Reach the scheduler over the network; ``timeout`` in seconds."""

    async def reach() -> trio.abc.Stream:
        return await open_stream(address, timeout=timeout)

    return reach


async def get_json(reach: Reach, path: str, *, timeout: float) -> tuple[int, Any]:
    """The status and the JSON of one answer. Cancelling closes the stream.

    Raises ``ConnectionLost`` if nobody answers within ``timeout`` seconds, and
    ``SchedulerError`` if what answers is not a scheduler.
    """
    try:
        with trio.fail_after(timeout):
            stream = await reach()
            try:
                status, body = await _get(stream, path)
            finally:
                await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise ConnectionLost(None, f"no answer to HTTP in {timeout:g} s") from None
    except (trio.BrokenResourceError, OSError) as error:
        raise ConnectionLost(None, f"the connection broke ({error})") from None
    try:
        return status, json.loads(body)
    except ValueError:
        raise SchedulerError(f"what answers there is no scheduler (HTTP {status})") from None


async def _get(stream: trio.abc.Stream, path: str) -> tuple[int, bytes]:
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", "scheduler"), ("Accept", "application/json"), ("Connection", "close")]
    request = http.send(h11.Request(method="GET", target=path, headers=headers))
    await stream.send_all((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, body = 0, bytearray()
    heard = b""
    try:
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await stream.receive_some(READ_BYTES))
                heard = heard or data[: len(_BEGINNING)]
                if not _BEGINNING.startswith(heard):  # h11 would wait for an empty line
                    raise SchedulerError(NO_HTTP)
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > ANSWER_BYTES_MAX:
                    raise SchedulerError("the answer is too large to be a scheduler's")
            elif isinstance(event, h11.EndOfMessage):
                return status, bytes(body)
    except h11.RemoteProtocolError:
        raise SchedulerError(NO_HTTP) from None
