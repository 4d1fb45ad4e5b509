"""TCP in memory for trio programs under virtual time, with faults placed where a plan says.

A `Link` is one connection: two pipes, `to_server` and `to_client`, and a stream at either end.
What it models on purpose is what makes "sent" differ from "received":

* `send_all` returns when the window (the kernels' buffers) took the bytes, not when the peer has
  them;
* the first write after the peer went away succeeds and is lost, and so does each one until the
  peer's answer, a reset, has travelled back;
* a reset destroys whatever the receiving program had not read yet;
* a black hole says nothing at all, until the side that waits for an acknowledgement has waited for
  the user timeout. The other side never learns of it.
"""

from __future__ import annotations

import collections
import errno

import trio
from simulation.links import Link, LinkStream
from simulation.pipes import Direction, Fault, Kind, LinkPlan, Side

__all__ = [
    "Direction",
    "Fault",
    "Kind",
    "Link",
    "LinkListener",
    "LinkPlan",
    "LinkStream",
    "Network",
    "Side",
]

BACKLOG_LINKS = 128


class LinkListener(trio.abc.Listener[LinkStream]):
    """Where links of a network arrive. Closing it resets those that nobody accepted."""

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self._send, self._receive = trio.open_memory_channel[LinkStream](BACKLOG_LINKS)

    def arrive(self, stream: LinkStream) -> None:
        """Hand over a new link; raises `trio.WouldBlock` when the backlog is full."""
        self._send.send_nowait(stream)

    async def accept(self) -> LinkStream:
        return await self._receive.receive()

    async def aclose(self) -> None:
        if self.network.listeners.get(self.name) is self:
            del self.network.listeners[self.name]
            while self._receive.statistics().current_buffer_used:
                unaccepted = self._receive.receive_nowait()
                unaccepted.link.reset()
                unaccepted.closed = True  # nobody has it who could close it
            self._send.close()
            self._receive.close()
        await trio.lowlevel.checkpoint()


class Network:
    """All links of a simulation, dead ones included, in the order in which they were made.

    `strikes` counts what really struck, by kind, whether planned or at will. A name in `refusing`
    refuses connections although somebody listens.
    """

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.listeners: dict[str, LinkListener] = {}
        self.refusing: set[str] = set()
        self.strikes: collections.Counter[Kind] = collections.Counter()

    def listener(self, name: str = "server") -> LinkListener:
        """Start to listen; raises OSError(EADDRINUSE) while a listener of that name is open."""
        if name in self.listeners:
            raise OSError(errno.EADDRINUSE, f"somebody listens as {name!r} already")
        self.listeners[name] = LinkListener(self, name)
        return self.listeners[name]

    async def connect(self, plan: LinkPlan, label: str, *, listener: str = "server") -> LinkStream:
        """Give the client's end of a new link after one round trip.

        `label` names the link in errors and for the test; several links may share one. Raises
        `ConnectionRefusedError` when nobody listens or the backlog is full. When cancelled, there
        is no link.
        """
        await trio.sleep(2 * plan.latency)
        target = None if listener in self.refusing else self.listeners.get(listener)
        if target is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens as {listener!r}")
        link = Link(self.strikes, plan, label)
        try:
            target.arrive(link.server)
        except trio.WouldBlock:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the backlog is full") from None
        self.links.append(link)
        return link.client
