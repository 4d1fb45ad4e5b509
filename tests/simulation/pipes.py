"""One direction of a connection in memory, and the plan of what is to happen to it."""

from __future__ import annotations

import collections
from math import inf
from typing import Literal, get_args

import attrs
import trio

Kind = Literal["reset", "black_hole", "half_close", "stall"]
Direction = Literal["to_server", "to_client"]
Side = Literal["client", "server"]


@attrs.frozen
class Fault:
    """What strikes a link, and where: before byte `offset` of a direction, or at an instant.

    * reset: both ends get `BrokenResourceError`.
    * black_hole: nothing passes any more, either way, and nobody is told.
    * half_close: the receiver of `direction` reads end-of-stream behind what is in flight, and what
      the sender writes from then on is taken and vanishes. The other direction is not affected.
    * stall: the receiver of `direction` reads nothing for `duration` seconds.

    `offset` counts the bytes taken from the sender: with 0 the first byte is already affected, and
    a fault strikes only when there is such a byte to send. `at` is in seconds since the link was
    connected. Exactly one of the two is given.
    """

    kind: Kind = attrs.field(validator=attrs.validators.in_(get_args(Kind)))
    direction: Direction = attrs.field(
        default="to_client", validator=attrs.validators.in_(get_args(Direction))
    )
    offset: int | None = attrs.field(default=None, kw_only=True)
    at: float | None = attrs.field(default=None, kw_only=True)
    duration: float = attrs.field(default=5.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.offset is None) == (self.at is None):
            raise ValueError("a fault strikes either at a byte offset or at an instant")


@attrs.frozen(kw_only=True)
class LinkPlan:
    """How a link behaves: seconds one way, bytes under way per direction, bytes per read.

    A `prompt` one also takes what there is room for without its writer waiting, as a socket does.
    """

    latency: float = 1 / 64
    window: int = attrs.field(default=65_536, validator=attrs.validators.ge(1))
    mtu: int = attrs.field(default=65_536, validator=attrs.validators.ge(1))
    faults: tuple[Fault, ...] = ()
    user_timeout: float = 900.0
    prompt: bool = False


@attrs.define(eq=False)
class Pipe:
    """One direction of a link.

    For tests: `sent` counts the bytes taken from the sender, which are in `taken`; `delivered` is
    what the receiver really read of them.
    """

    plan: LinkPlan
    offset_faults: collections.deque[Fault]
    sent: int = 0
    taken: bytearray = attrs.field(factory=bytearray)
    delivered: bytearray = attrs.field(factory=bytearray)
    in_flight: collections.deque[tuple[float, memoryview]] = attrs.field(factory=collections.deque)
    occupied: int = 0  # bytes of the window
    ends_at: float = inf  # when the reader sees end-of-stream, once in_flight is empty
    frozen_until: float = 0.0
    read_at: float = 0.0  # when the receiver last read something
    swallows: bool = False  # takes bytes that keep the window occupied and never arrive
    reader_gone: bool = False
    changed: trio.Event = attrs.field(factory=trio.Event)

    def wake(self) -> None:
        if self.changed.statistics().tasks_waiting:
            self.changed.set()
            self.changed = trio.Event()

    def room(self) -> int:
        """Bytes that may be sent before the window is full or the next fault strikes."""
        room = self.plan.window - self.occupied
        if self.offset_faults:
            offset = self.offset_faults[0].offset
            assert offset is not None
            room = min(room, offset - self.sent)
        return room

    def take(self, limit: int, now: float) -> bytes | None:
        """Read up to `limit` bytes that have arrived; b"" at the end, None if there are none."""
        if now < self.frozen_until:
            return None
        if not self.in_flight:
            return b"" if self.ends_at <= now else None
        limit = min(limit, self.plan.mtu)
        parts: list[bytes] = []
        while limit and self.in_flight and self.in_flight[0][0] <= now:
            arrives_at, data = self.in_flight.popleft()
            if len(data) > limit:
                self.in_flight.appendleft((arrives_at, data[limit:]))
            parts.append(bytes(data[:limit]))
            limit -= len(parts[-1])
        taken = b"".join(parts)
        if not taken:
            return None
        if not self.swallows:
            self.occupied -= len(taken)
        self.delivered += taken
        self.read_at = now
        self.wake()
        return taken

    def readable_at(self, now: float) -> float:
        """When a reader that found nothing should look again, if nothing else happens."""
        if now < self.frozen_until:
            return self.frozen_until
        return self.in_flight[0][0] if self.in_flight else self.ends_at
