"""Worlds by the thousand, on all cores: the search that runs for as long as you let it.

    nox -s simulate -- --seed 1 --utterances 300000

World number n is `draw_world(n)`, so that a failure is known by its number alone:

    nox -s simulate -- --seed 4711 --worlds 1

`--sweep` plays other worlds: those in which the link of one client is struck before each of its
bytes, in every way, for every kind of client and for a node.

The first failure ends the search: its seed and plan, what it breaks, the same with the plan made
as small as possible, and the story of that. Ends with 1 then, else with a summary and 0.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import get_args

import attrs
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from simulation.drawing import draw_world
from simulation.faultkinds import drawn
from simulation.liveness import violations
from simulation.pipes import Direction, Kind
from simulation.shrinking import RUNS_MAX, shrink
from simulation.story import tell
from simulation.sweeps import Swept, byte_worlds
from simulation.world import Run, play
from simulation.worldplan import WorldPlan

from scheduler.core.events import Left

TESTS = Path(__file__).resolve().parents[1]
Counts = collections.Counter[str]
WORLDS_A_TASK = 4


@attrs.define
class Tally:
    """What worlds were like. `broken` is by plan: which properties, and how."""

    worlds: int = 0
    utterances: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    links: int = 0
    steps: int = 0
    faults: Counts = attrs.Factory(collections.Counter)
    outcomes: Counts = attrs.Factory(collections.Counter)
    answers: Counts = attrs.Factory(collections.Counter)
    facts: Counts = attrs.Factory(collections.Counter)
    closes: Counts = attrs.Factory(collections.Counter)
    broken: dict[WorldPlan, dict[str, list[str]]] = attrs.Factory(dict)

    def add(self, run: Run) -> None:
        """Count what one world had in it."""
        history, plan = run.history, run.plan
        self.worlds += 1
        self.utterances += len(run.scene.wishes)
        self.virtual_s += run.ended_at
        self.links += len(run.scene.network.links)
        self.steps += len(history.steps)
        self.faults.update({str(kind): n for kind, n in run.scene.network.strikes.items()})
        self.faults.update(name for name, _ in drawn(plan).elements() if name != "link")
        self.facts.update(fact.name for fact in history.facts)
        self.outcomes.update(fact.detail["outcome"] for fact in history.all("settled"))
        self.answers.update(wish.ended or "none" for wish in run.scene.wishes)
        ends = (step.event for step in history.steps)
        self.closes.update(event.close.name for event in ends if isinstance(event, Left))

    def merge(self, other: Tally) -> None:
        """Take over what another one counted."""
        for field in attrs.fields(Tally):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, dict):
                mine.update(theirs)  # adds, if it is a Counter
            else:
                setattr(self, field.name, mine + theirs)


def what_breaks(plan: WorldPlan) -> dict[str, list[str]]:
    """The properties that a world breaks; one that does not even end breaks `the_world_ends`."""
    try:
        return violations(play(plan))
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
        return {"the_world_ends": [repr(error)]}


def look_at(plans: Iterable[WorldPlan]) -> Tally:
    """Play some worlds, in a process of their own."""
    tally, begun = Tally(), time.process_time()
    for plan in plans:
        try:
            run = play(plan)
            tally.add(run)
            broken = violations(run)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
            broken = {"the_world_ends": [repr(error), *getattr(error, "__notes__", ())]}
        if broken:
            tally.broken[plan] = broken
    tally.cpu_s = time.process_time() - begun
    return tally


def look_at_seeds(seeds: range) -> Tally:
    """Play the worlds of some seeds, in a process of their own."""
    return look_at(map(draw_world, seeds))


def search(
    seed: int, *, utterances: int, worlds: int | None, workers: int, console: Console
) -> Tally:
    """Play worlds until enough was said in them, or one fails."""
    total = Tally()
    with _progress(console) as progress, _processes(workers) as pool:
        task = progress.add_task("utterances", total=None if worlds else utterances)
        for tally in pool.imap_unordered(look_at_seeds, _portions(seed, worlds)):
            total.merge(tally)
            text = f"{total.worlds} worlds, {total.virtual_s / 3600:.1f} virtual h"
            progress.update(task, completed=total.utterances, description=text)
            if total.broken or (worlds is None and total.utterances >= utterances):
                pool.terminate()
                break
    return total


def sweep(*, workers: int, console: Console) -> Tally:
    """Strike the link of every kind of client, and of a node, before each byte, in every way."""
    total = Tally()
    ways = itertools.product(get_args(Swept), get_args(Kind), get_args(Direction))
    plans = [[plan] for way in ways for plan in byte_worlds(*way)]
    with _progress(console) as progress, _processes(workers) as pool:
        task = progress.add_task("every byte", total=len(plans))
        for tally in pool.imap_unordered(look_at, plans):
            total.merge(tally)
            progress.update(task, completed=total.worlds)
            if total.broken:
                pool.terminate()
                break
    return total


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console,
    )  # fmt: skip


def _processes(workers: int) -> Pool:
    return multiprocessing.get_context("fork").Pool(workers)


def _portions(seed: int, worlds: int | None) -> Iterator[range]:
    ends = itertools.count(seed, WORLDS_A_TASK) if worlds is None else range(
        seed, seed + worlds, WORLDS_A_TASK
    )  # fmt: skip
    for first in ends:
        last = first + WORLDS_A_TASK
        yield range(first, last if worlds is None else min(last, seed + worlds))


def explain(
    plan: WorldPlan, broken: dict[str, list[str]], console: Console, *, runs_max: int = RUNS_MAX
) -> None:
    """Print a failure: the seed, the plan, what it breaks, and all that once more, small."""
    console.rule(f"world {plan.seed} fails")
    _print_broken(broken, console)
    console.print(f"the plan:\n{plan!r}\n", markup=False, highlight=False, soft_wrap=True)
    names = set(broken)
    with console.status("making it smaller"):
        small = shrink(
            plan, lambda candidate: bool(names & set(what_breaks(candidate))), runs_max=runs_max
        )
    console.rule("the same, small")
    _print_broken(what_breaks(small), console)
    console.print(f"{small!r}\n", markup=False, highlight=False, soft_wrap=True)
    if "the_world_ends" not in names:
        console.print(tell(play(small)), markup=False, highlight=False, soft_wrap=True)
    if plan == draw_world(plan.seed):
        console.print(f"\nto see it again: --seed {plan.seed} --worlds 1", highlight=False)


def _print_broken(broken: dict[str, list[str]], console: Console) -> None:
    for name, lines in broken.items():
        console.print(f"{name}:", style="bold red")
        for line in lines[:5]:
            console.print(f"  {line[:500]}", markup=False, highlight=False, soft_wrap=True)


def summarise(total: Tally, wall_s: float, console: Console) -> None:
    """Print what was seen."""
    table = Table(show_header=False, box=None)
    rows: list[tuple[str, object]] = [
        ("worlds", f"{total.worlds:,}"),
        ("utterances", f"{total.utterances:,}"),
        ("virtual time", f"{total.virtual_s / 3600:,.1f} h"),
        ("connections", f"{total.links:,}"),
        ("events", f"{total.steps:,}"),
        ("faults", _counted(total.faults)),
        ("outcomes", _counted(total.outcomes)),
        ("what people were told", _counted(total.answers)),
        ("ends of connections", _counted(total.closes)),
        ("facts", _counted(total.facts)),
        ("time", f"{wall_s:,.0f} s on the clock, {total.cpu_s:,.0f} s of computing"),
        ("speed", f"{total.worlds / max(total.cpu_s, 1e-9):.1f} worlds per second of computing"),
    ]  # fmt: skip
    for name, value in rows:
        table.add_row(name, str(value))
    console.print(table)


def _counted(counts: Counts) -> str:
    return f"{counts.total():,}: " + ", ".join(f"{n:,} {name}" for name, n in counts.most_common())


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="worlds by the thousand, on all cores")
    parser.add_argument("--seed", type=int, default=1, help="the first world's number")
    parser.add_argument("--utterances", type=int, default=10_000, help="how many to hear")
    parser.add_argument("--worlds", type=int, help="exactly so many worlds instead")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--events", type=int, help="first, so many events for the engine alone")
    parser.add_argument("--sweep", action="store_true", help="every byte of each kind of link")
    options = parser.parse_args(arguments)
    console = Console()
    if options.events:
        soak = [sys.executable, str(TESTS / "core" / "soak.py")]
        done = subprocess.run(
            [*soak, "--events", str(options.events), "--seed", str(options.seed)], check=False
        )
        if done.returncode:
            return done.returncode
    begun = time.monotonic()  # noqa: TID251 - how long it took on this machine
    if options.sweep:
        total = sweep(workers=options.workers, console=console)
    else:
        total = search(
            options.seed, utterances=options.utterances, worlds=options.worlds,
            workers=options.workers, console=console,
        )  # fmt: skip
    summarise(total, time.monotonic() - begun, console)  # noqa: TID251
    for plan, broken in list(total.broken.items())[:1]:
        explain(plan, broken, console)
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
