"""What a session costs that says nothing, and what it costs to let one in."""

import time
from typing import Any

from benchmarks.harness.figures import ratios, spread
from benchmarks.harness.processes import Load, Server, ended, relay, scheduler
from benchmarks.harness.results import Options, Result, Row, load_row

FIRST = 500
"""Sessions opened before the first look: start-up and caches are then behind us."""
SESSIONS = 10_000
ROUNDS_MAX = 3
"""Each takes most of a minute, and memory hardly differs between them."""
PACE_S = 0.002
AIM_KIB = 40


def run(options: Options) -> Result:
    """Memory of all sessions but the first, CPU of joining; ours and the relay in turn."""
    first, sessions = options.count(FIRST, least=10), options.count(SESSIONS, least=50)
    ours, bare = [], []
    for _ in range(min(ROUNDS_MAX, options.rounds)):
        ours.append(_fill(scheduler("--ping-interval", "600"), first, sessions, True))
        bare.append(_fill(relay(), first, sessions, False))
    memory = spread([found["kib"] for found in ours])
    speed = [found["per_cpu_s"] for found in ours]
    rows = [
        Row(
            what=f"memory per idle session, KiB, at {sessions:,}",
            ours=f"{memory}",
            reference=f"{spread([found['kib'] for found in bare])}",
            ratio=f"{ratios([f['kib'] for f in ours], [f['kib'] for f in bare])}",
            aim=f"≤ {AIM_KIB}",
            met=memory.median <= AIM_KIB if sessions == SESSIONS else None,
        ),
        Row(
            what="handshakes and hellos per CPU second",
            ours=f"{spread(speed)}",
            reference=f"{spread([found['per_cpu_s'] for found in bare])}",
            ratio=f"{ratios(speed, [found['per_cpu_s'] for found in bare])}",
        ),
        load_row([found["load_busy"] for found in ours + bare]),
    ]
    raw = {"sessions": sessions, "ours": ours, "relay": bare}
    return Result(case="5-idle", title="idle sessions", rows=rows, raw=raw)


def _fill(server: Server, first: int, sessions: int, receipts: bool) -> dict[str, Any]:
    load = Load("sessions")
    with ended(server, load):
        load.ask("open", port=server.port, sessions=first, receipts=receipts, pace_s=PACE_S)
        time.sleep(1.0)
        memory, cpu, steps = server.memory_kib, server.cpu_s, []
        load_cpu, started = load.cpu_s, time.perf_counter()
        rest = sessions - first
        for done in range(4):
            part = rest // 4
            load.ask("open", port=server.port, sessions=part, receipts=receipts, pace_s=PACE_S)
            steps.append([first + (done + 1) * part, server.memory_kib])
        opened = rest // 4 * 4
        used = server.cpu_s - cpu
        load_busy = (load.cpu_s - load_cpu) / (time.perf_counter() - started)
        time.sleep(1.0)
        return {
            "kib": (server.memory_kib - memory) / opened,
            "per_cpu_s": opened / used,
            "load_busy": load_busy,
            "steps": steps,
        }
