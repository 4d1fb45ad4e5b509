"""A WebSocket gateway before a broker, as one builds it from well-known parts.

Sessions speak to the gateway as they do to the scheduler, but the work is done by workers behind
NATS (request and reply, a queue group) or behind Celery (Redis for tasks and results, its usual
settings). The gateway waits for each result up to ``TIMEOUT_S``, then says that it is missing.
Whoever is not there when a result comes does not get it: that would be a second system to build.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.references.relay_asyncio import run, send, welcome

TIMEOUT_S = 5.0
Work = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Has an utterance done; raises ``TimeoutError`` if nobody did it in time."""


class Gateway:
    """Sessions on one side, ``work`` on the other."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._names = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, peer: ServerConnection) -> None:
        """One session's connection, to its end."""
        try:
            async for text in peer:
                message = json.loads(text)
                if message["type"] == "session_init":
                    await send(peer, "session_init_ack", welcome(next(self._names)))
                elif message["type"] == "utterance":
                    task = asyncio.create_task(self._translate(peer, message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except ConnectionClosed:
            pass

    async def _translate(self, peer: ServerConnection, said: dict[str, Any]) -> None:
        about = {name: said[name] for name in ("session_id", "utterance_index", "trace_id")}
        about["job_id"] = f"job-{next(self._names):016X}"
        try:
            result = await self._work({**said, **about})
        except TimeoutError:
            tag, content = "missing_result", {**about, "reason": "timeout"}
        else:
            tag, content = "translation_result", {**about, **result}
        with contextlib.suppress(ConnectionClosed):
            await send(peer, tag, content)


async def nats_work(url: str) -> Work:
    """Requests to the subject ``translate``."""
    import nats
    from nats.errors import NoRespondersError
    from nats.errors import TimeoutError as NatsTimeoutError

    connection = await nats.connect(url)

    async def work(said: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await connection.request(
                "translate", json.dumps(said).encode(), timeout=TIMEOUT_S
            )
        except (NatsTimeoutError, NoRespondersError):
            raise TimeoutError from None
        result: dict[str, Any] = json.loads(answer.data)
        return result

    return work


async def celery_work(url: str) -> Work:
    """Tasks into Celery, results out of the channels on which its Redis backend tells them."""
    import redis.asyncio
    from celery import Celery

    app = Celery(broker=url, backend=url)
    sender = ThreadPoolExecutor(1)  # Celery sends in blocking calls
    waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
    listener = redis.asyncio.from_url(url).pubsub()
    await listener.psubscribe("celery-task-meta-*")

    async def listen() -> None:
        async for message in listener.listen():
            if message["type"] == "pmessage":
                told = json.loads(message["data"])
                if (future := waiting.get(told["task_id"])) is not None and not future.done():
                    future.set_result(told["result"])

    listening = asyncio.create_task(listen())
    loop = asyncio.get_running_loop()
    names = itertools.count(1)

    async def work(said: dict[str, Any]) -> dict[str, Any]:
        assert not listening.done()
        task_id = f"task-{next(names)}"
        future = waiting[task_id] = loop.create_future()
        try:
            await loop.run_in_executor(
                sender, lambda: app.send_task("translate", args=[said], task_id=task_id)
            )
            return await asyncio.wait_for(future, TIMEOUT_S)
        finally:
            del waiting[task_id]

    return work


async def begin(port: int, broker: str, url: str) -> None:
    """Serve until killed, with the work of this broker."""
    gateway = Gateway(await {"nats": nats_work, "celery": celery_work}[broker](url))
    await run(port, gateway.serve)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("broker", choices=["nats", "celery"])
    parser.add_argument("url")
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    uvloop.run(begin(chosen.port, chosen.broker, chosen.url))
