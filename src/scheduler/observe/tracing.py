"""Spans for OpenTelemetry: one trace per utterance, made when its story is over.

Nothing is measured beside the record: when an outcome was acknowledged (or has expired, or
was written to a session that cannot acknowledge), the job's own times become spans. They are
sent by a thread of the library, in batches; what cannot be sent is dropped there.

This is the only module that knows OpenTelemetry. It is imported when ``otel_endpoint`` is
set, and only then.
"""

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SpanEvent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from scheduler import __version__
from scheduler.core.events import Effect, Event, Note
from scheduler.core.snapshot import Snapshot
from scheduler.core.tracecontext import TraceContext, context_of, span_id

ENDS = ("delivered", "expired", "written")
NS_PER_MS = 1_000_000
ATTEMPT_ATTRIBUTES = ("attempt_id", "node_id", "end", "code")
FAILURES = ("no_available_node", "job_timeout", "node_failed")
SERVICE = "lingua-scheduler"

View = dict[str, Any]


def open_exporter(endpoint: str) -> SpanExporter:
    """Sends spans by OTLP over HTTP, for example to ``http://127.0.0.1:4318/v1/traces``."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


class Tracing:
    """An observer of the shell. ``processor`` replaces the thread that sends in batches."""

    def __init__(self, exporter: SpanExporter, processor: SpanProcessor | None = None) -> None:
        self._processor = processor or BatchSpanProcessor(exporter)
        self._resource = Resource.create({"service.name": SERVICE, "service.version": __version__})
        self._snapshot: Callable[[], Snapshot] | None = None

    def attach(self, snapshot: Callable[[], Snapshot]) -> None:
        """From now on there is a scheduler to look at."""
        self._snapshot = snapshot

    def observe(self, _: Event, effects: list[Effect]) -> None:
        """Send the spans of every job whose story is over with one of these effects."""
        for effect in effects:
            if isinstance(effect, Note) and effect.name in ENDS and self._snapshot is not None:
                trace = self._snapshot().trace(effect.detail["job_id"])
                if trace is not None and _is_over(trace["jobs"][0]):
                    self._send(trace["jobs"][0])

    def close(self) -> None:
        """Send what is left. Blocks: call it in a thread."""
        self._processor.shutdown()

    def _send(self, job: View) -> None:
        beginning = context_of(job["job_id"], job["traceparent"])
        root = beginning.at(span_id(job["job_id"], "utterance"))
        for span in self._spans(job, beginning, root):
            self._processor.on_end(span)

    def _spans(self, job: View, beginning: TraceContext, root: TraceContext) -> list[ReadableSpan]:
        begun, ended = job["accepted_at_ms"], job["story"][-1]["at_ms"]
        children = [
            self._child(job, root, f"attempt {attempt['attempt_id']}", attempt)
            for attempt in job["attempts"]
        ]
        if job["attempts"]:
            placed = {"assigned_at_ms": begun, "ended_at_ms": job["attempts"][0]["assigned_at_ms"]}
            children.insert(0, self._child(job, root, "wait", placed))
        settled = {"assigned_at_ms": job["settled_at_ms"], "ended_at_ms": ended}
        children.append(self._child(job, root, "delivery", settled))
        utterance = self._span(
            "utterance",
            root,
            beginning if beginning.span_id else None,
            (begun, ended),
            kind=SpanKind.SERVER,
            attributes={
                "lingua.job_id": job["job_id"],
                "lingua.session_id": job["session_id"],
                "lingua.trace_id": job["trace_id"],
                "lingua.need": job["need"],
                "lingua.outcome": job["outcome"],
                "lingua.code": job["code"],
                "lingua.state": job["state"],
            },
            failed=job["outcome"] in FAILURES,
        )
        return [utterance, *children]

    def _child(self, job: View, root: TraceContext, name: str, times: View) -> ReadableSpan:
        """An attempt of the job, or a phase that has the times of one."""
        seen = [(name, times.get(f"{name}_at_ms")) for name in ("received", "started")]
        return self._span(
            name.split(" ", 1)[0],
            root.at(span_id(job["job_id"], name)),
            root,
            (times["assigned_at_ms"], times["ended_at_ms"]),
            kind=SpanKind.CLIENT if "node_id" in times else SpanKind.INTERNAL,
            attributes={f"lingua.{key}": times.get(key) for key in ATTEMPT_ATTRIBUTES},
            events=[(what, at) for what, at in seen if at is not None],
            failed=times.get("end") not in (None, "translated", "silence_detected", "cancelled"),
        )

    def _span(
        self,
        name: str,
        own: TraceContext,
        parent: TraceContext | None,
        times_ms: tuple[int, int],
        *,
        kind: SpanKind,
        attributes: View,
        events: list[tuple[str, int]] | None = None,
        failed: bool = False,
    ) -> ReadableSpan:
        return ReadableSpan(
            name=name,
            context=_context(own, remote=False),
            parent=None if parent is None else _context(parent, remote=name == "utterance"),
            resource=self._resource,
            attributes={key: value for key, value in attributes.items() if value is not None},
            events=[SpanEvent(what, timestamp=at * NS_PER_MS) for what, at in events or ()],
            kind=kind,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=times_ms[0] * NS_PER_MS,
            end_time=times_ms[1] * NS_PER_MS,
        )


def _is_over(job: View) -> bool:
    """A session with receipts is owed its acknowledgement after the write."""
    acknowledges = bool(job["story"][0].get("receipts", True))
    return job["state"] in ("acknowledged", "expired") or not acknowledges


def _context(place: TraceContext, *, remote: bool) -> SpanContext:
    return SpanContext(
        int(place.trace_id, 16),
        int(place.span_id, 16),
        is_remote=remote,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT),
    )
