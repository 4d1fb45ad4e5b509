"""Millions of events for the engine alone, from a seed, as fast as they can be checked.

    python tests/core/soak.py --events 10000000 --seed 1

The ledger listens to every step; the whole state is looked at now and then. The events come in
episodes, each a world of its own with its own limits, and at the end of each all faults stop and
what is owed is demanded. The same seed gives the same events. A failure prints the seed, the
episode and the last events.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # as a program it finds its neighbours by itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import attrs
from core.hands import ACTIONS, Hands
from core.world import SMALL, World

from scheduler.config import Config
from scheduler.core.events import DrainStarted

EPISODE_EVENTS = 3_000
CHECKED_EVERY = 500
"""The whole state is checked after so many steps; around stale ones it is compared ten times as
often."""

OFTEN = {
    "submit": 12, "serve": 12, "take": 8, "report": 5, "tick": 6, "receipt": 5, "acknowledge": 6,
    "approach": 4, "fire": 3, "report_too_late": 2, "write_out": 4, "join_node": 3,
    "join_session": 2, "drain": 0,
}  # fmt: skip
"""How often each action is drawn, if not once. An episode drains at its end, if at all."""

DRAWN = [name for name in ACTIONS for _ in range(OFTEN.get(name, 1))]


@attrs.define
class Summary:
    """What a soak has seen."""

    seed: int
    events: int = 0
    stale: int = 0
    virtual_seconds: float = 0.0
    episodes: int = 0
    facts: Counter[str] = attrs.Factory(Counter)
    outcomes: Counter[str] = attrs.Factory(Counter)
    expired: Counter[str] = attrs.Factory(Counter)

    def add(self, world: World) -> None:
        self.events += world.steps
        self.stale += world.stale_steps
        self.virtual_seconds += world.now
        self.episodes += 1
        self.facts += world.ledger.facts
        self.outcomes += world.ledger.outcomes
        self.expired += world.ledger.gaps

    def lines(self, seconds: float) -> list[str]:
        """For people; ``seconds`` is how long it took."""

        def counted(counter: Counter[str], *names: str) -> str:
            chosen = [(name, counter[name]) for name in names] or counter.most_common()
            return ", ".join(f"{name} {count:,}" for name, count in chosen)

        hours = self.virtual_seconds / 3600
        seen = "accepted", "assigned", "attempt_lost", "written", "delivered", "salvaged"
        rate = self.events / max(seconds, 1e-9)
        return [
            f"seed {self.seed}: {self.episodes} episodes, {hours:,.1f} virtual hours",
            f"events: {self.events:,}, of which {self.stale:,} stale",
            f"jobs: {counted(self.facts, *seen)}",
            f"outcomes: {counted(self.outcomes)}",
            f"expired by: {counted(self.expired)}",
            f"{seconds:.0f} s, {rate:,.0f} events a second, nothing broken",
        ]


def episode(seed: int, number: int, events: int, *, every: int = CHECKED_EVERY) -> World:
    """One world from its first connection to its last, by a seed and a number."""
    chance = random.Random(f"{seed}/{number}")
    config = Config(
        **SMALL,
        attempts_max=chance.choice((1, 2, 3, 3)),
        quarantine_setbacks=chance.choice((1, 3, 3, 20)),
        pending_timeout=chance.choice((2.0, 10.0)),
    )
    world = World(every=every, compare_every=max(1, every // 10), config=config)
    hands = Hands(world)
    try:
        while world.steps < events:
            a, b = divmod(chance.getrandbits(6), 8)
            getattr(hands, DRAWN[int(chance.random() * len(DRAWN))])(a, b)
        if chance.random() < 1 / 4:
            world.apply(DrainStarted())
        hands.heal()
    except Exception as error:
        error.add_note(f"seed {seed}, episode {number}, event {world.steps}; the last events:")
        for at, event in world.story:
            error.add_note(f"{at:12.6f}  {event}")
        raise
    return world


def soak(
    events: int,
    seed: int,
    *,
    every: int = CHECKED_EVERY,
    progress: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Drive engines through so many events; raises what is broken, with its story."""
    summary = Summary(seed)
    while summary.events < events:
        left = min(EPISODE_EVENTS, events - summary.events)
        summary.add(episode(seed, summary.episodes, left, every=every))
        progress(summary)
    return summary


def main() -> None:
    """Read the arguments, run, and print a summary."""
    parser = argparse.ArgumentParser(description="Drive the engine alone with random events.")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=CHECKED_EVERY, help="steps between checks")
    asked = parser.parse_args()
    began = time.perf_counter()

    def progress(summary: Summary) -> None:
        if summary.episodes % 100 == 0:
            rate = summary.events / (time.perf_counter() - began)
            print(f"{summary.events:>12,} events, {rate:,.0f} a second", flush=True)

    print(f"seed {asked.seed}")
    summary = soak(asked.events, asked.seed, every=asked.every, progress=progress)
    print("\n".join(summary.lines(time.perf_counter() - began)))


if __name__ == "__main__":
    main()
