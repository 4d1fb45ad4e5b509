"""What a browser asks for: a file, or the live feed, over a network in memory."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import h11
import trio
from simulation.network import LinkPlan, Network


class FeedReader:
    """One connection that has asked for the feed. ``comments`` counts what was no event."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.raw = b""
        self.comments = 0
        self._http = h11.Connection(h11.CLIENT)
        self._text = b""

    async def ask(self) -> None:
        request = h11.Request(method="GET", target="/api/v1/events", headers=[("Host", "here")])
        await self.stream.send_all(
            (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )

    async def head(self) -> h11.Response:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Response):
                return event
            assert event is h11.NEED_DATA
            self._http.receive_data(bytes(await self.stream.receive_some()))

    async def event(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and its data."""
        while True:
            while b"\n\n" not in self._text:
                await self._more()
            whole, self._text = self._text.split(b"\n\n", 1)
            block = whole.decode()
            if block.startswith(":"):
                self.comments += 1
                continue
            name, data = block.split("\n")
            return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def _more(self) -> None:
        event = self._http.next_event()
        if event is h11.NEED_DATA:
            received = bytes(await self.stream.receive_some())
            self.raw += received
            self._http.receive_data(received)
        elif isinstance(event, h11.Data):
            self._text += event.data
        else:
            assert isinstance(event, h11.Response), f"the feed has ended: {event}"
            assert event.status_code == 200


@contextlib.asynccontextmanager
async def feed_reader(network: Network, *, window: int = 2**20) -> AsyncIterator[FeedReader]:
    """Ask for the feed; ``window`` is how many bytes fit on the way to a reader that stalls."""
    stream = await network.connect(LinkPlan(window=window), "reader")
    async with stream:
        reader = FeedReader(stream)
        await reader.ask()
        yield reader


async def get(
    network: Network, path: str, *headers: tuple[str, str], method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """One answer: its status, its headers by lower-case name, its body."""
    http, body = h11.Connection(h11.CLIENT), b""
    request = h11.Request(method=method, target=path, headers=[("Host", "here"), *headers])
    stream = await network.connect(LinkPlan(), "browser")
    async with stream:
        await stream.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        head: h11.Response | None = None
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some()))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
    assert head is not None
    return head.status_code, {k.decode(): v.decode() for k, v in head.headers}, body
