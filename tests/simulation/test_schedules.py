from __future__ import annotations

import functools
import os
import random
import secrets
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio._core._run as run_loop
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import plans, races
from simulation.echo import digests
from simulation.fingerprints import world_digests
from simulation.schedules import (
    DeadlockError,
    Fifo,
    HeldBack,
    LivelockError,
    Priorities,
    Schedule,
    Shuffled,
    Trace,
    mixed,
    simulate,
)
from trio.lowlevel import checkpoint

TESTS = Path(__file__).parents[1]
EVERY_KIND = (Fifo(), Shuffled(3), HeldBack(3), HeldBack(3, 0.6), Priorities(3))


async def letters(names: str = "abcd", steps: int = 3) -> str:
    """Let one task for each name write it down `steps` times: the interleaving that happened."""
    written: list[str] = []

    async def write(name: str) -> None:
        for _ in range(steps):
            written.append(name)
            await checkpoint()

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(write, name)
    return "".join(written)


def trace_of(schedule: Schedule) -> str:
    trace = Trace()
    simulate(letters, schedule=schedule, instruments=[trace])
    return trace.digest


@pytest.mark.parametrize("schedule", EVERY_KIND, ids=repr)
def test_a_schedule_repeats_its_run(schedule: Schedule) -> None:
    """Two runs under the same schedule take the same steps at the same times."""
    assert trace_of(schedule) == trace_of(schedule)


def test_schedules_reach_many_interleavings() -> None:
    """Different seeds lead to different orders, and the fingerprint tells them apart."""
    orders = {simulate(letters, schedule=mixed(seed)) for seed in range(60)}
    traces = {trace_of(mixed(seed)) for seed in range(60)}
    assert len(orders) > 40
    assert len(traces) >= len(orders)


def test_the_plain_schedule_steps_the_oldest_task_first() -> None:
    """Under Fifo all tasks go in step, in the order in which they were started."""
    assert simulate(letters, schedule=Fifo()) == "abcdabcdabcd"


@pytest.mark.parametrize("kind", [HeldBack, Priorities])
def test_a_task_may_get_ahead(kind: Callable[[int], Schedule]) -> None:
    """Held-back and priority schedules let one task finish before another begins."""
    assert any(
        simulate(letters, "ab", schedule=kind(seed)) in {"aaabbb", "bbbaaa"} for seed in range(200)
    )


def test_random_order_alone_keeps_tasks_in_step() -> None:
    """Under Shuffled no runnable task gets two steps ahead: why it is not enough."""
    for seed in range(100):
        rounds = simulate(letters, schedule=Shuffled(seed))
        assert [sorted(rounds[i : i + 4]) for i in (0, 4, 8)] == [list("abcd")] * 3


@given(st.integers(1, 2**32))
def test_mixed_holds_every_kind(seed: int) -> None:
    """Any five seeds in a row hold random order, two ways to hold back, and two of priorities."""
    kinds = [mixed(s) for s in range(seed, seed + 5)]
    assert {type(kind) for kind in kinds} == {Shuffled, HeldBack, Priorities}
    assert {kind.p for kind in kinds if isinstance(kind, HeldBack)} == {0.25, 0.6}
    assert {kind.depth for kind in kinds if isinstance(kind, Priorities)} == {2, 4}


@given(plans.schedules())
def test_a_schedule_pastes_back(schedule: Schedule) -> None:
    """What a failure prints as its schedule is code that gives that schedule."""
    assert eval(repr(schedule)) == schedule


@settings(max_examples=20, deadline=None)
@given(schedule=plans.schedules(), naps=st.lists(plans.times(), max_size=4))
def test_every_run_has_a_clock_of_its_own(schedule: Schedule, naps: list[float]) -> None:
    """Time starts at 0 in each run, passes only while all sleep, and adds up exactly."""

    async def nap() -> tuple[float, float]:
        start = trio.current_time()
        for seconds in naps:
            await trio.sleep(seconds)
        return start, trio.current_time()

    assert simulate(nap, schedule=schedule) == (0.0, sum(naps))


