"""Three textbook races as small programs, wrong and right: what a schedule has to find.

They are the planted bugs by which the search itself is judged. In each one a task acts in one step
and another one needs a few, as a message does on its way from a socket to its effect. A random
order alone steps every runnable task once a round, so it never brings the two together.

A wrong program fails with `AssertionError`, or does not end.
"""

from __future__ import annotations

import attrs
import trio
from trio.lowlevel import checkpoint

DEADLINE_S = 30.0
HOPS = 4  # reader, channel, handler, engine


async def arrive_at_deadline() -> None:
    """A message that comes in at the very instant of the deadline, and takes its way from there."""
    await trio.sleep_until(DEADLINE_S)
    for _ in range(HOPS):
        await checkpoint()


@attrs.define
class Job:
    """What was said about a job, in order: it should be one thing."""

    history: list[str] = attrs.field(factory=list)


async def check_then_act(*, gap: bool) -> None:
    """The deadline looks whether there is an outcome, and says "timed out" if there is none.

    Wrong with a checkpoint between the two.
    """
    job = Job()

    async def expire() -> None:
        await trio.sleep_until(DEADLINE_S)
        if not job.history:
            if gap:
                await checkpoint()
            job.history.append("timed out")

    async def complete() -> None:
        await arrive_at_deadline()
        if not job.history:
            job.history.append("completed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire)
        nursery.start_soon(complete)
    assert len(job.history) == 1, job.history


async def late_timer(*, cancelled: bool) -> None:
    """A timer says "timed out" when its sleep is over, and relies on being cancelled before that.

    Wrong if the result does not cancel it. (If it does, that is enough even when both fall on the
    same instant: trio gives the outer scope precedence over the end of the sleep.)
    """
    job = Job()
    timer = trio.CancelScope()

    async def expire() -> None:
        with timer:
            await trio.sleep_until(DEADLINE_S)
            job.history.append("timed out")

    async def complete() -> None:
        await arrive_at_deadline()
        if not job.history:
            job.history.append("completed")
            if cancelled:
                timer.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire)
        nursery.start_soon(complete)
    assert len(job.history) == 1, job.history


async def lost_wakeup(*, gap: bool) -> None:
    """A job waits for a slot, which becomes free at the instant when it looks for one.

    Wrong with a checkpoint between looking and listening: what is announced meanwhile is missed.
    """
    free_slots = 0
    announced = trio.Event()

    async def take() -> None:
        nonlocal free_slots
        await trio.sleep_until(DEADLINE_S)
        while not free_slots:
            if gap:
                await checkpoint()
            await announced.wait()
        free_slots -= 1

    async def give() -> None:
        nonlocal free_slots, announced
        await arrive_at_deadline()
        free_slots += 1
        announced.set()
        announced = trio.Event()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(give)
