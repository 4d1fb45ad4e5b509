"""``python -m scheduler serve``: the scheduler on a real port, until a signal ends it."""

import gc
import secrets
import signal
import time
from collections.abc import Callable
from functools import partial

import click
import trio

from scheduler.commands.spans import open_spans
from scheduler.commands.supervision import Supervision
from scheduler.config import Config
from scheduler.errors import SchedulerError
from scheduler.runtime.dialer import Address
from scheduler.runtime.ids import RandomIds
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve
from scheduler.store.locate import open_journal

NEW_OBJECTS_MAX = 10_000
"""So many more objects than before are made until garbage is looked for; Python's own is 700."""


async def run_serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM; a second signal cuts the drain short.

    Raises ``SchedulerError`` if the port cannot be had.
    """
    journal = open_journal(config)
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=config.host)
    except OSError as error:
        wanted = Address(config.host, config.port, tls=False).text
        reason = (error.strerror or str(error)).lower()
        raise SchedulerError(f"cannot listen on {wanted} ({reason})") from None
    host, port = listeners[0].socket.getsockname()[:2]
    address = Address(host, port, tls=False).text
    shutdown = Shutdown()
    async with open_spans(config.otel_endpoint) as spans, trio.open_nursery() as nursery:
        run = partial(
            serve,
            config,
            listeners=listeners,
            ids=RandomIds(secrets.token_bytes),
            epoch=time.time() - trio.current_time(),  # noqa: TID251  # the one look at the wall clock
            shutdown=shutdown,
            journal=journal,
            observe=spans.observe,
        )
        shell: Shell = await nursery.start(_then_cancel, run, nursery)
        spans.attach(lambda: shell.engine.snapshot(trio.current_time()))
        supervision = Supervision()
        # Whoever reads that we listen may send a signal at once, so that comes first.
        await nursery.start(on_signals, partial(_stop, shutdown, shell, supervision))
        click.echo(f"listening on {address} (journal: {journal.name})", err=True)
        collect_rarely()
        supervision.say("READY=1", f"STATUS=listening on {address}")
        nursery.start_soon(supervision.feed_watchdog)


def collect_rarely() -> None:
    """What was loaded by now stays, and is not looked through again for garbage.

    With the usual settings each full collection stops everybody for tens of milliseconds; it
    was the whole 99th percentile of the latency (``benchmarks/NOTES.md``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, 20, 20)


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


async def on_signals(
    act: Callable[[], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Call ``act`` for every SIGINT and SIGTERM; runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            act()
