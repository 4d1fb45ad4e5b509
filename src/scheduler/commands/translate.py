"""``python -m scheduler translate``: recordings in, translated recordings out."""

import sys
from pathlib import Path

import attrs
import trio
from rich.console import Console

from scheduler.client import Session, StateChanged, Translation, connect
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
                await _translate(session, path, wish)
            except SchedulerError as error:
                failed += 1
                console.print(f"{path.name}: {error}", style="red", markup=False)
            except trio.TooSlowError:
                failed += 1
                why = f"no result in {wish.timeout:g} s; the connection is {session.state}"
                why += f" ({session.detail})" if session.detail else ""
                console.print(f"{path.name}: {why}", style="red", markup=False)
        nursery.cancel_scope.cancel()
    return failed


async def _translate(session: Session, path: Path, wish: Wish) -> None:
    audio = await trio.Path(path).read_bytes()
    with trio.fail_after(wish.timeout):
        result = await session.translate(
            audio,
            audio_format="pcm16" if path.suffix == ".raw" else "wav",
            sample_rate=wish.sample_rate,
        )
    if result.silence:
        _print(f"{path.name}: nobody spoke")
        return
    _print(f"{path.name}")
    _print(f"  {wish.src}: {result.text_source}")
    _print(f"  {wish.tgt}: {result.text_translated}")
    _print(f"  {_timings(result)}")
    if result.audio:
        target = wish.out / f"{path.stem}.{wish.tgt}.{result.audio_format}"
        await trio.Path(target).write_bytes(result.audio)
        _print(f"  audio: {target}")


def _timings(result: Translation) -> str:
    said = attrs.asdict(result.timings) if result.timings else {}
    parts = [
        f"{key.removesuffix('_ms')} {value} ms" for key, value in said.items() if value is not None
    ]
    return ", ".join(parts) or "the node told no timings"


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


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
