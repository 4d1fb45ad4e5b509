"""``python -m scheduler``: one command each to serve, to run a node, to translate, to look.

Exit codes: 0 done, 1 it did not work (the last line says why), 2 wrong usage, 130 interrupted;
``doctor`` has its own, which name the step that failed.

A command is built, and what it needs is imported, only when it is called: ``--help`` is quick.
"""

import os
import sys
from collections.abc import Callable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler import __version__
from scheduler.errors import ConfigError, SchedulerError

if TYPE_CHECKING:
    from scheduler.config import Config, NodeConfig, TranslateConfig

PROGRAM = "python -m scheduler"
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
  a variable       SCHEDULER_PENDING_TIMEOUT=20 (SCHEDULER_NODE_… for a node,
                   SCHEDULER_CLIENT_… for translate)
  a TOML file      [scheduler] pending_timeout = 20.0; tables [node] and [client].
                   The file is --config FILE, or those named by SCHEDULER_SETTINGS,
                   or scheduler.toml in the current directory
  its default      see --help of the command
Durations are in seconds, sizes in bytes.

\b
Exit codes: 0 done, 1 it did not work (the last line says why), 2 wrong usage,
130 interrupted. doctor has its own, which name the step that failed.
"""

Builder = Callable[[], click.Command]


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
    group = _Commands(
        {
            "serve": _serve, "node": _node, "translate": _translate, "trace": _trace,
            "doctor": _doctor, "journal": _journal,
        },
        help=HELP,
        epilog=EPILOG,
    )  # fmt: skip
    return click.version_option(__version__, prog_name="lingua-scheduler")(group)


def _help(builder: Builder, more: str) -> str:
    """The first sentence of a command's help is what the list of commands shows."""
    return f"{builder.__doc__}\n\n{cleandoc(more)}"


def _serve() -> click.Command:
    """Run the scheduler."""
    from scheduler.commands.flags import SettingsCommand, config_flag, settings
    from scheduler.config import Config

    more = f"""It listens on one port for clients, nodes and browsers, until SIGINT or SIGTERM;
    then running work may finish (--drain-timeout), and a second signal ends it at once.

    \b
    Examples:
      {PROGRAM} serve
      {PROGRAM} serve --host 0.0.0.0 --port 8080 --log-format json
      {PROGRAM} serve --journal memory --pending-timeout 20
      {PROGRAM} serve --config /etc/scheduler.toml
    """

    @click.command("serve", cls=SettingsCommand, help=_help(_serve, more))
    @config_flag
    @settings(Config, "scheduler")
    def serve(settings: "Config") -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.serve import run_serve

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_serve, settings)

    return serve


def _node() -> click.Command:
    """Run a node: speech engines that a scheduler sends jobs to."""
    from scheduler.commands.flags import SettingsCommand, config_flag, settings
    from scheduler.config import NodeConfig

    more = f"""It dials the scheduler, again and again, and says which of its engines are ready
    and how to mend the others. SIGINT or SIGTERM lets running jobs finish (--drain-timeout).

    \b
    Examples:
      {PROGRAM} node
      {PROGRAM} node --url wss://scheduler.example:443 --slots 4 --node-id cellar
    """

    @click.command("node", cls=SettingsCommand, help=_help(_node, more))
    @config_flag
    @settings(NodeConfig, "node")
    def node(settings: "NodeConfig") -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.node import run_node

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_node, settings)

    return node


