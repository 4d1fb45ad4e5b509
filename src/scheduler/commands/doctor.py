"""``python -m scheduler doctor``: one short utterance, all the way, and where it stops.

The exit code is 0 if all is well, else 10 plus the number of the step that failed: 11 port,
12 upgrade, 13 hello, 14 node, 15 languages, 16 services, 17 slot, 18 receipt, 19 result,
20 acknowledgement.
"""

import os
import sys
from importlib import resources

import click

from scheduler.commands.checkup import LINK_S, Found, Patient, examine
from scheduler.commands.http import Reach, reach_by_tcp
from scheduler.runtime.dialer import parse_url

RECORDING = "ten-of-clubs.wav"
"""Somebody says "ten of clubs": 1.1 s, 16 kHz, 16 bit, mono."""
SAMPLE_RATE_HZ = 16_000
EXIT_BASE = 10


async def run_doctor(url: str, src: str, tgt: str, *, reach: Reach | None = None) -> int:
    """Examine the scheduler at ``url``, print each step; the exit code.

    ``reach`` replaces the network. Raises ``ConfigError`` for an address that is none.
    """
    patient = Patient(
        url=url,
        reach=reach or reach_by_tcp(parse_url(url), LINK_S),
        src=src,
        tgt=tgt,
        audio=recording(),
        sample_rate=SAMPLE_RATE_HZ,
    )
    failed = await examine(patient, _print)
    if not failed:
        return 0
    return EXIT_BASE + failed


def recording() -> bytes:
    """The doctor's own recording of a person, a WAV file; its licence lies beside it."""
    return resources.files("scheduler.commands").joinpath("speech", RECORDING).read_bytes()


def _print(found: Found) -> None:
    click.echo(line_about(found, colours=sys.stdout.isatty() and "NO_COLOR" not in os.environ))


def line_about(found: Found, *, colours: bool) -> str:
    """One line, or two if there is advice: ``ok    4 node  1 node is connected``."""
    mark = "ok" if found.well else "FAIL"
    if colours:
        mark = click.style(f"{mark:4}", fg="green" if found.well else "red", bold=True)
    line = f"{mark:4} {found.number:2} {found.name:15} {found.text}"
    return f"{line}\n     next: {found.advice}" if found.advice else line
