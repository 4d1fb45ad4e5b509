"""A loop is crowded in a turn with many steps, and in the one after it."""

import trio

from scheduler.runtime.turns import CROWDED_STEPS, counted_turns


async def test_a_crowd_is_many_steps_in_one_turn() -> None:
    """As many steps as usual are none, however many turns there are; one more in a turn is."""
    with counted_turns() as turns:
        for _ in range(3):
            for _ in range(CROWDED_STEPS):
                turns.step()
            assert not turns.crowded
            await trio.lowlevel.checkpoint()
        for _ in range(CROWDED_STEPS + 1):
            turns.step()
        assert turns.crowded


async def test_a_crowd_is_remembered_for_a_turn() -> None:
    """The turn after a crowded one counts as crowded from its first step, the next one does not."""
    with counted_turns() as turns:
        for _ in range(CROWDED_STEPS + 1):
            turns.step()
        await trio.lowlevel.checkpoint()
        assert turns.crowded
        await trio.lowlevel.checkpoint()
        assert not turns.crowded
