"""A worker behind NATS: ``python -m benchmarks.references.nats_worker URL``."""

import asyncio
import json
import sys

import nats
import uvloop
from nats.aio.msg import Msg

from benchmarks.references.work import WORK_S, result


async def serve(url: str) -> None:
    """Answer requests until killed; any number at the same time."""
    connection = await nats.connect(url)
    tasks: set[asyncio.Task[None]] = set()

    async def work(message: Msg) -> None:
        json.loads(message.data)
        await asyncio.sleep(WORK_S)
        await message.respond(json.dumps(result()).encode())

    async def take(message: Msg) -> None:
        task = asyncio.create_task(work(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    await connection.subscribe("translate", queue="workers", cb=take)
    await connection.flush()
    print("the worker is ready", file=sys.stderr, flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
