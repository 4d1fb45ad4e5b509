"""Numbers for Prometheus: counted from the facts that the engine notes, sampled from its state.

Counters and histograms are fed by :class:`~scheduler.core.events.Note` alone, as log lines
are; gauges are read from a snapshot in the moment of the scrape. Names and units follow the
Prometheus conventions, labels are bounded (see ``labels``). Each scheduler has a registry of
its own, so that several may live in one process.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from scheduler.core.events import Effect, Event, Note
from scheduler.core.snapshot import Snapshot
from scheduler.observe.labels import (
    CLOSES,
    CODES,
    LOSSES,
    OTHER,
    OUTCOMES,
    STAGES,
    Pairs,
    one_of,
)

PREFIX = "lingua_scheduler"
BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_BUCKETS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NODE_STATUSES = ("ready", "degraded", "draining")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""

Detail = dict[str, Any]
Observer = Callable[[Event, list[Effect]], None]


class Metrics:
    """All metrics of one scheduler.

    ``pairs_max`` bounds the language pairs that are told apart, besides the ``expected`` ones;
    see :class:`~scheduler.observe.labels.Pairs`. :meth:`observe` goes where the shell tells what
    happened.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        *,
        pairs_max: int,
        expected: Collection[str] = (),
    ) -> None:
        self.registry = CollectorRegistry()
        self._by_pair: list[Counter | Histogram] = []
        self._pairs = Pairs(pairs_max, expected, self._forget)
        self._tell: dict[str, Callable[[Detail], None]] = {
            **self._jobs(),
            **self._outcomes(),
            **self._peers(),
        }
        self.registry.register(_Gauges(snapshot, self._pairs))
        ProcessCollector(registry=self.registry)

    def observe(self, _: Event, effects: list[Effect]) -> None:
        """Count the facts among the effects of one event."""
        for effect in effects:
            if isinstance(effect, Note) and (tell := self._tell.get(effect.name)) is not None:
                tell(effect.detail)

    def before(self, observe: Observer) -> Observer:
        """An observer that counts first and then tells ``observe``."""

        def both(event: Event, effects: list[Effect]) -> None:
            self.observe(event, effects)
            observe(event, effects)

        return both

    def exposition(self) -> bytes:
        """The text that a scrape gets."""
        return generate_latest(self.registry)

    def _pair(self, detail: Detail) -> str:
        return self._pairs.label(detail["need"])

    def _forget(self, pair: str) -> None:
        """Nothing more is said of a pair that has lost its label."""
        for metric in self._by_pair:
            metric.remove_by_labels({"pair": pair})

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)
        if "pair" in labels:
            self._by_pair.append(counter)
        return counter

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = BUCKETS_S
    ) -> Histogram:
        histogram = Histogram(
            f"{PREFIX}_{name}_seconds", text, labels, registry=self.registry, buckets=buckets
        )
        if "pair" in labels:
            self._by_pair.append(histogram)
        return histogram

    # -- what is counted, by the name of the fact -----------------------------------------

    def _jobs(self) -> dict[str, Callable[[Detail], None]]:
        accepted = self._counter("jobs_accepted", "Utterances accepted.", "pair")
        refused = self._counter("utterances_refused", "Utterances not accepted.", "code")
        attempts = self._counter("attempts", "Attempts of jobs on nodes.")
        lost = self._counter("attempts_lost", "Attempts that ended without a result.", "reason")
        settled = self._counter("jobs_settled", "Jobs that have their outcome.", "pair", "outcome")
        failures = self._counter("job_failures", "Jobs that failed, by error code.", "code")
        wait = self._histogram("job_wait", "From acceptance to the first assignment.", "pair")
        run = self._histogram("job_run", "From the first assignment to the outcome.", "pair")
        stage = self._histogram(
            "stage", "Time in one stage on the node, as it says.", "stage", buckets=STAGE_BUCKETS_S
        )
        stale = self._counter("stale_inputs", "Inputs that named nothing current.")
        salvaged = self._counter("jobs_salvaged", "Results that took the place of a timeout.")

        def on_assigned(detail: Detail) -> None:
            attempts.inc()
            self._pairs.served(detail["need"])
            if "waited" in detail:
                wait.labels(self._pair(detail)).observe(detail["waited"])

        def on_settled(detail: Detail) -> None:
            outcome = one_of(detail["outcome"], OUTCOMES)
            settled.labels(self._pair(detail), outcome).inc()
            if detail["code"] is not None:
                failures.labels(one_of(detail["code"], CODES)).inc()
            if "ran" in detail:
                run.labels(self._pair(detail)).observe(detail["ran"])
            for name in STAGES:
                if (spent_ms := detail.get(f"{name}_ms")) is not None and spent_ms >= 0:
                    stage.labels(name).observe(spent_ms / 1000)

        return {
            "accepted": lambda detail: accepted.labels(self._pair(detail)).inc(),
            "refused": lambda detail: refused.labels(one_of(detail["code"], CODES)).inc(),
            "assigned": on_assigned,
            "attempt_lost": lambda detail: lost.labels(one_of(detail["why"], LOSSES)).inc(),
            "settled": on_settled,
            "stale": lambda _: stale.inc(),
            "salvaged": lambda _: salvaged.inc(),
        }

    def _outcomes(self) -> dict[str, Callable[[Detail], None]]:
        written = self._counter("outcomes_written", "Outcomes written, again included.")
        delivered = self._counter("outcomes_delivered", "Outcomes that sessions acknowledged.")
        expired = self._counter(
            "outcomes_expired", "Outcomes given up before anybody acknowledged them.", "reason"
        )
        played = self._counter("outcomes_played", "Outcomes played to their end.")
        latency = self._histogram("delivery", "From acceptance to acknowledgement.", "pair")

        def on_delivered(detail: Detail) -> None:
            delivered.inc()
            latency.labels(self._pair(detail)).observe(detail["seconds"])

        def on_expired(detail: Detail) -> None:
            why = detail["why"]
            expired.labels(why if why in ("age", "retention") else "session_ended").inc()

        return {
            "written": lambda _: written.inc(),
            "delivered": on_delivered,
            "expired": on_expired,
            "played": lambda _: played.inc(),
        }

    def _peers(self) -> dict[str, Callable[[Detail], None]]:
        sessions = self._counter("sessions_begun", "Sessions begun.")
        resumed = self._counter("sessions_resumed", "Sessions resumed on a new connection.")
        refused = self._counter("resumes_refused", "Resumptions refused.")
        overdue = self._counter("receipts_overdue", "Connections cut: nothing was acknowledged.")
        nodes = self._counter("nodes_joined", "Registrations of nodes.")
        quarantined = self._counter("nodes_quarantined", "Nodes put into quarantine.")
        left = self._counter("connections_ended", "Connections that ended.", "peer", "reason")

        def on_left(peer: str) -> Callable[[Detail], None]:
            return lambda detail: left.labels(peer, CLOSES.get(detail["why"], OTHER)).inc()

        return {
            "session_joined": lambda _: sessions.inc(),
            "session_resumed": lambda _: resumed.inc(),
            "resume_refused": lambda _: refused.inc(),
            "receipt_overdue": lambda _: overdue.inc(),
            "session_left": on_left("session"),
            "node_joined": lambda _: nodes.inc(),
            "node_left": on_left("node"),
            "quarantined": lambda _: quarantined.inc(),
        }


