"""The doctor as a command."""

import io
import wave
from functools import partial
from pathlib import Path

import pytest
import trio
from ailments import Hearer, world_with
from client_support import reach
from process_support import program
from simulation.network import Network

from scheduler.commands.checkup import Found
from scheduler.commands.doctor import line_about, recording, run_doctor


async def test_the_exit_code_names_the_step(
    autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 if all is well; else 10 plus the number of the step that failed, which is printed last."""
    assert await run_doctor("ws://x", "en", "es", reach=reach(Network())) == 11
    assert capsys.readouterr().out.splitlines()[0].startswith("FAIL  1 port")
    async with world_with() as world:
        assert await run_doctor("ws://x", "en", "es", reach=reach(world.network)) == 14
    async with world_with(Hearer()) as world:
        assert await run_doctor("ws://x", "en", "es", reach=reach(world.network)) == 0


async def test_nothing_but_its_lines_is_printed(tmp_path: Path) -> None:
    """Whoever reads the output gets steps and advice only, no log lines between them."""

    async def refuse(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, refuse, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with program("doctor", "--url", url, directory=tmp_path) as doctor:
            assert await doctor.ended() == 12
        nursery.cancel_scope.cancel()
    assert [line.split()[0] for line in doctor.lines] == ["ok", "FAIL", "next:"]


async def test_it_leaves_nothing_behind(autojump_clock: object) -> None:
    """Whether all was well or not, its session is over and nothing is kept for it."""
    for runners in ([], [Hearer()], [Hearer(seconds=20)]):
        async with world_with(*runners) as world:
            await run_doctor("ws://x", "en", "es", reach=reach(world.network))
            assert world.sessions == []


def test_the_recording_is_there() -> None:
    """The package has a short recording in the form that nodes take: 16 kHz, 16 bit, mono."""
    with wave.open(io.BytesIO(recording())) as speech:
        shape = (speech.getnchannels(), speech.getsampwidth(), speech.getframerate())
        assert shape == (1, 2, 16_000)
        assert 0.5 < speech.getnframes() / 16_000 < 2


def test_colours_are_for_terminals_only() -> None:
    """A step is green or red on a terminal, and a plain word elsewhere."""
    bad = Found(number=4, name="node", well=False, text="no node", advice="start one")
    assert line_about(bad, colours=False) == (
        "FAIL  4 node            no node\n     next: start one"
    )
    assert line_about(bad, colours=True).startswith("\x1b[31m")
    good = Found(number=1, name="port", well=True, text="there")
    assert line_about(good, colours=True).startswith("\x1b[32m")
    assert "\x1b" not in line_about(good, colours=False)
