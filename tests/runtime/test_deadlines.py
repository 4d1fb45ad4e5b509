"""A deadline that was cleared or moved never fires; one that was not fires once, at its time."""

from collections.abc import Awaitable, Callable

import structlog.testing
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from simulation.plans import schedules
from simulation.schedules import Schedule, simulate
from trio.testing import MockClock

from scheduler.core.events import Timer
from scheduler.runtime.deadlines import LINGER_SECONDS, Deadlines

A, B, C, D = (Timer("job", name) for name in "abcd")
LASTING = Timer("receipt", "session")
Fired = list[tuple[Timer, float]]
Scene = Callable[[Deadlines, Fired], Awaitable[None]]


async def played(scene: Scene) -> Fired:
    """Everything that fired while ``scene`` ran, and when."""
    fired: Fired = []
    async with trio.open_nursery() as nursery:
        deadlines = Deadlines(
            nursery, lambda timer: fired.append((timer, trio.current_time())), stall_threshold=1
        )
        await scene(deadlines, fired)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    return fired


async def test_each_fires_once_at_its_time(autojump_clock: MockClock) -> None:
    """Deadlines fire in the order of their times, and are forgotten then."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        deadlines.set(B, 3)
        deadlines.set(A, 2)
        assert len(deadlines) == 2
        await trio.sleep(5)
        assert len(deadlines) == 0

    assert await played(scene) == [(A, 2), (B, 3)]


async def test_what_is_due_already_fires_at_once(autojump_clock: MockClock) -> None:
    """A deadline in the past fires now, but not within the call that sets it."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        await trio.sleep(5)
        deadlines.set(A, 1)
        assert fired == []

    assert await played(scene) == [(A, 5)]


async def test_set_and_cleared_in_the_same_breath_never_fires(autojump_clock: MockClock) -> None:
    """A clear finds a deadline whose task has not even begun, also one that is due at once."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        deadlines.set(A, 2)
        deadlines.clear(A)
        deadlines.set(B, 0)
        deadlines.clear(B)
        deadlines.clear(B)
        assert len(deadlines) == 0

    assert await played(scene) == []


async def test_a_deadline_that_is_set_again_is_moved(autojump_clock: MockClock) -> None:
    """The last setting counts: earlier, later, after a clear, and at the old instant itself."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        deadlines.set(A, 10)
        deadlines.set(A, 20)
        deadlines.set(B, 30)
        deadlines.set(B, 5)
        await trio.sleep(15)
        deadlines.clear(A)
        deadlines.set(A, 21)
        await trio.sleep_until(21)
        deadlines.set(B, 40)

    assert await played(scene) == [(B, 5), (A, 21), (B, 40)]


async def test_a_cleared_deadline_leaves_no_task_behind(autojump_clock: MockClock) -> None:
    """There is one task for each deadline that is set, and none for any other."""
    async with trio.open_nursery() as nursery:
        deadlines = Deadlines(nursery, lambda timer: None, stall_threshold=1)
        for at in range(1, 100):
            deadlines.set(A, 1000 + at)
            deadlines.set(B, 1000 + at)
            deadlines.clear(B)
        await trio.testing.wait_all_tasks_blocked()
        assert (len(deadlines), len(nursery.child_tasks)) == (1, 1)
        nursery.cancel_scope.cancel()


async def test_a_cancelled_nursery_reports_nothing(autojump_clock: MockClock) -> None:
    """Cancelling the job nursery, at whatever instant, is no expiry."""
    fired: Fired = []
    for due in (1.0, 2.0):
        async with trio.open_nursery() as nursery:
            deadlines = Deadlines(
                nursery, lambda timer: fired.append((timer, 0)), stall_threshold=1
            )
            deadlines.set(A, trio.current_time() + due)
            deadlines.set(B, trio.current_time())
            nursery.cancel_scope.cancel()
    assert fired == []


