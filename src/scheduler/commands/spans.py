"""Spans for OpenTelemetry, if the settings ask for them."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import trio

from scheduler.core.events import Effect, Event
from scheduler.core.snapshot import Snapshot
from scheduler.errors import SchedulerError
from scheduler.runtime.shell import unobserved

CLOSE_S = 5.0
"""How long the last spans may take on their way out."""


class Spans(Protocol):
    """What the scheduler needs to know of whoever makes spans."""

    def observe(self, event: Event, effects: list[Effect]) -> None:
        """Be told what happened."""

    def attach(self, snapshot: Callable[[], Snapshot]) -> None:
        """Be told where to look."""


class NoSpans:
    """Nobody asked for spans: nothing is imported, and nothing is done."""

    observe = staticmethod(unobserved)

    def attach(self, snapshot: Callable[[], Snapshot]) -> None:
        """There is nobody to look."""


@contextlib.asynccontextmanager
async def open_spans(endpoint: str) -> AsyncIterator[Spans]:
    """Somebody who sends spans to ``endpoint`` for the length of the block, if it is not empty.

    Raises ``SchedulerError`` if the libraries are missing. The last spans are sent at the end,
    within ``CLOSE_S``.
    """
    if not endpoint:
        yield NoSpans()
        return
    try:
        from scheduler.observe.tracing import Tracing, open_exporter

        tracing = Tracing(open_exporter(endpoint))
    except ImportError as error:
        text = f"otel_endpoint needs OpenTelemetry ({error}): pip install 'lingua-scheduler[otel]'"
        raise SchedulerError(text) from None
    try:
        yield tracing
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await trio.to_thread.run_sync(tracing.close, abandon_on_cancel=True)
