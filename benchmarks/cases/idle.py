"""What a session costs that says nothing, and what it costs to let one in."""

import time
from typing import Any

from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import Load, Server, ended, relay, scheduler
from benchmarks.harness.results import Options, Result, Row

FIRST = 500
"""Sessions opened before the first look: start-up and caches are then behind us."""
SESSIONS = 10_000
PACE_S = 0.002
AIM_KIB = 40


def run(options: Options) -> Result:
    """Memory from the second thousand sessions on, CPU of joining; ours, then the relay."""
    sessions = 1500 if options.quick else SESSIONS
    rounds = 1 if options.quick else max(1, min(3, options.rounds // 2))
    ours = [_fill(scheduler("--ping-interval", "600"), sessions, True) for _ in range(rounds)]
    bare = [_fill(relay(), sessions, False) for _ in range(rounds)]
    memory = spread([found["kib"] for found in ours])
    speed = [found["per_cpu_s"] for found in ours]
    rows = [
        Row(
            what=f"memory per idle session, KiB, at {sessions:,}",
            ours=f"{memory}",
            reference=f"{spread([found['kib'] for found in bare])}",
            ratio=f"{ratios([f['kib'] for f in ours], [f['kib'] for f in bare])}",
            aim=f"≤ {AIM_KIB}",
            met=memory.median <= AIM_KIB,
        ),
        Row(
            what="handshakes and hellos per CPU second",
            ours=f"{spread(speed)}",
            reference=f"{spread([found['per_cpu_s'] for found in bare])}",
            ratio=f"{ratios(speed, [found['per_cpu_s'] for found in bare])}",
        ),
    ]
    raw = {"sessions": sessions, "ours": ours, "relay": bare}
    return Result(case="5-idle", title="idle sessions", rows=rows, raw=raw)


def _fill(server: Server, sessions: int, receipts: bool) -> dict[str, Any]:
    load = Load("sessions")
    with ended(server, load):
        load.ask("open", port=server.port, sessions=FIRST, receipts=receipts, pace_s=PACE_S)
        time.sleep(1.0)
        memory, cpu, steps = server.memory_kib, server.cpu_s, []
        rest = sessions - FIRST
        for done in range(4):
            part = rest // 4
            load.ask("open", port=server.port, sessions=part, receipts=receipts, pace_s=PACE_S)
            steps.append([FIRST + (done + 1) * part, server.memory_kib])
        opened = rest // 4 * 4
        used = server.cpu_s - cpu
        time.sleep(1.0)
        return {
            "kib": (server.memory_kib - memory) / opened,
            "per_cpu_s": opened / used,
            "steps": steps,
        }
