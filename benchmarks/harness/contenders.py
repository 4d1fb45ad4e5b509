"""A server with its load, and one measured window of it."""

import math
import time
from collections.abc import Sequence
from typing import Any

import attrs

from benchmarks.harness.figures import quantile
from benchmarks.harness.processes import Load, Server
from benchmarks.harness.results import Row, load_row

WARM_UP_S = 1.0


@attrs.frozen(kw_only=True)
class Sample:
    """One window: what a job cost, how long it took, and whether the load could keep up.

    ``cpu_ms`` is the server's CPU per job, ``workers_ms`` that of its own workers. Latencies are
    from the intended instant of the utterance to its outcome, the node's work included;
    ``accepted_ms`` to its acceptance.
    ``load_busy`` is the part of one core that the busiest load process used, ``late_p99_ms`` how
    much later than intended it sent.
    """

    done: int
    failed: int
    cpu_ms: float
    workers_ms: float
    server_busy: float
    latency_ms: list[float] = attrs.field(repr=False)
    accepted_ms: list[float] = attrs.field(repr=False)
    late_p99_ms: float
    load_busy: float

    def summary(self) -> dict[str, Any]:
        """What is written down of a window."""
        return {
            "done": self.done,
            "failed": self.failed,
            "cpu_ms": round(self.cpu_ms, 4),
            "workers_ms": round(self.workers_ms, 4),
            "server_busy": round(self.server_busy, 3),
            "p50_ms": round(quantile(self.latency_ms, 0.50), 3),
            "p99_ms": round(quantile(self.latency_ms, 0.99), 3),
            "accepted_p50_ms": round(quantile(self.accepted_ms, 0.50), 3),
            "accepted_p99_ms": round(quantile(self.accepted_ms, 0.99), 3),
            "late_p99_ms": round(self.late_p99_ms, 3),
            "load_busy": round(self.load_busy, 3),
        }


class Contender:
    """A server, a process of nodes and a process of sessions, all connected.

    ``behind`` are processes without which the server is none: their CPU counts as its own.
    ``workers`` are those that do its work where no nodes do; theirs is counted apart.
    """

    def __init__(
        self,
        name: str,
        server: Server,
        *,
        behind: Sequence[Server] = (),
        workers: Sequence[Server] = (),
        receipts: bool = True,
        speech_chars: int = 200,
        sessions: int = 32,
        nodes: int = 4,
        work_s: float = 0.02,
        node_arguments: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.server, self.speech_chars = name, server, speech_chars
        self.nodes, self.sessions = Load("nodes"), Load("sessions")
        self.samples: list[Sample] = []
        self._behind, self._workers = behind, workers
        if not workers:
            self.nodes.ask(
                "join", port=server.port, nodes=nodes, receipts=receipts, work_s=work_s,
                speech_chars=speech_chars, **(node_arguments or {}),
            )  # fmt: skip
        self.sessions.ask("open", port=server.port, sessions=sessions, receipts=receipts)

    def measure(self, rate: float, seconds: float, seed: int) -> Sample:
        """Offer ``rate`` jobs a second and see what they cost."""
        load, servers = (self.nodes, self.sessions), (self.server, *self._behind)
        before = [_cpu_s(some) for some in (load, servers, self._workers)]
        started = time.perf_counter()
        said = self.sessions.ask(
            "speak", rate=rate, seconds=seconds, seed=seed, speech_chars=self.speech_chars
        )
        wall = time.perf_counter() - started
        after = [_cpu_s(some) for some in (load, servers, self._workers)]
        load_cpu, cpu, workers_cpu = (
            [a - b for a, b in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)
        )
        jobs = max(1, said["done"])
        return Sample(
            done=said["done"],
            failed=said["failed"],
            cpu_ms=sum(cpu) * 1000 / jobs,
            workers_ms=sum(workers_cpu) * 1000 / jobs,
            server_busy=sum(cpu) / wall,
            latency_ms=said["latency_ms"],
            accepted_ms=said["accepted_ms"],
            late_p99_ms=quantile(said["late_ms"], 0.99),
            load_busy=max(load_cpu) / wall,
        )

    def end(self) -> None:
        """End all its processes."""
        servers = (self.server, *self._behind, *self._workers)
        processes: tuple[Server | Load, ...] = (self.nodes, self.sessions, *servers)
        for process in processes:
            process.end()


def _cpu_s(processes: Sequence[Server | Load]) -> list[float]:
    return [process.cpu_s for process in processes]


def interleave(
    contenders: Sequence[Contender], *, rounds: int, rate: float, seconds: float
) -> None:
    """Measure each in every round, in turning order; a first window is thrown away."""
    for contender in contenders:
        contender.measure(rate, min(WARM_UP_S, seconds), seed=0)
    for number in range(rounds):
        order = contenders if number % 2 else list(reversed(contenders))
        for contender in order:
            contender.samples.append(contender.measure(rate, seconds, seed=number + 1))


def cpu_of(contender: Contender) -> list[float]:
    """CPU milliseconds per job, round by round."""
    return [sample.cpu_ms for sample in contender.samples]


def latencies_of(contender: Contender, part: float) -> list[float]:
    """One quantile of the latency, round by round."""
    return [quantile(sample.latency_ms, part) for sample in contender.samples]


def load_of(*contenders: Contender, late_max_ms: float = math.inf) -> Row:
    """Whether their load kept up in every window."""
    samples = [sample for contender in contenders for sample in contender.samples]
    return load_row(
        [sample.load_busy for sample in samples],
        [sample.late_p99_ms for sample in samples],
        sum(sample.failed for sample in samples),
        late_max_ms,
    )
