"""The engines as the agent sees them: what they can do now, and one job at a time per slot."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from scheduler.errors import EngineUnavailable
from scheduler.node.engines.embedded import discover
from scheduler.node.jobs import Description, Done
from scheduler.node.pipeline import translate_utterance
from scheduler.node.services import Engine, Services
from scheduler.wire.common import (
    Capability,
    InstalledService,
    LanguageCapabilities,
    LanguagePair,
    NmtCapability,
    ServiceType,
)
from scheduler.wire.node import JobAssign

log = structlog.get_logger()

KINDS: tuple[ServiceType, ...] = ("asr", "nmt", "tts")
PROBE_INTERVAL_SECONDS = 5.0
"""How soon an engine that was killed, removed or installed is noticed when nobody calls it."""


class EngineRunner:
    """Implements :class:`scheduler.node.jobs.Runner`. Made by :func:`open_runner`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Each engine, ready or not, in the order of the pipeline."""
        return self._services.all

    def describe(self) -> Description:
        """What is ready now, and why the rest is not."""
        services = self._services
        recognizer, synthesizer = services.recognizer, services.synthesizer
        return Description(
            capabilities=tuple(
                _capability(kind, [e for e in services.all if e.type == kind]) for kind in KINDS
            ),
            services=tuple(
                _installed(engine, engine.type) for engine in services.all if engine.type
            ),
            languages=LanguageCapabilities(
                asr_languages=() if recognizer.fault else tuple(sorted(recognizer.languages)),
                tts_languages=() if synthesizer.fault else tuple(sorted(synthesizer.languages)),
                supported_language_pairs=_pairs(services),
                nmt_capabilities=_nmt(services),
            ),
        )

    async def run(self, job: JobAssign, on_stage: Callable[[str], None]) -> Done:
        """See :class:`scheduler.node.jobs.Runner`."""
        return await translate_utterance(self._services, job, on_stage)

    async def probe_for_ever(self) -> None:
        """Look after the engines until cancelled: what broke is started again."""
        while True:
            await trio.sleep(PROBE_INTERVAL_SECONDS)
            for engine in self._services.all:
                try:
                    await engine.probe()
                except Exception:
                    log.exception("probe_fault", service_id=engine.service_id)


@asynccontextmanager
async def open_runner(slots: int) -> AsyncIterator[EngineRunner]:
    """The engines of this machine, started, for ``slots`` jobs at the same time.

    What is missing is no error: see :attr:`EngineRunner.engines`. At the end of the block,
    also when it is cancelled, no child process is left.
    """
    async with discover(slots) as services, trio.open_nursery() as nursery:
        runner = EngineRunner(services)
        nursery.start_soon(runner.probe_for_ever)
        yield runner
        nursery.cancel_scope.cancel()


def _capability(kind: ServiceType, engines: list[Engine]) -> Capability:
    faults = [(engine, engine.fault) for engine in engines if engine.fault is not None]
    return Capability(
        type=kind,
        ready=not faults,
        reason="; ".join(f"{engine.service_id}: {fault}" for engine, fault in faults) or None,
        ready_impl_ids=tuple(e.service_id for e in engines if e.fault is None),
    )


def _installed(engine: Engine, kind: ServiceType) -> InstalledService:
    fault: EngineUnavailable | None = engine.fault
    return InstalledService(
        service_id=engine.service_id,
        type=kind,
        device="cpu",
        status="error" if fault else "running",
        version=engine.version,
        engine=engine.service_id,
        last_error=str(fault) if fault else None,
    )


def _pairs(services: Services) -> tuple[LanguagePair, ...]:
    """The directions that can be done from speech: the translator's, from what can be heard."""
    heard, translator = services.recognizer, services.translator
    if heard.fault is not None or translator.fault is not None:
        return ()
    known = sorted(pair for pair in translator.pairs if pair[0] in heard.languages)
    return tuple(LanguagePair(src=src, tgt=tgt) for src, tgt in known)


def _nmt(services: Services) -> tuple[NmtCapability, ...]:
    """Every direction of the translator, also those that no recogniser here leads to."""
    translator = services.translator
    if translator.fault is not None:
        return ()
    pairs = sorted(translator.pairs)
    return (
        NmtCapability(
            model_id=translator.service_id,
            languages=tuple(sorted({language for pair in pairs for language in pair})),
            rule="specific_pairs",
            supported_pairs=tuple(LanguagePair(src=src, tgt=tgt) for src, tgt in pairs),
        ),
    )
