"""``python -m scheduler translate``: recordings in, translated recordings out."""

import json
from pathlib import Path
from typing import Any

import attrs
import click
import trio
from rich.console import Console

from scheduler.client import Session, StateChanged, connect
from scheduler.config import TranslateConfig
from scheduler.errors import SchedulerError
from scheduler.wire.common import Error
from scheduler.wire.session import AsrPartial, Backpressure, GoingAway, UiEvent

RAW = ".raw"
WAV_HEAD_BYTES = 12


class NotAudio(SchedulerError):
    """A file that is given as speech is none."""


@attrs.frozen(kw_only=True)
class Wish:
    """What to do with each file, and how."""

    src: str
    tgt: str
    settings: TranslateConfig
    as_json: bool = False


async def run_translate(files: list[Path], wish: Wish) -> int:
    """Translate the files one after the other; the number of those that failed.

    Texts and timings go to standard output, progress and causes to standard error. Raises
    ``ConfigError`` for an address that is none.
    """
    failed = 0
    console = Console(stderr=True, highlight=False)
    settings = wish.settings
    async with (
        connect(
            settings.url, src_lang=wish.src, tgt_lang=wish.tgt, platform="cli", config=settings
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_show_progress, session, console)
        for path, target in zip(files, targets(files, wish), strict=True):
            report = await _report(session, path, target, wish)
            failed += "error" in report
            _print(report, wish, console)
        nursery.cancel_scope.cancel()
    return failed


def targets(files: list[Path], wish: Wish) -> list[Path]:
    """Where each file's translation goes, without its ending: no two of them to one place."""
    found = list[Path]()
    for path in files:
        stem = target = Path(wish.settings.out) / f"{path.stem}.{wish.tgt}"
        number = 1
        while target in found:
            number += 1
            target = stem.with_name(f"{path.stem}-{number}.{wish.tgt}")
        found.append(target)
    return found


async def _report(session: Session, path: Path, target: Path, wish: Wish) -> dict[str, Any]:
    """One file to its outcome, as plain data; ``error`` says why there is none."""
    report: dict[str, Any] = {"file": str(path)}
    try:
        await _translate(session, path, target, wish, report)
    except SchedulerError as error:
        report["error"] = str(error)
    except OSError as error:
        report["error"] = f"{error.filename}: {error.strerror}"
    except trio.TooSlowError:
        report["error"] = f"no result in {wish.settings.timeout:g} s; the connection is "
        report["error"] += f"{session.state}" + (f" ({session.detail})" if session.detail else "")
    return report


async def _translate(
    session: Session, path: Path, target: Path, wish: Wish, report: dict[str, Any]
) -> None:
    audio = await trio.Path(path).read_bytes()
    raw = path.suffix.lower() == RAW
    if not raw:
        check_wav(audio)
    with trio.fail_after(wish.settings.timeout):
        result = await session.translate(
            audio, audio_format="pcm16" if raw else "wav", sample_rate=wish.settings.rate
        )
    report |= {
        "job_id": result.job_id,
        "silence": result.silence,
        "text_source": result.text_source,
        "text_translated": result.text_translated,
        "timings": attrs.asdict(result.timings) if result.timings else {},
    }
    if result.audio:
        place = trio.Path(f"{target}.{result.audio_format}")
        await place.parent.mkdir(parents=True, exist_ok=True)
        await place.write_bytes(result.audio)
        report["audio"] = str(place)


def check_wav(audio: bytes) -> None:
    """Raise :class:`NotAudio` for what cannot be a WAV file; the node looks closer."""
    if not audio:
        raise NotAudio("the file is empty")
    if len(audio) < WAV_HEAD_BYTES or audio[:4] != b"RIFF" or audio[8:12] != b"WAVE":
        raise NotAudio(f"this is no WAV file; headerless samples need the ending {RAW}")


def _print(report: dict[str, Any], wish: Wish, console: Console) -> None:
    if wish.as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    name = Path(report["file"]).name
    if "error" in report:
        console.print(f"{name}: {report['error']}", style="red", markup=False, soft_wrap=True)
        return
    if report["silence"]:
        click.echo(f"{name}: nobody spoke")
        return
    timings = [
        f"{key.removesuffix('_ms')} {value} ms"
        for key, value in report["timings"].items()
        if value is not None
    ]
    click.echo(name)
    click.echo(f"  {wish.src}: {report['text_source']}")
    click.echo(f"  {wish.tgt}: {report['text_translated']}")
    click.echo(f"  {', '.join(timings) or 'the node told no timings'}")
    if "audio" in report:
        click.echo(f"  audio: {report['audio']}")


async def _show_progress(session: Session, console: Console) -> None:
    async for event in session.events():
        match event:
            case StateChanged(state, detail):
                line, style = f"{state}: {detail}" if detail else str(state), "dim"
            case UiEvent(event="WAITING" | "ERROR"):
                line, style = f"{event.event.lower()}: {event.hint}", "yellow"
            case UiEvent():
                line, style = event.event.lower().replace("_", " "), "dim"
            case AsrPartial():
                line, style = f"… {event.text}", "dim"
            case Error():
                line, style = f"error: {event.message} [{event.code}]", "yellow"
            case Backpressure():
                line, style = f"the scheduler asks to {event.action.lower()}", "yellow"
            case GoingAway():
                line, style = f"the scheduler goes away: {event.reason}", "yellow"
            case _:
                continue
        console.print(line, style=style, markup=False, soft_wrap=True)
