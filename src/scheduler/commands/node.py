"""``python -m scheduler node``: engines of this machine in the service of a scheduler."""

import random
import time
from functools import partial

import attrs
import click
import trio

from scheduler.commands.serve import on_signals
from scheduler.config import NodeConfig
from scheduler.errors import ConnectionLost
from scheduler.node.agent import Agent
from scheduler.node.machine import Meter, hardware
from scheduler.node.runner import open_runner
from scheduler.node.services import Engine
from scheduler.runtime.dialer import open_stream, parse_url


async def run_node(settings: NodeConfig) -> None:
    """Run jobs until SIGINT or SIGTERM; a second signal cuts the drain short.

    Raises ``ConfigError`` for an address that is none, and ``ConnectionLost`` if the
    scheduler says not to come back. No child process is left.
    """
    address = parse_url(settings.url)
    lost: ConnectionLost | None = None
    async with trio.open_nursery() as nursery:
        ending = _Ending(nursery.cancel_scope)
        nursery.start_soon(on_signals, ending.signalled)
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
                busy=Meter().read,
                epoch=time.time() - trio.current_time(),  # noqa: TID251  # the one look at the wall clock
            )
            ending.serving = True
            try:
                await agent.run(ending.stop)
            except ConnectionLost as error:
                lost = error  # raised below, where no nursery wraps it into a group
        nursery.cancel_scope.cancel()
    if lost is not None:
        raise lost


@attrs.define(eq=False)
class _Ending:
    """What signals do: the first one starts the drain, the next one ends it.

    While the engines are still loading there is nothing to drain.
    """

    scope: trio.CancelScope
    stop: trio.Event = attrs.Factory(trio.Event)
    serving: bool = False

    def signalled(self) -> None:
        """A signal has come."""
        if self.stop.is_set() or not self.serving:
            _say("stopping now")
            self.scope.cancel()
        self.stop.set()


def line_about(engine: Engine) -> str:
    """One line for people: ``espeak-ng 1.51: ready``, or why not and what to do about it."""
    name = f"{engine.service_id} {engine.version or ''}".strip()
    return f"{name}: {'ready' if engine.fault is None else f'not ready: {engine.fault}'}"


def _say(line: str) -> None:
    click.echo(line, err=True)
