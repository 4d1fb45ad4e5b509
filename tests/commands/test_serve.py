"""``python -m scheduler`` as a real process: how it begins, what it is told, and how it ends."""

import gc
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from process_support import PATIENCE_S, Program, program
from raw_peer import RawPeer, handshake
from server_support import NodePeer, SessionPeer, node_register, session_init, utterance

from scheduler.cli import main
from scheduler.commands.serve import collect_rarely
from scheduler.config import Config

HERE = "127.0.0.1"
QUICK = ("--port", "0", "--log-level", "warning", "--close-timeout", "0.3", "--write-timeout", "1")


async def stall(port: int) -> list[trio.SocketStream]:
    """Peers that stand still in every way there is; none of them reads any more."""
    last_words: list[bytes] = [
        b"",
        b"GET /health HT",
        handshake("/ws/session")[:-2],
        b"GET /api/v1/events HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    stalled = [await trio.open_tcp_stream(HERE, port) for _ in last_words]
    for stream, words in zip(stalled, last_words, strict=True):
        await stream.send_all(words)
    for mid_message in (b"", b"\x81\xfe\x10\x00half"):
        peer = await RawPeer.upgrade(await trio.open_tcp_stream(HERE, port))
        await peer.say(session_init())
        session_id = (await peer.hear_message("session_init_ack"))["session_id"]
        for number in range(50):
            await peer.say(utterance(session_id, 0, trace_id=f"t{number}"))
        await peer.stream.send_all(mid_message)
        stalled.append(peer.stream)  # type: ignore[arg-type]  # it is the one from above
    return stalled


@pytest.mark.parametrize(("command", "number"), [((), signal.SIGINT), (("serve",), signal.SIGTERM)])
async def test_a_signal_ends_it_cleanly_whatever_its_peers_do(
    command: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    """SIGINT and SIGTERM end it with 0 although peers stall; without a command it serves."""
    async with program(*command, *QUICK, "--pending-timeout", "0.05", directory=tmp_path) as one:
        stalled = await stall(await one.port())
        one.signal(number)
        assert await one.ended() == 0
        assert [line for line in one.lines if "rror" in line or "Traceback" in line] == []
        for stream in stalled:
            await trio.aclose_forcefully(stream)


async def test_the_signal_may_come_as_soon_as_it_listens(tmp_path: Path) -> None:
    """With nobody there, one signal right behind the first line is a clean end."""
    async with program(*QUICK, directory=tmp_path) as one:
        await one.line("listening on 127.0.0.1:")
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
        assert one.lines[-1] == "draining: 0 jobs are unfinished (signal again to stop now)"


async def test_running_work_is_waited_for_and_a_second_signal_cuts_in(tmp_path: Path) -> None:
    """The first signal lets a running job finish for ``drain_timeout``, the second one does not."""
    too_long = str(10 * PATIENCE_S)
    async with (
        program(*QUICK, "--drain-timeout", too_long, directory=tmp_path) as one,
        trio.open_nursery() as nursery,
    ):
        client, node = await client_and_node(await one.port(), nursery)
        await client.submit(0)
        await node.hear("job_assign")
        one.signal(signal.SIGTERM)
        assert "1 jobs are unfinished" in await one.line("draining: ")
        await node.hear("node_control", command="drain")
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
        assert "stopping now" in one.lines
        await client.ended.wait()
        assert client.close_code == 1001


async def client_and_node(port: int, nursery: trio.Nursery) -> tuple[SessionPeer, NodePeer]:
    client = await SessionPeer.open(await trio.open_tcp_stream(HERE, port), "/ws/session", nursery)
    await client.say(session_init())
    client.welcome = await client.hear("session_init_ack")
    node = await NodePeer.open(await trio.open_tcp_stream(HERE, port), "/ws/node", nursery)
    await node.say(node_register("n", receipts=None))
    node.node_id = (await node.hear("node_register_ack"))["node_id"]
    return client, node


async def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    """Somebody else on the port: one line with address and reason, exit code 1."""
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with program("--port", str(port), directory=tmp_path) as one:
            assert await one.ended() == 1
            assert one.lines == [
                f"error: cannot listen on 127.0.0.1:{port} (address already in use)"
            ]


async def welcome(one: Program) -> dict[str, Any]:
    async with trio.open_nursery() as nursery:
        client, _ = await client_and_node(await one.port(), nursery)
        nursery.cancel_scope.cancel()
        return client.welcome
    raise AssertionError


async def test_settings_come_from_flags_environment_and_file(tmp_path: Path) -> None:
    """A flag is stronger than the environment, that than the file, and all than the default."""
    (tmp_path / "scheduler.toml").write_text(
        "[scheduler]\nport = 1\npending_timeout = 7\nsession_retention = 700\nping_interval = 17\n"
    )
    variables = {"SCHEDULER_PENDING_TIMEOUT": "8", "SCHEDULER_SESSION_RETENTION": "800"}
    async with program(
        *QUICK, "--pending-timeout", "9", directory=tmp_path, settings=variables
    ) as one:
        timers = (await welcome(one))["timers"]
        assert timers["pending_ms"] == 9_000
        assert timers["retention_ms"] == 800_000
        assert timers["ping_ms"] == 17_000
        assert timers["dispatched_ms"] == Config().dispatched_timeout * 1_000
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without settings, for command lines that end before they serve."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SCHEDULER_SETTINGS", raising=False)
    return tmp_path


def refused(*arguments: str) -> str:
    """The one line with which the command line refuses these arguments."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    text = str(caught.value.code)
    assert text.startswith("error: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("node_receipt_timeout", "dispatched_timeout"),
        ("heartbeat_interval", "node_suspect_timeout"),
        ("node_suspect_timeout", "node_dead_timeout"),
        ("pong_timeout", "client_receipt_timeout"),
        ("client_receipt_timeout", "session_retention"),
    ],
)
def test_timers_that_clash_are_refused_by_name(less: str, more: str, nowhere: Path) -> None:
    """An inconsistent pair is refused at start-up in one line that names both settings."""
    flag = "--" + less.replace("_", "-")
    said = refused("serve", flag, "5000")
    assert f"{less} (5000) must be less than {more} (" in said


def test_a_wrong_value_is_refused_by_name(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever source it comes from, a value that cannot be is refused with its name."""
    assert refused("--pending-timeout", "-1") == (
        "error: pending_timeout must be more than 0, not -1.0"
    )
    (nowhere / "scheduler.toml").write_text("[scheduler]\nunknown_timer = 3\n")
    assert "unknown_timer" in refused("serve")
    (nowhere / "scheduler.toml").write_text("")
    monkeypatch.setenv("SCHEDULER_PORT", "telephone")
    assert "port must be a whole number, not 'telephone'" in refused("serve")
    monkeypatch.setenv("SCHEDULER_PORT", "70000")
    assert "port must be 0 to 65535" in refused("serve")
    assert "the settings file missing.toml cannot be read" in refused(
        "serve", "--config", "missing.toml"
    )


def test_a_host_that_does_not_exist_is_refused(nowhere: Path) -> None:
    """An address that is none of ours is one line too."""
    said = refused("serve", "--host", "203.0.113.7", "--port", "0")
    assert said == "error: cannot listen on 203.0.113.7:0 (cannot assign requested address)"


def test_what_was_loaded_is_not_looked_through_again() -> None:
    """Once the server is there garbage is looked for rarely, and only in what came since."""
    usual = gc.get_threshold()
    try:
        collect_rarely()
        assert gc.get_threshold() > usual
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
