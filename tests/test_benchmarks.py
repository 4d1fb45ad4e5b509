"""The benchmarks measure what they say: honest load, honest numbers, and every case runs."""

import math
import re
from functools import cache
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from benchmarks.__main__ import CASES, main
from benchmarks.cases import scale
from benchmarks.harness import losses, results
from benchmarks.harness.contenders import Contender, Sample
from benchmarks.harness.figures import quantile, ratios
from benchmarks.harness.peers import PEERS, Peer
from benchmarks.harness.processes import Load, Server, ended, relay, scheduler
from benchmarks.harness.results import Options, Result, load_row
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


def test_an_utterance_without_an_answer_is_counted() -> None:
    """Every utterance is in the sums: as never heard of, or as failed if it could not be sent."""
    server, nodes, people = relay(), Load("nodes"), Load("sessions")
    with ended(server, nodes, people):
        nodes.ask("join", port=server.port, nodes=1, receipts=False, work_s=60.0)
        people.ask("open", port=server.port, sessions=2, receipts=False)
        said = people.ask("speak", rate=100, seconds=0.2, seed=1, patience_s=0.2)
        assert said["done"] == 0
        assert said["failed"] == said["silent"] > 5
        people.ask("drop")
        unsent = people.ask("speak", rate=100, seconds=0.2, seed=1, patience_s=0.2)
        assert (unsent["done"], unsent["silent"]) == (0, 0)
        assert unsent["failed"] == said["failed"]


def test_a_load_that_did_not_keep_up_is_told() -> None:
    """Half a core of a load process, or one job without a result, and the row says missed."""
    assert load_row([0.1, 0.5], [0.3], 0).met
    assert load_row([0.5]).met
    assert not load_row([0.1, 0.51], [0.3], 0).met
    assert not load_row([0.1], [0.3], 1).met
    assert load_row([0.1], [0.3, 1.0], 0, 1.0).met
    assert not load_row([0.1], [0.3, 1.1], 0, 1.0).met


def test_only_the_largest_size_is_judged() -> None:
    """The aim of growing is that of the largest size, missed by the median of the rounds."""
    ones = [1.0, 1.0, 1.0]
    some = ([1.0, 1.2, 9.0], [1.0, 2.0, 2.0])
    judged = [scale._row("", scale.SIZES[-1], ours, ones).met for ours in some]
    assert judged == [True, False]
    assert scale._row("", scale.SIZES[0], [9.0, 9.0, 9.0], ones).met is None


def test_what_is_missing_for_a_peer_is_named() -> None:
    """A peer that cannot be measured here says which program or package it lacks."""
    peer = Peer(start=PEERS["ours"].start, programs=("no-such-server",), packages=("no_such",))
    assert "no-such-server of the Debian package" in peer.lacks()
    assert "no_such of the dependency group bench" in peer.lacks()
    assert PEERS["ours"].lacks() == PEERS["trio relay"].lacks() == ""


@cache
def smallest(case: str) -> Result:
    """A case with one round of the shortest windows and the fewest of everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "PATIENCE_S", 1.0)  # no gateway here that gives up later
        patch.setattr(losses, "BACK_PATIENCE_S", 1.0)
        return CASES[case](Options(rounds=1, longest_s=0.3, shrink=1000))


@pytest.mark.parametrize("case", CASES)
def test_every_case_runs(case: str) -> None:
    """Each case measures something: all figures are numbers, and no job of it has failed."""
    result = smallest(case)
    for row in result.rows:
        figures = [float(n) for n in re.findall(r"[\d.]+(?:e[+-]\d+)?", row.ours)]
        assert figures or "not here" in row.reference, row
        assert all(map(math.isfinite, figures)), row
        if "failed" in row.aim:
            assert ", 0 jobs failed" in row.ours
    table = results.table([attrs.asdict(result)]).splitlines()
    assert sum(line.startswith(f"| {result.case} |") for line in table) == len(result.rows)


def test_ours_loses_nothing_and_the_relay_does() -> None:
    """A killed node and a frozen client cost ours no outcome, and the relay some."""
    raw = smallest("peers").raw
    for found in raw["killed"]["ours"]:
        assert found["done"] == found["spoken"] > 0
    for found in raw["frozen"]["ours"]:
        assert found["heard"] == found["owed"] > 0
    for found in raw["frozen"]["trio relay"]:
        assert found["heard"] < found["owed"]


def test_peers_that_are_not_here_are_in_the_table() -> None:
    """Whoever reads the table sees which peers were not measured, and that nobody was forgotten."""
    result = smallest("peers")
    absent = {row.what.rsplit("beside ")[-1] for row in result.rows if "not here" in row.reference}
    measured = set(result.tables[0].rows[0][1:])
    assert absent == {name for name, peer in PEERS.items() if peer.lacks()}
    assert absent ^ measured == PEERS.keys()


def test_only_the_place_of_the_table_is_renewed(tmp_path: Path) -> None:
    """Results that were saved make the table; what stands around it in the document stays."""
    results.save(smallest("receipts"), tmp_path, 1)
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- table -->\nold\n<!-- end -->\nafter\n")
    for _ in range(2):
        results.put_table(results.load(tmp_path), document)
    text = document.read_text()
    assert text.startswith("before\n<!-- table -->\n\nOf ")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text
    assert text.count("| case |") == text.count("receipts on, ") == 1


def test_every_picture_can_be_drawn(tmp_path: Path) -> None:
    """From results of all cases come all pictures and the table, with nothing measured again."""
    pytest.importorskip("matplotlib", reason="of the dependency group bench")
    for case in CASES:
        results.save(smallest(case), tmp_path, 1)
    main(["--publish", "--into", str(tmp_path)])
    assert {path.stem for path in tmp_path.glob("*.svg")} == {
        "cpu-per-job", "latency", "scale", "memory", "failover", "journal", "peers",
    }  # fmt: skip
    assert len(results.load(tmp_path)) == len(CASES)
    shown = re.findall(r"!\[.+\]\((.+)\)", (tmp_path / "table.md").read_text())
    assert sorted(shown) == sorted(path.name for path in tmp_path.glob("*.svg"))