def _translate() -> click.Command:
    """Translate recorded speech: WAV files, or headerless samples (.raw)."""
    from scheduler.commands.flags import SettingsCommand, config_flag, settings
    from scheduler.config import TranslateConfig

    more = f"""Texts and timings in milliseconds go to standard output, progress and causes to
    standard error, translated speech into WAV files. It waits for a scheduler and for a node
    up to --timeout seconds a file. Exits with 1 if a file gave no result.

    \b
    Examples:
      {PROGRAM} translate FILE.wav --from en --to es
      {PROGRAM} translate *.raw --rate 8000 --from en --to es --out spanish
      {PROGRAM} translate FILE.wav --from en --to es --json 2>/dev/null
    """
    path = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

    @click.command("translate", cls=SettingsCommand, help=_help(_translate, more))
    @click.argument("files", nargs=-1, required=True, type=path)
    @click.option("--from", "src", required=True, metavar="LANG", help="Spoken language, e.g. en.")
    @click.option("--to", "tgt", required=True, metavar="LANG", help="Wanted language, e.g. es.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
    @config_flag
    @settings(TranslateConfig, "client")
    def translate(
        settings: "TranslateConfig", files: tuple[Path, ...], src: str, tgt: str, as_json: bool
    ) -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.translate import Wish, run_translate

        configure_logs("warning")
        wish = Wish(src=src, tgt=tgt, settings=settings, as_json=as_json)
        failed = trio.run(run_translate, list(files), wish)
        sys.exit(1 if failed else 0)

    return translate


def _trace() -> click.Command:
    """Tell what happened to a job, a trace or a session, and why."""
    more = f"""ID is a job's (job-…), a session's (s-…) or a trace id.

    \b
    Examples:
      {PROGRAM} trace job-9F4E0EE29F4E0EE2
      {PROGRAM} trace s-4505917C9E214505917C9E21 --json
    """

    @click.command("trace", help=_help(_trace, more))
    @click.argument("name", metavar="ID")
    @click.option(
        "--url", default="http://127.0.0.1:5010", show_default=True, metavar="URL",
        help="The scheduler.",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print what the API says, as it is.")
    def trace(name: str, url: str, as_json: bool) -> None:
        from functools import partial

        import trio

        from scheduler.commands.trace import run_trace

        trio.run(partial(run_trace, name, url, as_json=as_json))

    return trace


def _journal() -> click.Command:
    """Show what a journal has in it: counts and ids, never speech."""
    more = f"""It only reads, and may be used while a scheduler writes.

    \b
    Example: {PROGRAM} journal --journal /var/lib/lingua-scheduler/journal.sqlite3
    """

    @click.command("journal", help=_help(_journal, more))
    @click.option(
        "--journal", "path", default="", metavar="FILE", envvar="SCHEDULER_JOURNAL",
        help="The journal's file; without it the default one of this user.",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
    def journal(path: str, as_json: bool) -> None:
        from scheduler.commands.journal import run_journal

        run_journal(path, as_json=as_json)

    return journal


def _doctor() -> click.Command:
    """Send one short utterance all the way and say where it stops."""
    more = f"""
    \b
    Exit codes: 0 all is well; else 10 plus the number of the step that failed:
    11 port, 12 upgrade, 13 hello, 14 node, 15 languages, 16 services, 17 slot,
    18 receipt, 19 result, 20 acknowledgement.

    \b
    Example:
      {PROGRAM} doctor --url ws://127.0.0.1:5010 --from en --to es
    """

    @click.command("doctor", help=_help(_doctor, more))
    @click.option(
        "--url", default="ws://127.0.0.1:5010", show_default=True, metavar="URL",
        help="The scheduler.",
    )  # fmt: skip
    @click.option(
        "--from", "src", default="en", show_default=True, metavar="LANG", help="Spoken language."
    )
    @click.option(
        "--to", "tgt", default="es", show_default=True, metavar="LANG", help="Wanted language."
    )
    def doctor(url: str, src: str, tgt: str) -> None:
        import trio

        from scheduler.commands.doctor import run_doctor

        sys.exit(trio.run(run_doctor, url, src, tgt))

    return doctor


def main(argv: list[str] | None = None) -> None:
    """Run the command line; problems of settings and of the world are said in one line."""
    args = sys.argv[1:] if argv is None else argv
    try:
        _take_config_files(args)
        build()(args, prog_name=PROGRAM)
    except SchedulerError as error:
        sys.exit(f"error: {error}")
    except BaseExceptionGroup as group:
        _explain(group)
    except KeyboardInterrupt:
        sys.exit(130)


def _explain(group: BaseExceptionGroup[BaseException]) -> None:
    """End with the errors in a group, unless it holds a fault of ours: that one is shown whole."""
    from typed_settings.exceptions import TsError

    from scheduler.commands.flags import sentences

    interrupted, rest = group.split(KeyboardInterrupt)
    expected, faults = rest.split((SchedulerError, TsError)) if rest is not None else (None, None)
    if faults is not None:
        raise faults
    if expected is not None:
        sys.exit(f"error: {'; '.join(sentences(expected))}")
    assert interrupted is not None
    sys.exit(130)


def _take_config_files(args: list[str]) -> None:
    """Put ``--config FILE`` where the settings are looked for."""
    for place, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name == "--config":
            value = value or (args[place + 1] if place + 1 < len(args) else "")
            if not value:
                raise ConfigError("--config needs the name of a settings file")
            os.environ["SCHEDULER_SETTINGS"] = value
