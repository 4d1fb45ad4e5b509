"""``python -m scheduler serve``: the scheduler on a real port, until a signal ends it."""

import os
import secrets
import signal
import time
from collections.abc import Callable
from functools import partial

import click
import trio

from scheduler.commands.supervision import Supervision
from scheduler.config import Config
from scheduler.errors import SchedulerError
from scheduler.runtime.ids import RandomIds
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve
from scheduler.store.locate import open_journal


async def run_serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM; a second signal cuts the drain short.

    Raises ``SchedulerError`` if the port cannot be had.
    """
    journal = open_journal(config)
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=config.host)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise SchedulerError(f"cannot listen on {config.host}:{config.port} ({reason})") from None
    host, port = listeners[0].socket.getsockname()[:2]
    shutdown = Shutdown()
    async with trio.open_nursery() as nursery:
        run = partial(
            serve,
            config,
            listeners=listeners,
            ids=RandomIds(secrets.token_bytes),
            epoch=time.time() - trio.current_time(),  # noqa: TID251  # the one look at the wall clock
            shutdown=shutdown,
            journal=journal,
        )
        shell: Shell = await nursery.start(_then_cancel, run, nursery)
        click.echo(f"listening on {host}:{port} (journal: {journal.name})", err=True)
        supervision = Supervision()
        supervision.say("READY=1", f"STATUS=listening on {host}:{port}")
        nursery.start_soon(supervision.feed_watchdog)
        await on_signals(partial(_stop, shutdown, shell, supervision))


async def _then_cancel(
    run: Callable[..., object],
    nursery: trio.Nursery,
    *,
    task_status: trio.TaskStatus[Shell],
) -> None:
    await run(task_status=task_status)  # type: ignore[misc]
    nursery.cancel_scope.cancel()


def _stop(shutdown: Shutdown, shell: Shell, supervision: Supervision) -> None:
    supervision.say("STOPPING=1", "STATUS=draining")
    running = shell.engine.unfinished
    if shutdown.drain.is_set():
        click.echo("stopping now", err=True)
    else:
        click.echo(f"draining: {running} jobs are unfinished (signal again to stop now)", err=True)
    shutdown.request()


async def on_signals(act: Callable[[], None]) -> None:
    """Call ``act`` for every SIGINT and SIGTERM; runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            act()
