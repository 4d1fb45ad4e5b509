"""PocketSphinx (BSD) with the American English model inside its wheel.

``load_decoder`` runs in the child process, :class:`PocketSphinx` in the node.
"""

from collections.abc import Callable

from scheduler.node.audio import Audio
from scheduler.node.pool import PooledEngine
from scheduler.node.worker import RECOGNIZE
from scheduler.wire.common import ServiceType

ACTIVE_HMMS_MAX = 3000
"""Measured: two thirds of the time that the default takes, with the same error rate."""

RECOGNIZE_TIMEOUT_SECONDS = 25.0
"""The longest audio (60 s) takes 11 s when the core is its own."""


def load_decoder() -> Callable[[bytes], bytes]:
    """The recogniser of the child process: 16-bit samples in, UTF-8 text out."""
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL", maxhmmpf=ACTIVE_HMMS_MAX)

    def recognise(pcm: bytes) -> bytes:
        if not pcm:  # the library raises IndexError
            return b""
        decoder.start_utt()
        try:
            # The whole at once: the level is then normalised over this utterance alone, and
            # the text does not depend on what was decoded before.
            decoder.process_raw(pcm, full_utt=True)
        finally:
            decoder.end_utt()
        best = decoder.hyp()
        return best.hypstr.encode() if best is not None else b""

    return recognise


class PocketSphinx(PooledEngine):
    """The recogniser as a service; its child processes are shared with the detector."""

    service_id = "pocketsphinx-en-us"
    type: ServiceType = "asr"
    languages = frozenset({"en"})

    async def recognize(self, audio: Audio, language: str) -> str:
        """See :class:`~scheduler.node.services.Recognizer`."""
        assert language in self.languages, language
        timeout = RECOGNIZE_TIMEOUT_SECONDS
        text = await self._pool.call("asr", RECOGNIZE, audio.pcm, timeout=timeout)
        return text.decode()
