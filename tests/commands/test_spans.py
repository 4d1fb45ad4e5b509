"""Spans are sent if the settings ask for them, and cost nothing if they do not."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trio
from troubles import Stage

from scheduler.commands.spans import NoSpans, open_spans
from scheduler.core.events import Received
from scheduler.errors import SchedulerError
from scheduler.wire.session import ResultAck

IMPORTS = "import sys, scheduler.commands.serve, scheduler.server.serve; print(*sys.modules)"


class Collector(ThreadingHTTPServer):
    """Takes what is posted, as a collector of spans does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the library's name
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append((self.path, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def test_spans_arrive_at_a_collector(collector: Collector) -> None:
    """At the end of the block at the latest the collector has them, in OTLP over HTTP."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    endpoint = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    async with open_spans(endpoint) as spans:
        stage = Stage()
        spans.attach(lambda: stage.engine.snapshot(stage.now))
        stage.submit()
        stage.advance(10)
        stage.write(heard_at=9)
        said = Received(stage.person, ResultAck(session_id=stage.welcome.session_id, seq=1))
        spans.observe(said, stage.apply(said))
    (path, body), *more = collector.posted
    assert (path, more) == ("/v1/traces", [])
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    attributes = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert attributes["service.name"] == "lingua-scheduler"
    assert sorted(span.name for span in sent.scope_spans[0].spans) == ["delivery", "utterance"]


async def test_a_collector_that_is_not_there_delays_the_end_by_little() -> None:
    """Spans that cannot be sent are dropped; the block ends all the same."""
    pytest.importorskip("opentelemetry.sdk")
    with trio.fail_after(30):
        async with open_spans("http://127.0.0.1:9/v1/traces"):
            pass


async def test_without_the_library_the_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asks for spans and has not installed what they need is told the command."""
    monkeypatch.setitem(sys.modules, "scheduler.observe.tracing", None)
    with pytest.raises(SchedulerError, match=r"pip install 'lingua-scheduler\[otel\]'"):
        async with open_spans("http://127.0.0.1:4318/v1/traces"):
            pass


async def test_without_the_setting_there_is_nothing() -> None:
    """Off is the default, and then nothing is observed."""
    async with open_spans("") as spans:
        assert isinstance(spans, NoSpans)


def test_without_the_setting_nothing_is_imported() -> None:
    """A scheduler that makes no spans does not even load the library."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=60
    )
    assert "scheduler.server.serve" in done.stdout.split()
    assert not [module for module in done.stdout.split() if module.startswith("opentelemetry")]
