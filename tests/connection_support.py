"""One served connection over a link in memory, and everything that it reported."""

import contextlib
from collections.abc import AsyncIterator, Callable

import trio
import trio.testing
from raw_peer import RawPeer
from simulation.network import Link, LinkPlan, LinkStream, Network

from scheduler.config import Config
from scheduler.runtime.connection import Connection, accept

AT_ONCE = LinkPlan(latency=0.0)


async def linked(plan: LinkPlan = AT_ONCE) -> tuple[LinkStream, LinkStream]:
    """Both ends of a new link: the client's, the server's."""
    network = Network()
    async with network.listener() as listener:
        client = await network.connect(plan, "link")
        return client, await listener.accept()


class Served:
    """Our end of a WebSocket connection, as the scheduler would run it."""

    connection: Connection
    peer: RawPeer
    link: Link

    def __init__(self, on_message: Callable[[str | bytes], None] | None) -> None:
        self._on_message = on_message
        self.heard: list[str | bytes] = []
        self.writing: list[int] = []
        self.written: list[int] = []
        self.error: BaseException | None = None
        self.run_ended_at: float | None = None
        self.ended_at: float | None = None
        self.ended = trio.Event()

    def receive(self, message: str | bytes) -> None:
        self.heard.append(message)
        if self._on_message is not None:
            self._on_message(message)

    async def serve(
        self,
        stream: trio.abc.Stream,
        config: Config,
        hello_timeout: float | None,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        try:
            async with accept(stream, config) as self.connection:
                task_status.started()
                try:
                    await self.connection.run(
                        self.receive,
                        on_writing=self.writing.append,
                        on_written=self.written.append,
                        hello_timeout=hello_timeout,
                    )
                finally:
                    self.run_ended_at = trio.current_time()
        except Exception as error:  # noqa: BLE001  # a test looks at it
            self.error = error
        finally:
            self.ended_at = trio.current_time()
            self.ended.set()


@contextlib.asynccontextmanager
async def served(
    plan: LinkPlan = AT_ONCE,
    *,
    config: Config | None = None,
    hello_timeout: float | None = None,
    on_message: Callable[[str | bytes], None] | None = None,
) -> AsyncIterator[Served]:
    """An open connection and its peer; leaving the block cancels the serving."""
    here = Served(on_message)
    theirs, ours = await linked(plan)
    here.link = theirs.link

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as both:
            both.start_soon(nursery.start, here.serve, ours, config or Config(), hello_timeout)
            here.peer = await RawPeer.upgrade(theirs)
        await trio.testing.wait_all_tasks_blocked()
        yield here
        nursery.cancel_scope.cancel()
