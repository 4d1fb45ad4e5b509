"""One line per fact, with its ids, and without anybody's words."""

import gc
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from client_support import scheduler_world, session_on
from fakes import ScriptedRunner
from hypothesis import given
from hypothesis import strategies as st
from structlog._config import BoundLoggerLazyProxy

from scheduler.commands.logs import Plain, configure_logs
from scheduler.errors import Code, StageFailed, TranslationFailed

SPEECH = "nobody else shall read this"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Loggers keep the first configuration that they meet: here each test has its own."""
    before = structlog.get_config()
    _forget()
    yield
    structlog.configure(**before)
    _forget()


def _forget() -> None:
    for thing in gc.get_objects():
        if isinstance(thing, BoundLoggerLazyProxy):
            thing.__dict__.pop("bind", None)


async def talk() -> None:
    """One utterance is translated, one fails on the node, and on one the node breaks."""
    failure = StageFailed("nmt", "MODEL_NOT_AVAILABLE", "no model", retryable=False)
    script: list[float | Exception] = [0.5, failure]
    async with (
        scheduler_world(ScriptedRunner(script=script), attempts_max=1) as world,
        session_on(world.network) as session,
    ):
        await session.translate(SPEECH.encode())
        with pytest.raises(TranslationFailed):
            await session.translate(SPEECH.encode())
        with pytest.raises(TranslationFailed):
            await session.translate(SPEECH.encode() + b"\xff")  # the scripted engine chokes on it


async def test_json_lines_have_their_ids(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON each line is one object with time, level, fact, and the ids that belong to it."""
    configure_logs("debug", "json")
    await talk()
    lines: list[dict[str, Any]] = [json.loads(t) for t in capsys.readouterr().err.splitlines()]
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
    settled = [line for line in lines if line["event"] == "settled"]
    assert [line["outcome"] for line in settled] == ["translated", "node_failed", "node_failed"]
    for line in lines:
        if line["event"] in ("assigned", "received", "started", "settled", "written", "delivered"):
            assert {"session_id", "job_id", "trace_id", "attempt"} <= line.keys(), line


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_line_has_anybody_s_words(
    autojump_clock: object, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    """What was said is in no line, in no form, at no level, tracebacks included."""
    configure_logs("debug", log_format)
    await talk()
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "settled" in said
    for secret in (SPEECH, SPEECH.upper(), "bm9ib2R5IGVsc2", "token-"):
        assert secret not in said


def test_the_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """The default is one readable line, without colours where there is no terminal."""
    configure_logs("info")
    structlog.get_logger().info("delivered", job_id="job-1")
    structlog.get_logger().debug("written", job_id="job-1")
    (line,) = capsys.readouterr().err.splitlines()
    assert "[info     ] delivered" in line
    assert "job_id=job-1" in line
    assert "\x1b" not in line


def test_a_log_that_nobody_reads_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """When standard error is closed or its reader is gone, lines are lost and nothing else is."""
    configure_logs("info")

    class Broken:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", Broken())
    structlog.get_logger().info("delivered", job_id="job-1")


details = st.dictionaries(
    st.sampled_from(["job_id", "why", "attempt", "seconds", "a", "need"]),
    st.one_of(
        st.text(max_size=20), st.integers(), st.floats(), st.none(), st.sampled_from(list(Code))
    ),
)
faults = st.dictionaries(
    st.sampled_from(["stack", "exception"]), st.text(min_size=1, max_size=9), max_size=1
)


@given(st.sampled_from(["info", "debug", "warning"]), st.text(max_size=40), details, faults)
def test_a_plain_line_is_that_of_the_console(
    level: str, event: str, detail: dict[str, Any], fault: dict[str, str]
) -> None:
    """Without colours a line is, character by character, what structlog's own renderer makes."""
    console = structlog.dev.ConsoleRenderer(colors=False)
    fact = {"timestamp": "12:00:00.000001", "level": level, "event": event, **detail, **fault}
    assert Plain(console)(None, "info", dict(fact)) == console(None, "info", dict(fact))


def test_the_time_of_day_has_microseconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line begins with the local time, to the microsecond."""
    configure_logs("info")
    structlog.get_logger().info("settled", job_id="j-1", why="no node")
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{6} \[info     \] settled +job_id=j-1 why='no node'\n", line
    )
