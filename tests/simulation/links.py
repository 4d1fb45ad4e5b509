"""One connection of the network in memory: its two streams, and what happens to it when.

What falls due at some instant lies in the agenda of the link, and whoever touches the link first
carries it out. So there is no background task, and what is due at an instant has happened before
anything a program does at that instant.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import operator
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Final

import trio
from simulation.pipes import Direction, Fault, Kind, LinkPlan, Pipe, Side

RECEIVE_DEFAULT_BYTES = 65_536
# For either side, the direction it receives and the direction it sends.
_DIRECTIONS: Final[dict[Side, tuple[Direction, Direction]]] = {
    "client": ("to_client", "to_server"),
    "server": ("to_server", "to_client"),
}


class Link:
    """One connection, and the truth about it."""

    def __init__(self, strikes: collections.Counter[Kind], plan: LinkPlan, label: str) -> None:
        self.strikes = strikes
        self.plan = plan
        self.label = label
        self.connected_at = trio.current_time()
        self.to_server = self._pipe("to_server")
        self.to_client = self._pipe("to_client")
        kind = PromptStream if plan.prompt else LinkStream
        self.client = kind(self, "client", sends=self.to_server, receives=self.to_client)
        self.server = kind(self, "server", sends=self.to_client, receives=self.to_server)
        self.struck: list[tuple[float, Fault]] = []
        self._unusable_since = inf
        self._spared = False
        self._black = False
        self._cut: set[Direction] = set()
        self._stalled: set[Direction] = set()
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = itertools.count()
        for fault in plan.faults:
            if fault.at is not None:
                self._put_on_agenda(self.connected_at + fault.at, self._unless_spared(fault))

    def _pipe(self, direction: Direction) -> Pipe:
        faults = [(fault.offset, fault) for fault in self.plan.faults if fault.offset is not None]
        faults.sort(key=operator.itemgetter(0))
        return Pipe(
            plan=self.plan,
            offset_faults=collections.deque(f for _, f in faults if f.direction == direction),
        )

    @property
    def unusable_since(self) -> float:
        """When the link stopped carrying bytes both ways as it should; inf while it does."""
        self.settle()
        return self._unusable_since

    def is_silent_for(self, side: Side) -> bool:
        """Whether the trouble may be one that this side cannot notice without asking the other.

        Who checks "notices a dead link within x seconds" has to allow for a heartbeat then.
        """
        self.settle()
        inward, outward = _DIRECTIONS[side]
        deaf = self._black or inward in self._stalled
        return deaf or (outward in self._cut and inward not in self._cut)

    def reset(self) -> None:
        """Break the link now, for both ends."""
        self.strike(Fault("reset", at=0))

    def close(self) -> None:
        """End both directions now, as a middlebox does: either end reads end-of-stream."""
        self.strike(Fault("half_close", "to_server", at=0))
        self.strike(Fault("half_close", "to_client", at=0))

    def freeze(self, side: Side, duration: float) -> None:
        """Let the program at `side` read nothing for `duration` seconds from now."""
        inward, _ = _DIRECTIONS[side]
        self.strike(Fault("stall", inward, at=0, duration=duration))

    def strike(self, fault: Fault) -> None:
        """Let `fault` strike now, wherever its plan would have put it."""
        self.settle()
        self._striking(fault)(trio.current_time())

    def spare(self) -> None:
        """Forget the faults of the plan that have not struck yet."""
        self.settle()
        self._spared = True
        for pipe in (self.to_server, self.to_client):
            pipe.offset_faults.clear()

    def settle(self) -> None:
        """Carry out what has come due."""
        now = trio.current_time()
        while self._agenda and self._agenda[0][0] <= now:
            when, _, happens = heapq.heappop(self._agenda)
            happens(when)

    def next_event_at(self) -> float:
        return self._agenda[0][0] if self._agenda else inf

    def accept(self, sender: LinkStream, data: memoryview) -> None:
        """Take `data`, which fits, from the sender."""
        pipe, now = sender.sends, trio.current_time()
        pipe.sent += len(data)
        pipe.taken += data
        if pipe.swallows:
            pipe.occupied += len(data)
            self._await_acknowledgement(sender, now)
        elif pipe.reader_gone:
            self._put_on_agenda(now + 2 * self.plan.latency, self._answer_with_reset)
        else:
            pipe.occupied += len(data)
            pipe.in_flight.append((now + self.plan.latency, data))
            pipe.wake()

    def end(self, sender: LinkStream) -> None:
        """The sender shuts its half: the reader sees the end behind what is in flight."""
        pipe = sender.sends
        if not pipe.swallows:
            pipe.ends_at = min(pipe.ends_at, trio.current_time() + self.plan.latency)
        pipe.wake()

    def leave(self, stream: LinkStream) -> None:
        """A program closes its end: what it has not read is lost, and so is what still comes."""
        self._unusable_since = min(self._unusable_since, trio.current_time())
        self.end(stream)
        pipe = stream.receives
        pipe.reader_gone = True
        if not pipe.swallows:
            pipe.occupied = 0
        pipe.wake()

    def _put_on_agenda(self, when: float, happens: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._serial), happens))

    def _striking(self, fault: Fault) -> Callable[[float], None]:
        def strike(when: float) -> None:
            if self.client.broken and self.server.broken:
                return
            self.strikes[fault.kind] += 1
            self.struck.append((when, fault))
            if fault.kind == "reset":
                self._reset(when)
            elif fault.kind == "black_hole":
                self._black_hole(when)
            elif fault.kind == "half_close":
                self._half_close(fault.direction, when)
            else:
                self._stall(fault, when)

        return strike

    def _unless_spared(self, fault: Fault) -> Callable[[float], None]:
        strike = self._striking(fault)
        return lambda when: None if self._spared else strike(when)

    def _pipe_of(self, direction: Direction) -> Pipe:
        return self.to_server if direction == "to_server" else self.to_client

    def _reset(self, when: float) -> None:
        self._unusable_since = min(self._unusable_since, when)
        self.client.broken = self.server.broken = True
        for pipe in (self.to_server, self.to_client):
            pipe.wake()

    def _black_hole(self, when: float) -> None:
        self._unusable_since = min(self._unusable_since, when)
        self._black = True
        for stream in (self.client, self.server):
            pipe = stream.sends
            pipe.swallows = True
            if pipe.in_flight and pipe.in_flight[-1][0] > when:
                self._await_acknowledgement(stream, when)
            # What has arrived can still be read; the rest will never come.
            pipe.in_flight = collections.deque(part for part in pipe.in_flight if part[0] <= when)
            if pipe.ends_at > when:
                pipe.ends_at = inf
            pipe.wake()

    def _half_close(self, direction: Direction, when: float) -> None:
        self._unusable_since = min(self._unusable_since, when)
        self._cut.add(direction)
        pipe = self._pipe_of(direction)
        if not pipe.swallows:
            pipe.ends_at = min(pipe.ends_at, when + self.plan.latency)
            pipe.swallows = True
        pipe.wake()

    def _stall(self, fault: Fault, when: float) -> None:
        self._stalled.add(fault.direction)
        pipe = self._pipe_of(fault.direction)
        pipe.frozen_until = max(pipe.frozen_until, when + fault.duration)

    def _answer_with_reset(self, when: float) -> None:
        if not self._black:
            self._reset(when)

    def _await_acknowledgement(self, stream: LinkStream, since: float) -> None:
        """The kernel of this end gives up, and only this end, if no acknowledgement comes."""

        def give_up(_when: float) -> None:
            stream.broken = True
            stream.sends.wake()
            stream.receives.wake()

        if not stream.awaits_acknowledgement:
            stream.awaits_acknowledgement = True
            self._put_on_agenda(since + self.plan.user_timeout, give_up)


class _OneAtATime:
    """Refuses a second task where trio's streams allow only one."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what}")
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._busy = False


