"""Other ways to have the work done: how each is started, and what has to be there for it."""

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable
from functools import partial

import attrs

from benchmarks.harness.processes import Server, reference, relay, scheduler

WHERE_DAEMONS_ARE = "/usr/local/sbin:/usr/sbin:/sbin"
"""Not in everybody's ``PATH``, but Debian puts nats-server there."""
READY = "the worker is ready"


@attrs.frozen(kw_only=True)
class Running:
    """A server, what stands behind it, and workers of its own if it has any.

    Where it has none, nodes of the load do the work.
    """

    server: Server
    behind: tuple[Server, ...] = ()
    workers: tuple[Server, ...] = ()

    def end(self) -> None:
        """Kill it all, those who ask before those who answer."""
        for server in (self.server, *self.workers, *self.behind):
            server.end()


@attrs.frozen(kw_only=True)
class Peer:
    """One of them. ``start`` is given how long its workers take for each utterance, in seconds.

    ``programs`` and ``packages`` have to be installed besides this project.
    """

    start: Callable[[float], Running]
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def lacks(self) -> str:
        """What is missing for it here and where it comes from; empty if nothing is."""
        programs = [name for name in self.programs if program(name) is None]
        packages = [name for name in self.packages if importlib.util.find_spec(name) is None]
        said = []
        if programs:
            said.append(f"{', '.join(programs)} of the Debian package of that name")
        if packages:
            said.append(f"{', '.join(packages)} of the dependency group bench")
        return " and ".join(said)


def program(name: str) -> str | None:
    """Where a program is, daemons included."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{WHERE_DAEMONS_ARE}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _nats(work_s: float) -> Running:
    """A NATS server, the gateway, and two workers in one queue group."""
    command = [program("nats-server") or "nats-server", "-a", "127.0.0.1", "-p", "-1"]
    ready = r"Listening for client connections on 127\.0\.0\.1:(\d+)"
    broker = Server("nats-server", command, ready=ready)
    url = f"nats://127.0.0.1:{broker.port}"
    worker = [sys.executable, "-m", "benchmarks.references.nats_worker", url]
    workers = tuple(
        Server("NATS worker", worker, ready=READY, WORK_S=str(work_s)) for _ in range(2)
    )
    gateway = reference("gateway", "nats", url, name="NATS gateway")
    return Running(server=gateway, behind=(broker,), workers=workers)


def _celery(work_s: float) -> Running:
    """Redis in memory, the gateway, and two Celery workers of 64 threads; else Celery's settings.

    Threads, since a worker here only waits: the usual processes would cost more.
    """
    port = _free_port()
    url = f"redis://127.0.0.1:{port}/0"
    broker = Server(
        "redis-server",
        [
            program("redis-server") or "redis-server", "--port", str(port), "--bind", "127.0.0.1",
            "--save", "",
        ],
        ready="Ready to accept connections",
    )  # fmt: skip
    command = [
        sys.executable, "-m", "celery", "-A", "benchmarks.references.celery_worker", "worker",
        "--pool", "threads", "--concurrency", "64", "--loglevel", "info",
    ]  # fmt: skip
    workers = tuple(
        Server(
            f"Celery worker {number}", [*command, "--hostname", f"worker{number}@here"],
            ready=r"ready\.", BROKER_URL=url, WORK_S=str(work_s),
        )
        for number in range(2)
    )  # fmt: skip
    gateway = reference("gateway", "celery", url, name="Celery gateway")
    return Running(server=gateway, behind=(broker,), workers=workers)


def _alone(start: Callable[[], Server], _: float) -> Running:
    return Running(server=start())


_ASYNCIO = ("uvloop", "websockets")

PEERS = {
    "ours": Peer(start=partial(_alone, scheduler)),
    "trio relay": Peer(start=partial(_alone, relay)),
    "asyncio relay": Peer(
        start=partial(_alone, partial(reference, "relay_asyncio", name="asyncio relay")),
        packages=_ASYNCIO,
    ),
    "NATS": Peer(start=_nats, packages=(*_ASYNCIO, "nats"), programs=("nats-server",)),
    "Celery": Peer(
        start=_celery, packages=(*_ASYNCIO, "celery", "redis"), programs=("redis-server",)
    ),
}
"""By name: ours, two bare relays, and two brokers behind a gateway."""
