"""What may be wrong with a scheduler and its nodes, and what the doctor says of each.

Each function of :data:`AILMENTS` is examined by the real doctor in virtual time. The tests of
the doctor use them, and docs/troubleshooting.md shows what it prints.
"""

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import trio
from client_support import PLAIN, World, reach, scheduler_world, session_on, until
from fakes import ScriptedRunner
from hand_journal import HandJournal
from messages import EN_ES, capabilities, languages
from simulation.network import Fault, LinkPlan, Network
from simulation.schedules import Fifo, simulate

from scheduler.commands.checkup import Found, Patient, examine
from scheduler.commands.doctor import recording
from scheduler.errors import StageFailed
from scheduler.node.agent import Description, Done
from scheduler.store.journal import Journal
from scheduler.wire.common import Capability
from scheduler.wire.node import JobAssign

URL = "ws://127.0.0.1:5010"
Watch = Callable[[Found], None]
Freeze = Callable[[], None]
BLACK_HOLE = Fault("black_hole", at=0)


@attrs.frozen
class Report:
    """What the doctor told, which step failed (0: none), and how long it took in seconds."""

    found: list[Found]
    failed: int
    took: float


async def examined(
    network: Network, watch: Watch = lambda _: None, *, plans: tuple[LinkPlan, ...] = ()
) -> Report:
    found: list[Found] = []

    def tell(one: Found) -> None:
        found.append(one)
        watch(one)

    patient = Patient(
        url=URL, reach=reach(network, *plans, label="doctor"), src="en", tgt="es",
        audio=recording(), sample_rate=16_000,
    )  # fmt: skip
    begun = trio.current_time()
    failed = await examine(patient, tell)
    return Report(found, failed, trio.current_time() - begun)


class Hearer(ScriptedRunner):
    """Hears what the doctor's recording says. ``able`` may be less than everything."""

    def __init__(
        self,
        *,
        hears: str = "ten of clubs",
        able: tuple[Capability, ...] = capabilities(),
        pairs: tuple[tuple[str, str], ...] = EN_ES,
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self._hears = hears
        self._able = Description(capabilities=able, services=(), languages=languages(pairs))

    def describe(self) -> Description:
        return self._able

    async def run(self, job: JobAssign, on_stage: Callable[[str], None]) -> Done:
        await super().run(attrs.evolve(job, audio=""), on_stage)
        spoken = {"ten of clubs": "diez de tréboles"}.get(self._hears, "")
        return Done(text_asr=self._hears, text_translated=spoken, timings_ms={"total_ms": 640})


AILMENTS: dict[str, Callable[[], Awaitable[Report]]] = {}


def ailment(function: Callable[[], Awaitable[Report]]) -> Callable[[], Awaitable[Report]]:
    AILMENTS[function.__name__] = function
    return function


def diagnose(name: str) -> Report:
    """Let the doctor see this one, in virtual time and always in the same order of tasks."""
    return simulate(AILMENTS[name], schedule=Fifo())


@contextlib.asynccontextmanager
async def world_with(
    *runners: ScriptedRunner, keeps: Journal | None = None, **settings: Any
) -> AsyncIterator[World]:
    """A scheduler whose nodes have all registered."""
    async with scheduler_world(keeps=keeps, **settings) as world:
        for runner in runners:
            world.add_node(runner, slots=1)
        await trio.sleep(1)
        yield world


@contextlib.asynccontextmanager
async def world_with_one_that_freezes(runner: Hearer) -> AsyncIterator[tuple[World, Freeze]]:
    """A scheduler and a node that does nothing any more, not even dial, once it was frozen."""
    frozen = trio.Event()
    async with scheduler_world() as world:
        connect = reach(world.network, label="node")

        async def dial() -> trio.abc.Stream:
            if frozen.is_set():
                await trio.sleep_forever()
            return await connect()

        def freeze() -> None:
            frozen.set()
            world.link_of("node").strike(BLACK_HOLE)

        world.add_node(runner, slots=1, open_stream=dial)
        await trio.sleep(1)
        yield world, freeze


@contextlib.asynccontextmanager
async def something_else(
    serve: Callable[[trio.abc.Stream], Awaitable[None]],
) -> AsyncIterator[Network]:
    network = Network()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [network.listener()])
        await trio.sleep(1)
        yield network
        nursery.cancel_scope.cancel()


@ailment
async def well() -> Report:
    async with world_with(Hearer(seconds=0.625)) as world:
        return await examined(world.network)


@ailment
async def nobody_listens() -> Report:
    return await examined(Network())


