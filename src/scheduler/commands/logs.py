"""Where log lines go: one line per fact, to standard error.

A line has the name of the fact and its ids (``session_id``, ``job_id``, ``attempt``,
``trace_id``), so that all lines about one utterance can be found. What people said is in none
of them, at any level; a traceback shows code, never the values of variables.
"""

import contextlib
import io
import logging
import os
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import Processor


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
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )


def _console() -> list[Processor]:
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _json() -> list[Processor]:
    """One JSON object per line; ``timestamp`` is UTC in ISO 8601."""
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
