"""``python -m scheduler journal``: what a journal has in it, for people and programs."""

import json
import time

import attrs
import click

from scheduler.errors import ConfigError
from scheduler.store.locate import journal_path
from scheduler.store.survey import Survey, survey

SESSIONS_SHOWN_MAX = 50


def run_journal(setting: str, *, as_json: bool) -> None:
    """Print what the journal that ``setting`` names has in it.

    Raises ``JournalError`` if it cannot be read, ``ConfigError`` if there is no file to read.
    """
    path = journal_path(setting)
    if path is None:
        raise ConfigError("a journal that is only memory ends with its scheduler")
    found = survey(path)
    if as_json:
        click.echo(json.dumps(attrs.asdict(found), indent=2))
    else:
        click.echo("\n".join(_lines(found)))


def _lines(found: Survey) -> list[str]:
    sessions = found.sessions
    unfinished = sum(session.unfinished for session in sessions)
    unacknowledged = sum(session.unacknowledged for session in sessions)
    lines = [
        f"{found.path} (content version {found.version}, {_size(found.file_bytes)})",
        f"{len(sessions)} sessions that may resume",
        f"{unfinished} unfinished jobs ({_size(found.audio_chars)} of audio)",
        f"{unacknowledged} outcomes not acknowledged ({_size(found.outcome_chars)})",
    ]
    if sessions:
        lines += ["", f"{'session':26}  {'since':19}  unfinished  unacknowledged  received"]
    for session in sessions[:SESSIONS_SHOWN_MAX]:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(session.joined_at_ms / 1000))
        lines.append(
            f"{session.session_id:26}  {since}  {session.unfinished:10}  "
            f"{session.unacknowledged:14}  {session.received:8}"
        )
    if len(sessions) > SESSIONS_SHOWN_MAX:
        lines.append(f"and {len(sessions) - SESSIONS_SHOWN_MAX} more (--json shows them all)")
    return lines


def _size(count: int) -> str:
    return f"{count} B" if count < 1024 else f"{count / 1024:.0f} KiB"
