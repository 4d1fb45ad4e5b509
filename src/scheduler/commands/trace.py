"""``python -m scheduler trace``: what happened to a job, a trace or a session, and why."""

import json
from typing import Any
from urllib.parse import quote

import click

from scheduler.commands.http import Reach, get_json, parse_http_url, reach_by_tcp
from scheduler.errors import SchedulerError
from scheduler.observe.words import clock

HTTP_TIMEOUT_S = 10.0
NOT_FOUND = 404


async def run_trace(name: str, url: str, *, as_json: bool, reach: Reach | None = None) -> None:
    """Print the timeline and the verdict of everything known under ``name``.

    ``reach`` replaces the network. Raises ``SchedulerError`` if nothing is known, nobody
    answers, or the address is none.
    """
    reach = reach or reach_by_tcp(parse_http_url(url), HTTP_TIMEOUT_S)
    status, answer = await get_json(
        reach, f"/api/v1/traces/{quote(name, safe='')}", timeout=HTTP_TIMEOUT_S
    )
    if status == NOT_FOUND:
        raise SchedulerError(f"{name}: {answer.get('error', 'not found')}")
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        click.echo("\n".join(lines_about(answer)))


def lines_about(trace: dict[str, Any]) -> list[str]:
    """A trace for people: for each job its head, its timeline and its verdict."""
    lines: list[str] = []
    if trace["kind"] == "session":
        lines += [_about_session(trace), ""]
    for job in trace["jobs"]:
        lines += [*_about_job(job), ""]
    return lines[:-1]


def _about_session(trace: dict[str, Any]) -> str:
    session = trace["session"]
    if session is None:
        return f"{trace['id']} is over"
    if session["connected"]:
        state = "connected"
    elif session["resumable_until_ms"] is not None:
        state = f"without a connection; it may resume until {clock(session['resumable_until_ms'])}"
    else:
        state = "without a connection"
    return (
        f"{trace['id']} is {state}; {session['unfinished']} utterances are unfinished, "
        f"{session['owed']} outcomes are not acknowledged"
    )


def _about_job(job: dict[str, Any]) -> list[str]:
    head = f"{job['job_id']}: utterance {job['utterance_index']} of {job['session_id']}, "
    head += f"submitted at {clock(job['accepted_at_ms'])}, trace {job['trace_id']}"
    width = max(len(line["what"]) for line in job["timeline"])
    lines = [
        f"  {line['offset_ms'] / 1000:+9.3f} s  {line['what']:{width}}  {line['text']}"
        for line in job["timeline"]
    ]
    verdict = job["verdict"]
    return [head, *lines, f"{verdict['text']} [{verdict['code']}]"]
