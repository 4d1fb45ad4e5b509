"""The bare relay again, on asyncio with uvloop and the websockets library, both partly in C.

The same four frames and as few promises as ``relay``: what another runtime makes of the same work.
"""

import argparse
import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RESULT_NAMES = (
    "session_id", "utterance_index", "job_id", "text_asr", "text_translated", "tts_audio",
    "tts_format", "trace_id",
)  # fmt: skip


class Relay:
    """All state there is: who the nodes are, and who waits for which job."""

    def __init__(self) -> None:
        self._nodes: list[ServerConnection] = []
        self._turns = itertools.count()
        self._names = itertools.count(1)
        self._waiting: dict[str, ServerConnection] = {}

    async def serve(self, peer: ServerConnection) -> None:
        """One connection, to its end."""
        try:
            async for text in peer:
                message = json.loads(text)
                match message["type"]:
                    case "utterance":
                        await self._assign(peer, message)
                    case "job_result":
                        session = self._waiting.pop(message["job_id"])
                        result = {name: message[name] for name in RESULT_NAMES}
                        await send(session, "translation_result", result)
                    case "session_init":
                        await send(peer, "session_init_ack", welcome(next(self._names)))
                    case "node_register":
                        self._nodes.append(peer)
                        ack = {"node_id": message["node_id"], "message": "", "status": "ready"}
                        await send(peer, "node_register_ack", ack)
        except ConnectionClosed:
            pass
        finally:
            if peer in self._nodes:
                self._nodes.remove(peer)

    async def _assign(self, peer: ServerConnection, said: dict[str, Any]) -> None:
        job_id = f"job-{next(self._names):016X}"
        self._waiting[job_id] = peer
        node = self._nodes[next(self._turns) % len(self._nodes)]
        said.pop("type")
        await send(node, "job_assign", {"job_id": job_id, "attempt_id": 1, **said})


def welcome(number: int) -> dict[str, Any]:
    """What a session is told first."""
    return {"session_id": f"s-{number:024X}", "message": "", "trace_id": ""}


async def send(peer: ServerConnection, tag: str, content: dict[str, Any]) -> None:
    """One text message; nobody is told if it does not arrive."""
    await peer.send(json.dumps({"type": tag, **content}))


async def run(port: int, converse: Callable[[ServerConnection], Awaitable[None]]) -> None:
    """Serve until killed: each connection with ``converse``."""
    async with serve(converse, "127.0.0.1", port, compression=None) as server:
        found = server.sockets[0].getsockname()[1]
        print(f"listening on 127.0.0.1:{found}", file=sys.stderr, flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(run(parser.parse_args().port, Relay().serve))
