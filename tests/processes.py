"""The child processes of the test's own process, as the kernel knows them."""

import os
from collections.abc import Callable
from pathlib import Path

import trio

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01


def children() -> dict[int, str]:
    """Process ids and states of our children; a zombie's state is Z."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in parentheses and may contain any character.
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has just ended
        if int(parent) == os.getpid():
            found[int(stat.parent.name)] = state
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what real processes do: nobody tells it, so it has to be looked at."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await trio.sleep(LOOK_SECONDS)


async def until_dead(pid: int) -> None:
    """Wait until a child has ended and can be reaped."""
    await until(lambda: children().get(pid) == "Z")
