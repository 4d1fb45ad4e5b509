"""One look tells what is behind a port: a scheduler, another program, somebody frozen, nobody."""

import pytest
import trio
from ailments import something_else
from client_support import reach, scheduler_world
from hand_journal import HandJournal
from simulation.network import Network

from scheduler.commands.probe import PROBE_S, probe

URL = "ws://here:5010"


async def test_a_scheduler_tells_how_it_is(autojump_clock: object) -> None:
    """A scheduler that is well needs no advice; one that fails or drains says which."""
    journal = HandJournal(at_once=True)
    async with scheduler_world(keeps=journal) as world:
        assert (await probe(reach(world.network), URL)).advice == ""
        journal.fail()
        assert "make room on the disk" in (await probe(reach(world.network), URL)).advice


async def test_nobody_is_there(autojump_clock: object) -> None:
    """The port was there a moment ago and is not any more."""
    seen = await probe(reach(Network()), URL)
    assert seen.text == "the scheduler does not listen any more"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"up"}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
    ],
)
async def test_another_program(answer: bytes, autojump_clock: object) -> None:
    """Whatever answers and is no scheduler is told to be another program, with the address."""

    async def serve(stream: trio.abc.Stream) -> None:
        await stream.send_all(answer)
        await trio.sleep_forever()

    async with something_else(serve) as network:
        seen = await probe(reach(network), URL)
    assert seen.text == "what answers there is no scheduler"
    assert URL in seen.advice


async def test_somebody_frozen(autojump_clock: object) -> None:
    """A port that takes connections and answers nothing costs a moment and is told as such."""

    async def serve(stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with something_else(serve) as network:
        begun = trio.current_time()
        seen = await probe(reach(network), URL)
        assert trio.current_time() - begun == PROBE_S
    assert "kill -CONT PID" in seen.advice
