"""Worlds whose scheduler is killed and born again on what its journal had kept.

The journal is one that takes its time, fails for a while, and loses what it was just writing. A
kill strikes at an instant, or in the very step in which the nth record was decided, or when the
nth record was kept and nobody was told yet. What counts in the end is what clients heard.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import inf
from typing import Literal

import attrs
import trio
from fakes import CountingIds
from simulation.disk import Disk, SlowJournal
from simulation.drawing import Dice
from simulation.nodes import AgentNode
from simulation.safety_of_outcomes import content
from simulation.safety_of_promises import left_at, said_too_early
from simulation.scene import Scene
from simulation.schedules import mixed, simulate
from simulation.sessions import SdkSession
from simulation.taps import OUTCOMES
from simulation.world import EPOCH, STEPS_MAX, _only_failures
from simulation.worldplan import (
    TICK_S,
    DiskPlan,
    NodePlan,
    Say,
    SessionPlan,
    Work,
    WorldPlan,
)

from scheduler.core.events import Effect, Event, Note
from scheduler.core.records import RememberedSession
from scheduler.server.serve import Shutdown, serve

HONEST = ("translated", "no_available_node", "job_timeout", "node_failed")


@attrs.frozen
class Kill:
    """One death: when, counted in seconds or in records of that life, and for how long."""

    when: Literal["at", "decided", "kept"]
    number: float
    down_s: float = 0.5


@attrs.frozen(kw_only=True)
class RebirthPlan:
    """A world, which has a disk, with deaths.

    `tail` says how much of the batch under way a kill still lets through, from 0 to 1.
    """

    world: WorldPlan
    kills: tuple[Kill, ...]
    tail: float = 0.0


@attrs.define(eq=False)
class Lives:
    """What happened over all lives, and the disk that outlived them."""

    plan: RebirthPlan
    scene: Scene
    disk: Disk
    delivered: list[tuple[float, str, str, int]] = attrs.Factory(list)
    deaths: int = 0
    faults: list[str] = attrs.Factory(list)
    unserved: list[str] = attrs.Factory(list)
    left: tuple[RememberedSession, ...] = ()

    def observe(self, event: Event, effects: list[Effect]) -> None:
        """Write down what is called delivered."""
        for effect in effects:
            if isinstance(effect, Note) and effect.name == "delivered":
                detail = effect.detail
                self.delivered.append(
                    (trio.current_time(), detail["session_id"], detail["job_id"], detail["seq"])
                )


def play(plan: RebirthPlan) -> Lives:
    """Run a world through all its deaths."""
    scene = Scene(plan.world, plan.world.config)
    assert scene.disk is not None
    lives = Lives(plan, scene, scene.disk)
    with _only_failures(lives.faults):
        simulate(
            _Rebirth(lives).play, schedule=mixed(plan.world.seed), entropy_seed=plan.world.seed,
            steps_max=STEPS_MAX,
        )  # fmt: skip
    return lives


class _Rebirth:
    def __init__(self, lives: Lives) -> None:
        self._lives = lives
        self._plan = lives.plan
        self._scene = lives.scene
        self._ids = CountingIds()
        self._life = trio.CancelScope()
        self._kill: Kill | None = None
        self._over = False

    async def play(self) -> None:
        world, scene = self._plan.world, self._scene
        config = scene.config
        sessions = [SdkSession(scene, f"client-{n}", p) for n, p in enumerate(world.sessions)]
        machines = [AgentNode(scene, f"machine-{n}", p) for n, p in enumerate(world.nodes)]
        patience = (
            world.last_planned + 60 + 2 * (config.pending_timeout + config.dispatched_timeout)
        )
        async with trio.open_nursery() as everything:
            everything.start_soon(self._live_and_die)
            for machine in machines:
                everything.start_soon(machine.run)
            with trio.move_on_at(patience) as patient:
                async with trio.open_nursery() as speaking:
                    for session in sessions:
                        speaking.start_soon(session.run)
            if patient.cancelled_caught:
                self._lives.unserved += [w.text for w in scene.wishes if w.ended is None]
            self._kill, self._life.deadline, self._over = None, inf, True
            notice = config.ping_interval + config.pong_timeout + config.write_timeout
            await trio.sleep(notice + config.session_retention + config.close_timeout + 2)
            self._lives.left = self._lives.disk.remembered
            everything.cancel_scope.cancel()

    async def _live_and_die(self) -> None:
        for kill in self._plan.kills:
            if self._over:
                break
            self._kill = kill
            await self._live(kill.number if kill.when == "at" else inf)
            self._lives.deaths += 1
            for link in self._scene.network.links:
                link.reset()
            await trio.sleep(kill.down_s)
        self._kill = None
        await self._live(inf)

    async def _live(self, until: float) -> None:
        journal = SlowJournal(self._lives.disk, tail=self._plan.tail, notice=self._notice)
        listener = self._scene.network.listener()
        with trio.CancelScope(deadline=until) as self._life:
            await serve(
                self._scene.config, listeners=[listener], ids=self._ids, epoch=EPOCH,
                shutdown=Shutdown(), journal=journal, observe=self._lives.observe,
            )  # fmt: skip
        await trio.aclose_forcefully(listener)

    def _notice(self, what: str, position: int) -> None:
        """Told by the journal in the very step; a death that is due strikes here."""
        kill = self._kill
        if kill is not None and kill.when == what and position >= kill.number:
            self._life.cancel()


def draw(seed: int) -> RebirthPlan:
    """A world with deaths from a seed; all times are whole ticks. In half of them links break."""
    dice, links = random.Random(seed), Dice(seed)
    trouble = dice.choice((0.0, 0.3))

    def ticks(most_s: float) -> float:
        return dice.randrange(int(most_s / TICK_S) + 1) * TICK_S

    sessions = tuple(
        SessionPlan(
            says=tuple(Say(ticks(6)) for _ in range(dice.randint(1, 5))),
            links=links.links(trouble),
        )
        for _ in range(dice.randint(1, 3))
    )
    nodes = tuple(
        NodePlan(at=ticks(1), slots=dice.randint(1, 2), named=dice.random() < 0.7,
                 works=(Work(ticks(1)), Work(ticks(0.25)), Work(ticks(2))),
                 links=links.links(trouble), crashes=links.many(links.node_crash, trouble, 2))
        for _ in range(dice.randint(1, 2))
    )  # fmt: skip
    kills, at = [], 0.0
    for _ in range(dice.randint(1, 4)):
        when = dice.choice(("at", "decided", "kept"))
        at += TICK_S + ticks(3)
        number = at if when == "at" else float(dice.randint(1, 12))
        kills.append(Kill(when, number, ticks(1)))  # type: ignore[arg-type]
        at += kills[-1].down_s
    return RebirthPlan(
        world=WorldPlan(
            sessions=sessions,
            nodes=nodes,
            disk=DiskPlan(
                commit_s=tuple(ticks(0.2) for _ in range(3)),
                full=((ticks(4), ticks(3)),) if dice.random() < 0.25 else (),
            ),
            seed=seed,
        ),
        kills=tuple(kills),
        tail=dice.choice((0.0, 0.5, 1.0)),
    )


def violations(lives: Lives) -> Iterator[str]:
    """Every promise that was broken over the lives of a scheduler, a sentence each."""
    honest = (*HONEST, "refused") if lives.disk.plan.full else HONEST
    yield from (f"{text!r} was still waiting at the end" for text in lives.unserved)
    for wish in lives.scene.wishes:
        if wish.ended not in honest:
            yield f"{wish.text!r} ended as {wish.ended}"
        if wish.ended == "translated" and wish.answer != wish.text:
            yield f"{wish.text!r} was answered with {wish.answer!r}"
    heard: dict[tuple[str, int], float] = {}
    said: dict[tuple[str, int], object] = {}
    delivered = {(name, seq): at for at, name, _, seq in reversed(lives.delivered)}
    sessions: dict[str, str] = {}
    for talk in lives.scene.talks:
        if talk.session_id is None or len(talk.heard) < 2:  # it may have been welcomed too late
            continue
        if sessions.setdefault(talk.owner, talk.session_id) != talk.session_id:
            yield f"{talk.owner} was {sessions[talk.owner]} and is {talk.session_id}"
        for one in talk.heard:
            if one.message.get("type") not in OUTCOMES:
                continue
            key = (talk.session_id, one.message["seq"])
            if said.setdefault(key, content(one.message)) != content(one.message):
                yield f"{talk.owner} was told as {key}: {said[key]}, and {one.message}"
            if left_at(talk, one) > delivered.get(key, inf):
                yield f"{key} was delivered at {delivered[key]} and comes again at {one.at}"
            heard[key] = min(one.at, heard.get(key, inf))
    for at, session_id, job_id, seq in lives.delivered:
        if heard.get((session_id, seq), inf) > at:
            yield f"{job_id} is called delivered at {at} and was not received"
    yield from said_too_early(lives.scene.talks, lives.disk)
    if lives.left:
        yield f"everybody has gone, and the journal still has {lives.left}"
    yield from lives.faults
