"""Other ways to have the same work done: what they cost, and beside it what they lose."""

import sys
from typing import Any

from benchmarks.harness import losses
from benchmarks.harness.contenders import (
    Contender,
    cpu_of,
    interleave,
    latencies_of,
    load_of,
)
from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.losses import Loss
from benchmarks.harness.peers import PEERS, Peer
from benchmarks.harness.results import Options, Result, Row, Table

RATE = 100
"""One that all sustain, on one machine with all that they need."""
WORK_S = 0.02
OURS = "ours"
SPEED = (
    "jobs per CPU second, server and broker", "and with its own workers", "p50, ms", "p99, ms",
)  # fmt: skip
PROMISES = ("a worker is killed amid jobs", "the client freezes, is cut, comes back")


def run(options: Options) -> Result:
    """The small job at one rate for all in turn; then what is lost when something breaks."""
    lacking = {name: lacks for name, peer in PEERS.items() if (lacks := peer.lacks())}
    for name, lacks in lacking.items():
        print(f"{name} is not measured; it needs {lacks}", file=sys.stderr, flush=True)
    peers = {name: peer for name, peer in PEERS.items() if name not in lacking}
    contenders = _measured(peers, options)
    trials = max(1, options.rounds // 2)
    spoken_s = options.seconds(losses.SPOKEN_S)
    killed: dict[str, list[Loss]] = {name: [] for name in peers}
    frozen: dict[str, list[Loss]] = {name: [] for name in peers}
    for _ in range(trials):
        for name, peer in peers.items():
            killed[name].append(losses.worker_killed(peer, name == OURS, spoken_s))
            frozen[name].append(losses.client_frozen(peer, name == OURS))
    rows = [
        _row(contenders[OURS], contender) for name, contender in contenders.items() if name != OURS
    ]
    rows += [
        Row(what=f"CPU per job, ms, beside {name}", ours="", reference=f"not here: needs {lacks}")
        for name, lacks in lacking.items()
    ]
    rows.append(load_of(*contenders.values()))
    columns = {
        name: [*_speed(contender), _killed(killed[name]), _frozen(frozen[name])]
        for name, contender in contenders.items()
    }
    raw: dict[str, Any] = {
        "rate": RATE,
        "contenders": {n: [s.summary() for s in c.samples] for n, c in contenders.items()},
        "killed": killed,
        "frozen": frozen,
        "lacking": lacking,
    }
    tables = [_table(columns)]
    return Result(case="10-peers", title="other ways", rows=rows, tables=tables, raw=raw)


def _measured(peers: dict[str, Peer], options: Options) -> dict[str, Contender]:
    """All of them alive at once, measured in turn, and ended."""
    running = {name: peer.start(WORK_S) for name, peer in peers.items()}
    contenders = {
        name: Contender(
            name, one.server, behind=one.behind, workers=one.workers, receipts=name == OURS,
            work_s=WORK_S,
        )
        for name, one in running.items()
    }  # fmt: skip
    try:
        interleave(
            list(contenders.values()), rounds=options.rounds, rate=RATE,
            seconds=options.seconds(5.0),
        )  # fmt: skip
    finally:
        for contender in contenders.values():
            contender.end()
    return contenders


def _row(ours: Contender, other: Contender) -> Row:
    return Row(
        what=f"CPU per job, ms, at {RATE} jobs/s, beside {other.name}",
        ours=f"{spread(cpu_of(ours))}",
        reference=f"{spread(cpu_of(other))}",
        ratio=f"{ratios(cpu_of(ours), cpu_of(other))}",
    )


def _speed(contender: Contender) -> list[str]:
    whole = [sample.cpu_ms + sample.workers_ms for sample in contender.samples]
    per_second = [
        f"{spread([1000 / ms for ms in cpu]).median:,.0f}" for cpu in (cpu_of(contender), whole)
    ]
    if not any(sample.workers_ms for sample in contender.samples):
        per_second[1] = "(nodes of the load)"
    p50, p99 = (f"{spread(latencies_of(contender, part))}" for part in (0.5, 0.99))
    return [*per_second, p50, p99]


def _total(trials: list[Loss], name: str) -> int:
    return sum(loss[name] for loss in trials)


def _killed(trials: list[Loss]) -> str:
    said = [f"{_total(trials, 'done')} of {_total(trials, 'spoken')} translated"]
    if told := _total(trials, "told"):
        said.append(f"{told} told to have failed")
    if silent := _total(trials, "silent"):
        said.append(f"**{silent} never heard of**")
    return ", ".join(said)


def _frozen(trials: list[Loss]) -> str:
    heard, owed = _total(trials, "heard"), _total(trials, "owed")
    lost = f", **{owed - heard} lost**" if heard < owed else ""
    return f"{heard} of {owed} outcomes reach it{lost}"


def _table(columns: dict[str, list[str]]) -> Table:
    """Speed above, promises below: a column for each."""
    titles = (*SPEED, *PROMISES)
    rows = [["", *columns]]
    rows += [
        [title, *(column[place] for column in columns.values())]
        for place, title in enumerate(titles)
    ]
    title = f"What each costs at {RATE} jobs/s, and what it loses when something breaks:"
    return Table(title=title, rows=rows)
