"""From settings to flags: where a value may come from, and how a wrong one is refused."""

import os
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from click.testing import CliRunner

from scheduler.commands.flags import SECTIONS, SettingsCommand, config_flag, settings
from scheduler.config import Config, NodeConfig, TranslateConfig
from scheduler.errors import ConfigError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test: an empty directory, and no variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SCHEDULER_")]:
        monkeypatch.delenv(name)


def taken(*arguments: str, cls: type = Config, table: str = "scheduler") -> Any:
    """The settings that a command gets which is called with these arguments."""
    got = []

    @click.command(cls=SettingsCommand)
    @config_flag
    @settings(cls, table)
    def command(settings: Any) -> None:
        got.append(settings)

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return got[0]


def help_of(cls: type, table: str) -> str:
    @click.command(cls=SettingsCommand)
    @settings(cls, table)
    def command(settings: Any) -> None:
        """Nothing."""

    return CliRunner().invoke(command, ["--help"]).output


def test_without_anything_the_defaults_are_taken() -> None:
    """A command that is called with nothing has the settings of the class."""
    assert taken() == Config()
    assert taken(cls=NodeConfig, table="node") == NodeConfig()
    assert taken(cls=TranslateConfig, table="client") == TranslateConfig()


def test_the_strongest_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag beats a variable, a variable a named file, that one the file of the directory."""
    Path("scheduler.toml").write_text("[scheduler]\nport = 1\nhost = 'usual'\nattempts_max = 9\n")
    named = tmp_path / "named.toml"
    named.write_text("[scheduler]\nport = 2\nhost = 'named'\n")
    assert (taken().port, taken().host, taken().attempts_max) == (1, "usual", 9)
    monkeypatch.setenv("SCHEDULER_SETTINGS", str(named))
    assert (taken().port, taken().host, taken().attempts_max) == (2, "named", 9)
    monkeypatch.setenv("SCHEDULER_PORT", "3")
    assert (taken().port, taken().host) == (3, "named")
    assert taken("--port", "4").port == 4


def test_each_command_has_its_own_table_and_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to a node does not concern the scheduler."""
    Path("scheduler.toml").write_text("[node]\nslots = 7\n[client]\ntimeout = 5\n")
    monkeypatch.setenv("SCHEDULER_NODE_URL", "ws://there:1")
    monkeypatch.setenv("SCHEDULER_CLIENT_RATE", "8000")
    node = taken(cls=NodeConfig, table="node")
    assert (node.slots, node.url) == (7, "ws://there:1")
    client = taken(cls=TranslateConfig, table="client")
    assert (client.timeout, client.rate, client.url) == (5.0, 8000, "ws://127.0.0.1:5010")
    assert taken() == Config()


def test_followers_follow_what_was_set() -> None:
    """A timer that depends on another is computed from its flag, not from its default."""
    assert taken("--dispatched-timeout", "8").node_receipt_timeout == 1.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[scheduler]\nportt = 3", "scheduler.toml has unknown settings: portt"),
        ("[scheduler]\nport = 'x'", "port must be a whole number, not 'x'"),
        ("[scheduler]\nport = 2.5", "port must be a whole number, not 2.5"),
        ("[scheduler]\nport = true", "port must be a whole number, not True"),
        ("[scheduler]\npending_timeout = true", "pending_timeout must be a number, not True"),
        ("[scheduler]\nhost = 3", "host must be a text, not 3"),
        ("[scheduler]\naudio_at_rest = 3", "audio_at_rest must be true or false, not 3"),
        ("[schedular]\nport = 3", "scheduler.toml has schedular; known tables are scheduler, node"),
        ("port = 3", "scheduler.toml has port; known tables are scheduler, node, client"),
        ("[scheduler", "the settings file scheduler.toml is no TOML: "),
    ],
)
def test_a_file_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    """The sentence names the setting or the file, and what would be right."""
    Path("scheduler.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        taken()
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_variable_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says wrongly is refused like what a file says wrongly."""
    monkeypatch.setenv("SCHEDULER_PENDING_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match=r"^pending_timeout must be a number, not 'soon'$"):
        taken()


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file that cannot be read is an error, not an absence of settings."""
    monkeypatch.setenv("SCHEDULER_SETTINGS", "nowhere.toml")
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read: no such file"):
        taken()
    monkeypatch.setenv("SCHEDULER_SETTINGS", ".")
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        taken()


@pytest.mark.parametrize(
    ("cls", "table"), [(Config, "scheduler"), (NodeConfig, "node"), (TranslateConfig, "client")]
)
def test_every_setting_has_a_flag_with_its_unit(cls: type, table: str) -> None:
    """The help shows each field once, with what stands for its value, and its sentence."""
    text = " ".join(help_of(cls, table).split())
    for field in attrs.fields(cls):
        flag = "--" + field.name.replace("_", "-")
        value = text.split(f" {flag} ")[1] if f" {flag} " in text else ""
        if field.type is bool:
            assert f"{flag} / --no-" in text, flag
        else:
            unit = value.split(" ")[0]
            assert unit.isupper() or unit == "FILE|memory", flag
            assert (unit in ("SECONDS", "RATIO")) == (field.type is float), flag
            assert (unit == "BYTES") == ("bytes" in field.name), flag
        assert field.metadata["help"].split(" Follows")[0] in text, flag


def test_no_default_is_dynamic() -> None:
    """Where a default follows from others, the help says its usual value and nothing else."""
    text = help_of(Config, "scheduler")
    assert "dynamic" not in text
    assert 'default: ""' not in text


def test_the_headings_stand_where_they_belong() -> None:
    """Each heading begins with a setting that exists, and all are shown in their order."""
    names = [field.name for field in attrs.fields(Config)]
    places = [names.index(name) for name in SECTIONS]
    assert places == sorted(places)
    text = help_of(Config, "scheduler")
    shown = [text.index(f"\n{heading}:") for heading in SECTIONS.values()]
    assert shown == sorted(shown)


def test_what_a_command_adds_comes_first() -> None:
    """In the help of `translate` the address stands above the timers of its connection."""
    text = help_of(TranslateConfig, "client")
    assert text.index("--url") < text.index("--rate") < text.index("--connect-timeout")
