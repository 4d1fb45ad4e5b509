"""Child processes as the kernel knows them."""

import os
from collections.abc import Callable
from pathlib import Path

import trio

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.01
PROC = Path("/proc")


def _all() -> dict[int, tuple[int, str]]:
    """Each process: its parent, and its state."""
    found = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            # The name stands in parentheses and may contain any character.
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has just ended
        found[int(stat.parent.name)] = (int(parent), state)
    return found


def children() -> dict[int, str]:
    """Process ids and states of our own children; a zombie's state is Z."""
    return {pid: state for pid, (parent, state) in _all().items() if parent == os.getpid()}


def descendants(root: int) -> set[int]:
    """The processes below one, at any depth."""
    parents = {pid: parent for pid, (parent, _) in _all().items()}
    found, before = {root}, 0
    while len(found) != before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {root}


def exists(pid: int) -> bool:
    """Whether there is such a process, dead or alive."""
    return (PROC / str(pid)).exists()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what real processes do: nobody tells it, so it has to be looked at."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await trio.sleep(LOOK_SECONDS)


async def until_dead(pid: int) -> None:
    """Wait until a child has ended and can be reaped."""
    await until(lambda: children().get(pid) == "Z")
