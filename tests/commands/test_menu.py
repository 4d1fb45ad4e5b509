"""Every command: its help teaches, and what the help shows is what the command takes."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scheduler.commands.menu import MENU, PROGRAM


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files to name, and no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCHEDULER_SETTINGS", raising=False)
    Path("FILE.wav").touch()
    Path("speech.raw").touch()


def examples(command: click.Command) -> list[str]:
    """The calls that the help of a command shows, without the name of the program."""
    text = CliRunner().invoke(command, ["--help"], prog_name=PROGRAM).output
    start = f"    {PROGRAM} {command.name}"
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("name", MENU)
def test_a_command_is_named_as_in_the_menu(name: str) -> None:
    """Its help begins with the sentence that the list of commands shows."""
    command = MENU[name]()
    assert command.name == name
    assert command.help is not None
    assert command.help.split("\n\n")[0] == MENU[name].__doc__


@pytest.mark.parametrize("name", MENU)
def test_every_option_explains_itself(name: str) -> None:
    """No flag stands there without a sentence."""
    for option in MENU[name]().params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.help.endswith("."), option.help


@pytest.mark.parametrize("name", MENU)
def test_the_examples_can_be_typed(name: str) -> None:
    """Each command shows at least one call, and takes all that it shows."""
    command = MENU[name]()
    assert examples(command)
    for example in examples(command):
        words = example.replace("*.raw", "speech.raw").replace("2>/dev/null", "").split()
        if "--config" not in words:  # read before the flags are made: see test_cli
            command.make_context(name, words)