class LinkStream(trio.abc.HalfCloseableStream):
    """One end of a link. A cancelled `send_all` may have sent a part, as on a real socket."""

    def __init__(self, link: Link, side: Side, *, sends: Pipe, receives: Pipe) -> None:
        self.link = link
        self.side = side
        self.sends = sends
        self.receives = receives
        self.broken = False
        self.closed = False
        self.awaits_acknowledgement = False
        self.closed_at = inf
        self.cut_short_at = inf
        """When a program was first kept from sending all that it wanted to."""
        self._ended = False
        self._sending = _OneAtATime("sending")
        self._receiving = _OneAtATime("receiving")

    def __repr__(self) -> str:
        return f"<LinkStream {self.link.label} {self.side}>"

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sending()
            whole = False
            try:
                await self._send(memoryview(bytes(data)))
                whole = True
            finally:
                if not whole:
                    self.cut_short_at = min(self.cut_short_at, trio.current_time())

    async def _send(self, rest: memoryview) -> None:
        while rest := rest[self._take(rest) :]:
            await self._wait(self.sends, inf)
            self._check_sending()

    def _take(self, data: memoryview) -> int:
        """How many bytes there was room for."""
        taken = 0
        while taken < len(data):
            self._meet_faults()
            room = min(self.sends.room(), len(data) - taken)
            if room <= 0:
                break
            self.link.accept(self, data[taken : taken + room])
            taken += room
        return taken

    async def wait_send_all_might_not_block(self) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_sending()
            while self.sends.occupied >= self.link.plan.window:
                await self._wait(self.sends, inf)
                self._check_sending()

    async def send_eof(self) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            if not self._ended:
                self._check_sending()
                self._ended = True
                self.link.end(self)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        limit = RECEIVE_DEFAULT_BYTES if max_bytes is None else operator.index(max_bytes)
        if limit < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_open()
                now = trio.current_time()
                data = self.receives.take(limit, now)
                if data is not None:
                    return data
                await self._wait(self.receives, self.receives.readable_at(now))

    async def aclose(self) -> None:
        if not self.closed:
            self.link.settle()
            self.closed = True
            self.closed_at = trio.current_time()
            self.link.leave(self)
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        self.link.settle()
        if self.closed:
            raise trio.ClosedResourceError(f"{self!r} was closed here")
        if self.broken:
            raise trio.BrokenResourceError(f"{self!r}: connection reset")

    def _check_sending(self) -> None:
        self._check_open()
        if self._ended:
            raise trio.ClosedResourceError(f"{self!r}: this half was closed here")

    def _meet_faults(self) -> None:
        """Let those faults strike whose place in the byte stream has been reached."""
        faults = self.sends.offset_faults
        while faults and faults[0].offset == self.sends.sent:
            self.link.strike(faults.popleft())
            self._check_open()

    async def _wait(self, pipe: Pipe, until: float) -> None:
        deadline = min(until, self.link.next_event_at())
        if deadline == inf:
            await pipe.changed.wait()
            return
        with trio.CancelScope(deadline=deadline):
            await pipe.changed.wait()


class PromptStream(LinkStream):
    """One that can also be written to without waiting."""

    def write_nowait(self, data: memoryview) -> int:
        """Take what there is room for, and say how many bytes that was."""
        with self._sending:
            self._check_sending()
            return self._take(memoryview(bytes(data)))
