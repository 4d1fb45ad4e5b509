"""The sessions of a world that speak by hand: of the whole protocol, or of its base only."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import trio
from simulation.pipes import Fault
from simulation.rawpeer import RawPeer
from simulation.scene import Scene, Wish, message_of
from simulation.sessions import text_of
from simulation.taps import Talk
from simulation.worldplan import Say, SessionPlan

LATE_S = 1.0
"""How late a client acknowledges that is late with it."""
AHEAD = 7
"""How far beyond the truth a client claims to be that does."""


class RawSession(RawPeer):
    """A client by hand. It remembers what it was told over its crashes, as on a disk."""

    def __init__(self, scene: Scene, name: str, plan: SessionPlan) -> None:
        super().__init__(scene, name, plan.links, plan.pause)
        self.plan = plan
        self.receipts = plan.kind == "raw"
        self.session_id: str | None = None
        self.token: str | None = None
        self.last_seq = 0
        self.wishes: dict[int, Wish] = {}
        self._welcomed = False
        self._outcomes = 0
        self._all_ended = trio.Event()
        self._closing = False

    async def run(self) -> None:
        """From the first connection until every utterance has its answer."""
        await trio.sleep_until(self.plan.at)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self.keep_connected)
            nursery.start_soon(self.freeze, self.plan.at, self.plan.freezes)
            for number, said in enumerate(self.plan.says):
                nursery.start_soon(self._say, number, said)
            if self.plan.gives_up is not None:
                nursery.start_soon(self._vanish, nursery.cancel_scope)
            await self._all_ended.wait()
            await self._leave()
            nursery.cancel_scope.cancel()

    async def _leave(self) -> None:
        """Say goodbye properly, if there is anybody to say it to."""
        if self._welcomed:
            self._closing = True
            self._speak("session_close", reason="done")
            with trio.move_on_after(self.scene.config.close_timeout):
                await self.gone.wait()
        self.over.set()

    async def _say(self, number: int, said: Say) -> None:
        await trio.sleep_until(self.plan.at + said.at)
        wish = Wish(self.name, text_of(self.name, number, said), trio.current_time())
        self.wishes[number] = wish
        self.scene.wishes.append(wish)
        for _ in range(2 if said.repeats else 1):
            self._submit(number)
        if said.cancelled_after is not None:
            await trio.sleep(said.cancelled_after)
            if wish.ended is None and wish.job_id is not None:
                self._speak("job_cancel", job_id=wish.job_id)
        if self.plan.resumes == "ahead":  # it may have acknowledged what it never got
            config = self.scene.config
            await trio.sleep(2 * (config.pending_timeout + config.dispatched_timeout))
            if wish.ended is None:
                wish.end("gave up")
                self._look()

    async def _vanish(self, scope: trio.CancelScope) -> None:
        assert self.plan.gives_up is not None
        await trio.sleep_until(self.plan.at + self.plan.gives_up)
        if self.talk is not None:
            self.talk.link.strike(Fault("black_hole", at=0))
        for wish in self.wishes.values():
            if wish.ended is None:
                wish.end("gave up")
        scope.cancel()

    def greet(self) -> None:
        hello: dict[str, Any] = {
            "client_version": "1", "platform": "raw", "src_lang": "en", "tgt_lang": "es",
        }  # fmt: skip
        if self.receipts:
            hello["receipts"] = True
            if self.session_id is not None and self.plan.resumes != "anew":
                hello["resume"] = self._resume()
        self.say(message_of("session_init", **hello))

    def _resume(self) -> dict[str, Any]:
        session_id, token, last_seq = self.session_id, self.token, self.last_seq
        match self.plan.resumes:
            case "old":
                last_seq = 0
            case "ahead":
                last_seq += AHEAD
            case "wrong":
                token = f"not-{token}"
            case "foreign":
                others = [t.session_id for t in self.scene.talks if t.owner != self.name]
                session_id = next((s for s in others if s is not None), session_id)
                if session_id == self.session_id:
                    token = "nobody's"
        return {"session_id": session_id, "resume_token": token, "last_seq": last_seq}

    def hear(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "session_init_ack":
                self._welcome(message)
            case "utterance_accepted":
                if (wish := self.wishes.get(message["utterance_index"])) is not None:
                    wish.job_id = message["job_id"]
            case "translation_result" | "missing_result":
                self._outcome(message)
            case "error":
                self._error(message)

    def _welcome(self, message: dict[str, Any]) -> None:
        if not message.get("resumed"):
            self.last_seq = 0
            for wish in self.wishes.values():
                wish.job_id = None
        self.session_id, self.token = message["session_id"], message.get("resume_token")
        self._welcomed = True
        for number, wish in self.wishes.items():
            if wish.ended is None and wish.job_id is None:
                self._submit(number)
        self._look()

    def _outcome(self, message: dict[str, Any]) -> None:
        seq = message["seq"]
        self._outcomes += 1
        wish = self.wishes.get(message["utterance_index"])
        if seq > self.last_seq:
            self.last_seq = seq
            if wish is not None and wish.ended is None:
                wish.job_id = message["job_id"]
                wish.end(*_told(message))
        if self._crashes("before receipt"):
            self.crash()
            return
        if self._crashes("without a word") and self.talk is not None:
            self.talk.link.strike(Fault("black_hole", at=0))
            self.hang_up()
            return
        if self.receipts:
            self._acknowledge(seq)
        if self._crashes("after receipt"):
            self.send(self._hang_up_behind)
        self._look()

    def _hang_up_behind(self) -> None:
        """Everything said so far still arrives; then the connection is over."""
        if self.talk is not None:
            self.talk.link.close()

    def _acknowledge(self, seq: int) -> None:
        match self.plan.receipts:
            case "each":
                self._speak("result_ack", seq=seq)
            case "twice":
                self._speak("result_ack", seq=seq)
                self._speak("result_ack", seq=seq)
            case "backwards":
                self._speak("result_ack", seq=seq)
                self._speak("result_ack", seq=max(0, seq - 1))
            case "beyond":
                self._speak("result_ack", seq=seq + AHEAD)
                self._speak("result_ack", seq=seq)
            case "late":
                self._nursery.start_soon(self._acknowledge_late, seq)
            case "never":
                pass

    async def _acknowledge_late(self, seq: int) -> None:
        session_id = self.session_id
        await trio.sleep(LATE_S)
        if session_id == self.session_id:
            self._speak("result_ack", seq=seq)

    def _error(self, message: dict[str, Any]) -> None:
        index = (message.get("details") or {}).get("utterance_index")
        wish = self.wishes.get(index) if isinstance(index, int) else None
        if wish is not None and wish.ended is None and wish.job_id is None:
            wish.end("refused")
            self._look()

    def _look(self) -> None:
        if len(self.wishes) == len(self.plan.says) and all(w.ended for w in self.wishes.values()):
            self._all_ended.set()

    def _submit(self, number: int) -> None:
        text = self.wishes[number].text
        self._speak(
            "utterance", utterance_index=number, manual_cut=True, src_lang="en", tgt_lang="es",
            audio=base64.b64encode(text.encode()).decode(), audio_format="pcm16",
            sample_rate=16_000,
        )  # fmt: skip

    def _speak(self, kind: str, **said: Any) -> None:
        if self._welcomed:
            self.say(message_of(kind, session_id=self.session_id, **said))

    def _crashes(self, when: str) -> bool:
        return any(c.when == when and c.nth == self._outcomes for c in self.plan.crashes)

    async def _converse(self, stream: Any, talk: Talk) -> None:
        try:
            await super()._converse(stream, talk)
        finally:
            self._welcomed = False
            if not self.receipts:
                self._lose_the_rest()

    def _lose_the_rest(self) -> None:
        """A client of the base asks for nothing again: what it had said is lost with the link."""
        for wish in self.wishes.values():
            if wish.ended is None:
                wish.end("lost")
        self._look()


CHUNKS = 3
CHUNK_EVERY_S = 0.25


class ChunkSession(RawPeer):
    """A client of the base that speaks in chunks, and never knows what became an utterance."""

    def __init__(self, scene: Scene, name: str, plan: SessionPlan) -> None:
        super().__init__(scene, name, plan.links, plan.pause)
        self.plan = plan
        self._seq = itertools.count()

    async def run(self) -> None:
        """From the first connection until the last thing it said must have its outcome."""
        config = self.scene.config
        await trio.sleep_until(self.plan.at)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_connected)
            nursery.start_soon(self.freeze, self.plan.at, self.plan.freezes)
            async with trio.open_nursery() as speaking:
                for number, said in enumerate(self.plan.says):
                    speaking.start_soon(self._say, number, said)
            await trio.sleep(
                config.chunked_seconds_max + config.pending_timeout + config.dispatched_timeout
            )
            self.over.set()
            nursery.cancel_scope.cancel()

    def greet(self) -> None:
        self.say(
            message_of(
                "session_init", client_version="1", platform="chunks", src_lang="en",
                tgt_lang="es",
            )
        )  # fmt: skip

    async def _say(self, number: int, said: Say) -> None:
        await trio.sleep_until(self.plan.at + said.at)
        text = f"{self.name}/{number}/".encode()
        text += b" " * (len(text) % 2)  # samples of two bytes each
        for place in range(CHUNKS):
            last = place == CHUNKS - 1
            if self.talk is not None and self.talk.session_id is not None:
                self.say(
                    message_of(
                        "audio_chunk", session_id=self.talk.session_id, seq=next(self._seq),
                        is_final=last and not said.repeats,
                        payload="" if last else base64.b64encode(text).decode(),
                    )
                )  # fmt: skip
            await trio.sleep(CHUNK_EVERY_S)


def _told(message: dict[str, Any]) -> tuple[str, str]:
    if message["type"] == "translation_result":
        return "translated", message["text_asr"]
    reason = message["reason"]
    return ("silence" if reason == "silence_detected" else reason), ""
