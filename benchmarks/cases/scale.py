"""Whether a job costs more where many wait and many nodes are: the engine alone, and the whole."""

import time

from benchmarks.harness.contenders import Contender, load_of
from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import Load, scheduler
from benchmarks.harness.results import Options, Result, Row

SIZES = ((10, 10), (1_000, 100), (100, 1_000), (100_000, 10_000))
"""Waiting jobs and nodes."""
AIM = 1.2
RATE = 100
PACE_S = 0.002
HOUR = "3600"


def run_engine(options: Options) -> Result:
    """CPU of ``Engine.handle`` alone; all sizes are alive at once and measured in turn."""
    sizes = _sizes(options)
    rows, raw = [], {}
    for free in (False, True):
        engines = [Load("engine") for _ in sizes]
        try:
            for engine, (waiting, nodes) in zip(engines, sizes, strict=True):
                engine.tell("make", nodes=nodes, waiting=waiting, free=free)
            for engine in engines:
                engine.answer()
            cpu: list[list[float]] = [[] for _ in sizes]
            for _ in range(options.rounds + 1):
                for engine, measured in zip(engines, cpu, strict=True):
                    measured.append(engine.ask("cycle", jobs=1000)["cpu_us"])
        finally:
            for engine in engines:
                engine.end()
        way = "a node has a slot" if free else "all nodes are busy"
        raw[way] = dict(zip([f"{w}/{n}" for w, n in sizes], cpu, strict=True))
        smallest = cpu[0][1:]
        for size, measured in zip(sizes[1:], cpu[1:], strict=True):
            what = f"engine, µs per job, {way}"
            rows.append(_row(what, size, measured[1:], smallest))
    return Result(case="4-engine", title="many nodes, many waiting: engine", rows=rows, raw=raw)


def run_whole(options: Options) -> Result:
    """CPU of the server process per job, less what its idle peers cost in the same round."""
    sizes = _sizes(options)
    seconds = options.seconds(5.0)
    measured: list[list[float]] = [[] for _ in sizes]
    idle: list[list[float]] = [[] for _ in sizes]
    contenders: list[Contender] = []
    try:
        for waiting, nodes in sizes:
            contenders.append(_crowded(waiting, nodes))
        for number in range(options.rounds + 1):
            for place, contender in enumerate(contenders):
                before = contender.server.cpu_s
                time.sleep(seconds / 2)
                per_second = (contender.server.cpu_s - before) / (seconds / 2)
                sample = contender.measure(RATE, seconds, seed=number)
                idle_ms = per_second * seconds * 1000 / max(1, sample.done)
                if number:
                    contender.samples.append(sample)
                    measured[place].append(sample.cpu_ms - idle_ms)
                    idle[place].append(per_second * 1000)
    finally:
        for contender in contenders:
            contender.end()
    rows = [
        _row("whole server, CPU ms per job", size, large, measured[0])
        for size, large in zip(sizes[1:], measured[1:], strict=True)
    ]
    rows += [
        Row(
            what=f"taken off: idle peers, CPU ms per s: {waiting:,} waiting, {nodes:,} nodes",
            ours=f"{spread(cost)}",
            reference=f"{spread(idle[0])} with 10/10",
        )
        for (waiting, nodes), cost in zip(sizes[1:], idle[1:], strict=True)
    ]
    rows.append(load_of(*contenders))
    names = [contender.name for contender in contenders]
    raw = {
        "cpu_ms": dict(zip(names, measured, strict=True)),
        "idle_ms_per_s": dict(zip(names, idle, strict=True)),
        "contenders": {c.name: [sample.summary() for sample in c.samples] for c in contenders},
    }
    return Result(case="4-whole", title="many nodes, many waiting: whole", rows=rows, raw=raw)


def _sizes(options: Options) -> list[tuple[int, int]]:
    """Those that are to be measured, the smallest first and none twice."""
    least, _ = SIZES[0]
    sizes = [(options.count(w, least), options.count(n, least)) for w, n in SIZES]
    return list(dict.fromkeys(sizes))


def _crowded(waiting: int, nodes: int) -> Contender:
    """A server with so many nodes, and so many jobs that none of them can do.

    Heartbeats, pings and every patience are an hour's, so that the peers cost next to nothing.
    """
    flags = (
        "--pending-timeout", HOUR, "--heartbeat-interval", HOUR, "--ping-interval", HOUR,
        "--node-suspect-timeout", "7200", "--node-dead-timeout", "14400",
        "--dispatched-timeout", "36000", "--dispatched-timeout-max", "36000",
        "--jobs-waiting-max", "110000",
    )  # fmt: skip
    contender = Contender(
        f"{waiting}/{nodes}", scheduler(*flags), nodes=nodes,
        node_arguments={"heartbeat_s": float(HOUR), "slots": 4, "pace_s": PACE_S},
    )  # fmt: skip
    contender.sessions.ask("queue", utterances=waiting, pace_s=PACE_S)
    return contender


def _row(what: str, size: tuple[int, int], ours: list[float], smallest: list[float]) -> Row:
    waiting, nodes = size
    ratio = ratios(ours, smallest)
    judged = size == SIZES[-1]
    return Row(
        what=f"{what}: {waiting:,} waiting, {nodes:,} nodes",
        ours=f"{spread(ours)}",
        reference=f"{spread(smallest)} with 10/10",
        ratio=f"{ratio}",
        aim=f"≤ {AIM}" if judged else "",
        met=ratio.median <= AIM if judged else None,
    )