def test_random_bytes_follow_the_entropy_seed() -> None:
    """Masks, ids and tokens are the same for the same seed, and others for another one."""

    async def draw() -> tuple[object, ...]:
        await checkpoint()
        return os.urandom(8), secrets.token_hex(), uuid.uuid4(), random.random()

    first, again, other = (simulate(draw, schedule=Fifo(), entropy_seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_seed_repeats_its_run_in_every_process() -> None:
    """Clients on faulty links and whole worlds take the same steps whatever the hash seed is."""
    echoes, worlds = range(4), range(100, 105)
    here = [*digests(echoes), *world_digests(worlds)]
    assert len(set(here)) == len(echoes) + len(worlds)
    there = (
        "from simulation.echo import digests; from simulation.fingerprints import world_digests; "
        f"print([*digests({echoes}), *world_digests({worlds})])"
    )
    path = os.pathsep.join([str(TESTS), *sys.path])  # what is tested here is tested there
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", there],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "4711")
    ]
    assert [run.communicate(timeout=120)[0].strip() for run in runs] == [repr(here)] * 3


Race = Callable[[], Awaitable[None]]
WRONG: list[Race] = [
    functools.partial(races.check_then_act, gap=True),
    functools.partial(races.late_timer, cancelled=False),
    functools.partial(races.lost_wakeup, gap=True),
]
RIGHT: list[Race] = [
    functools.partial(races.check_then_act, gap=False),
    functools.partial(races.late_timer, cancelled=True),
    functools.partial(races.lost_wakeup, gap=False),
]
NAMES = ["check_then_act", "late_timer", "lost_wakeup"]
SEEDS = 200
SEARCHES: list[Callable[[int], Schedule]] = [
    functools.partial(HeldBack, p=0.6),
    Priorities,
    mixed,
]


def fails(race: Race, schedule: Schedule) -> bool:
    try:
        simulate(race, schedule=schedule, timeout_s=2 * races.DEADLINE_S)
    except (AssertionError, DeadlockError):
        return True
    return False


@pytest.mark.parametrize("search", SEARCHES, ids=["held back", "priorities", "mixed"])
@pytest.mark.parametrize("race", WRONG, ids=NAMES)
def test_a_race_is_found(race: Race, search: Callable[[int], Schedule]) -> None:
    """Each of the textbook races shows within 200 seeds, whichever way tasks are delayed."""
    assert any(fails(race, search(seed)) for seed in range(SEEDS))


@pytest.mark.parametrize("race", RIGHT, ids=NAMES)
def test_a_cured_race_never_fails(race: Race) -> None:
    """No schedule makes the correct version of a race fail."""
    assert not any(fails(race, search(seed)) for search in SEARCHES for seed in range(SEEDS))


@pytest.mark.parametrize("race", WRONG, ids=NAMES)
def test_random_order_alone_finds_no_race(race: Race) -> None:
    """Stepping every runnable task once a round hides all three: what we would miss without more.

    If this fails one day, trio's rounds have changed, and the other schedules need a second look.
    """
    assert not any(fails(race, Shuffled(seed)) for seed in range(SEEDS))


async def sleep_for_ever() -> None:
    await trio.sleep(2.5)
    await trio.sleep_forever()


async def spin_for_ever() -> None:
    while True:
        await checkpoint()


async def spin_shielded() -> None:
    with trio.CancelScope(shield=True):
        await spin_for_ever()


async def sleep_shielded() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def end_late() -> str:
    with trio.CancelScope(shield=True):
        await trio.sleep(50)
    return "a result that nobody may take for one"


async def fail() -> None:
    await checkpoint()
    raise LookupError("the program's own")


async def end() -> None:
    await checkpoint()


@pytest.mark.parametrize("schedule", EVERY_KIND, ids=repr)
def test_a_deadlock_is_an_error(schedule: Schedule) -> None:
    """A program in which nothing can happen any more ends with what is needed to see it again."""
    with pytest.raises(
        DeadlockError, match=r"last step was at 2\.5 s; alive: .*sleep_for_ever"
    ) as e:
        simulate(waiting_for_a_child, schedule=schedule, entropy_seed=7, timeout_s=10)
    assert e.value.__notes__ == [f"to repeat: schedule={schedule!r}, entropy_seed=7"]


async def waiting_for_a_child() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleep_for_ever)


def test_a_program_that_ends_too_late_is_an_error() -> None:
    """A result that comes after the virtual time allowed does not count."""
    with pytest.raises(DeadlockError):
        simulate(end_late, schedule=Fifo(), timeout_s=10)


@pytest.mark.parametrize("schedule", EVERY_KIND, ids=repr)
def test_a_livelock_is_an_error(schedule: Schedule) -> None:
    """A program that never stops running, at one instant, ends and names its schedule."""
    with pytest.raises(LivelockError, match="more than 2000 task steps") as error:
        simulate(spin_for_ever, schedule=schedule, steps_max=2_000)
    assert repr(schedule) in error.value.__notes__[0]


def test_waiting_in_a_loop_is_not_a_livelock() -> None:
    """A task that polls at one instant lets the others go on, however important it is."""
    done = False

    async def poll() -> None:
        while not done:
            await checkpoint()

    async def work() -> None:
        nonlocal done
        for _ in range(5):
            await checkpoint()
        done = True

    async def both() -> None:
        nonlocal done
        done = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll)
            nursery.start_soon(work)

    for seed in range(10):
        simulate(both, schedule=Priorities(seed), steps_max=10_000)


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (end, None),
        (fail, LookupError),
        (sleep_for_ever, DeadlockError),
        (spin_for_ever, LivelockError),
        # These end only when their shields are taken away.
        (spin_shielded, LivelockError),
        (sleep_shielded, DeadlockError),
    ],
)
def test_everything_is_put_back(
    program: Callable[[], Awaitable[None]], error: type[Exception] | None
) -> None:
    """However a run ends, trio and the sources of chance are as they were before."""

    def sources() -> tuple[object, ...]:
        flag = run_loop._ALLOW_DETERMINISTIC_SCHEDULING
        pinned = (run_loop._r, flag, os.urandom, random.__dict__["_urandom"])
        return (*pinned, random.getstate())

    random.random()  # away from where a run seeds it
    before = sources()
    if error is None:
        simulate(program, schedule=HeldBack(1))
    else:
        with pytest.raises(error):
            simulate(program, schedule=HeldBack(1), timeout_s=10, steps_max=2_000)
    assert sources() == before
    assert trio.run(letters)


def test_a_trace_shows_where_two_runs_part() -> None:
    """With `keep`, the first lines that differ tell what was left to chance."""
    one, other = Trace(keep=True), Trace(keep=True)
    simulate(letters, schedule=Fifo(), instruments=[one])
    simulate(letters, schedule=Shuffled(1), instruments=[other])
    assert one.lines is not None
    assert other.lines is not None
    assert sorted(one.lines) == sorted(other.lines)
    assert one.lines != other.lines
    assert one.digest != other.digest
