"""The node agent: dials out, registers, and speaks with the scheduler for the jobs here.

Two lifetimes, two nurseries: jobs run in a nursery that outlives connections, so that work
goes on while the scheduler is away; each connection is one turn of the dialling loop.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import structlog
import trio

from scheduler import __version__
from scheduler.config import Config, NodeConfig
from scheduler.errors import Close, Code, ConnectionLost, ProtocolError
from scheduler.node.jobs import Description, Done, Jobs, Runner
from scheduler.node.machine import Busy
from scheduler.node.results import Results
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.connection import Connection, dial
from scheduler.runtime.dialer import redial
from scheduler.wire import node as wire
from scheduler.wire.codec import decode_to_node, encode
from scheduler.wire.common import Capability, Error, Hardware, ResourceUsage

__all__ = ["Agent", "Description", "Done", "Runner"]

log = structlog.get_logger()


class Agent:
    """One node. ``open_stream`` reaches the scheduler or raises ``ConnectionLost``.

    ``draw`` gives uniform numbers in [0, 1); ``say`` gets lines for people; ``epoch`` is
    Unix time minus ``trio.current_time()``, in seconds.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        open_stream: Callable[[], Awaitable[trio.abc.Stream]],
        node_config: NodeConfig,
        hardware: Hardware,
        draw: Callable[[], float],
        config: Config | None = None,
        platform: str = "python",
        say: Callable[[str], None] = lambda _: None,
        busy: Callable[[], Busy] = Busy,
        epoch: float = 0.0,
    ) -> None:
        self._runner = runner
        self._open_stream = open_stream
        self._node_config = node_config
        self._config = config or Config()
        self._hardware = hardware
        self._platform = platform
        self._say = say
        self._busy = busy
        self._epoch = epoch
        self._backoff = Backoff(
            first=node_config.backoff_first, longest=node_config.backoff_max, draw=draw
        )
        self._results = Results(
            number_max=node_config.results_kept_max, bytes_max=node_config.results_kept_bytes_max
        )
        self._jobs = Jobs(runner, self._results, slots=node_config.slots, put=self._put)
        self._connection: Connection | None = None
        self._registered = trio.Event()
        self._timers: dict[str, int] = {}
        self._stop = trio.Event()
        self._leaving = False
        self.node_id: str | None = node_config.node_id or None

    # -- its life ------------------------------------------------------------------------

    async def run(self, stop: trio.Event) -> None:
        """Serve until ``stop`` is set, then drain for at most ``drain_timeout`` seconds.

        Draining ends what runs and delivers its results; then the node leaves. Raises
        ``ConnectionLost`` if the scheduler says not to come back; what runs is given up.
        Cancelling ends it at once, with the jobs that run.
        """
        self._stop = stop
        lost: ConnectionLost | None = None
        async with trio.open_nursery() as jobs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._leave_when_asked, nursery.cancel_scope)
                lost = await redial(partial(self._converse, jobs), self._backoff, self._say)
                nursery.cancel_scope.cancel()
            jobs.cancel_scope.cancel()
        if lost is not None:
            raise lost

    async def _leave_when_asked(self, scope: trio.CancelScope) -> None:
        await self._stop.wait()
        self._drain()
        with trio.move_on_after(self._node_config.drain_timeout):
            await self._jobs.settled()
        self._leaving = True
        if (connection := self._connection) is not None:
            connection.end(Close.NORMAL)
            with trio.move_on_after(self._config.write_timeout):
                await connection.over.wait()
        scope.cancel()

    def _drain(self) -> None:
        """Take no more jobs, and tell the scheduler at once."""
        if not self._jobs.draining:
            running, kept = len(self._jobs.running), len(self._results)
            self._say(f"draining: jobs that run: {running}, results without receipt: {kept}")
        self._jobs.draining = True
        self._beat()

    async def _converse(self, jobs: trio.Nursery) -> None:
        """One connection, from dialling to its end."""
        stream = await self._open_stream()
        async with dial(stream, "scheduler", "/ws/node", self._config) as connection:
            self._connection, self._registered = connection, trio.Event()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._beat_for_ever)
                    connection.put(encode(self._hello()))
                    await connection.run(
                        partial(self._receive, connection, jobs),
                        on_written=self._results.written,
                        hello_timeout=self._config.hello_timeout,
                    )
                    nursery.cancel_scope.cancel()
            finally:
                self._connection = None
                # A scheduler that drains asks for itself; the next one may give jobs again.
                self._jobs.draining = self._stop.is_set()
                self._results.disconnected()
        if not self._leaving:
            raise connection.lost

    # -- what the node says ----------------------------------------------------------------

    def _put(self, message: wire.FromNode) -> None:
        """Send to the scheduler that has registered this node, if there is one."""
        if self._connection is not None and self._connection.greeted:
            self._connection.put(encode(message))

    def _hello(self) -> wire.NodeRegister:
        able = self._runner.describe()
        return wire.NodeRegister(
            version=__version__,
            platform=self._platform,
            hardware=self._hardware,
            installed_models=(),
            capability_by_type=self._offered(able.capabilities),
            features_supported={},
            accept_public_jobs=True,
            node_id=self.node_id,
            capability_schema_version="2.0",
            installed_services=able.services,
            language_capabilities=able.languages,
            slots=self._node_config.slots,
            in_flight=self._jobs.in_flight,
            receipts=True,
        )

    def _offered(self, capabilities: tuple[Capability, ...]) -> tuple[Capability, ...]:
        """A hello has no word for draining, and jobs would come before the first heartbeat."""
        if not self._jobs.draining:
            return capabilities
        return tuple(
            attrs.evolve(each, ready=False, reason="the node is draining") for each in capabilities
        )

    async def _beat_for_ever(self) -> None:
        """Heartbeats at the pace the scheduler asks for, and what is due with them."""
        await self._registered.wait()
        healthy_at = trio.current_time() + self._node_config.backoff_max
        while True:
            await trio.sleep(self._timer("heartbeat_ms", self._config.heartbeat_interval))
            self._beat()
            self._results.send_due()
            # Not sooner: two nodes of one name take over from each other again and again.
            if trio.current_time() >= healthy_at:
                self._backoff.healthy()

    def _timer(self, name: str, usual: float) -> float:
        """A timer of the scheduler's in seconds; ``usual`` if it does not tell that one."""
        told = self._timers.get(name, 0)
        return told / 1000 if told > 0 else usual

    def _beat(self) -> None:
        if self.node_id is None:
            return
        able, busy = self._runner.describe(), self._busy()
        message = wire.NodeHeartbeat(
            node_id=self.node_id,
            timestamp=int((self._epoch + trio.current_time()) * 1000),
            resource_usage=ResourceUsage(
                cpu_percent=busy.cpu_percent,
                mem_percent=busy.mem_percent,
                running_jobs=len(self._jobs.running),
            ),
            installed_services=able.services,
            capability_by_type=able.capabilities,
            language_capabilities=able.languages,
            in_flight=self._jobs.in_flight,
            draining=self._jobs.draining,
        )
        self._put(message)

    # -- what the scheduler says -------------------------------------------------------------

    def _receive(self, connection: Connection, jobs: trio.Nursery, raw: str | bytes) -> None:
        try:
            message = decode_to_node(raw)
        except ProtocolError as error:
            log.warning("invalid_message", error=str(error))
            return
        match message:
            case wire.NodeRegisterAck():
                self._welcomed(connection, message)
            case wire.JobAssign() if self.node_id is not None and connection.greeted:
                self._jobs.take(message, self.node_id, jobs)
            case wire.JobCancel():
                self._jobs.cancel(message.job_id, message.attempt_id)
            case wire.JobResultAck():
                self._jobs.receipted(message.job_id, message.attempt_id)
            case wire.NodeControl():
                self._controlled(message)
            case Error():
                log.warning("scheduler_error", code=message.code, text=message.message)

    def _welcomed(self, connection: Connection, ack: wire.NodeRegisterAck) -> None:
        connection.greeted = True
        self.node_id = ack.node_id
        self._timers = ack.timers or {}
        self._jobs.result_bytes_max = (ack.limits or {}).get("message_bytes_max", math.inf)
        self._registered.set()
        self._say(
            f"registered as {ack.node_id} with {self._node_config.slots} slots ({ack.status})"
        )
        self._beat()
        self._jobs.tell_again()
        longest = self._timer("backoff_max_ms", self._node_config.backoff_max)
        self._backoff.longest = min(longest, self._node_config.backoff_max)
        stored = self._timer("result_stored_ms", self._config.result_stored_timeout)
        self._results.connected(lambda text, seq: connection.put(text, seq=seq), stored)

    def _controlled(self, message: wire.NodeControl) -> None:
        log.info("node_control", command=message.command, reason=message.reason)
        match message.command:
            case "drain":
                self._drain()
            case "shutdown":
                self._stop.set()
            case _ if self.node_id is not None:
                text = f"{message.command}: this node reads its settings only when it starts"
                refusal = wire.NodeError(
                    node_id=self.node_id, code=Code.UNSUPPORTED_FEATURE, message=text
                )
                self._put(refusal)
