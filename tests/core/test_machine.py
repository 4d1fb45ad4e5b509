"""The engine under every order of events that Hypothesis can think of.

Each action of ``hands`` is a rule; the ledger judges every effect, and after each step
everything that must always hold is looked at. At the end of each run the faults stop, and what is
owed is demanded. ``MACHINE_EXAMPLES=100000 pytest tests/core/test_machine.py`` makes a longer
search, of other runs than the usual ones.
"""

import os
from collections.abc import Callable
from typing import Any

from core.hands import ACTIONS, Hands
from core.world import World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
NUMBERS = st.integers(0, 7)


class Play(RuleBasedStateMachine):
    """A world and its hands. Most runs begin with somebody to serve and somebody who serves."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.hands = Hands(self.world)
        self.over = False

    def act(self, name: str, a: int, b: int) -> None:
        try:
            getattr(self.hands, name)(a, b)
        except Exception as error:
            self.over = True
            for at, event in list(self.world.story)[-12:]:
                error.add_note(f"{at:12.6f}  {event}")
            raise

    @initialize(receipts=NUMBERS, slots=NUMBERS)
    def begin(self, receipts: int, slots: int) -> None:
        self.act("join_session", receipts, 0)
        self.act("join_node", 4, slots)
        self.act("submit", 0, 0)

    def teardown(self) -> None:
        if not self.over:
            self.hands.heal()


def rule_of(name: str) -> Callable[..., None]:
    def play(self: Play, a: int, b: int) -> None:
        self.act(name, a, b)

    play.__name__ = name
    decorated: Callable[..., None] = rule(a=NUMBERS, b=NUMBERS)(play)
    return decorated


rules: dict[str, Any] = {name: rule_of(name) for name in ACTIONS}
EngineMachine = type("EngineMachine", (Play,), rules)


def test_no_order_of_events_breaks_a_property() -> None:
    """Whatever comes in whatever order: every property of the ledger holds after every step."""
    run_state_machine_as_test(
        EngineMachine,
        settings=settings(
            max_examples=EXAMPLES or 200,
            stateful_step_count=60,
            derandomize=not EXAMPLES,
            suppress_health_check=list(HealthCheck),
        ),
    )
