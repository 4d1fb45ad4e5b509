"""What a node says it can do: exactly what its engines can, and why the rest cannot."""

import trio
from fakes import ScriptedEngines
from node_support import assignment
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.core.placement import Need, Rejection, abilities_of, unable
from scheduler.errors import EngineUnavailable
from scheduler.node.runner import PROBE_INTERVAL_SECONDS, EngineRunner
from scheduler.wire.common import LanguagePair

MISSING = EngineUnavailable("not installed", "apt-get install it")
ALL = frozenset({"asr", "nmt", "tts"})


def verdict(engines: ScriptedEngines, src: str = "en", tgt: str = "es") -> Rejection | None:
    """What the scheduler makes of the description."""
    said = EngineRunner(engines.services).describe()
    return unable(Need(ALL, ((src, tgt),)), abilities_of(said.capabilities, said.languages))


def test_what_is_ready_is_offered() -> None:
    """Services, versions, languages and directions are those of the engines."""
    said = EngineRunner(ScriptedEngines().services).describe()
    assert [(c.type, c.ready, c.reason) for c in said.capabilities] == [
        ("asr", True, None), ("nmt", True, None), ("tts", True, None),
    ]  # fmt: skip
    assert said.capabilities[0].ready_impl_ids == ("detector", "recognizer")
    services = {(s.service_id, s.type, s.status, s.version) for s in said.services}
    assert ("translator", "nmt", "running", "1.0") in services
    assert "repairer" not in {service[0] for service in services}
    assert said.languages.asr_languages == said.languages.tts_languages == ("en", "es")


def test_a_direction_begins_with_a_language_that_is_heard() -> None:
    """What the translator could do from a language nobody here recognises is not offered."""
    said = EngineRunner(ScriptedEngines().services).describe().languages
    assert said.supported_language_pairs == (
        LanguagePair(src="en", tgt="es"), LanguagePair(src="es", tgt="en"),
    )  # fmt: skip
    (model,) = said.nmt_capabilities or ()
    assert LanguagePair(src="ca", tgt="es") in (model.supported_pairs or ())


def test_an_engine_that_is_missing_takes_its_service_with_it() -> None:
    """Not ready, with the reason and the hint, and no language of it is left."""
    for service, kind in (
        ("detector", "asr"), ("recognizer", "asr"), ("translator", "nmt"), ("synthesizer", "tts"),
    ):  # fmt: skip
        engines = ScriptedEngines()
        assert verdict(engines) is None
        engines.faults[service] = MISSING
        said = EngineRunner(engines.services).describe()
        (capability,) = [c for c in said.capabilities if c.type == kind]
        assert not capability.ready
        assert capability.reason == f"{service}: not installed (apt-get install it)"
        (installed,) = [s for s in said.services if s.service_id == service]
        assert (installed.status, installed.last_error) == ("error", str(MISSING))
        assert verdict(engines) is Rejection.NOT_READY


def test_without_any_engine_nothing_is_offered() -> None:
    """Empty lists, not absent ones: absent would mean any language."""
    engines = ScriptedEngines()
    for engine in engines.services.all:
        engines.faults[engine.service_id] = MISSING
    said = EngineRunner(engines.services).describe().languages
    for offered in (said.asr_languages, said.tts_languages, said.supported_language_pairs):
        assert offered == ()
    assert not said.nmt_capabilities


async def test_it_runs_jobs_on_its_engines() -> None:
    """A job goes through the pipeline of the runner's own engines."""
    engines = ScriptedEngines()
    done = await EngineRunner(engines.services).run(assignment(), lambda stage: None)
    assert done.text_translated == "hello repaired translated"


async def test_engines_are_looked_after(autojump_clock: MockClock) -> None:
    """Each engine is probed at every interval, also when the probe of another one fails."""
    engines = ScriptedEngines()
    services = engines.services

    async def broken() -> None:
        raise ZeroDivisionError

    services.detector.probe = broken  # type: ignore[method-assign]
    with capture_logs() as logs, trio.move_on_after(PROBE_INTERVAL_SECONDS * 3.5):
        await EngineRunner(services).probe_for_ever()
    assert [engine.probed for engine in services.all[1:]] == [3] * 4  # type: ignore[attr-defined]
    assert [entry["event"] for entry in logs] == ["probe_fault"] * 3
