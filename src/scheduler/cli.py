"""``python -m scheduler``: one command each to serve, to run a node, to translate, to look.

Exit codes: 0 done, 1 it did not work (the last line says why), 2 wrong usage, 130 interrupted;
``doctor`` has its own, which name the step that failed.

A command is built, and what it needs is imported, only when it is called: ``--help`` is quick.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from scheduler import __version__
from scheduler.commands.menu import FILES_VARIABLE, MENU, PROGRAM, Builder
from scheduler.errors import ConfigError, SchedulerError

HELP = f"""A real-time dispatch scheduler for speech translation.

Without a command it serves: `{PROGRAM}` is `{PROGRAM} serve`.

\b
Examples, each in a terminal of its own, in any order:
  {PROGRAM} serve --port 5010
  {PROGRAM} node --url ws://127.0.0.1:5010 --slots 2
  {PROGRAM} translate FILE.wav --from en --to es
"""
EPILOG = """\b
Every setting comes, in this order of strength, from
  its flag         --pending-timeout 20
  a variable       SCHEDULER_PENDING_TIMEOUT=20
                   (SCHEDULER_NODE_… and SCHEDULER_CLIENT_… for the others)
  a TOML file      [scheduler] pending_timeout = 20.0; also [node], [client]
                   (--config FILE, or the files named by SCHEDULER_SETTINGS,
                   or scheduler.toml in the current directory)
  its default      see --help of the command
Durations are in seconds, sizes in bytes.

\b
Exit codes: 0 done, 1 it did not work (the last line says why), 2 wrong usage,
130 interrupted. doctor has its own, which name the step that failed.
"""


class _Commands(click.Group):
    """Commands that are built when they are called; without a name ``serve`` is meant."""

    def __init__(self, builders: Mapping[str, Builder], **options: Any) -> None:
        super().__init__(**options)
        self._builders = builders

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's own
        return list(self._builders)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        builder = self._builders.get(cmd_name)
        return None if builder is None else builder()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            rows = [(name, builder.__doc__ or "") for name, builder in self._builders.items()]
            formatter.write_dl(rows)


def build() -> click.Group:
    """The whole command line."""
    group = _Commands(MENU, help=HELP, epilog=EPILOG)
    return click.version_option(__version__, prog_name="lingua-scheduler")(group)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; problems of settings and of the world are said in one line."""
    args = sys.argv[1:] if argv is None else argv
    try:
        with _config_file(args):
            sys.exit(build().main(args, prog_name=PROGRAM, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SchedulerError as error:
        sys.exit(f"error: {error}")
    except BaseExceptionGroup as group:
        _explain(group)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


def _explain(group: BaseExceptionGroup[BaseException]) -> None:
    """End with the errors in a group, unless it holds a fault of ours: that one is shown whole."""
    from typed_settings.exceptions import TsError

    from scheduler.commands.flags import sentences

    interrupted, rest = group.split(KeyboardInterrupt)
    expected, faults = rest.split((SchedulerError, TsError)) if rest is not None else (None, None)
    if faults is not None:
        raise faults
    if interrupted is not None:  # what broke then broke because of that
        sys.exit(130)
    assert expected is not None
    sys.exit(f"error: {'; '.join(sentences(expected))}")


@contextlib.contextmanager
def _config_file(args: list[str]) -> Iterator[None]:
    """Put ``--config FILE`` where settings are looked for, as long as the command runs."""
    before = os.environ.get(FILES_VARIABLE)
    for place, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name == "--config":
            value = value or (args[place + 1] if place + 1 < len(args) else "")
            if not value:
                raise ConfigError("--config needs the name of a settings file")
            os.environ[FILES_VARIABLE] = value
    try:
        yield
    finally:
        os.environ.pop(FILES_VARIABLE, None)
        if before is not None:
            os.environ[FILES_VARIABLE] = before
