"""Every command of the command line: its flags, its help with examples, and what it runs.

Each is a function that builds the command; the first sentence of its help is its docstring. What
a command needs is imported when it is built or called, so that a list of them costs nothing.
"""

import sys
from collections.abc import Callable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scheduler.config import Config, NodeConfig, TranslateConfig

PROGRAM = "python -m scheduler"
FILES_VARIABLE = "SCHEDULER_SETTINGS"
"""The variable with the names of settings files, separated by colons."""

Builder = Callable[[], click.Command]


def _help(builder: Builder, more: str) -> str:
    """The first sentence of a command's help is what the list of commands shows."""
    return f"{builder.__doc__}\n\n{cleandoc(more)}"


def serve() -> click.Command:
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

    @click.command("serve", cls=SettingsCommand, help=_help(serve, more))
    @config_flag
    @settings(Config, "scheduler")
    def command(settings: "Config") -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.serve import run_serve

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_serve, settings)

    return command


def node() -> click.Command:
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

    @click.command("node", cls=SettingsCommand, help=_help(node, more))
    @config_flag
    @settings(NodeConfig, "node")
    def command(settings: "NodeConfig") -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.node import run_node

        configure_logs(settings.log_level, settings.log_format)
        trio.run(run_node, settings)

    return command


def translate() -> click.Command:
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

    @click.command("translate", cls=SettingsCommand, help=_help(translate, more))
    @click.argument("files", nargs=-1, required=True, type=path)
    @click.option("--from", "src", required=True, metavar="LANG", help="Spoken language, e.g. en.")
    @click.option("--to", "tgt", required=True, metavar="LANG", help="Wanted language, e.g. es.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object per file.")
    @config_flag
    @settings(TranslateConfig, "client")
    def command(
        settings: "TranslateConfig", files: tuple[Path, ...], src: str, tgt: str, as_json: bool
    ) -> None:
        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.translate import Wish, run_translate

        configure_logs("warning")
        wish = Wish(src=src, tgt=tgt, settings=settings, as_json=as_json)
        failed = trio.run(run_translate, list(files), wish)
        sys.exit(1 if failed else 0)

    return command


def trace() -> click.Command:
    """Tell what happened to a job, a trace or a session, and why."""
    more = f"""ID is a job's (job-…), a session's (s-…) or a trace id.

    \b
    Examples:
      {PROGRAM} trace job-9F4E0EE29F4E0EE2
      {PROGRAM} trace s-4505917C9E214505917C9E21 --json
    """

    @click.command("trace", help=_help(trace, more))
    @click.argument("name", metavar="ID")
    @click.option(
        "--url", default="http://127.0.0.1:5010", show_default=True, metavar="URL",
        help="The scheduler.",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print what the API says, as it is.")
    def command(name: str, url: str, as_json: bool) -> None:
        from functools import partial

        import trio

        from scheduler.commands.logs import configure_logs
        from scheduler.commands.trace import run_trace

        configure_logs("error")
        trio.run(partial(run_trace, name, url, as_json=as_json))

    return command


def journal() -> click.Command:
    """Show what a journal has in it: counts and ids, never speech."""
    more = f"""It only reads, and may be used while a scheduler writes.

    \b
    Examples:
      {PROGRAM} journal
      {PROGRAM} journal --journal /var/lib/lingua-scheduler/journal.sqlite3
    """

    @click.command("journal", help=_help(journal, more))
    @click.option(
        "--journal", "path", default="", metavar="FILE", envvar="SCHEDULER_JOURNAL",
        help="The journal's file; without it the default one of this user.",
    )  # fmt: skip
    @click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
    def command(path: str, as_json: bool) -> None:
        from scheduler.commands.journal import run_journal

        run_journal(path, as_json=as_json)

    return command


def doctor() -> click.Command:
    """Send one short utterance all the way and say where it stops."""
    more = f"""
    \b
    Exit codes: 0 all is well; else 10 plus the number of the step that failed:
    11 port, 12 upgrade, 13 hello, 14 node, 15 languages, 16 services, 17 slot,
    18 receipt, 19 result, 20 acknowledgement.

    \b
    Examples:
      {PROGRAM} doctor --url ws://127.0.0.1:5010 --from en --to es
    """

    @click.command("doctor", help=_help(doctor, more))
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
    def command(url: str, src: str, tgt: str) -> None:
        import trio

        from scheduler.commands.doctor import run_doctor
        from scheduler.commands.logs import configure_logs

        configure_logs("error")
        sys.exit(trio.run(run_doctor, url, src, tgt))

    return command


MENU: Mapping[str, Builder] = {
    "serve": serve, "node": node, "translate": translate, "trace": trace, "doctor": doctor,
    "journal": journal,
}  # fmt: skip
"""The commands in the order in which they are shown."""
