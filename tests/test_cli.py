"""The command line: what it teaches, what it costs, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
import trio
from processes import until

from scheduler import __version__
from scheduler.cli import main
from scheduler.commands.menu import MENU, PROGRAM
from scheduler.errors import SchedulerError

HEAVY = ("trio", "typed_settings", "cattrs", "msgspec", "structlog", "rich", "starlette", "wsproto")
NOBODY = "ws://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test, and nowhere to serve: what is wrongly taken ends too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCHEDULER_SETTINGS", raising=False)
    monkeypatch.setenv("SCHEDULER_HOST", "203.0.113.1")  # an address for documents, RFC 5737
    monkeypatch.setenv("SCHEDULER_NODE_URL", "nowhere")


def ended(*arguments: str) -> object:
    """The code, or the last words, with which the command line ends."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert ended(*arguments) == 0
    return capsys.readouterr().out


def test_the_help_names_every_command_and_every_source(capsys: pytest.CaptureFixture[str]) -> None:
    """The first page tells what there is, how to begin, and where settings come from."""
    text = shown(capsys, "--help")
    listed = text.split("Commands:\n")[1].split("\n\n")[0]
    assert tuple(line.split()[0] for line in listed.splitlines() if line[2] != " ") == tuple(MENU)
    for word in ("Examples", "SCHEDULER_PENDING_TIMEOUT", "scheduler.toml", "Exit codes"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_command_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m scheduler` with or without flags is `python -m scheduler serve`."""
    assert ended("--port", "telephone") == 2
    assert f"Usage: {PROGRAM} serve" in capsys.readouterr().err
    assert ended("--port", "99999") == ended("serve", "--port", "99999")


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is that of the package."""
    assert shown(capsys, "--version") == f"lingua-scheduler, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serv"], "No such command 'serv'"),
        (["serve", "--prot", "1"], "No such option"),
        (["translate", "--from", "en", "--to", "es"], "Missing argument 'FILES...'"),
        (["translate", "gone.wav", "--from", "en", "--to", "es"], "'gone.wav' does not exist"),
        (["translate", ".", "--from", "en", "--to", "es"], "'.' is a directory"),
        (["translate", "here.wav", "--to", "es"], "Missing option '--from'"),
        (["trace"], "Missing argument 'ID'"),
    ],
)
def test_wrong_usage_is_told_with_the_way_to_the_help(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a call ends with 2, and says what is wrong and where to look."""
    Path("here.wav").touch()
    assert ended(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert f"Try '{PROGRAM}" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--port", "99999"], "error: port must be 0 to 65535, not 99999"),
        (["--pending-timeout", "inf"], "error: pending_timeout must be more than 0, not inf"),
        (["node", "--slots", "0"], "error: slots must be more than 0, not 0"),
        (["node", "--backoff-first", "9"], "error: backoff_first (9) must not be more than"),
        (["--config"], "error: --config needs the name of a settings file"),
        (["serve", "--config", "gone.toml"], "error: the settings file gone.toml cannot be read"),
        (["serve", "--config=gone.toml"], "error: the settings file gone.toml cannot be read"),
        (
            ["translate", "here.wav", "--from", "en", "--to", "es", "--url", "http://here"],
            "error: 'http://here' is no address; expected ws://host:port or wss://host:port",
        ),
        (
            ["translate", "here.wav", "--from", "en", "--to", ""],
            "error: $.tgt_lang: expected 1 to 35 characters",
        ),
    ],
)
def test_what_cannot_work_is_told_in_one_line(arguments: list[str], words: str) -> None:
    """Settings that are wrong or clash end the program with one sentence and no traceback."""
    Path("here.wav").touch()
    code = ended(*arguments)
    assert isinstance(code, str)
    assert code.startswith(words)
    assert len(code.splitlines()) == 1


def test_a_settings_file_concerns_one_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--config` names is read for this call, and the environment is as it was."""
    Path("here.toml").write_text("[scheduler]\nport = 99999\n")
    for before in (None, "there.toml"):
        if before is not None:
            monkeypatch.setenv("SCHEDULER_SETTINGS", before)
        assert (
            ended("serve", "--config", "here.toml") == "error: port must be 0 to 65535, not 99999"
        )
        assert os.environ.get("SCHEDULER_SETTINGS") == before


def test_a_file_that_gives_no_result_is_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`translate` ends with 1 when a file failed, and has said why."""
    Path("text.wav").write_text("no sound")
    arguments = ["translate", "text.wav", "--from", "en", "--to", "es", "--url", NOBODY]
    assert ended(*arguments) == 1
    assert "text.wav: this is no WAV file" in capsys.readouterr().err


def test_a_fault_of_ours_is_shown_whole() -> None:
    """An error that nobody expects is no one-line error: it keeps its traceback."""
    from scheduler.cli import _explain

    fault = ZeroDivisionError("a bug")
    with pytest.raises(BaseExceptionGroup) as caught:
        _explain(BaseExceptionGroup("", [SchedulerError("no"), fault]))
    assert caught.value.exceptions == (fault,)
    with pytest.raises(SystemExit, match="error: no; never"):
        _explain(BaseExceptionGroup("", [SchedulerError("no"), SchedulerError("never")]))
    for broken in ([], [SchedulerError("no connection any more")]):
        with pytest.raises(SystemExit, match="130"):
            _explain(BaseExceptionGroup("", [KeyboardInterrupt(), *broken]))


def test_an_interrupt_outside_of_all_tasks_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it strikes, the exit code is 130, and not that of something that did not work."""

    @click.command("interrupted")
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(MENU, "interrupted", lambda: interrupted)
    with pytest.raises(SystemExit) as ended:
        main(["interrupted"])
    assert ended.value.code == 130


def test_the_help_imports_nothing_that_is_slow() -> None:
    """Whoever only asks what there is does not wait for what does the work."""
    program = (
        "import json, sys\n"
        "from scheduler.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "click" in modules
    assert [name for name in HEAVY if name in modules] == []


async def test_an_interrupt_ends_a_translation(tmp_path: Path) -> None:
    """Ctrl-C while it waits ends it with 130 and without a traceback.

    A shell lets what it runs in the background ignore that signal, and so do its children: the
    one of this test shall not.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    (tmp_path / "a.raw").write_bytes(b"\0\0")
    command = [sys.executable, "-m", "scheduler", "translate", "a.raw"]
    command += ["--from", "en", "--to", "es", "--url", NOBODY]
    with (tmp_path / "err").open("wb") as err:
        process = await trio.lowlevel.open_process(command, stderr=err, cwd=tmp_path)
    signal.signal(signal.SIGINT, inherited)
    try:
        await until(lambda: b"next try in" in (tmp_path / "err").read_bytes())
        os.kill(process.pid, signal.SIGINT)
        assert await process.wait() == 130
    finally:
        process.kill()
    assert "Traceback" not in (tmp_path / "err").read_text()
