"""A stage of :mod:`troubles` whose facts are counted as a server counts them."""

from typing import Any

from messages import result
from playbook import Playbook
from troubles import Stage

from scheduler.core.events import Effect, Event
from scheduler.observe.metrics import Metrics

PREFIX = "lingua_scheduler_"


class Measured(Stage):
    """A stage whose facts are counted."""

    def __init__(
        self, *, pairs_max: int = 8, expected: tuple[str, ...] = (), **settings: Any
    ) -> None:
        self.metrics: Metrics | None = None
        Playbook.__init__(self, **settings)
        self.metrics = Metrics(
            lambda: self.engine.snapshot(self.now), pairs_max=pairs_max, expected=expected
        )
        self.person, self.welcome = self.join_session()

    def apply(self, event: Event) -> list[Effect]:
        effects = super().apply(event)
        if self.metrics is not None:
            self.metrics.observe(event, effects)
        return effects

    def read(self, name: str, **labels: str) -> float | None:
        """The present value of a sample, None if there is none."""
        assert self.metrics is not None
        return self.metrics.registry.get_sample_value(PREFIX + name, labels)


def one_delivered(stage: Measured) -> None:
    machine, node_id = stage.join_node()
    job = stage.begin(machine, node_id)
    stage.advance(1.5)
    timings = {"service_timings": {"asr_ms": 700, "nmt_ms": 20, "tts_ms": 100}}
    stage.say(machine, result(job, node_id, extra=timings))
    stage.write(heard_at=1)
    stage.advance(0.25)
    stage.acknowledge()
