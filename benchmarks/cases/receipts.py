"""What receipts cost: sessions and nodes that give and get them, and those of the base."""

from benchmarks.harness.contenders import Contender, cpu_of, interleave, load_of
from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import scheduler
from benchmarks.harness.results import Options, Result, Row

RATE = 300


def run(options: Options) -> Result:
    """The same jobs at the same rate, with every receipt and with none."""
    contenders = [
        Contender("receipts on", scheduler(), receipts=True),
        Contender("receipts off", scheduler(), receipts=False),
    ]
    try:
        interleave(contenders, rounds=options.rounds, rate=RATE, seconds=options.seconds(5.0))
    finally:
        for contender in contenders:
            contender.end()
    on, off = contenders
    row = Row(
        what=f"CPU per job, ms: receipts on, {RATE} jobs/s",
        ours=f"{spread(cpu_of(on))}",
        reference=f"{spread(cpu_of(off))} without",
        ratio=f"{ratios(cpu_of(on), cpu_of(off))}",
    )
    raw = {c.name: [sample.summary() for sample in c.samples] for c in contenders}
    return Result(
        case="9-receipts", title="receipts on and off", rows=[row, load_of(on, off)], raw=raw
    )