@ailment
async def another_program() -> Report:
    async def answer(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with something_else(answer) as network:
        return await examined(network)


@ailment
async def no_websocket() -> Report:
    """A proxy before the scheduler, which passes plain requests only."""

    async def answer(stream: trio.abc.Stream) -> None:
        asked = bytes(await stream.receive_some())
        body = b'{"status":"ready"}'
        upgrade = asked.startswith(b"GET /ws/")
        head = b"400 Bad Request" if upgrade else b"200 OK"
        await stream.send_all(
            b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
        )

    async with something_else(answer) as network:
        return await examined(network)


@ailment
async def frozen_scheduler() -> Report:
    """The kernel takes connections for a stopped process."""

    async def say_nothing(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with something_else(say_nothing) as network:
        return await examined(network)


@ailment
async def no_welcome() -> Report:
    """A journal that takes for ever: nothing is promised before it is kept."""
    async with world_with(Hearer(), keeps=HandJournal()) as world:
        return await examined(world.network)


@ailment
async def journal_full() -> Report:
    """The doctor's own hello is the first thing that cannot be kept."""
    journal = HandJournal()
    async with world_with(Hearer(), keeps=journal) as world:

        async def fail_at_the_first_record() -> None:
            await until(lambda: bool(journal.pending))
            journal.fail()

        world.nursery.start_soon(fail_at_the_first_record)
        return await examined(world.network)


@ailment
async def journal_failing() -> Report:
    journal = HandJournal(at_once=True)
    async with world_with(Hearer(), keeps=journal) as world:
        journal.fail()
        return await examined(world.network)


@ailment
async def draining() -> Report:
    async with world_with(Hearer(seconds=25)) as world, session_on(world.network) as session:
        session.submit(b"a long story")
        await trio.sleep(1)
        world.shutdown.request()
        await trio.sleep(1)
        return await examined(world.network)


@ailment
async def no_node() -> Report:
    async with world_with() as world:
        return await examined(world.network)


@ailment
async def node_gone() -> Report:
    async with world_with(Hearer()) as world:
        world.network.refusing.add("server")
        world.link_of("node").reset()
        await trio.sleep(1)
        world.network.refusing.clear()
        return await examined(world.network)


@ailment
async def other_languages() -> Report:
    async with world_with(Hearer(pairs=(("en", "fr"),)), Hearer(pairs=(("de", "es"),))) as world:
        return await examined(world.network)


@ailment
async def not_ready() -> Report:
    broken = Capability(type="tts", ready=False, reason="espeak-ng is not installed")
    async with world_with(Hearer(able=(*capabilities()[:2], broken))) as world:
        return await examined(world.network)


@ailment
async def all_busy() -> Report:
    async with world_with(Hearer(seconds=25)) as world, session_on(world.network) as session:
        session.submit(b"a long story")
        await trio.sleep(1)
        return await examined(world.network)


@ailment
async def silent_node() -> Report:
    """Frozen for so long that it gets no new jobs, and not so long that it is given up."""
    async with world_with_one_that_freezes(Hearer()) as (world, freeze):
        freeze()
        await trio.sleep(2)
        return await examined(world.network)


@ailment
async def refused() -> Report:
    async with world_with(Hearer(), audio_chars_max=1000) as world:
        return await examined(world.network)


@ailment
async def slow_node() -> Report:
    async with world_with(Hearer(seconds=25)) as world:
        return await examined(world.network)


@ailment
async def frozen_node() -> Report:
    """It freezes before it can receipt the job."""
    async with world_with_one_that_freezes(Hearer()) as (world, freeze):

        def watch(found: Found) -> None:
            if found.name == "slot":
                freeze()

        return await examined(world.network, watch)


@ailment
async def node_froze_in_its_job() -> Report:
    runner = Hearer(seconds=25)
    async with world_with_one_that_freezes(runner) as (world, freeze):

        async def freeze_in_the_job() -> None:
            await until(lambda: bool(runner.ran))
            await trio.sleep(0.5)
            freeze()

        world.nursery.start_soon(freeze_in_the_job)
        return await examined(world.network)


@ailment
async def node_died_in_its_job() -> Report:
    runner = Hearer(seconds=25)
    async with world_with_one_that_freezes(runner) as (world, freeze):

        async def die_in_the_job() -> None:
            await until(lambda: bool(runner.ran))
            await trio.sleep(0.5)
            link = world.link_of("node")
            freeze()
            link.reset()

        world.nursery.start_soon(die_in_the_job)
        return await examined(world.network)


@ailment
async def scheduler_froze() -> Report:
    """It freezes while the doctor waits for the result; its port takes connections all the same."""
    runner = Hearer(seconds=25)
    black = LinkPlan(latency=PLAIN.latency, faults=(BLACK_HOLE,))
    async with world_with(runner) as world:

        async def freeze_in_the_job() -> None:
            await until(lambda: bool(runner.ran))
            await trio.sleep(0.5)
            doctors = [link for link in world.network.links if link.label == "doctor"]
            doctors[0].strike(BLACK_HOLE)

        world.nursery.start_soon(freeze_in_the_job)
        return await examined(world.network, plans=(PLAIN, PLAIN, black, black))


@ailment
async def failing_node() -> Report:
    broken = StageFailed("nmt", "MODEL_NOT_AVAILABLE", "no model for en-es", retryable=False)
    async with world_with(Hearer(script=[broken])) as world:
        return await examined(world.network)


@ailment
async def deaf_node() -> Report:
    async with world_with(Hearer(hears="")) as world:
        return await examined(world.network)


@ailment
async def lost_receipt() -> Report:
    """What the doctor says after the result does not reach the scheduler."""
    async with world_with(Hearer(seconds=0.625)) as world:

        def cut_off(found: Found) -> None:
            if found.name == "result":
                link = next(one for one in world.network.links if one.label == "doctor")
                link.strike(BLACK_HOLE)

        return await examined(world.network, cut_off)


assert all(inspect.iscoroutinefunction(function) for function in AILMENTS.values())
