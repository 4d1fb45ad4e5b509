"""Run a trio program so that a seed decides everything that is otherwise left to chance.

A trio process owes its variety to the order in which the run loop steps the tasks that are
runnable together, to time, and to random bytes. `simulate` replaces all three: a `Schedule`
decides the order, a fresh `MockClock` jumps from deadline to deadline, and the sources of random
bytes are seeded. Whatever was replaced is put back when the run ends, however it ends.

A schedule is a value: its `repr` pastes back as code and may be used for any number of runs. What
it may decide is only which interleaving happens, never one that trio could not produce, since trio
gives no promise about order, and on a real machine the next task may become runnable at any time.
"""

from __future__ import annotations

import abc
import hashlib
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, TypeVarTuple

import attrs
import pytest
import trio
import trio._core._run as run_loop
from trio.lowlevel import Task
from trio.testing import MockClock

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

# Given the runnable tasks, oldest first: those to step in this round, in order. The others wait.
Chooser = Callable[[list[Task]], list[Task]]

# Rounds in which one task of `Priorities` may go first while others wait (see there).
PATIENCE_ROUNDS = 1_000
# Rounds of the run loop in which nothing runs before the run is given up. An idle round jumps the
# clock to the next deadline, so more than a few in a row happen only when there is no deadline.
IDLE_ROUNDS_MAX = 10_000


class Schedule(abc.ABC):
    """A recipe for the order in which runnable tasks are stepped."""

    @abc.abstractmethod
    def begin(self) -> Chooser:
        """Give the chooser for one run: never an empty answer to a list that is not empty."""


@attrs.frozen
class Fifo(Schedule):
    """The oldest task first, always: the one order to read a failure in."""

    def begin(self) -> Chooser:
        return list


@attrs.frozen
class Shuffled(Schedule):
    """Every runnable task once a round, in random order: what trio itself does under Hypothesis.

    No task ever gets two steps ahead of another runnable one, so races that need that stay hidden.
    """

    seed: int

    def begin(self) -> Chooser:
        dice = random.Random(self.seed)
        return lambda runnable: dice.sample(runnable, len(runnable))


@attrs.frozen
class HeldBack(Schedule):
    """Random order, and each task is left out of the round with probability `p`.

    Stands for a machine on which a task becomes runnable a little later than another one, which
    virtual time (where computing takes no time) would otherwise never show.
    """

    seed: int
    p: float = 0.25

    def begin(self) -> Chooser:
        dice = random.Random(self.seed)

        def choose(runnable: list[Task]) -> list[Task]:
            shuffled = dice.sample(runnable, len(runnable))
            kept = [task for task in shuffled if dice.random() >= self.p]
            return kept or shuffled[:1]

        return choose


@attrs.frozen
class Priorities(Schedule):
    """Only the most important runnable task runs; importance is random and drops now and then.

    Source: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic
    Guarantees of Finding Bugs" (ASPLOS 2010), known as PCT: a race that needs `depth` ordering
    constraints is met with a probability that does not shrink with the number of possible orders.
    Two things differ. The `depth - 1` rounds at which the running task drops below all others are
    drawn log-uniformly below `horizon`, so that short programs see them too. And a task that keeps
    the others waiting for `PATIENCE_ROUNDS` drops as well, since a loop over checkpoints is fair
    in trio and must not count as a livelock here.
    """

    seed: int
    depth: int = 3
    horizon: int = 4_000

    def begin(self) -> Chooser:
        dice = random.Random(self.seed)
        drops = {int(self.horizon ** dice.random()) for _ in range(self.depth - 1)}
        importance: dict[Task, float] = {}
        rounds = 0
        ahead_since = 0
        ahead: Task | None = None

        def choose(runnable: list[Task]) -> list[Task]:
            nonlocal rounds, ahead, ahead_since
            if not runnable:
                return []
            rounds += 1
            for task in runnable:
                if task not in importance:
                    importance[task] = 1 + dice.random()
            top = max(runnable, key=importance.__getitem__)
            if top is not ahead or len(runnable) == 1:
                ahead, ahead_since = top, rounds
            if rounds in drops or rounds - ahead_since >= PATIENCE_ROUNDS:
                importance[top] = -rounds
                top = max(runnable, key=importance.__getitem__)
            return [top]

        return choose


def mixed(seed: int) -> Schedule:
    """Pick a schedule so that any few consecutive seeds hold every kind; 0 is the plain one."""
    if seed == 0:
        return Fifo()
    kinds = (
        Shuffled(seed),
        HeldBack(seed, 0.25),
        HeldBack(seed, 0.6),
        Priorities(seed, 2),
        Priorities(seed, 4),
    )
    return kinds[seed % len(kinds)]


