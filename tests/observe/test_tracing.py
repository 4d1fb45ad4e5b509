"""One trace per utterance, its attempts as spans, made from the record."""

from typing import Any

import pytest
from messages import result, utterance
from troubles import Stage

from scheduler.core.events import Effect, Event
from scheduler.core.tracecontext import span_id
from scheduler.wire import node, session

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from scheduler.observe.tracing import Tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Traced(Stage):
    """A stage whose spans are kept."""

    def __init__(self, *, receipts: bool = True, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing(self.exporter, SimpleSpanProcessor(self.exporter))
        super().__init__(receipts=receipts, **settings)
        self.tracing.attach(lambda: self.engine.snapshot(self.now))

    def apply(self, event: Event) -> list[Effect]:
        effects = super().apply(event)
        self.tracing.observe(event, effects)
        return effects

    def utterance(self, flags: str = "01") -> session.Utterance:
        traceparent = f"00-{TRACE}-{SPAN}-{flags}"
        return utterance(self.welcome.session_id, traceparent=traceparent)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {name(span): span for span in self.exporter.get_finished_spans()}


def name(span: ReadableSpan) -> str:
    number = (span.attributes or {}).get("lingua.attempt_id")
    return f"{span.name} {number}" if number is not None else span.name


def seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9, span.end_time / 1e9


def failed_over() -> Traced:
    """Waits 1 s, runs 2 s on a node that leaves, 1 s on another; acknowledged 0.5 s later."""
    stage = Traced()
    stage.say(stage.person, stage.utterance())
    stage.advance(1)
    first, first_id = stage.join_node()
    stage.begin(first, first_id)
    second, second_id = stage.join_node()
    stage.advance(2)
    stage.leave(first)
    job = stage.begin(second, second_id)
    stage.advance(1)
    stage.say(second, result(job, second_id))
    stage.write(heard_at=3)
    assert stage.spans == {}
    stage.advance(0.5)
    stage.acknowledge()
    return stage


def test_an_utterance_is_a_trace() -> None:
    """The whole, the wait, each attempt and the delivery, with the record's own times."""
    assert {name: seconds(span) for name, span in failed_over().spans.items()} == {
        "utterance": (0, 4.5),
        "wait": (0, 1),
        "attempt 1": (1, 3),
        "attempt 2": (3, 4),
        "delivery": (4, 4.5),
    }


def test_the_spans_hang_together() -> None:
    """All are in one trace; the utterance is the client's child, the others are the utterance's."""
    spans = failed_over().spans
    whole = spans.pop("utterance")
    assert whole.context is not None
    assert whole.parent is not None
    assert (f"{whole.context.trace_id:032x}", f"{whole.parent.span_id:016x}") == (TRACE, SPAN)
    for span in spans.values():
        assert span.parent is not None
        assert span.parent.span_id == whole.context.span_id
        assert span.context is not None
        assert span.context.trace_id == whole.context.trace_id


def test_an_attempt_has_the_id_that_its_node_was_told() -> None:
    """The node's own spans find their parent."""
    span = failed_over().spans["attempt 2"]
    assert span.context is not None
    assert f"{span.context.span_id:016x}" == span_id("job-1", "attempt 2")


def test_what_went_wrong_is_an_error() -> None:
    """A lost attempt is an error, a job that went well in the end is none."""
    spans = failed_over().spans
    errors = {name for name, s in spans.items() if s.status.status_code is StatusCode.ERROR}
    assert errors == {"attempt 1"}
    assert (spans["attempt 1"].attributes or {})["lingua.end"] == "node_left"


def test_a_failure_is_a_trace_without_attempts() -> None:
    """An utterance for which there was no node is a span with its code."""
    stage = Traced()
    stage.submit()
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    assert set(stage.spans) == {"utterance", "delivery"}
    whole = stage.spans["utterance"]
    assert whole.status.status_code is StatusCode.ERROR
    assert (whole.attributes or {})["lingua.code"] == "NO_AVAILABLE_NODE"
    assert whole.parent is None


def test_who_cannot_acknowledge_is_done_when_written() -> None:
    """A session of the base has its trace with the write, and only once."""
    stage = Traced(receipts=False)
    machine, node_id = stage.join_node()
    stage.submit()
    stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    stage.write(heard_at=0)
    stage.leave(stage.person)
    names = [span.name for span in stage.exporter.get_finished_spans()]
    assert sorted(names) == ["attempt", "delivery", "utterance", "wait"]


def test_a_client_that_is_not_sampled_is_not_traced() -> None:
    """Who decided not to trace is obeyed."""
    stage = Traced()
    stage.say(stage.person, stage.utterance(flags="00"))
    stage.advance(10)
    stage.write(heard_at=9)
    stage.acknowledge()
    assert stage.spans == {}


def test_no_span_has_anybody_s_words() -> None:
    """Neither texts nor audio nor tokens are in any attribute."""
    for span in failed_over().exporter.get_finished_spans():
        text = span.to_json()
        assert not [secret for secret in ("hola", "AAAA", "token-") if secret in text]
