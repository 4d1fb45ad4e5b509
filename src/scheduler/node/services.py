"""What an engine must be able to do, one small protocol per service.

Every method may be cancelled at any time: the work stops, the engine is free for the next
caller, and no process and no file is left over. All raise
:class:`~scheduler.errors.StageFailed`.
"""

from collections.abc import Set as AbstractSet
from typing import Protocol

import attrs

from scheduler.errors import EngineUnavailable
from scheduler.node.audio import Audio
from scheduler.wire.common import ServiceType

Pair = tuple[str, str]
"""Source and target language, as the wire names them: ``("en", "es")``."""


@attrs.frozen
class Span:
    """Where somebody speaks: samples ``start`` (included) to ``end`` (excluded)."""

    start: int
    end: int


class Engine(Protocol):
    """What the node tells about an engine. ``fault`` is None when it is ready.

    ``type`` is None for an engine whose service has no word on the wire.
    """

    @property
    def service_id(self) -> str:
        """Its name on the wire."""

    @property
    def type(self) -> ServiceType | None:
        """The service it is a part of."""

    @property
    def version(self) -> str | None:
        """The version of what is installed, if it is known."""

    @property
    def fault(self) -> EngineUnavailable | None:
        """Why it cannot work now."""

    async def probe(self) -> None:
        """Look again whether it can work, and start what is needed; sets ``fault``."""


class SpeechDetector(Engine, Protocol):
    """Finds speech, so that silence and noise are never given to a recogniser."""

    async def detect(self, audio: Audio) -> tuple[Span, ...]:
        """The stretches of speech in order; none for silence."""


class Recognizer(Engine, Protocol):
    """Speech to text."""

    @property
    def languages(self) -> AbstractSet[str]:
        """What it understands."""

    async def recognize(self, audio: Audio, language: str) -> str:
        """The words, in lower case; empty if there are none."""


class Repairer(Engine, Protocol):
    """Makes recognised words fit for translation, for example numbers as digits."""

    async def repair(self, text: str, language: str) -> str:
        """The repaired text; unchanged in a language it does not know."""


class Translator(Engine, Protocol):
    """Text to text."""

    @property
    def pairs(self) -> AbstractSet[Pair]:
        """The directions it knows."""

    async def translate(self, text: str, pair: Pair) -> str:
        """The translation of one utterance."""


class Synthesizer(Engine, Protocol):
    """Text to speech."""

    @property
    def languages(self) -> AbstractSet[str]:
        """What it speaks."""

    async def synthesize(self, text: str, language: str) -> bytes:
        """A whole WAV file."""


@attrs.frozen(kw_only=True)
class Services:
    """The engines of one node; each says for itself whether it is ready."""

    detector: SpeechDetector
    recognizer: Recognizer
    repairer: Repairer
    translator: Translator
    synthesizer: Synthesizer

    @property
    def all(self) -> tuple[Engine, ...]:
        """In the order of the pipeline."""
        return (
            self.detector, self.recognizer, self.repairer, self.translator, self.synthesizer,
        )  # fmt: skip
