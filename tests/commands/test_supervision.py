"""What the service manager is told."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from scheduler.commands.supervision import Supervision


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        yield end


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def test_the_manager_hears_every_assignment(manager: socket.socket) -> None:
    """What is said arrives as one datagram of lines."""
    Supervision(environment(manager)).say("READY=1", "STATUS=listening")
    assert manager.recv(100) == b"READY=1\nSTATUS=listening"


def test_without_a_manager_nothing_is_said() -> None:
    """Without NOTIFY_SOCKET, or with one that nobody reads, saying something is harmless."""
    Supervision({}).say("READY=1")
    Supervision({"NOTIFY_SOCKET": "/nowhere/at/all"}).say("READY=1")


async def test_signs_of_life_come_twice_as_often_as_asked(
    manager: socket.socket, autojump_clock: MockClock
) -> None:
    """While the loop runs there is a sign of life every half of the watchdog's time."""
    supervision = Supervision(environment(manager, WATCHDOG_USEC="4000000"))
    with trio.move_on_after(9):
        await supervision.feed_watchdog()
    assert [manager.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
    with pytest.raises(BlockingIOError):
        manager.recv(100)


async def test_without_a_watchdog_there_is_nothing_to_feed() -> None:
    """Nobody who did not ask for signs of life gets any, and no task is left for it."""
    await Supervision({}).feed_watchdog()
