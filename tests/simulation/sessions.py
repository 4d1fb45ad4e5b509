"""The sessions of a world that use the real client SDK."""

from __future__ import annotations

from typing import Any

import trio
from simulation.pipes import Fault
from simulation.scene import Scene, Wish
from simulation.taps import OUTCOMES, Talk, Tap
from simulation.worldplan import Say, SessionPlan

from scheduler import client
from scheduler.config import ClientConfig
from scheduler.errors import ConnectionLost, Refused, TranslationFailed


def text_of(name: str, number: int, said: Say) -> str:
    """The words of an utterance: who said it tells them apart."""
    return f"{name}/{number}/{'x' * said.padding}"


class SdkSession:
    """A person with the real client."""

    def __init__(self, scene: Scene, name: str, plan: SessionPlan) -> None:
        self.scene = scene
        self.name = name
        self.plan = plan
        self._outcomes = 0
        self._talk: Talk | None = None

    async def run(self) -> None:
        """From the first connection until every utterance has its answer."""
        config = self.scene.config
        await trio.sleep_until(self.plan.at)
        with trio.CancelScope() as scope:
            async with (
                client.connect(
                    "ws://scheduler",
                    src_lang="en",
                    tgt_lang="es",
                    config=ClientConfig(
                        backoff_max=config.client_backoff_max,
                        welcome_timeout=config.hello_timeout,
                    ),
                    transport=config,
                    open_stream=self._open_stream,
                    draw=lambda: self.scene.draw() if self.plan.pause else 0.0,
                    unix=trio.current_time,
                ) as session,
                trio.open_nursery() as nursery,
            ):
                if self.plan.gives_up is not None:
                    nursery.start_soon(self._vanish, scope)
                nursery.start_soon(self._freeze)
                async with trio.open_nursery() as people:
                    for number, said in enumerate(self.plan.says):
                        people.start_soon(self._say, session, number, said)
                nursery.cancel_scope.cancel()

    async def _say(self, session: client.Session, number: int, said: Say) -> None:
        await trio.sleep_until(self.plan.at + said.at)
        text = text_of(self.name, number, said)
        wish = Wish(self.name, text, trio.current_time())
        self.scene.wishes.append(wish)
        try:
            with trio.CancelScope() as patience:
                if said.cancelled_after is not None:
                    patience.deadline = trio.current_time() + said.cancelled_after
                await self._ask(session, text, wish)
        finally:
            if wish.ended is None:
                wish.end("gave up")

    async def _ask(self, session: client.Session, text: str, wish: Wish) -> None:
        try:
            done = await session.translate(text.encode(), audio_format="pcm16")
        except TranslationFailed as failed:
            wish.end(failed.reason)
        except Refused:
            wish.end("refused")
        except ConnectionLost:
            wish.end("lost")
        else:
            wish.job_id = done.job_id
            wish.end("silence" if done.silence else "translated", done.text_source)

    async def _vanish(self, scope: trio.CancelScope) -> None:
        assert self.plan.gives_up is not None
        await trio.sleep_until(self.plan.at + self.plan.gives_up)
        if self._talk is not None:
            self._talk.link.strike(Fault("black_hole", at=0))
        scope.cancel()

    async def _freeze(self) -> None:
        for one in sorted(self.plan.freezes, key=lambda f: f.at):
            await trio.sleep_until(self.plan.at + one.at)
            if self._talk is not None:
                self._talk.link.freeze("client", one.seconds)

    async def _open_stream(self) -> trio.abc.Stream:
        try:
            stream, self._talk = await self.scene.dial(self.name, "session", self.plan.links)
        except ConnectionRefusedError as error:
            raise ConnectionLost(None, str(error)) from None
        return Tap(stream, self._talk, on_message=self._heard, on_sent=self._sent)

    def _heard(self, talk: Talk, message: dict[str, Any]) -> None:
        if message.get("type") in OUTCOMES:
            self._outcomes += 1
            if self._crashes("before receipt"):
                talk.link.reset()
            if self._crashes("without a word"):
                talk.link.strike(Fault("black_hole", at=0))
        self._unanswered = message.get("type") in OUTCOMES

    def _sent(self, talk: Talk) -> None:
        if self._crashes("after receipt") and self._unanswered:
            self._unanswered = False
            talk.link.close()

    _unanswered = False

    def _crashes(self, when: str) -> bool:
        return any(c.when == when and c.nth == self._outcomes for c in self.plan.crashes)
