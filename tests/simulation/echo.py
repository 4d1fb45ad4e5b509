"""A small world: WebSocket clients and an echo server on links of a plan, as trio-websocket is.

It serves to show that the simulation carries unmodified WebSocket code and that a seed repeats a
run; see `digests`, which other processes call.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import trio
import trio_websocket
import wsproto.utilities
from simulation.network import Fault, LinkPlan, LinkStream, Network
from simulation.schedules import Trace, mixed, simulate

PATIENCE_S = 60.0
TROUBLE = (
    trio.BrokenResourceError,
    trio_websocket.ConnectionClosed,
    trio_websocket.HandshakeError,
    wsproto.utilities.LocalProtocolError,
)


@attrs.define
class Echoes:
    """What each client got back, and the network to compare it with."""

    network: Network = attrs.field(factory=Network)
    received: dict[str, list[str | bytes]] = attrs.field(factory=dict)


async def serve_echo(stream: LinkStream) -> None:
    try:
        with trio.move_on_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                request = await trio_websocket.wrap_server_stream(nursery, stream)
                async with await request.accept() as connection:
                    while True:
                        await connection.send_message(await connection.get_message())
    except* TROUBLE:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def ask(echoes: Echoes, label: str, plan: LinkPlan, messages: Sequence[str]) -> None:
    received = echoes.received.setdefault(label, [])
    stream = await echoes.network.connect(plan, label)
    try:
        with trio.move_on_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,  # type: ignore[arg-type]  # any stream does, the signature is narrower
                    "echo",
                    "/",
                )
                async with connection:
                    for message in messages:
                        await connection.send_message(message)
                        received.append(await connection.get_message())
    except* TROUBLE:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def echo_world(plans: Sequence[LinkPlan], messages: Sequence[str]) -> Echoes:
    """Let one client for each plan send all messages, one after the other, and end the server."""
    echoes = Echoes()
    async with trio.open_nursery() as serving:
        serving.start_soon(trio.serve_listeners, serve_echo, [echoes.network.listener()])
        await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as asking:
            for number, plan in enumerate(plans):
                asking.start_soon(ask, echoes, f"client {number}", plan, messages)
        serving.cancel_scope.cancel()
    return echoes


def digests(seeds: range) -> list[str]:
    """The fingerprints of the runs of a world with faults: the same in every process."""
    found = []
    for seed in seeds:
        plans = (
            LinkPlan(mtu=7, faults=(Fault("stall", "to_server", offset=150, duration=5.0),)),
            LinkPlan(latency=0.25, faults=(Fault("reset", offset=129 + 10 * seed),)),
            LinkPlan(latency=0.0, window=16, faults=(Fault("black_hole", at=seed / 64),)),
        )
        trace = Trace()
        simulate(
            echo_world,
            plans,
            ("guten Tag", "auf Wiedersehen"),
            schedule=mixed(seed),
            entropy_seed=seed,
            instruments=[trace],
        )
        found.append(f"{trace.digest}/{trace.steps}")
    return found
