"""``python -m scheduler translate``: recordings in, translated recordings out."""

import json
from pathlib import Path
from typing import Any

import attrs
import click
import trio
from rich.console import Console

from scheduler.client import Session, StateChanged, connect
from scheduler.errors import SchedulerError
from scheduler.wire.session import AsrPartial, UiEvent


@attrs.frozen(kw_only=True)
class Wish:
    """What to do with each file. ``timeout`` is in seconds, per file."""

    src: str
    tgt: str
    url: str
    out: Path
    timeout: float
    sample_rate: int
    as_json: bool = False


async def run_translate(files: list[Path], wish: Wish) -> int:
    """Translate the files one after the other; the number of those that failed.

    Texts and timings go to standard output, progress and causes to standard error.
    """
    failed = 0
    console = Console(stderr=True, highlight=False)
    wish.out.mkdir(parents=True, exist_ok=True)
    async with (
        connect(wish.url, src_lang=wish.src, tgt_lang=wish.tgt, platform="cli") as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_show_progress, session, console)
        for path in files:
            try:
                report = await _translate(session, path, wish)
            except SchedulerError as error:
                failed += 1
                report = {"file": str(path), "error": str(error)}
            except trio.TooSlowError:
                failed += 1
                why = f"no result in {wish.timeout:g} s; the connection is {session.state}"
                why += f" ({session.detail})" if session.detail else ""
                report = {"file": str(path), "error": why}
            _print(report, wish, console)
        nursery.cancel_scope.cancel()
    return failed


async def _translate(session: Session, path: Path, wish: Wish) -> dict[str, Any]:
    """One file to its outcome, as plain data; its audio goes into a file of its own."""
    audio = await trio.Path(path).read_bytes()
    with trio.fail_after(wish.timeout):
        result = await session.translate(
            audio,
            audio_format="pcm16" if path.suffix == ".raw" else "wav",
            sample_rate=wish.sample_rate,
        )
    report: dict[str, Any] = {
        "file": str(path),
        "job_id": result.job_id,
        "silence": result.silence,
        "text_source": result.text_source,
        "text_translated": result.text_translated,
        "timings": attrs.asdict(result.timings) if result.timings else {},
    }
    if result.audio:
        target = wish.out / f"{path.stem}.{wish.tgt}.{result.audio_format}"
        await trio.Path(target).write_bytes(result.audio)
        report["audio"] = str(target)
    return report


def _print(report: dict[str, Any], wish: Wish, console: Console) -> None:
    if wish.as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    name = Path(report["file"]).name
    if "error" in report:
        console.print(f"{name}: {report['error']}", style="red", markup=False)
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
                console.print(
                    f"{state}: {detail}" if detail else str(state), style="dim", markup=False
                )
            case UiEvent(event="WAITING" | "ERROR"):
                console.print(f"{event.event.lower()}: {event.hint}", style="yellow", markup=False)
            case UiEvent():
                console.print(event.event.lower().replace("_", " "), style="dim", markup=False)
            case AsrPartial():
                console.print(f"… {event.text}", style="dim", markup=False)