async def test_after_a_freeze_there_is_time_to_clear_what_passed(
    autojump_clock: MockClock,
) -> None:
    """What fires much too late waits once, can still be cleared or moved, and then fires."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        for timer, at in ((A, 10), (B, 10), (C, 10), (D, 32)):
            deadlines.set(timer, at)
        await trio.sleep(5)
        autojump_clock.jump(25)
        await trio.sleep(0.5)
        assert fired == []
        deadlines.clear(A)
        deadlines.set(B, 50)

    assert await played(scene) == [(C, 31), (D, 32), (B, 50)]


async def test_a_little_late_is_not_late(autojump_clock: MockClock) -> None:
    """A loop that is merely busy does not put anything off."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        deadlines.set(A, 10)
        await trio.sleep(9.5)
        autojump_clock.jump(1.5)

    assert await played(scene) == [(A, 11)]


async def test_a_fault_in_one_leaves_the_others(autojump_clock: MockClock) -> None:
    """What a handler raises is logged with its traceback and ends nothing."""
    fired: list[str] = []

    def expired(timer: Timer) -> None:
        if timer == A:
            raise RuntimeError("a bug")
        fired.append(timer.key)

    with structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            deadlines = Deadlines(nursery, expired, stall_threshold=1)
            deadlines.set(A, 1)
            deadlines.set(B, 2)
            await trio.sleep(3)
            nursery.cancel_scope.cancel()
    assert fired == ["b"]
    assert [(line["event"], line["timer"]) for line in logs] == [("deadline_fault", "a")]


async def test_what_comes_and_goes_with_each_utterance_is_one_task(
    autojump_clock: MockClock,
) -> None:
    """A session's timer keeps its scope from one setting to the next, and no longer."""
    async with trio.open_nursery() as nursery:
        deadlines = Deadlines(nursery, lambda timer: None, stall_threshold=1)
        tasks: set[trio.lowlevel.Task] = set()
        for _ in range(20):
            deadlines.set(LASTING, trio.current_time() + 3)
            await trio.sleep(1)
            deadlines.clear(LASTING)
            tasks |= nursery.child_tasks
        assert (len(tasks), len(deadlines)) == (1, 0)
        await trio.sleep(LINGER_SECONDS + 1)
        assert not nursery.child_tasks


async def test_a_scope_that_waits_does_not_hold_up_the_next_deadline(
    autojump_clock: MockClock,
) -> None:
    """What is set again fires at its time, whether the scope from before wakes sooner or later."""

    async def scene(deadlines: Deadlines, fired: Fired) -> None:
        for at in (1, 2 + LINGER_SECONDS / 2, 3 + 3 * LINGER_SECONDS):
            deadlines.set(LASTING, 1000)
            deadlines.clear(LASTING)
            deadlines.set(LASTING, at)
            await trio.sleep_until(at + 1)

    expected = [1, 2 + LINGER_SECONDS / 2, 3 + 3 * LINGER_SECONDS]
    assert await played(scene) == [(LASTING, at) for at in expected]


@given(
    schedule=schedules(),
    steps=st.lists(
        st.tuples(st.sampled_from(["set", "set", "clear"]), st.sampled_from([A, B, LASTING]),
                  st.integers(0, 4), st.integers(0, 4)),
        max_size=12,
    ),
)  # fmt: skip
def test_whatever_is_set_and_cleared_when_the_last_word_counts(
    schedule: Schedule, steps: list[tuple[str, Timer, int, int]]
) -> None:
    """At exact ties and in any order of tasks: what fires was set, due, and not cleared since.

    ``due`` is what this test knows to be set. A timer may fire only if it is there and its time
    has come, and in the end nothing that was due is left.
    """
    due: dict[Timer, float] = {}

    def expired(timer: Timer) -> None:
        assert due.pop(timer) <= trio.current_time()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            deadlines = Deadlines(nursery, expired, stall_threshold=1)

            async def act(what: str, timer: Timer, when: int, delay: int) -> None:
                await trio.sleep_until(when)
                if what == "set":
                    due[timer] = when + delay
                    deadlines.set(timer, when + delay)
                else:
                    due.pop(timer, None)
                    deadlines.clear(timer)

            async with trio.open_nursery() as acting:
                for step in steps:
                    acting.start_soon(act, *step)
            await trio.sleep(10)
            assert due == {}
            assert len(deadlines) == 0
            nursery.cancel_scope.cancel()

    with structlog.testing.capture_logs() as logs:
        simulate(main, schedule=schedule)
    assert logs == []  # an AssertionError above would have been logged as a fault
