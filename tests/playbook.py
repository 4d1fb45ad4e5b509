"""An engine with everything that went in and came out, in the terms of a conversation.

A :class:`Playbook` stands where the shell stands: it keeps the clock, the connections and the
timers, delivers ``Left`` for every connection the engine ends, and checks after each event what
must always hold. Tests say what peers do and look at what they were told.
"""

from collections import defaultdict
from typing import Any, TypeVar

from fakes import CountingIds
from messages import hello, register

from scheduler.config import Config
from scheduler.core.engine import Engine
from scheduler.core.events import (
    ClearTimer,
    DrainStarted,
    Effect,
    End,
    Event,
    Expired,
    Generation,
    Left,
    NodeJoined,
    Note,
    Probe,
    Received,
    Replace,
    Send,
    SessionJoined,
    SetTimer,
    Timer,
    Writing,
    Written,
)
from scheduler.errors import Close
from scheduler.wire import node, session
from scheduler.wire.common import Resume

M = TypeVar("M")


class Playbook:
    """One engine and its world. ``told[c]`` is every message that connection ``c`` got."""

    def __init__(self, **settings: Any) -> None:
        self.config = Config(**settings)
        self.engine = Engine(self.config, CountingIds())
        self.now = 0.0
        self.told: dict[Generation, list[Any]] = defaultdict(list)
        self.unwritten: dict[Generation, list[int]] = defaultdict(list)
        self.timers: dict[Timer, float] = {}
        self.notes: list[Note] = []
        self.live: set[Generation] = set()
        self.ended: dict[Generation, Close] = {}
        self.probed: list[Generation] = []
        self.cut: list[Generation] = []
        self._generation = 0

    def open(self) -> Generation:
        self._generation += 1
        self.live.add(self._generation)
        return self._generation

    def apply(self, event: Event) -> list[Effect]:
        effects = self.engine.handle(event, self.now)
        for effect in effects:
            self._perform(effect)
        self.engine.check()
        return effects

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(connection, message, seq):
                assert connection in self.live, f"sent to a dead connection: {message}"
                if connection in self.ended:  # heard until it has left, but not spoken to
                    assert self.ended[connection] is Close.RECEIPT_TIMEOUT, f"sent late: {message}"
                    return
                self.told[connection].append(message)
                if seq is not None:
                    self.unwritten[connection].append(seq)
            case Replace(connection, message, seq):
                if seq not in self.unwritten[connection]:
                    assert getattr(message, "reason", "") == "gap", f"replaced too late: {message}"
                    return  # its writer had taken it
                told = self.told[connection]
                (place,) = (i for i, m in enumerate(told) if getattr(m, "seq", None) == seq)
                told[place] = message
            case Probe(connection):
                self.probed.append(connection)
            case End(connection, close, at_once):
                self.ended[connection] = close
                if at_once:
                    self.cut.append(connection)
                    self.unwritten.pop(connection, None)
            case SetTimer(timer, at):
                self.timers[timer] = at
            case ClearTimer(timer):
                self.timers.pop(timer, None)
            case Note():
                self.notes.append(effect)

    # -- peers --------------------------------------------------------------------

    def join_session(
        self, *, receipts: bool | None = True
    ) -> tuple[Generation, session.SessionInitAck]:
        connection = self.open()
        self.apply(SessionJoined(connection, hello(receipts=receipts)))
        return connection, self.last(connection, session.SessionInitAck)

    def resume(
        self, ack: session.SessionInitAck, last_seq: int = 0, *, token: str | None = None
    ) -> Generation:
        connection = self.open()
        resume = Resume(
            session_id=ack.session_id,
            resume_token=token or ack.resume_token or "",
            last_seq=last_seq,
        )
        self.apply(SessionJoined(connection, hello(resume=resume)))
        return connection

    def join_node(self, **said: Any) -> tuple[Generation, str]:
        connection = self.open()
        self.apply_join_node(connection, **said)
        return connection, self.last(connection, node.NodeRegisterAck).node_id

    def apply_join_node(self, connection: Generation, **said: Any) -> None:
        self.apply(NodeJoined(connection, register(**said)))

    def say(self, connection: Generation, message: Any) -> None:
        self.apply(Received(connection, message))

    def leave(self, connection: Generation) -> None:
        self.live.discard(connection)
        self.ended.pop(connection, None)
        self.unwritten.pop(connection, None)
        self.apply(Left(connection, Close.PEER_GONE))

    def write_one(self, connection: Generation) -> None:
        """The writer takes the next outcome and hands it to the operating system."""
        seq = self.unwritten[connection].pop(0)
        self.apply(Writing(connection, seq))
        self.apply(Written(connection, seq))

    def write_all(self, connection: Generation) -> None:
        while self.unwritten[connection]:
            self.write_one(connection)

    def drain(self) -> None:
        self.apply(DrainStarted())

    # -- time ---------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, firing every timer at its instant."""
        until = self.now + seconds
        while self.timers and min(self.timers.values()) <= until:
            timer = min(self.timers, key=lambda t: (self.timers[t], t.kind, t.key))
            self.now = max(self.now, self.timers.pop(timer))
            self.apply(Expired(timer))
        self.now = until

    # -- what was said --------------------------------------------------------------

    def all(self, connection: Generation, kind: type[M]) -> list[M]:
        return [message for message in self.told[connection] if isinstance(message, kind)]

    def last(self, connection: Generation, kind: type[M]) -> M:
        found = self.all(connection, kind)
        assert found, f"no {kind.__name__} among {self.told[connection]}"
        return found[-1]

    def outcomes(self, connection: Generation) -> list[Any]:
        kinds = (session.TranslationResult, session.MissingResult)
        return [message for message in self.told[connection] if isinstance(message, kinds)]

    def state(self, job_id: str) -> str:
        job = self.engine.snapshot(self.now).job(job_id)
        assert job is not None
        return str(job["state"])

    def noted(self, name: str) -> list[dict[str, Any]]:
        return [note.detail for note in self.notes if note.name == name]
