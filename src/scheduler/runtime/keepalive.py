"""Whether a peer still lives: ping the silent, suspect the watched, give up the dead.

Any byte proves life, whatever it belongs to. Only silence is judged, and never the silence
that is our own fault: what arrived while this process was busy or frozen is read first, and
after a real stall every peer is pinged and gets the time for one more answer.
"""

import math
from collections.abc import Awaitable, Callable

import attrs
import trio

from scheduler.config import Config

PING_BEFORE_SUSPICION = 0.75
"""The part of ``suspect_after`` after which a watched peer is pinged."""


@attrs.frozen(kw_only=True)
class Silence:
    """A stricter watch than the WebSocket ping alone, for peers that send heartbeats.

    A peer that misses a heartbeat is pinged first: its pong proves life as well.

    ``suspect_after`` and ``dead_after`` are seconds without a byte; ``on_change`` is told
    True when the peer becomes suspect and False when it is heard again.
    """

    suspect_after: float
    dead_after: float
    on_change: Callable[[bool], None]


class Keepalive:
    """The watch over one peer. All times are seconds of trio's clock.

    ``heard_at()`` is when a byte last came; ``ping()`` asks the peer for one and returns
    when it was answered, which may be never; ``give_up()`` ends the connection.
    """

    def __init__(
        self,
        config: Config,
        *,
        heard_at: Callable[[], float],
        ping: Callable[[], Awaitable[None]],
        give_up: Callable[[], None],
    ) -> None:
        self._config = config
        self._heard_at = heard_at
        self._ping = ping
        self._give_up = give_up
        self._silence: Silence | None = None
        self._suspect = False
        self.unanswered_since: float | None = None
        """When the ping was sent that the peer has not answered, if there is one."""
        self._probed_at = -math.inf
        self._nap = trio.CancelScope()

    def watch(self, silence: Silence) -> None:
        """From now on judge this peer's silence more strictly."""
        self._silence = silence
        self._nap.cancel()

    def probe(self) -> None:
        """Ping now, and give the peer up if nothing is heard within ``pong_timeout``."""
        self._probed_at = trio.current_time()
        self._nap.cancel()

    def heard(self) -> None:
        """A whole message came: tell at once if the peer was suspect."""
        self._judge(suspect=False)

    async def run(self, pings: trio.Nursery) -> None:
        """Watch until cancelled. A ping is cancelled only together with all of ``pings``."""
        pardon_until = -math.inf
        while True:
            heard_at = self._heard_at()
            wake_at = max(self._next_mark(heard_at), pardon_until)
            with trio.CancelScope(deadline=wake_at) as self._nap:
                await trio.sleep_forever()
            if trio.current_time() < wake_at:  # there is something new
                continue
            # Deadlines fire before buffered input is read: let the reader have its turn.
            await trio.lowlevel.checkpoint()
            now = trio.current_time()
            if now - wake_at > self._config.stall_threshold:
                pardon_until = now + self._config.pong_timeout
                self._ask(pings)
                continue
            if self._heard_at() != heard_at:
                continue
            ping_at, suspect_at, dead_at = self._marks(heard_at)
            self._judge(suspect=now >= suspect_at)
            if now >= dead_at:
                self._give_up()
            elif now >= ping_at:
                self._ask(pings)

    def _next_mark(self, heard_at: float) -> float:
        ping_at, suspect_at, dead_at = self._marks(heard_at)
        return min(
            dead_at,
            ping_at if self.unanswered_since is None else math.inf,
            math.inf if self._suspect else suspect_at,
        )

    def _marks(self, heard_at: float) -> tuple[float, float, float]:
        """When a peer that stays silent is pinged, suspected, and given up."""
        if (silence := self._silence) is not None:
            ping_at = heard_at + silence.suspect_after * PING_BEFORE_SUSPICION
            return ping_at, heard_at + silence.suspect_after, heard_at + silence.dead_after
        ping_at = heard_at + self._config.ping_interval
        if heard_at < self._probed_at:
            ping_at = min(ping_at, self._probed_at)
        return ping_at, math.inf, ping_at + self._config.pong_timeout

    def _judge(self, *, suspect: bool) -> None:
        if self._silence is not None and self._suspect != suspect:
            self._suspect = suspect
            self._silence.on_change(suspect)

    def _ask(self, pings: trio.Nursery) -> None:
        if self.unanswered_since is None:
            self.unanswered_since = trio.current_time()
            pings.start_soon(self._ask_and_wait)

    async def _ask_and_wait(self) -> None:
        """Never cancelled by itself: a ping torn in half would be the stream's last write."""
        await self._ping()
        self.unanswered_since = None
        self._nap.cancel()  # which was laid down without the next ping
