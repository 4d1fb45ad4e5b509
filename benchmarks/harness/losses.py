"""What is lost when something breaks: a worker that is killed, a client that freezes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness.peers import Peer, Running
from benchmarks.harness.processes import Load, ended

RATE = 50
WORK_S = 0.5
SPOKEN_S = 4.0
"""Of which the first half has two workers, the second one."""
PATIENCE_S = 8.0
"""More than the gateways' own."""
FROZEN_RATE = 200
FROZEN_S = 1.5
BACK_PATIENCE_S = 4.0
SESSIONS = 16

Loss = dict[str, int]


def worker_killed(peer: Peer, receipts: bool, spoken_s: float = SPOKEN_S) -> Loss:
    """Two worker processes; one is killed in the middle. What becomes of every utterance?"""
    with _started(peer, receipts, nodes=2) as (one, nodes, people):
        people.tell("speak", rate=RATE, seconds=spoken_s, seed=1, patience_s=PATIENCE_S)
        time.sleep(spoken_s / 2)
        (one.workers or nodes)[0].end()
        said = people.answer()
    return {
        "spoken": said["done"] + said["failed"],
        "done": said["done"],
        "told": said["failed"] - said["silent"],
        "silent": said["silent"],
    }


def client_frozen(peer: Peer, receipts: bool) -> Loss:
    """The client speaks, freezes before the first result, loses its connections and comes back.

    While it is frozen the results go into the socket: written, but not received.
    """
    with _started(peer, receipts, nodes=1) as (one, _, people):
        people.tell("speak", rate=FROZEN_RATE, seconds=WORK_S * 0.6, seed=1, acks=False)
        time.sleep(WORK_S * 0.9)
        people.ask("deafen")
        time.sleep(FROZEN_S)
        people.ask("drop")
        back = people.ask("resume", port=one.server.port, patience_s=BACK_PATIENCE_S)
    return {"heard": back["heard"], "owed": back["owed"]}


@contextmanager
def _started(peer: Peer, receipts: bool, nodes: int) -> Iterator[tuple[Running, list[Load], Load]]:
    """The peer with its own workers or so many processes of nodes, and some sessions."""
    one, people = peer.start(WORK_S), Load("sessions")
    loads = [] if one.workers else [Load("nodes") for _ in range(nodes)]
    with ended(one, people, *loads):
        for number, load in enumerate(loads):
            load.ask(
                "join", port=one.server.port, nodes=2, receipts=receipts, work_s=WORK_S,
                first=number * 2,
            )  # fmt: skip
        people.ask("open", port=one.server.port, sessions=SESSIONS, receipts=receipts)
        yield one, loads, people
