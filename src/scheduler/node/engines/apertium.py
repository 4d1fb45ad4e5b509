"""Apertium (GPL programs of the operating system): a pipeline of filters per language pair.

A pipeline is kept running and flushed with a zero byte after each text: about 1 ms per
sentence, where a new start of the programs takes 250 ms. The stream format is that of
https://wiki.apertium.org/wiki/Apertium_stream_format.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.node.engines.normalise import PLEASE, append_please, split_please
from scheduler.node.services import Pair
from scheduler.wire.common import ServiceType

MODES = Path("/usr/share/apertium/modes")
HINT = "apt-get install apertium apertium-eng-spa"
TRANSLATE_TIMEOUT_SECONDS = 10.0
"""For starting the programs (0.4 s) and for one text (130 ms for 3000 words)."""

TEXT_BYTES_MAX = 30_000
"""A text fits into one pipe's buffer (64 KiB, even with every character escaped), so that
writing it never waits for somebody to read the answer."""

PIPELINES_MAX = 4
"""Language pairs kept running; each is about eleven small processes."""

LANGUAGES = {
    "afr": "af", "arg": "an", "bel": "be", "bul": "bg", "cat": "ca", "dan": "da", "deu": "de",
    "eng": "en", "epo": "eo", "eus": "eu", "fra": "fr", "glg": "gl", "hbs": "sh", "hin": "hi",
    "isl": "is", "ita": "it", "mkd": "mk", "nld": "nl", "nno": "nn", "nob": "nb", "oci": "oc",
    "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slv": "sl", "spa": "es", "srd": "sc",
    "swe": "sv", "ukr": "uk", "urd": "ur",
}  # fmt: skip
"""ISO 639-3 to the two letters of the wire; what is not here keeps its name."""

_SPECIAL = re.compile(r"([\\\[\]{}^$/@<>])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")
_TILDE = "[~]"
_ESCAPED = re.compile(r"\\(.)")


def commands_of(mode: str) -> list[list[str]]:
    """The programs of a ``.mode`` file with their arguments, made to flush at a zero byte.

    ``$1`` becomes ``-n`` (unknown words come out without a mark), ``$2`` goes.
    """
    commands = []
    for part in mode.split("|"):
        words = [word.replace("$1", "-n") for word in shlex.split(part) if word != "$2"]
        if words:
            commands.append([words[0], "-z", *words[1:]])
    return commands


def discover_pairs(modes: Path = MODES) -> dict[Pair, list[list[str]]]:
    """The directions whose programs and data are all here, with their commands."""
    pairs: dict[Pair, list[list[str]]] = {}
    for path in sorted(modes.glob("*-*.mode")):
        names = path.stem.split("-")
        if len(names) != 2 or "_" in path.stem:  # variants such as spa-eng_US
            continue
        try:
            commands = commands_of(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        files = [word for command in commands for word in command if word.startswith("/")]
        programs = [command[0] for command in commands]
        if programs and all(map(shutil.which, programs)) and all(map(os.path.isfile, files)):
            src, tgt = (LANGUAGES.get(name, name) for name in names)
            pairs[src, tgt] = commands
    return pairs


def to_stream(text: str, number: int) -> bytes:
    """One text in the stream format, with an end to its sentence, its number, and the flush.

    What is in brackets passes through all programs untouched: the number comes back, and so
    does a tilde, which the last program would swallow even when it is escaped.
    """
    escaped = _SPECIAL.sub(r"\\\1", text).replace("~", _TILDE)
    return f"{escaped}{_full_stop(text)}[{number}]\0".encode()


def from_stream(answer: bytes, text: str, number: int) -> str:
    """The translation of ``text`` in the answer.

    Raises ``ValueError`` unless it is whole: when one program of a pipeline dies, those
    behind it flush what they have, and what comes out looks like an empty translation.
    """
    said, mark, rest = answer.decode(errors="replace").partition(f"[{number}]")
    if not mark or rest.strip(" ") != "\0":
        raise ValueError("the answer is not whole; a program of the pipeline ended")
    said = _ESCAPED.sub(r"\1", said.replace(_TILDE, "~"))
    if _full_stop(text):
        said = said.rstrip().removesuffix(".")
    return re.sub(r" {2,}", " ", said).strip()


def _full_stop(text: str) -> str:
    """What the last sentence needs, so that the tagger sees its end."""
    return "" if text.endswith((".", "!", "?")) else "."


class Pipeline:
    """The running programs of one direction; they start when first asked. One text at a time."""

    def __init__(self, commands: list[list[str]]) -> None:
        self._commands = commands
        self._processes: list[trio.Process] = []
        self._lock = trio.Lock()
        self._asked = 0
        self.users = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids, in the order of the pipeline."""
        return tuple(process.pid for process in self._processes)

    async def translate(self, text: str) -> str:
        """One text through all programs. Ended in any way but by an answer, it stops them.

        Raises ``OSError``, ``ValueError`` or ``trio.BrokenResourceError`` if a program is gone.
        """
        async with self._lock:
            answered = False
            try:
                if not self._processes or any(p.returncode is not None for p in self._processes):
                    await self.stop()
                    await self._start()
                self._asked += 1
                answer = await self._ask(to_stream(text, self._asked))
                translated = from_stream(answer, text, self._asked)
                answered = True
            finally:
                if not answered:
                    await self.stop()
        return translated

    async def _ask(self, question: bytes) -> bytes:
        to_first, from_last = self._processes[0].stdin, self._processes[-1].stdout
        assert to_first is not None
        assert from_last is not None
        await to_first.send_all(question)
        answer = bytearray()
        while not answer.endswith(b"\0"):
            more = await from_last.receive_some()
            if not more:
                raise trio.BrokenResourceError("a program of the pipeline ended")
            answer += more
        return bytes(answer)

    async def _start(self) -> None:
        source: int | None = None
        try:
            for place, command in enumerate(self._commands):
                last = place == len(self._commands) - 1
                ours, theirs = (None, None) if last else os.pipe()
                try:
                    process = await trio.lowlevel.open_process(
                        command,
                        stdin=subprocess.PIPE if source is None else source,
                        stdout=subprocess.PIPE if theirs is None else theirs,
                        stderr=subprocess.DEVNULL,
                        # Ctrl-C in a terminal is for the node, which drains.
                        start_new_session=True,
                    )
                    self._processes.append(process)
                finally:
                    _close(source, theirs)
                    source = ours
        finally:
            _close(source)

    async def stop(self) -> None:
        """Kill the programs and reap them. Not cancellable: killed processes end at once."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        with trio.CancelScope(shield=True):
            for process in processes:
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        await pipe.aclose()


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


class Apertium:
    """The translator: a running pipeline for each of the pairs used last."""

    service_id = "apertium"
    type: ServiceType = "nmt"
    version: str | None = None

    def __init__(self, modes: Path = MODES) -> None:
        self._modes = modes
        self._commands: Mapping[Pair, list[list[str]]] = {}
        self._live: OrderedDict[Pair, Pipeline] = OrderedDict()
        # As many callers as pipelines: whoever comes in finds one that is idle or not begun.
        self._turns = trio.Semaphore(PIPELINES_MAX)
        self.fault: EngineUnavailable | None = EngineUnavailable("not looked for yet", HINT)

    @property
    def pairs(self) -> frozenset[Pair]:
        """What is installed."""
        return frozenset(self._commands)

    async def probe(self) -> None:
        """Look which pairs are installed now."""
        # In a thread: with many pairs these are thousands of looks at the file system.
        self._commands = await trio.to_thread.run_sync(discover_pairs, self._modes)
        self.fault = None
        if not self._commands:
            reason = "no language pair" if shutil.which("lt-proc") else "not installed"
            self.fault = EngineUnavailable(reason, HINT)

    async def translate(self, text: str, pair: Pair) -> str:
        """See :class:`~scheduler.node.services.Translator`."""
        text = _CONTROL.sub(" ", text).strip()
        text = text.encode("utf-8", "replace").decode()
        if not text:
            return ""
        if len(text.encode()) > TEXT_BYTES_MAX:
            why = f"the text is longer than {TEXT_BYTES_MAX} bytes"
            raise StageFailed("nmt", Code.TOO_LARGE, why, retryable=False)
        src, tgt = pair
        please = False
        if src == "en" and tgt in PLEASE:
            text, please = split_please(text)
        async with self._pipeline(pair) as pipeline:
            try:
                with trio.fail_after(TRANSLATE_TIMEOUT_SECONDS):
                    translated = await pipeline.translate(text)
            except trio.TooSlowError:
                why = f"no answer in {TRANSLATE_TIMEOUT_SECONDS:g} s"
                raise StageFailed("nmt", Code.NMT_TIMEOUT, why, retryable=True) from None
            except (OSError, ValueError, trio.BrokenResourceError) as error:
                why = str(error) or "a program of the pipeline ended"
                raise StageFailed("nmt", Code.PROCESSING_ERROR, why, retryable=True) from None
        return append_please(translated, tgt) if please else translated

    @asynccontextmanager
    async def _pipeline(self, pair: Pair) -> AsyncIterator[Pipeline]:
        """The pair's pipeline; the one unused for longest gives way if there are too many."""
        async with self._turns:
            if pair not in self._commands:
                why = f"no translation {pair[0]}→{pair[1]} is installed"
                raise StageFailed("nmt", Code.MODEL_NOT_AVAILABLE, why, retryable=True)
            pipeline = self._live.setdefault(pair, Pipeline(self._commands[pair]))
            self._live.move_to_end(pair)
            pipeline.users += 1
            try:
                if len(self._live) > PIPELINES_MAX:
                    idle = next(key for key, live in self._live.items() if not live.users)
                    await self._live.pop(idle).stop()
                yield pipeline
            finally:
                pipeline.users -= 1

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of all pipelines."""
        return tuple(pid for pipeline in self._live.values() for pid in pipeline.pids)

    async def aclose(self) -> None:
        """Stop every pipeline. For when no translation is running any more."""
        while self._live:
            await self._live.popitem()[1].stop()
