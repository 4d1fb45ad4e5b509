"""What the scheduler adds to the time of one job, beside the bare relay at the same rate."""

from benchmarks.harness.contenders import Contender, interleave, latencies_of, load_of
from benchmarks.harness.figures import quantile, spread
from benchmarks.harness.processes import relay, scheduler
from benchmarks.harness.results import Options, Result, Row

RATE = 300
WORK_S = 0.02
LATE_MAX_MS = 1.0
"""Two times the stricter aim, for the worst one per cent: medians are then those of the server."""
PARTS = [step / 200 for step in range(1, 200)] + [0.999]


def run(options: Options) -> Result:
    """The same utterances at the same instants to both; the difference of the quantiles counts."""
    contenders = [
        Contender("relay", relay(), receipts=False, work_s=WORK_S),
        Contender("ours", scheduler(), work_s=WORK_S),
    ]
    contenders += [
        Contender(name, scheduler(name=name, tree=tree), work_s=WORK_S)
        for name, tree in options.trees.items()
    ]
    try:
        interleave(contenders, rounds=options.rounds, rate=RATE, seconds=options.seconds(10.0))
    finally:
        for contender in contenders:
            contender.end()
    bare, *others = contenders
    rows = [
        _row(contender, bare, part, aim if contender.name == "ours" else None)
        for contender in others
        for part, aim in ((0.50, 0.5), (0.99, 3.0))
    ]
    rows.append(load_of(*contenders, late_max_ms=LATE_MAX_MS))
    curves = {c.name: [_pooled(c, part) for part in PARTS] for c in contenders}
    raw = {
        "rate": RATE,
        "parts": PARTS,
        "curves_ms": curves,
        "contenders": {c.name: [sample.summary() for sample in c.samples] for c in contenders},
    }
    return Result(case="3-latency", title="added latency at 300 jobs/s", rows=rows, raw=raw)


def _pooled(contender: Contender, part: float) -> float:
    every = [ms for sample in contender.samples for ms in sample.latency_ms]
    return round(quantile(every, part), 3)


def _row(ours: Contender, bare: Contender, part: float, aim: float | None) -> Row:
    a, b = latencies_of(ours, part), latencies_of(bare, part)
    added = spread([x - y for x, y in zip(a, b, strict=True)])
    return Row(
        what=f"p{part * 100:.0f} from utterance to outcome, ms ({WORK_S * 1000:.0f} of them work): "
        f"{ours.name}",
        ours=f"{spread(a)}",
        reference=f"{spread(b)}",
        ratio=f"{'+' if added.median >= 0 else ''}{added}",
        aim="" if aim is None else f"≤ +{aim} ms",
        met=None if aim is None else added.median <= aim,
    )
