"""One connection's conversation: a hello first, then messages, until it ends.

A message that cannot be understood is answered and harms nothing but itself, until there
were too many of them.
"""

from collections.abc import Callable

import attrs

from scheduler.config import Config
from scheduler.core.events import (
    Generation,
    Heard,
    NodeJoined,
    Received,
    SessionJoined,
    Silent,
    Writing,
    Written,
)
from scheduler.errors import Close, Code, ProtocolError
from scheduler.runtime.connection import Connection
from scheduler.runtime.keepalive import Silence
from scheduler.runtime.shell import Shell
from scheduler.wire.codec import decode_from_node, decode_from_session, encode
from scheduler.wire.common import Error
from scheduler.wire.node import FromNode, NodeRegister
from scheduler.wire.session import FromSession, SessionInit


@attrs.frozen
class Role:
    """What kind of peer speaks on a path, and how its messages are read."""

    hello: str
    decode: Callable[[str | bytes], FromSession | FromNode]


ROLES = {
    "/ws/session": Role("session_init", decode_from_session),
    "/ws/node": Role("node_register", decode_from_node),
}
"""The paths of the WebSocket doors."""


async def converse(shell: Shell, connection: Connection, role: Role, config: Config) -> None:
    """Serve one open connection to its end, registered exactly as long as it runs.

    Raises an exception group if a handler failed; the connection is then marked with 1011.
    """
    with shell.registered(connection) as generation:
        peer = _Peer(shell, connection, generation, role, config)
        await connection.run(
            peer.receive,
            on_writing=peer.writing,
            on_written=peer.written,
            hello_timeout=config.hello_timeout,
        )


class _Peer:
    def __init__(
        self,
        shell: Shell,
        connection: Connection,
        generation: Generation,
        role: Role,
        config: Config,
    ) -> None:
        self._shell = shell
        self._connection = connection
        self._generation = generation
        self._role = role
        self._config = config
        self._invalid = 0

    def receive(self, raw: str | bytes) -> None:
        """Take one WebSocket message. Synchronous: the reader never waits for anybody."""
        try:
            if isinstance(raw, bytes):
                raise ProtocolError("$", "expected a text message, not a binary one")
            message = self._role.decode(raw)
            if not self._connection.greeted:
                self._greet(message)
            else:
                self._shell.apply(Received(self._generation, message))
        except ProtocolError as error:
            self._complain(error)

    def _greet(self, message: FromSession | FromNode) -> None:
        if isinstance(message, SessionInit):
            self._connection.greeted = True
            self._shell.apply(SessionJoined(self._generation, message))
        elif isinstance(message, NodeRegister):
            self._connection.greeted = True
            if message.receipts:
                self._watch_heartbeat()
            self._shell.apply(NodeJoined(self._generation, message))
        else:
            raise ProtocolError("$.type", f"expected {self._role.hello} first")

    def _watch_heartbeat(self) -> None:
        def changed(silent: bool) -> None:
            self._shell.apply((Silent if silent else Heard)(self._generation))

        self._connection.watch(
            Silence(
                suspect_after=self._config.node_suspect_timeout,
                dead_after=self._config.node_dead_timeout,
                on_change=changed,
            )
        )

    def _complain(self, error: ProtocolError) -> None:
        self._invalid += 1
        message = Error(code=Code.INVALID_MESSAGE, message=str(error))
        self._connection.put(encode(message))
        if self._invalid > self._config.invalid_messages_max:
            self._connection.end(Close.TOO_MANY_INVALID)

    def writing(self, seq: int) -> None:
        """The writer has taken an outcome and is about to write it."""
        self._shell.apply(Writing(self._generation, seq))

    def written(self, seq: int) -> None:
        """The writer handed an outcome to the operating system."""
        self._shell.apply(Written(self._generation, seq, self._connection.signs))
