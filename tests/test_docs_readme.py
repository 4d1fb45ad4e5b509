"""What the README shows is what works: its program is run, its command lines are parsed."""

import re
import sys
from pathlib import Path

import pytest
import trio
from client_support import scheduler_on_port
from fakes import ScriptedRunner
from repository import ROOT

from scheduler.commands.menu import MENU, PROGRAM
from scheduler.config import Config, NodeConfig, TranslateConfig

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
CALLS = re.findall(rf"{PROGRAM}((?: [^`#\n]+)?)", README)
ADDRESS = "ws://127.0.0.1:5010"


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
async def test_the_program_runs(program: str, tmp_path: Path) -> None:
    """Pasted into a file, it prints what was said and its translation, and leaves nothing open."""
    (tmp_path / "FILE.wav").write_text("hello")
    async with scheduler_on_port(ScriptedRunner()) as (url, shell):
        assert ADDRESS in program
        (tmp_path / "program.py").write_text(program.replace(ADDRESS, url), encoding="utf-8")
        done = await trio.run_process(
            [sys.executable, "-X", "utf8", "program.py"],
            cwd=tmp_path,
            capture_stdout=True,
            capture_stderr=True,
        )
        assert done.stdout.decode() == "hello → HELLO\n"
        assert done.stderr == b""
        assert shell.engine.snapshot(trio.current_time()).sessions() == []


def test_there_is_a_program() -> None:
    """The README shows how to use the SDK, in a block that is marked as Python."""
    assert len(PROGRAMS) == 1


@pytest.mark.parametrize("call", CALLS)
def test_the_command_lines_are_understood(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `python -m scheduler …` names a command that takes these arguments."""
    monkeypatch.chdir(tmp_path)
    Path("FILE.wav").touch()
    name, *arguments = [*call.split(), "serve"] if not call.strip() else call.split()
    if name.startswith("-") or "--help" in arguments:
        return
    MENU[name]().make_context(name, arguments)


def test_the_addresses_are_the_defaults() -> None:
    """Whoever types the three command lines needs no address, and finds the pages."""
    assert TranslateConfig().url == NodeConfig().url == ADDRESS
    assert f"http://{Config().host}:{Config().port}/dashboard" in README
