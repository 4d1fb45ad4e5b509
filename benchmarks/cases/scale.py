"""Whether a job costs more where many wait and many nodes are: the engine alone, and the whole."""

import time

from benchmarks.harness.contenders import Contender
from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import Load, scheduler
from benchmarks.harness.results import Options, Result, Row

ENGINE_SIZES = ((10, 10), (100, 1_000), (100_000, 10_000))
"""Waiting jobs and nodes."""
WHOLE_SIZES = ((10, 10), (100, 1_000))
AIM = 1.2
RATE = 100


def run_engine(options: Options) -> Result:
    """CPU of ``Engine.handle`` alone; all sizes are alive at once and measured in turn."""
    sizes = ENGINE_SIZES[:2] if options.quick else ENGINE_SIZES
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
        for (waiting, nodes), measured in zip(sizes[1:], cpu[1:], strict=True):
            ratio = ratios(measured[1:], smallest)
            largest = (waiting, nodes) == ENGINE_SIZES[-1]
            rows.append(
                Row(
                    what=f"engine, µs per job, {way}: {waiting:,} waiting, {nodes:,} nodes",
                    ours=f"{spread(measured[1:])}",
                    reference=f"{spread(smallest)} with 10/10",
                    ratio=f"{ratio}",
                    aim=f"≤ {AIM}" if largest else "",
                    met=ratio.median <= AIM if largest else None,
                )
            )
    return Result(case="4-engine", title="many nodes, many waiting: engine", rows=rows, raw=raw)


def run_whole(options: Options) -> Result:
    """CPU of the server process per job, less what its idle peers cost in the same round."""
    flags = (
        "--pending-timeout", "3600", "--dispatched-timeout", "600", "--node-suspect-timeout", "100",
        "--node-dead-timeout", "200", "--heartbeat-interval", "30", "--ping-interval", "60",
        "--dispatched-timeout-max", "600",
    )  # fmt: skip
    contenders = []
    for waiting, nodes in WHOLE_SIZES:
        contender = Contender(
            f"{waiting}/{nodes}", scheduler(*flags), nodes=nodes,
            node_arguments={"heartbeat_s": 30.0, "slots": 4},
        )  # fmt: skip
        contender.sessions.ask("queue", utterances=waiting)
        contenders.append(contender)
    measured: dict[str, list[float]] = {c.name: [] for c in contenders}
    idle: dict[str, list[float]] = {c.name: [] for c in contenders}
    seconds = options.seconds(5.0)
    try:
        for number in range(options.rounds + 1):
            for contender in contenders:
                before = contender.server.cpu_s
                time.sleep(seconds / 2)
                per_second = (contender.server.cpu_s - before) / (seconds / 2)
                sample = contender.measure(RATE, seconds, seed=number)
                idle_ms = per_second * seconds * 1000 / max(1, sample.done)
                if number:
                    measured[contender.name].append(sample.cpu_ms - idle_ms)
                    idle[contender.name].append(per_second * 1000)
    finally:
        for contender in contenders:
            contender.end()
    small, large = (measured[c.name] for c in contenders)
    ratio = ratios(large, small)
    row = Row(
        what="whole server, CPU ms per job: 100 waiting, 1,000 nodes",
        ours=f"{spread(large)}",
        reference=f"{spread(small)} with 10/10",
        ratio=f"{ratio}",
        aim=f"≤ {AIM}",
        met=ratio.median <= AIM,
    )
    raw = {"cpu_ms": measured, "idle_ms_per_s": idle}
    return Result(case="4-whole", title="many nodes, many waiting: whole", rows=[row], raw=raw)