class Trace(trio.abc.Instrument):
    """A fingerprint of a run: which task stepped at which virtual time, in order.

    Tasks are told apart by name and by order of creation. With `keep=True` the steps are kept in
    `lines` as well: the first line in which two runs differ is where chance came in.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.steps = 0
        self.lines: list[str] | None = [] if keep else None
        self._hash = hashlib.blake2b(digest_size=16)
        self._numbers: dict[Task, int] = {}

    def task_spawned(self, task: Task) -> None:
        self._numbers[task] = len(self._numbers)

    def before_task_step(self, task: Task) -> None:
        line = f"{task.name}#{self._numbers[task]}@{trio.current_time().hex()}\n"
        self.steps += 1
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class StuckError(Exception):
    """The program did not end; the message says what to run to see it again."""


class DeadlockError(StuckError):
    """The virtual time allowed was used up, mostly because nothing could run any more."""


class LivelockError(StuckError):
    """The number of task steps allowed was used up."""


@attrs.define(eq=False)
class _Batches:
    """Stands in for the random generator with which trio shuffles each batch of runnable tasks.

    Trio asks once a round, with an empty batch as well, sorted by age, and steps it from the end.
    """

    choose: Chooser
    steps_max: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    steps: int = 0
    idle_rounds: int = 0
    last_active_at: float = 0.0
    alive: list[str] = attrs.field(factory=list)

    def shuffle(self, batch: list[Task]) -> None:
        if not batch:
            self.idle_rounds += 1
            if self.idle_rounds == IDLE_ROUNDS_MAX:
                self._remove_shields()
            if self.idle_rounds > 2 * IDLE_ROUNDS_MAX:
                raise DeadlockError("nothing runs, and the program ignores that it is cancelled")
            return
        self.idle_rounds = 0
        chosen = self.choose(list(batch))
        self.steps += len(chosen)
        self._watch()
        if len(chosen) < len(batch):
            running = set(chosen)
            run_loop.GLOBAL_RUN_CONTEXT.runner.runq.extend(t for t in batch if t not in running)
        batch[:] = reversed(chosen)

    def _watch(self) -> None:
        if self.steps > self.steps_max:
            self.scope.cancel()
        if self.steps > 2 * self.steps_max:
            self._remove_shields()
        if self.steps > 3 * self.steps_max:
            raise LivelockError("tasks keep running and ignore that they are cancelled")
        if not self.scope.cancel_called:
            self.last_active_at = trio.current_time()
        elif not self.alive:
            tasks = sorted(run_loop.GLOBAL_RUN_CONTEXT.runner.tasks, key=lambda t: t._counter)
            self.alive = [task.name for task in tasks if task.parent_nursery is not None]

    def _remove_shields(self) -> None:
        for task in list(run_loop.GLOBAL_RUN_CONTEXT.runner.tasks):
            status: run_loop.CancelStatus | None = task._cancel_status
            while status is not None:
                status._scope.shield = False
                status = status.parent

    def complaint(self, timeout_s: float) -> StuckError:
        """Say why the scope of the run was cancelled: too many steps, or too much time."""
        alive = ", ".join(self.alive)
        if self.steps > self.steps_max:
            return LivelockError(f"more than {self.steps_max} task steps; alive: {alive}")
        return DeadlockError(
            f"not done after {timeout_s} s of virtual time; the last step was at "
            f"{self.last_active_at} s; alive: {alive}"
        )


def simulate(
    async_fn: Callable[[*Arguments], Awaitable[T]],
    *args: *Arguments,
    schedule: Schedule,
    entropy_seed: int = 0,
    timeout_s: float = 3600.0,
    steps_max: int = 1_000_000,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run `async_fn(*args)` to its end in virtual time and return what it returns.

    Not to be called from inside a trio task. The clock starts at 0. Seeded with `entropy_seed` are
    the `random` module, `os.urandom` (hence wsproto's masks and keys, `uuid.uuid4`) and `secrets`;
    not covered are an unseeded `random.Random()`, wall-clock time, threads, and real sockets.

    `timeout_s` is virtual time, `steps_max` counts task steps over all tasks. Without the first a
    deadlock would spin for ever, since the clock has no deadline to jump to. A program that does
    not end is cancelled, its shields are taken away if that is not enough, and `DeadlockError` or
    `LivelockError` is raised; one that ignores even that crashes trio (`TrioInternalError`, caused
    by one of the two). Whatever error comes out carries a note with the schedule and the entropy
    seed that bring it back.
    """
    batches = _Batches(choose=schedule.begin(), steps_max=steps_max)
    batches.scope.deadline = timeout_s

    async def main() -> T:
        with batches.scope:
            result = await async_fn(*args)
            if not batches.scope.cancel_called:
                return result
        raise batches.complaint(timeout_s)

    entropy = random.Random(entropy_seed)
    random_state = random.getstate()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_loop, "_r", batches)
            patch.setattr(run_loop, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
            patch.setattr(os, "urandom", entropy.randbytes)
            patch.setattr(random, "_urandom", entropy.randbytes)  # where `secrets` gets its bytes
            random.seed(entropy_seed)
            clock = MockClock(autojump_threshold=0)
            return trio.run(main, clock=clock, instruments=instruments)
    except Exception as error:
        error.add_note(f"to repeat: schedule={schedule!r}, entropy_seed={entropy_seed}")
        raise
    finally:
        random.setstate(random_state)
