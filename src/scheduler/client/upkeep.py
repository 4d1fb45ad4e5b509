"""Keeping a session connected: dialling again and again, and who is followed to where.

A scheduler that goes away is left only when the next one has answered. A process whose session
another one has taken over stops: fighting for it would cut both off in turn.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from scheduler.client.conversation import Conversation
from scheduler.client.link import Link
from scheduler.config import ClientConfig, Config
from scheduler.errors import Close, ConnectionLost
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.connection import dial
from scheduler.runtime.dialer import redial
from scheduler.wire.codec import encode

Reach = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a byte stream to the scheduler, or raises ``ConnectionLost``."""


class Upkeep:
    """Keeps a conversation connected for as long as there is use in it."""

    def __init__(
        self,
        conversation: Conversation,
        reach: Reach,
        backoff: Backoff,
        config: ClientConfig,
        transport: Config,
        links: trio.Nursery,
    ) -> None:
        self._conversation = conversation
        self._reach = reach
        self._backoff = backoff
        self._config = config
        self._transport = transport
        self._links = links
        self._ghosts = 0

    async def run(self) -> None:
        """Dial until the scheduler says not to come back. Cancelling ends it."""
        lost = await redial(self._attempt, self._backoff, self._conversation.waiting)
        if lost is not None:
            self._conversation.finish(lost)

    async def leave(self) -> None:
        """Say goodbye, so that nothing is kept for a session that will not come back.

        Takes at most ``close_timeout``, also when it is cancelled.
        """
        if (link := self._conversation.leave()) is not None:
            with trio.move_on_after(self._transport.close_timeout, shield=True):
                await link.over.wait()

    async def _attempt(self) -> None:
        """One connection until a next one is needed; always raises ``ConnectionLost``.

        A scheduler that goes away is left only when the next one has answered, so the
        connection outlives the attempt.
        """
        self._conversation.waiting()
        stream = await self._reach()
        link = Link()
        self._links.start_soon(self._converse, stream, link)
        with link.stay:
            await link.over.wait()
        if link.lasted(self._config.healthy_after):
            self._backoff.healthy()
        longest = min(self._config.backoff_max, self._conversation.backoff_max)
        self._backoff.longest = max(self._config.backoff_first, longest)
        if link.lost is not None:
            raise self._judge(link, link.lost)
        link.left = True
        raise ConnectionLost(None, "the scheduler is going away")

    async def _converse(self, stream: trio.abc.Stream, link: Link) -> None:
        try:
            async with dial(stream, "scheduler", "/ws/session", self._transport) as connection:
                link.connection = connection
                hello = self._conversation.hello()
                link.resuming = hello.resume is not None
                connection.put(encode(hello))
                await connection.run(
                    partial(self._conversation.received, link),
                    on_written=link.written,
                    hello_timeout=self._config.welcome_timeout,
                )
                self._conversation.hung_up(link, connection.lost)
        except* Exception as group:  # noqa: BLE001  # told by whoever waits for the end
            self._conversation.hung_up(link, group)

    def _judge(self, link: Link, lost: Exception) -> Exception:
        """What the end of a link means for the session.

        Whoever is replaced by another process must not fight it. But a hello of our own that
        was slow on its way may replace us as well, once: such *ghosts* are counted.
        """
        replaced = isinstance(lost, ConnectionLost) and lost.code == Close.REPLACED.code
        if replaced and not self._ghosts:
            text = "another connection has taken this session over"
            return ConnectionLost(Close.REPLACED.code, text, reconnect=False)
        if replaced:
            self._ghosts -= 1
        elif link.resuming and link.welcomed_at is None:
            self._ghosts += 1
        return lost
