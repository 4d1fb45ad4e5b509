"""``python -m scheduler node``: engines of this machine in the service of a scheduler."""

import os
import random
from functools import partial

import click
import trio

from scheduler.commands.serve import on_signals
from scheduler.config import NodeConfig
from scheduler.node.agent import Agent
from scheduler.node.runner import open_runner
from scheduler.node.services import Engine
from scheduler.runtime.dialer import open_stream, parse_url
from scheduler.wire.common import Hardware


async def run_node(settings: NodeConfig) -> None:
    """Run jobs until SIGINT or SIGTERM; a second signal cuts the drain short.

    Raises ``ConfigError`` for an address that is none. No child process is left.
    """
    address = parse_url(settings.url)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(on_signals, partial(_stop, stop, nursery.cancel_scope))
        async with open_runner(settings.slots) as runner:
            for engine in runner.engines:
                _say(line_about(engine))
            agent = Agent(
                runner,
                open_stream=partial(open_stream, address, timeout=settings.connect_timeout),
                node_config=settings,
                hardware=hardware(),
                draw=random.random,
                say=_say,
            )
            await agent.run(stop)
        nursery.cancel_scope.cancel()


def _stop(stop: trio.Event, scope: trio.CancelScope) -> None:
    if stop.is_set():
        _say("stopping now")
        scope.cancel()
    stop.set()


def line_about(engine: Engine) -> str:
    """One line for people: ``espeak-ng 1.51: ready``, or why not and what to do about it."""
    name = f"{engine.service_id} {engine.version or ''}".strip()
    return f"{name}: {'ready' if engine.fault is None else f'not ready: {engine.fault}'}"


def hardware() -> Hardware:
    """This machine's processors and memory."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Hardware(cpu_cores=os.cpu_count() or 1, memory_gb=round(memory_bytes / 2**30, 1))


def _say(line: str) -> None:
    click.echo(line, err=True)
