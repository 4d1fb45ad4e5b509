"""The benchmarks measure what they say: honest load, honest numbers, a small window that works."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from benchmarks.harness.contenders import Contender, Sample
from benchmarks.harness.figures import quantile, ratios
from benchmarks.harness.processes import Server, relay, scheduler
from benchmarks.load.speech import field
from benchmarks.load.websocket import frame


@given(st.text(max_size=70_000), st.sampled_from([0, 1, 200, 70_000]))
def test_a_server_reads_what_the_load_means(text: str, chars: int) -> None:
    """A frame of the load is a masked text frame: spaces before its last field, nothing else."""
    server, tail = Connection(ConnectionType.SERVER), field("audio", chars) if chars else b""
    server.receive_data(frame(text.encode(), tail))
    said = ""
    for event in server.events():
        assert isinstance(event, TextMessage)
        said += event.data
    assert said.startswith(text)
    assert said.endswith(tail.decode())
    assert said[len(text) : len(said) - len(tail)].strip(" ") == ""


def test_quantiles_and_ratios() -> None:
    """A quantile is one of the values; a ratio compares what was measured in the same round."""
    values = [float(n) for n in range(100, 0, -1)]
    assert [quantile(values, part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 100.0, 100.0]
    assert quantile([], 0.5) == 0.0
    found = ratios([2.0, 30.0, 3.0], [1.0, 10.0, 2.0])
    assert (found.median, found.least, found.most) == (2.0, 1.5, 3.0)


def window(server: Server, *, receipts: bool) -> Sample:
    contender = Contender(server.name, server, receipts=receipts, sessions=4, nodes=2, work_s=0.0)
    try:
        return contender.measure(rate=200, seconds=0.2, seed=1)
    finally:
        contender.end()


@pytest.mark.parametrize("receipts", [True, False])
def test_every_job_of_a_window_comes_back(receipts: bool) -> None:
    """Ours answers each utterance of the load, with receipts and without, and its CPU is seen."""
    sample = window(scheduler(), receipts=receipts)
    assert (sample.done, sample.failed) == (len(sample.latency_ms), 0)
    assert sample.done > 10
    assert len(sample.accepted_ms) == (sample.done if receipts else 0)
    assert sample.cpu_ms > 0


def test_the_relay_does_the_same_work() -> None:
    """The reference answers the same utterances of the same load."""
    assert window(relay(), receipts=False).done == window(scheduler(), receipts=True).done
