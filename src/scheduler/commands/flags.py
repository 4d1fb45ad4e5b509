"""From a class of settings to a command: flags, backed by files and by the environment.

Every setting comes, in this order of strength, from its flag, from the environment, from a TOML
file, or from its default. ``--help`` shows them under headings and with their units.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
import typed_settings as ts
from typed_settings.converters import Converter, get_default_cattrs_converter
from typed_settings.exceptions import TsError

from scheduler.commands.menu import FILES_VARIABLE
from scheduler.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

SECTIONS: Mapping[str, str] = {
    "host": "The door",
    "pending_timeout": "The life of a job",
    "node_dead_timeout": "Nodes",
    "session_retention": "Sessions",
    "handshake_timeout": "Connections",
    "journal_sync": "The journal",
    "feed_interval": "The dashboard's feed",
    "metrics_pairs_max": "Bounds",
    "chunk_pause": "Speech that comes in chunks",
}
"""The headings of ``serve --help``, by the first setting below each."""


TABLES = ("scheduler", "node", "client")
USUAL_FILE = Path("scheduler.toml")


def settings(cls: type, table: str) -> Callable[[F], F]:
    """The decorator that gives a command the flags of ``cls``; its argument is ``settings``.

    ``table`` names the TOML table and the prefix of the variables. Raises ``ConfigError`` for
    what a file or the environment says wrongly.
    """
    loaders = ts.default_loaders(
        "scheduler",
        list(settings_files()),
        config_file_section=table,
        config_files_var=None,
        env_prefix="SCHEDULER_" if table == "scheduler" else f"SCHEDULER_{table.upper()}_",
    )

    def decorate(function: F) -> F:
        try:
            decorated: F = ts.click_options(
                cls, loaders, argname="settings", converter=_strict_converter()
            )(function)
        except (TsError, ValueError) as error:
            raise ConfigError("; ".join(sentences(error))) from None
        kinds = {field.name: field.type for field in attrs.fields(cls)}
        for option in getattr(decorated, "__click_params__", ()):
            if option.name in kinds:
                _dress(option, kinds[option.name])
        return decorated

    return decorate


def settings_files() -> Iterator[Path]:
    """The TOML files that are read, the strongest last.

    Raises ``ConfigError`` for one that is missing, is no TOML, or has a table of another name.
    """
    named = [Path(name) for name in os.environ.get(FILES_VARIABLE, "").split(":") if name]
    for path in ([USUAL_FILE] if USUAL_FILE.is_file() else []) + named:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise ConfigError(f"the settings file {path} cannot be read: {reason}") from None
        except ValueError as error:  # TOML and UTF-8 errors are both of this kind
            raise ConfigError(f"the settings file {path} is no TOML: {error}") from None
        if unknown := [name for name in tables if name not in TABLES]:
            text = f"{path} has {', '.join(unknown)}; known tables are {', '.join(TABLES)}"
            raise ConfigError(text)
        yield path


def _strict_converter() -> Converter:
    """``true`` is not 1, 2.5 is not 2, and 3 is no address."""
    converter = get_default_cattrs_converter()
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(str, _text)
    return converter


def _whole(value: object, _kind: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("no whole number")
    return int(value)


def _text(value: object, _kind: type) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _number(value: object, _kind: type) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no number")
    return float(value)


def _dress(option: click.Option, kind: type | None) -> None:
    """Show the unit, and no default where the help tells how it follows from others."""
    name = option.name or ""
    if kind is float:
        option.metavar = "RATIO" if "_per_" in name else "SECONDS"
    elif kind is not bool:
        option.metavar = _KINDS.get(name) or ("BYTES" if "bytes" in name else "COUNT")
    if "Follows the others" in (option.help or "") or option.default == "":
        option.show_default = False


_KINDS = {
    "host": "ADDRESS", "port": "PORT", "journal": "FILE|memory", "log_level": "LEVEL",
    "log_format": "FORMAT", "journal_sync": "HOW", "url": "URL", "node_id": "NAME", "out": "DIR",
    "rate": "HZ",
}  # fmt: skip
"""What stands for a value that is neither a duration nor a number of something."""


def config_flag(command: F) -> F:
    """``--config``: it is read before the flags exist, see ``cli.main``; here it is explained."""
    return click.option(
        "--config",
        metavar="FILE",
        expose_value=False,
        help="A TOML file with settings, in tables [scheduler], [node] and [client].",
    )(command)


class SettingsCommand(click.Command):
    """A command whose options stand under the headings of ``SECTIONS``."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, each under the heading that was opened last."""
        heading, rows = "Options", list[tuple[str, str]]()
        for param in self.get_params(ctx):
            opened = SECTIONS.get(param.name or "")
            if opened is not None or param.name == "help":
                _write(formatter, heading, rows)
                heading, rows = opened or "Help", []
            row = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if row is not None:
                rows.append(row)
        _write(formatter, heading, rows)


def _write(formatter: click.HelpFormatter, heading: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows)


_WRONG_KIND = re.compile(r"Invalid default (?P<value>.+) for option '(?P<name>\w+)' with type "
                         r"<class '(?P<kind>\w+)'>")  # fmt: skip
_UNKNOWN = re.compile(r"Invalid options found in (?P<file>.+): (?P<names>.+)")
_KIND_NAMES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def sentences(error: BaseException) -> list[str]:
    """What went wrong, without the wrapping that libraries put around it."""
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in sentences(inner)]
    if (wrong := _WRONG_KIND.match(str(error))) is not None:
        kind = _KIND_NAMES.get(wrong["kind"], "a text")
        return [f"{wrong['name']} must be {kind}, not {wrong['value']}"]
    if (unknown := _UNKNOWN.match(str(error))) is not None:
        return [f"{unknown['file']} has unknown settings: {unknown['names']}"]
    heading, *problems = str(error).splitlines() or [type(error).__name__]
    return [line.removeprefix("- ").removeprefix("ConfigError: ") for line in problems] or [heading]
