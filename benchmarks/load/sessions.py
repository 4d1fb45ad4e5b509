"""Sessions that speak at instants fixed beforehand, and measure from those instants.

An open loop: the next utterance does not wait for the last answer, so a server that stalls
meets all those that come meanwhile, and each of their latencies counts from when it *should* have
been sent, also where this process was late itself (no coordinated omission).
"""

import random
from functools import partial
from typing import Any

import msgspec

from benchmarks.load.control import Command, Control
from benchmarks.load.loop import Loop, now
from benchmarks.load.speech import field
from benchmarks.load.websocket import Peer

encode = msgspec.json.encode
decode = msgspec.json.decode
PATIENCE_S = 15.0
QUEUED_PER_SESSION = 50


class Session:
    """One session: its connection, its id, what it waits for."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.session_id = ""
        self.token = ""
        self.index = 0
        self.seq = 0
        self.waiting: dict[int, float] = {}
        self.outcomes: set[int] = set()
        """Heard on this connection."""
        self.heard: set[int] = set()
        """Heard on any."""

    def say(self, speech: bytes, tgt: str = "es") -> None:
        """Send the next utterance."""
        head = (
            f'{{"type":"utterance","session_id":"{self.session_id}",'
            f'"utterance_index":{self.index},"manual_cut":true,"src_lang":"en",'
            f'"tgt_lang":"{tgt}","audio_format":"pcm16","sample_rate":16000,'
            f'"trace_id":"83980e01-{self.index:08x}",'
        )
        self.index += 1
        assert self.peer is not None
        self.peer.send(head.encode(), speech)


class Sessions:
    """All sessions of one process, and the commands they obey."""

    def __init__(self) -> None:
        self._loop = Loop()
        commands: dict[str, Command] = {
            "open": self._open, "speak": self._speak, "queue": self._queue,
            "deafen": self._deafen, "drop": self._drop, "resume": self._resume,
        }  # fmt: skip
        self._control = Control(self._loop, commands)
        self._sessions: list[Session] = []
        self._by_peer: dict[Peer, Session] = {}
        self._port = 0
        self._receipts = True
        self._acks = True
        self._begin()

    def run(self) -> None:
        """Until standard input ends."""
        self._loop.run()

    def _begin(self) -> None:
        self._latencies: list[float] = []
        self._acceptances: list[float] = []
        self._lateness: list[float] = []
        self._failed = 0
        self._left_to_send = 0
        self._outstanding = 0
        self._left_to_join = 0
        self._left_to_accept = 0
        self._lost_connections = 0
        self._silent = 0
        self._started = 0.0
        self._on_joined: Any = None

    # -- joining ------------------------------------------------------------------

    def _open(self, port: int, sessions: int, receipts: bool = True, pace_s: float = 0.0) -> None:
        """Open sessions, all at once or one every ``pace_s``; answered when all are welcome."""
        self._begin()
        self._port, self._receipts = port, receipts
        new = [Session() for _ in range(sessions)]
        self._sessions += new
        self._join(new, pace_s)

    def _join(self, sessions: list[Session], pace_s: float) -> None:
        self._left_to_join = len(sessions)
        started = now()
        self._on_joined = lambda: self._control.answer(
            sessions=len(self._sessions), seconds=now() - started
        )
        for number, session in enumerate(sessions):
            if pace_s:
                self._loop.at(started + number * pace_s, partial(self._connect, session))
            else:
                self._connect(session)

    def _connect(self, session: Session) -> None:
        hello = {
            "type": "session_init",
            "client_version": "1.0",
            "platform": "benchmark",
            "src_lang": "en",
            "tgt_lang": "es",
            **({"receipts": True} if self._receipts else {}),
        }
        if session.token:
            hello["resume"] = {
                "session_id": session.session_id,
                "resume_token": session.token,
                "last_seq": session.seq,
            }
        session.peer = Peer(
            self._loop, self._port, "/ws/session",
            on_open=lambda peer: peer.send(encode(hello)),
            on_message=self._message, on_end=self._ended,
        )  # fmt: skip
        self._by_peer[session.peer] = session

    def _ended(self, peer: Peer) -> None:
        session = self._by_peer.pop(peer, None)
        self._lost_connections += 1
        if session is not None and self._left_to_join:
            self._loop.at(now() + 0.05, lambda: self._connect(session))

    # -- speaking -------------------------------------------------------------------

    def _speak(
        self,
        rate: float,
        seconds: float,
        seed: int,
        speech_chars: int = 200,
        acks: bool = True,
        exactly: int | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Utterances at instants of a Poisson process, each by the session whose turn it is.

        ``exactly`` so many if that is said, however long it takes. After the last of them
        outcomes are awaited for ``patience_s``.
        """
        self._begin()
        self._acks = acks
        chance = random.Random(seed)  # noqa: S311  # the same instants for everybody measured
        instants, at = [], 0.0
        while (at := at + chance.expovariate(rate)) < seconds or exactly:
            instants.append(at)
            if len(instants) == exactly:
                break
        self._left_to_send = len(instants)
        speech = field("audio", speech_chars)
        start = now() + 0.05
        todo = iter(enumerate(instants))

        def arm() -> None:
            if (following := next(todo, None)) is None:
                self._loop.at(now() + patience_s, lambda: self._give_up(start))
                return
            number, offset = following
            session = self._sessions[number % len(self._sessions)]

            def fire() -> None:
                self._say(session, start + offset, speech)
                arm()

            self._loop.at(start + offset, fire)

        self._started = start
        arm()

    def _say(self, session: Session, intended: float, speech: bytes) -> None:
        self._left_to_send -= 1
        if session.peer is None or session.peer.ended:
            self._failed += 1
            return
        self._lateness.append(now() - intended)
        session.waiting[session.index] = intended
        self._outstanding += 1
        session.say(speech)

    def _queue(self, utterances: int, pace_s: float = 0.0) -> None:
        """Utterances for languages that nobody does, in sessions of their own: they only wait.

        The sessions come one every ``pace_s``.
        """
        self._begin()
        sessions = [Session() for _ in range(-(-utterances // QUEUED_PER_SESSION))]
        self._left_to_accept = utterances

        def speak() -> None:
            for number in range(utterances):
                sessions[number % len(sessions)].say(field("audio", 200), tgt="zh")

        self._join(sessions, pace_s)
        self._on_joined = speak

    def _give_up(self, start: float) -> None:
        if self._started == start:
            for session in self._sessions:
                session.waiting.clear()
            self._silent = self._outstanding
            self._failed += self._outstanding
            self._outstanding = 0
            self._finish()

    def _finish(self) -> None:
        self._started = 0.0
        self._control.answer(
            seconds=self._ended_at - self._first_at if self._latencies else 0.0,
            done=len(self._latencies),
            failed=self._failed,
            silent=self._silent,
            latency_ms=[round(s * 1000, 4) for s in self._latencies],
            accepted_ms=[round(s * 1000, 4) for s in self._acceptances],
            late_ms=[round(s * 1000, 4) for s in self._lateness],
        )

    # -- hearing --------------------------------------------------------------------

    def _message(self, peer: Peer, text: bytes) -> None:
        session = self._by_peer[peer]
        message = decode(text)
        match message["type"]:
            case "translation_result" | "missing_result":
                self._outcome(session, message)
            case "utterance_accepted":
                if self._left_to_accept:
                    self._left_to_accept -= 1
                    if not self._left_to_accept:
                        self._control.answer()
                elif (intended := session.waiting.get(message["utterance_index"])) is not None:
                    self._acceptances.append(now() - intended)
            case "session_init_ack":
                self._welcome(session, message)
            case "error" if self._left_to_accept:
                self._control.answer(problem=message["message"])
            case "error":
                self._failed += 1
                self._outstanding -= 1
            case _:
                pass

    def _welcome(self, session: Session, message: dict[str, Any]) -> None:
        session.session_id = message["session_id"]
        session.token = message.get("resume_token") or ""
        self._left_to_join -= 1
        if not self._left_to_join and self._on_joined:
            self._on_joined()

    def _outcome(self, session: Session, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        if seq is not None:
            session.seq = seq
            if self._receipts and self._acks and session.peer is not None:
                ack = f'{{"type":"result_ack","session_id":"{session.session_id}","seq":{seq}}}'
                session.peer.send(ack.encode())
        index = message["utterance_index"]
        session.outcomes.add(index)
        session.heard.add(index)
        intended = session.waiting.pop(index, None)
        if intended is None:
            return
        at = now()
        if not self._latencies:
            self._first_at = at
        self._ended_at = at
        if message["type"] == "missing_result":
            self._failed += 1
        else:
            self._latencies.append(at - intended)
        self._outstanding -= 1
        if not self._outstanding and not self._left_to_send:
            self._finish()

    # -- leaving and coming back -------------------------------------------------------

    def _deafen(self) -> None:
        """Read nothing any more, as a process does that is frozen."""
        for peer in self._by_peer:
            peer.deafen()
        self._control.answer()

    def _drop(self) -> None:
        """Forget the connections, and whatever is being awaited, but not the sessions."""
        self._begin()
        for peer in list(self._by_peer):
            peer.reset()
        self._by_peer.clear()
        self._control.answer()

    def _resume(self, port: int, patience_s: float = 4 * PATIENCE_S) -> None:
        """All come back at the same moment; answered when each has all its outcomes."""
        self._begin()
        self._port = port
        started = now()
        for session in self._sessions:
            session.outcomes.clear()
            session.seq = 0
        self._join(self._sessions, 0.0)
        self._on_joined = None
        self._watch_return(started, patience_s)

    def _watch_return(self, started: float, patience_s: float) -> None:
        back = sum(len(session.outcomes) == session.index for session in self._sessions)
        seconds = now() - started
        if back == len(self._sessions) or seconds > patience_s:
            self._control.answer(
                seconds=seconds,
                welcome=len(self._sessions) - self._left_to_join,
                complete=back,
                heard=sum(len(session.heard) for session in self._sessions),
                owed=sum(session.index for session in self._sessions),
                lost_connections=self._lost_connections,
            )
            return
        self._loop.at(now() + 0.01, lambda: self._watch_return(started, patience_s))


if __name__ == "__main__":
    Sessions().run()
