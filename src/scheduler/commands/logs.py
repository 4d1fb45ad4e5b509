"""Where log lines go: one line per fact, to standard error.

A line has the name of the fact and its ids (``session_id``, ``job_id``, ``attempt``,
``trace_id``), so that all lines about one utterance can be found. What people said is in none
of them, at any level; a traceback shows code, never the values of variables.
"""

import contextlib
import datetime as dt
import io
import logging
import os
import re
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class _Stderr(io.TextIOBase):
    """Standard error, as long as somebody reads it: a log that is gone must stop nobody."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # broken pipe, full disk, closed file
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logs(level: str, log_format: str = "console") -> None:
    """Show facts of at least ``level``, for people (``console``) or for programs (``json``).

    Colours only on a terminal, and never with NO_COLOR.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *(_json() if log_format == "json" else _console()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )


def _console() -> list[Processor]:
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    render = structlog.dev.ConsoleRenderer(
        colors=colours, exception_formatter=structlog.dev.plain_traceback
    )
    return [_now, render if colours else Plain(render)]


def _now(_: WrappedLogger, __: str, fact: EventDict) -> EventDict:
    """The local time of day; ``strftime`` takes four times as long for it."""
    fact["timestamp"] = dt.datetime.now().time().isoformat("microseconds")
    return fact


class Plain:
    """What structlog's console renderer says without colours, character by character.

    Two lines for each job were a tenth of all that a job costs, and most of that was
    columns, styles and widths of nothing (``benchmarks/NOTES.md``). What is not a plain fact
    is left to ``render``.
    """

    def __init__(self, render: structlog.dev.ConsoleRenderer) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, name: str, fact: EventDict) -> str:
        """One line, with the details in the order of their names."""
        if not _ODD.isdisjoint(fact):
            return self._render(logger, name, fact)
        at, level, event = fact.pop("timestamp"), fact.pop("level"), fact.pop("event")
        details = " ".join([
            f"{key}={value if isinstance(value, str) and _BARE(value) else repr(value)}"
            for key, value in sorted(fact.items())
        ])  # fmt: skip
        return f"{at} [{level:<9}] {event:<30} {details}".rstrip(" ")


_BARE = re.compile("[^ \\t=\\r\\n\"']*").fullmatch
"""Whether a text needs no quotes."""
_ODD = frozenset({"exc_info", "exception", "stack", "stack_info", "logger", "logger_name"})
"""What a line about a fault may have; the renderer gives it lines of its own."""


def _json() -> list[Processor]:
    """One JSON object per line; ``timestamp`` is UTC in ISO 8601."""
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
