"""What one job costs the server: a small one and a large one, beside the bare relay."""

from benchmarks.harness.contenders import (
    Contender,
    cpu_of,
    interleave,
    latencies_of,
    load_of,
)
from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import relay, scheduler
from benchmarks.harness.results import Options, Result, Row


def run_small(options: Options) -> Result:
    """200 characters of audio each way."""
    return _run(options, "1-small", "a small job (200 B)", chars=200, rate=300, aim=1.2)


def run_large(options: Options) -> Result:
    """100,000 characters of audio each way."""
    return _run(options, "2-large", "a large job (100 kB)", chars=100_000, rate=60, aim=0.7)


def _run(options: Options, case: str, title: str, *, chars: int, rate: float, aim: float) -> Result:
    contenders = [
        Contender("relay", relay(), receipts=False, speech_chars=chars),
        Contender(
            "quick relay", relay("--msgspec", "--buffer", "65536"), receipts=False,
            speech_chars=chars,
        ),
        Contender("ours", scheduler(), speech_chars=chars),
        Contender("ours, no log", scheduler("--log-level", "warning"), speech_chars=chars),
    ]  # fmt: skip
    contenders += [
        Contender(name, scheduler(name=name, tree=tree), speech_chars=chars)
        for name, tree in options.trees.items()
    ]
    try:
        interleave(contenders, rounds=options.rounds, rate=rate, seconds=options.seconds(5.0))
    finally:
        for contender in contenders:
            contender.end()
    bare, quick, *others = contenders
    rows = []
    for contender in others:
        ratio = ratios(cpu_of(contender), cpu_of(bare))
        judged = contender.name == "ours"
        rows.append(
            Row(
                what=f"CPU per job, ms: {contender.name}, at {rate} jobs/s",
                ours=f"{spread(cpu_of(contender))}",
                reference=f"{spread(cpu_of(bare))}",
                ratio=f"{ratio}",
                aim=f"≤ {aim}" if judged else "",
                met=ratio.median <= aim if judged else None,
            )
        )
    rows.append(
        Row(
            what="CPU per job, ms, beside a relay with msgspec and 64 KiB buffers",
            ours=f"{spread(cpu_of(others[0]))}",
            reference=f"{spread(cpu_of(quick))}",
            ratio=f"{ratios(cpu_of(others[0]), cpu_of(quick))}",
        )
    )
    rows.append(load_of(*contenders))
    raw = {
        "rate": rate,
        "contenders": {c.name: [sample.summary() for sample in c.samples] for c in contenders},
        "p50_ms": {c.name: latencies_of(c, 0.5) for c in contenders},
    }
    return Result(case=case, title=title, rows=rows, raw=raw)
