"""``python -m scheduler``: serve, node, translate.

Every setting comes, in this order of strength, from a flag, from the environment
(``SCHEDULER_PENDING_TIMEOUT``), from a TOML file (``--config FILE``, or the files named by
``SCHEDULER_SETTINGS``, or ``scheduler.toml`` here), or from its default.

Exit codes: 0 done, 1 it did not work (the last line says why), 2 wrong usage; ``doctor`` has
its own, which name the step that failed.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import trio
import typed_settings as ts
from typed_settings.exceptions import TsError

from scheduler import __version__
from scheduler.commands.logs import configure_logs
from scheduler.config import Config, NodeConfig
from scheduler.errors import ConfigError, SchedulerError

F = TypeVar("F", bound=Callable[..., Any])
EPILOG = (__doc__ or "").split("\n\n", 1)[1].replace("``", "")


class _Commands(click.Group):
    """Without the name of a command, ``serve`` is meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


def _settings(cls: type, table: str) -> Callable[[F], F]:
    """The decorator that turns a settings class into flags, backed by files and environment."""
    prefix = "SCHEDULER_" if table == "scheduler" else f"SCHEDULER_{table.upper()}_"
    loaders = ts.default_loaders(
        "scheduler",
        [Path("scheduler.toml")],
        config_file_section=table,
        config_files_var="SCHEDULER_SETTINGS",
        env_prefix=prefix,
    )
    decorate: Callable[[F], F] = ts.click_options(cls, loaders, argname="settings")
    return decorate


def _config_flag(command: F) -> F:
    """``--config`` is read before the flags exist (see :func:`main`); here it is explained."""
    return click.option(
        "--config",
        metavar="FILE",
        expose_value=False,
        help="A TOML file with settings; tables [scheduler] and [node].",
    )(command)


def build() -> click.Group:
    """The command line, with defaults from files and environment already in place."""

    @click.group(cls=_Commands, epilog=EPILOG)
    @click.version_option(__version__, prog_name="lingua-scheduler")
    def cli() -> None:
        """A real-time dispatch scheduler for speech translation.

        Without a command it serves: `python -m scheduler` is `python -m scheduler serve`.
        """

    @cli.command()
    @_config_flag
    @_settings(Config, "scheduler")
    def serve(settings: Config) -> None:
        """Run the scheduler. Durations are in seconds."""
        from scheduler.commands.serve import run_serve

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_serve, settings)

    @cli.command()
    @_config_flag
    @_settings(NodeConfig, "node")
    def node(settings: NodeConfig) -> None:
        """Run a node: speech engines that a scheduler sends jobs to."""
        from scheduler.commands.node import run_node

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_node, settings)

    @cli.command()
    @click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
    @click.option("--from", "src", required=True, metavar="LANG", help="Spoken language, e.g. en.")
    @click.option("--to", "tgt", required=True, metavar="LANG", help="Wanted language, e.g. es.")
    @click.option("--url", default="ws://127.0.0.1:5010", show_default=True, help="The scheduler.")
    @click.option(
        "--out", default=".", show_default=True, type=click.Path(file_okay=False), metavar="DIR",
        help="Where the translated WAV files go.",
    )  # fmt: skip
    @click.option(
        "--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0.1),
        help="Seconds to wait for one file's result, connecting included.",
    )  # fmt: skip
    @click.option(
        "--rate", default=16000, show_default=True, type=click.IntRange(min=8000),
        help="Samples per second of headerless .raw files (16-bit, mono).",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
    def translate(
        files: tuple[str, ...], src: str, tgt: str, url: str, out: str, timeout: float,
        rate: int, as_json: bool,
    ) -> None:  # fmt: skip
        """Translate recorded speech: WAV files, or headerless 16-bit samples (.raw)."""
        from scheduler.commands.translate import Wish, run_translate

        configure_logs("warning")
        wish = Wish(
            src=src, tgt=tgt, url=url, out=Path(out), timeout=timeout, sample_rate=rate,
            as_json=as_json,
        )  # fmt: skip
        failed = trio.run(run_translate, [Path(name) for name in files], wish)
        sys.exit(1 if failed else 0)

    _add_looking(cli)
    return cli


def _add_looking(cli: click.Group) -> None:
    """The commands that look at a scheduler and change nothing."""

    @cli.command()
    @click.argument("name", metavar="ID")
    @click.option(
        "--url", default="http://127.0.0.1:5010", show_default=True, help="The scheduler."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print what the API says, as it is.")
    def trace(name: str, url: str, as_json: bool) -> None:
        """Tell what happened to a job, a trace or a session, and why."""
        from scheduler.commands.trace import run_trace

        trio.run(partial(run_trace, name, url, as_json=as_json))

    @cli.command()
    @click.option("--url", default="ws://127.0.0.1:5010", show_default=True, help="The scheduler.")
    @click.option("--from", "src", default="en", show_default=True, help="Spoken language.")
    @click.option("--to", "tgt", default="es", show_default=True, help="Wanted language.")
    def doctor(url: str, src: str, tgt: str) -> None:
        """Send one short utterance all the way and say where it stops.

        \b
        Exit codes: 0 all is well; else 10 plus the number of the step that failed:
        11 port, 12 upgrade, 13 hello, 14 node, 15 languages, 16 services, 17 slot,
        18 receipt, 19 result, 20 acknowledgement.
        """
        from scheduler.commands.doctor import run_doctor

        sys.exit(trio.run(run_doctor, url, src, tgt))


def main(argv: list[str] | None = None) -> None:
    """Run the command line; problems of settings and of the world are said in one line."""
    args = sys.argv[1:] if argv is None else argv
    try:
        _take_config_files(args)
        command = _build_or_explain()
        command(args, prog_name="python -m scheduler")
    except (TsError, SchedulerError) as error:
        sys.exit(f"error: {'; '.join(_sentences(error))}")
    except KeyboardInterrupt:
        sys.exit(130)


def _build_or_explain() -> click.Group:
    """The command line; a wrong value in a file or the environment is an error of settings."""
    try:
        return build()
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _sentences(error: BaseException) -> list[str]:
    """What went wrong, without the wrapping that libraries put around it."""
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in _sentences(inner)]
    heading, *problems = str(error).splitlines() or [type(error).__name__]
    return [line.removeprefix("- ").removeprefix("ConfigError: ") for line in problems] or [heading]


def _take_config_files(args: list[str]) -> None:
    """Put ``--config FILE`` where the settings library looks for it."""
    for place, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name != "--config":
            continue
        value = value or (args[place + 1] if place + 1 < len(args) else "")
        if not Path(value).is_file():
            raise ConfigError(f"there is no settings file {value!r}")
        os.environ["SCHEDULER_SETTINGS"] = value
