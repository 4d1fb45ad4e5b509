"""A bare relay on trio-websocket: four frames a job, and not one promise.

Utterance in, ``job_assign`` to the next node, ``job_result`` back, ``translation_result`` out. It
decides nothing, keeps nothing, checks nothing, times nothing and acknowledges nothing; a peer that
does not read holds up the peer that is read. It is what somebody writes in an afternoon with the
library's own means, and what any promise has to be paid on top of.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import trio
import trio_websocket as tws


class Relay:
    """All state there is: who the nodes are, and who waits for which job."""

    def __init__(self, decode: Callable[[str | bytes], Any], encode: Callable[[Any], str]) -> None:
        self._decode, self._encode = decode, encode
        self._nodes: list[tws.WebSocketConnection] = []
        self._turns = itertools.count()
        self._names = itertools.count(1)
        self._waiting: dict[str, tws.WebSocketConnection] = {}

    async def serve(self, request: tws.WebSocketRequest) -> None:
        """One connection, to its end."""
        peer = await request.accept()
        try:
            while True:
                message = self._decode(await peer.get_message())
                match message["type"]:
                    case "utterance":
                        await self._assign(peer, message)
                    case "job_result":
                        await self._return(message)
                    case "session_init":
                        await self._welcome(peer, message)
                    case "node_register":
                        self._nodes.append(peer)
                        ack = {"node_id": message["node_id"], "message": "", "status": "ready"}
                        await self._send(peer, "node_register_ack", ack)
        except tws.ConnectionClosed:
            if peer in self._nodes:
                self._nodes.remove(peer)

    async def _send(self, peer: tws.WebSocketConnection, tag: str, content: Any) -> None:
        await peer.send_message(self._encode({"type": tag, **content}))

    async def _welcome(self, peer: tws.WebSocketConnection, hello: dict[str, Any]) -> None:
        session_id = f"s-{next(self._names):024X}"
        welcome = {"session_id": session_id, "message": "", "trace_id": hello.get("trace_id")}
        await self._send(peer, "session_init_ack", welcome)

    async def _assign(self, peer: tws.WebSocketConnection, said: dict[str, Any]) -> None:
        job_id = f"job-{next(self._names):016X}"
        self._waiting[job_id] = peer
        node = self._nodes[next(self._turns) % len(self._nodes)]
        said.pop("type")
        await self._send(node, "job_assign", {"job_id": job_id, "attempt_id": 1, **said})

    async def _return(self, result: dict[str, Any]) -> None:
        session = self._waiting.pop(result["job_id"])
        names = (
            "session_id", "utterance_index", "job_id", "text_asr", "text_translated",
            "tts_audio", "tts_format", "trace_id",
        )  # fmt: skip
        await self._send(session, "translation_result", {name: result[name] for name in names})


async def run(port: int, buffer_bytes: int, relay: Relay) -> None:
    """Serve until killed."""
    server = tws.WebSocketServer(
        relay.serve, await trio.open_tcp_listeners(port, host="127.0.0.1"),
        receive_buffer_size=buffer_bytes,
    )  # fmt: skip
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        print(f"listening on 127.0.0.1:{server.port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--buffer", type=int, default=4096, help="the library's default is 4096")
    parser.add_argument("--msgspec", action="store_true", help="a quicker JSON than the usual one")
    chosen = parser.parse_args()
    usual = (json.loads, json.dumps)
    quick = (msgspec.json.decode, lambda content: msgspec.json.encode(content).decode())
    trio.run(run, chosen.port, chosen.buffer, Relay(*(quick if chosen.msgspec else usual)))
