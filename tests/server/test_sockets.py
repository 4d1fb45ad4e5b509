"""The two ways in which one peer ends a stock ``serve_websocket``, on real sockets, 200 times each.

Both are known of trio-websocket 0.12.2: its reader task has no ``except`` and runs in the nursery
that holds the listener. Half a request with a reset behind it raises ``ConnectionClosed`` there;
a ping that crosses a close frame of ours raises wsproto's ``LocalProtocolError``.
"""

import contextlib
import functools
import secrets
import socket
import struct
from collections.abc import AsyncIterator

import raw_peer
import structlog.testing
import trio
import trio.testing
from raw_peer import RawPeer, handshake
from server_support import NodePeer, SessionPeer, node_register, session_init

from scheduler.config import Config
from scheduler.errors import Close
from scheduler.runtime.ids import RandomIds
from scheduler.runtime.shell import Shell
from scheduler.server.serve import Shutdown, serve

HERE = "127.0.0.1"
TIMES = 200
AT_ONCE = 20


class Door:
    """A scheduler on a port of its own, with a session and a node that must not notice."""

    client: SessionPeer
    node: NodePeer
    shell: Shell

    def __init__(self, port: int, config: Config) -> None:
        self.port = port
        self.config = config
        self.jobs = 0

    async def stream(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(HERE, self.port)

    async def one_job(self) -> None:
        await self.client.submit(self.jobs)
        await self.node.give(await self.node.hear("job_assign"))
        result = await self.client.hear("translation_result", utterance_index=self.jobs)
        await self.client.acknowledge(result["seq"])
        self.jobs += 1


@contextlib.asynccontextmanager
async def door(**settings: float) -> AsyncIterator[Door]:
    (listener,) = await trio.open_tcp_listeners(0, host=HERE)
    config = Config(**settings)  # type: ignore[arg-type]
    here = Door(listener.socket.getsockname()[1], config)
    run = functools.partial(
        serve, config, listeners=[listener], ids=RandomIds(secrets.token_bytes), epoch=0.0,
        shutdown=Shutdown(),
    )  # fmt: skip
    with structlog.testing.capture_logs() as logs, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            here.shell = await nursery.start(run)
            here.client = await SessionPeer.open(await here.stream(), "/ws/session", nursery)
            await here.client.say(session_init())
            here.client.welcome = await here.client.hear("session_init_ack")
            here.node = await NodePeer.open(await here.stream(), "/ws/node", nursery)
            # Without receipts: on real time no heartbeat may be due while the attack runs.
            await here.node.say(node_register("bystander", receipts=None))
            here.node.node_id = (await here.node.hear("node_register_ack"))["node_id"]
            await here.one_job()
            yield here
            await here.one_job()
            assert not here.client.ended.is_set()
            assert not here.node.ended.is_set()
            nursery.cancel_scope.cancel()
    assert [line for line in logs if line["log_level"] not in ("debug", "info")] == []


def reset(stream: trio.SocketStream) -> None:
    """Close with a reset instead of an end, as a port scanner or a crash does."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def test_half_a_request_and_a_reset_200_times() -> None:
    """Requests of every length, cut off and reset, end nothing but themselves."""
    starts = [b"GET /\r\n\r\n", b"GET / HT", b"\r\n", b"GET /ws/session HTTP/1.1\r\n",
              handshake("/ws/session")[:-2], handshake("/ws/session"),
              handshake("/ws/node") + b"\x81", b"\x16\x03\x01"]  # fmt: skip
    async with door() as here:
        for number in range(TIMES):
            stream = await here.stream()
            await stream.send_all(starts[number % len(starts)])
            reset(stream)
            if number % 50 == 25:
                await here.one_job()
        await here.shell.until(lambda: here.shell.connections == 2)


async def test_a_ping_that_crosses_our_close_200_times() -> None:
    """Clients whose heartbeat is under way while we close end nothing but themselves."""
    async with door(invalid_messages_max=1, close_timeout=0.2) as here:

        async def cross() -> None:
            peer = await RawPeer.upgrade(await here.stream())
            crossing = raw_peer.frame(raw_peer.PING, b"beat")
            await peer.stream.send_all(raw_peer.frame(raw_peer.TEXT, b"no") * 2 + crossing)
            assert await peer.hear_close() == Close.TOO_MANY_INVALID.code
            await peer.send(raw_peer.PING, b"beat")
            await peer.hear_end()
            await peer.stream.aclose()

        for _ in range(TIMES // AT_ONCE):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(cross)
            await here.one_job()
        await here.shell.until(lambda: here.shell.connections == 2)


async def test_a_large_message_hears_1009_while_it_is_still_sending() -> None:
    """On real buffers as well the close frame arrives before the reset of unread input."""
    async with door(message_bytes_max=100_000, audio_chars_max=50_000) as here:
        for _ in range(10):
            peer = await RawPeer.upgrade(await here.stream())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(peer.send, raw_peer.TEXT, b"x" * 8_000_000)
                assert await peer.hear_close() == Close.TOO_LARGE.code
            await peer.stream.aclose()


async def test_what_breaks_the_protocol_hears_its_code_before_any_reset() -> None:
    """On real buffers the close frame arrives, though more had been sent behind the nonsense."""
    async with door() as here:
        for sent, code in ((b"\xf1\x80" + bytes(4), 1002),
                           (raw_peer.frame(raw_peer.TEXT, b"\xff"), 1007)):  # fmt: skip
            for behind in (b"", bytes(100_000)):
                peer = await RawPeer.upgrade(await here.stream())
                await peer.stream.send_all(sent + behind)
                assert await peer.hear_close() == code
                assert await peer.hear_end() == b""
                await peer.stream.aclose()
        await here.shell.until(lambda: here.shell.connections == 2)
