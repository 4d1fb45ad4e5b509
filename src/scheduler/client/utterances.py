"""One utterance on the client's side: what was said, what is told meanwhile, what came back.

An :class:`OpenUtterance` is the session's own record; a :class:`Submission` is what its user
holds of it. An :class:`Outcome` is the one end, which :class:`Translation` shows as plain data.
"""

import base64
import binascii
from collections.abc import Callable

import attrs
import trio

from scheduler.client.feed import Feed, JobEvent
from scheduler.errors import ProtocolError, SchedulerError, TranslationFailed
from scheduler.wire.common import ServiceTimings
from scheduler.wire.session import MissingResult, TranslationResult, Utterance


@attrs.frozen(kw_only=True)
class Translation:
    """What came back for one utterance. All empty (``silence``): nobody spoke.

    ``audio`` is a whole file of ``audio_format``; ``timings`` are in milliseconds.
    ``trace_id`` and ``group_id`` are the wire's names for it, see ``Session.played``.
    """

    job_id: str | None
    utterance_index: int
    text_source: str = ""
    text_translated: str = ""
    audio: bytes = b""
    audio_format: str = "wav"
    timings: ServiceTimings | None = None
    silence: bool = False
    trace_id: str | None = None
    group_id: str | None = None


@attrs.frozen
class Outcome:
    """The one end of an utterance, good or bad, as it came over the wire."""

    message: TranslationResult | MissingResult

    @property
    def utterance_index(self) -> int:
        """Which utterance of its session this is the outcome of."""
        return self.message.utterance_index

    @property
    def job_id(self) -> str | None:
        """The scheduler's name for the utterance."""
        return self.message.job_id

    def translation(self) -> Translation:
        """The content. Raises ``TranslationFailed`` for a failure.

        Raises ``ProtocolError`` if the audio is no base64.
        """
        message = self.message
        if isinstance(message, MissingResult):
            if message.reason != "silence_detected":
                raise TranslationFailed(message.reason, message.code, message.hint)
            return Translation(
                job_id=message.job_id, utterance_index=message.utterance_index, silence=True
            )
        try:
            audio = base64.b64decode(message.tts_audio, validate=True)
        except binascii.Error as error:
            raise ProtocolError("$.tts_audio", f"no base64: {error}") from None
        return Translation(
            job_id=message.job_id,
            utterance_index=message.utterance_index,
            text_source=message.text_asr,
            text_translated=message.text_translated,
            audio=audio,
            audio_format=message.tts_format,
            timings=message.service_timings,
            trace_id=message.trace_id,
            group_id=message.group_id,
        )


@attrs.define(eq=False)
class OpenUtterance:
    """An utterance without an outcome.

    ``sent``: a connection has taken it, so it may be running. ``job_id``: it was accepted.
    ``unwanted``: nobody waits for it any more, the scheduler is to be told.
    """

    message: Utterance
    events: Feed[JobEvent]
    sent: bool = False
    job_id: str | None = None
    unwanted: bool = False
    outcome: Outcome | SchedulerError | None = None
    settled: trio.Event = attrs.Factory(trio.Event)

    def settle(self, outcome: Outcome | SchedulerError) -> None:
        """Say how it ended. There is nothing to say about it afterwards."""
        assert self.outcome is None
        self.outcome = outcome
        self.settled.set()
        self.events.close()


class Submission:
    """An utterance on its way. Made by ``Session.submit``."""

    def __init__(self, entry: OpenUtterance, cancel: Callable[[OpenUtterance], None]) -> None:
        self._entry = entry
        self._cancel = cancel

    @property
    def utterance_index(self) -> int:
        """Its number in the session; the same one in every message about it."""
        return self._entry.message.utterance_index

    @property
    def job_id(self) -> str | None:
        """The scheduler's name for it, once it was accepted."""
        return self._entry.job_id

    def events(self) -> Feed[JobEvent]:
        """How it is getting on, from its submission to its outcome. One reader only.

        A reader slower than ``events_max`` misses the oldest.
        """
        return self._entry.events

    async def result(self) -> Translation:
        """Wait for the outcome, through lost connections, and give what it brought.

        Raises ``TranslationFailed`` (the outcome is a failure), ``Refused`` (it was not
        accepted), ``ConnectionLost`` (the session is closed, or the scheduler said not to
        come back), ``ProtocolError`` (what came back is no audio). Cancelling only stops the
        waiting: see :meth:`cancel`.
        """
        await self._entry.settled.wait()
        outcome = self._entry.outcome
        if isinstance(outcome, Outcome):
            return outcome.translation()
        assert outcome is not None
        raise outcome

    def cancel(self) -> None:
        """Tell the scheduler that the result is not wanted any more.

        The outcome is decided there: a result that was quicker is a result.
        """
        self._cancel(self._entry)