class _Gauges(Collector):
    """What is read in the moment of the scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot], pairs: Pairs) -> None:
        self._snapshot = snapshot
        self._pairs = pairs

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not scrape to know us."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All gauges, from one snapshot."""
        load = self._snapshot().load()
        connected = {"connected": load["connected"], "resumable": load["resumable"]}
        yield _gauge("sessions", "Sessions, by whether they are connected.", connected, "state")
        statuses = {status: load["nodes"].get(status, 0) for status in NODE_STATUSES}
        yield _gauge("nodes", "Registered nodes.", statuses, "status")
        yield _gauge("slots", "Slots of all nodes.", load["slots"])
        yield _gauge("slots_free", "Slots that no job takes.", load["slots_free"])
        yield _gauge("owed_outcomes", "Outcomes not yet acknowledged.", load["owed_outcomes"])
        yield _gauge("owed_bytes", "What they hold.", load["owed_bytes"])
        yield _gauge("draining", "1 while no new work is accepted.", int(load["draining"]))
        failing = int(load["journal_failing"])
        yield _gauge("journal_failing", "1 while the journal cannot be written.", failing)
        self._pairs.arrange(load["waiting"], [*load["running"], *load["served"]])
        waiting, running = self._by_pair(load["waiting"]), self._by_pair(load["running"])
        yield _gauge("jobs_waiting", "Jobs that no slot has.", waiting, "pair")
        yield _gauge("jobs_running", "Jobs on nodes.", running, "pair")

    def _by_pair(self, numbers: dict[str, int]) -> dict[str, int]:
        """Zero for every pair that has a label: a scaler needs the zero as well."""
        by_pair: dict[str, int] = dict.fromkeys(self._pairs.named, 0)
        for need, number in numbers.items():
            pair = self._pairs.label(need)
            by_pair[pair] = by_pair.get(pair, 0) + number
        return by_pair


def _gauge(name: str, text: str, value: int | dict[str, int], label: str = "") -> Metric:
    if isinstance(value, int):
        return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=[label])
    for word, number in value.items():
        family.add_metric([word], number)
    return family
