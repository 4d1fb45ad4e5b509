"""What is looked at while a world runs: the registry, the bounds, and the state's own sense."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from simulation.links import Link
from simulation.network import LinkStream
from simulation.scene import Scene
from simulation.taps import Talk

from scheduler.core.session import Session
from scheduler.runtime.connection import Connection
from scheduler.runtime.frames import FRAGMENTS_MAX
from scheduler.runtime.shell import Shell

LOOK_EVERY_S = 0.5


def link_of(connection: Connection) -> Link:
    """The link under a connection of the server, below whatever wraps its stream."""
    stream: Any = connection._stream
    while not isinstance(stream, LinkStream):
        stream = getattr(stream, "_inner", None) or stream._stream
    return stream.link


@attrs.define(eq=False)
class Monitor:
    """Compares what the shell has registered with what the links know, again and again.

    `broken` holds what was found, by the name of the property that it breaks.
    """

    scene: Scene
    shell: Shell
    broken: dict[str, list[str]] = attrs.Factory(dict)
    highest: dict[str, float] = attrs.Factory(dict)
    _missing_since: dict[int, float] = attrs.Factory(dict)
    _acked: dict[str, int] = attrs.Factory(dict)

    async def run(self) -> None:
        """Look at fixed intervals, until cancelled."""
        while True:
            self.look()
            await trio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Look at everything once."""
        self._look_for_stale()
        self._look_for_missing()
        self._look_for_torn()
        self._look_for_strangers()
        self._look_at_bounds()
        try:
            self.shell.engine.check()
        except AssertionError as error:
            self._say("state", f"{error}")

    def _say(self, name: str, what: str) -> None:
        found = self.broken.setdefault(name, [])
        if what not in found and len(found) < 8:
            found.append(what)

    @property
    def _slack_s(self) -> float:
        """How much later than usual things may be noticed: this process stood still itself."""
        stalls = self.scene.plan.stalls
        return sum(seconds for _, seconds in stalls) + len(stalls) * self.scene.config.pong_timeout

    def _look_for_stale(self) -> None:
        """Nothing is registered whose link has been dead for longer than it takes to notice."""
        now, config = trio.current_time(), self.scene.config
        known = self.shell._connections
        for generation, connection in known.items():
            link = link_of(connection)
            grace = 1.0 + 2 * link.plan.latency + config.write_timeout + self._slack_s
            if link.is_silent_for("server"):
                grace += config.ping_interval + config.pong_timeout
            # What had arrived before can still be read, later, and looks alive then.
            dead_since = max(link.unusable_since, link.to_server.read_at)
            if now - dead_since > grace:
                self._say(
                    "registry",
                    f"connection {generation} is registered, its link {link.label} is dead since "
                    f"{link.unusable_since}",
                )
        for generation in self.shell.engine._state.peers:
            if generation not in known:
                self._say("registry", f"connection {generation} is a peer and is not registered")

    def _look_for_missing(self) -> None:
        """Whoever was welcomed and lives is registered, and is its session's or node's link."""
        now, config = trio.current_time(), self.scene.config
        registered = {id(link_of(c)): g for g, c in self.shell._connections.items()}
        newest = {t.owner: t for t in self.scene.talks if t.welcomed_at <= now}
        for talk in newest.values():
            generation = registered.get(id(talk.link))
            if not self._lives(talk) or self._is_known(talk, generation):
                self._missing_since.pop(id(talk), None)
                continue
            since = self._missing_since.setdefault(id(talk), now)
            grace = config.close_timeout + config.write_timeout + 2 * talk.link.plan.latency + 1
            if now - since > grace + self._slack_s:
                self._say(
                    "registry",
                    f"{talk.owner} lives on {talk.link.label} since {talk.welcomed_at} and has not "
                    f"been known since {since} (registered as {generation})",
                )

    def _look_for_torn(self) -> None:
        """A connection on which a send was cut short is registered no longer."""
        now = trio.current_time()
        for generation, connection in self.shell._connections.items():
            since = link_of(connection).server.cut_short_at
            if now - since > 1 + self._slack_s:
                self._say("registry", f"connection {generation} was cut short at {since}")

    def _look_for_strangers(self) -> None:
        """Whoever says no hello is shown out."""
        now, config = trio.current_time(), self.scene.config
        for generation, connection in self.shell._connections.items():
            if connection.greeted:
                continue
            link = link_of(connection)
            latest = link.connected_at + config.handshake_timeout + config.hello_timeout
            latest += config.write_timeout + 2 * link.plan.latency + 1 + self._slack_s
            if now > latest:
                self._say("registry", f"connection {generation} has said no hello by {now}")

    def look_at_receipts(self) -> None:
        """What a session has acknowledged stays acknowledged."""
        for session in self.shell.engine._state.sessions.values():
            highest = self._acked.get(session.session_id, 0)
            if session.acked_seq < highest:
                self._say("receipts", f"{session.session_id}: {session.acked_seq} after {highest}")
            self._acked[session.session_id] = session.acked_seq

    def _lives(self, talk: Talk) -> bool:
        link = talk.link
        return (
            talk.role in ("session", "node")
            and talk.over_at > trio.current_time()
            and link.unusable_since > trio.current_time()
            and not link.is_silent_for("client")
        )

    def _is_known(self, talk: Talk, generation: int | None) -> bool:
        if generation is None:
            return False
        state = self.shell.engine._state
        peer = state.peers.get(generation)
        if peer is None:
            return False
        if isinstance(peer, Session):
            return state.sessions.get(peer.session_id) is peer and peer.connection == generation
        return state.nodes.get(peer.node_id) is peer and peer.connection == generation

    def _look_at_bounds(self) -> None:
        config, state = self.scene.config, self.shell.engine._state
        for connection in self.shell._connections.values():
            outbox = connection._outbox
            self._bound("outbox messages", len(outbox), config.outbox_messages_max)
            self._bound("outbox bytes", outbox.size_bytes, config.outbox_bytes_max)
            frames = connection._stream.frames
            if not frames.exceeded:
                most = config.message_bytes_max
                self._bound("bytes of a message", frames.message_bytes, most)
                self._bound("fragments of a message", frames.fragments, FRAGMENTS_MAX)
        for session in state.sessions.values():
            self._bound("unfinished jobs", len(session.order), config.jobs_per_session_max)
            most = config.retained_outcomes_max + config.jobs_per_session_max
            self._bound("unacknowledged outcomes", len(session.owed), most)
            self._bound("indexes", len(session.by_index), config.utterances_remembered_max)
        lost = sum(plan.slots for plan in self.scene.plan.nodes) + config.base_node_slots
        self._bound("waiting jobs", state.jobs_waiting, config.jobs_waiting_max + lost)
        self._bound("sessions", len(state.sessions), config.sessions_max)
        self._bound("nodes", len(state.nodes), config.nodes_max)
        self._bound("connections", len(self.shell._connections), config.connections_max)
        self._bound("timers", len(self.shell.deadlines), 2 * (len(state.jobs) + 2 * most_of(state)))

    def _bound(self, what: str, size: float, most: float) -> None:
        self.highest[what] = max(size, self.highest.get(what, 0))
        if size > most:
            self._say("bounds", f"{what}: {size} of at most {most}")


def most_of(state: object) -> int:
    """How many records may each have a timer of their own, besides the jobs."""
    return len(getattr(state, "sessions", ())) + len(getattr(state, "nodes", ())) + 1
