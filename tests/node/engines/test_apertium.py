"""The translator: each text gets its own translation, whatever it contains and whoever dies."""

import os
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from processes import children, until_dead
from trio.testing import MockClock

from scheduler.errors import Code, StageFailed
from scheduler.node.engines.apertium import (
    MODES,
    PIPELINES_MAX,
    TEXT_BYTES_MAX,
    Apertium,
    commands_of,
    discover_pairs,
    from_stream,
    to_stream,
)
from scheduler.node.services import Pair

EN_ES = ("en", "es")

needs_apertium = pytest.mark.skipif(
    not (MODES / "eng-spa.mode").is_file(),
    reason="the Debian packages apertium and apertium-eng-spa are not installed",
)


@asynccontextmanager
async def translator(modes: Path = MODES) -> AsyncIterator[Apertium]:
    """A translator for the block's length, after which there must be no child, dead or alive."""
    before = children().keys()
    apertium = Apertium(modes)
    await apertium.probe()
    try:
        yield apertium
    finally:
        with trio.CancelScope(shield=True):
            await apertium.aclose()
    assert children().keys() == before


# -- the real programs ---------------------------------------------------------------------


@needs_apertium
async def test_it_translates() -> None:
    """Plain sentences come back in the other language, both ways, courtesy in its place."""
    async with translator() as apertium:
        assert apertium.fault is None
        assert {EN_ES, ("es", "en")} <= apertium.pairs
        for text, pair, wanted in (
            ("go forward 10 meters", EN_ES, "Va de frente 10 metros"),
            ("wait a moment please", EN_ES, "Espera un momento, por favor"),
            ("hello", EN_ES, "hola"),
            ("hello!", EN_ES, "hola!"),
            ("hola", ("es", "en"), "hello"),
        ):
            assert await apertium.translate(text, pair) == wanted


@needs_apertium
async def test_no_character_shifts_an_answer() -> None:
    """Texts of the stream's own signs come back themselves, and the text after them is right."""
    signs = [*r"\[]{}^$/@<>~#*+=|%&", "[1]", "[2].[]", "^zz/zz<n>$", "\\", "\\\\", "~~", "[[", "$^"]
    async with translator() as apertium:
        for sign in signs:
            assert await apertium.translate(sign, EN_ES) == sign
            assert await apertium.translate(f"hello {sign} hello", EN_ES) == f"hola {sign} hola"
        assert await apertium.translate("go forward 10 meters", EN_ES) == "Va de frente 10 metros"


@needs_apertium
async def test_control_characters_become_spaces() -> None:
    """A zero byte would shift every later answer, a line feed end a sentence: spaces do not."""
    async with translator() as apertium:
        for sign in "\0\n\r\t\x07\x1b\x85\u2028\ufeff":
            assert await apertium.translate(f"hello{sign}hello", EN_ES) == "hola hola"
        for text in ("", " ", "\0", "\n\0\u2028"):
            assert await apertium.translate(text, EN_ES) == ""
        assert await apertium.translate("\ud800 hello", EN_ES) == "? hola"
        assert "日本語 🎉" in await apertium.translate("hello 日本語 🎉", EN_ES)


@needs_apertium
async def test_long_texts_are_translated_to_their_end() -> None:
    """A text as long as is allowed comes through whole; a longer one is refused."""
    async with translator() as apertium:
        words = TEXT_BYTES_MAX // len("hello ")
        assert await apertium.translate("hello " * words, EN_ES) == ("hola " * words).strip()
        word = "x" * 5_000
        assert await apertium.translate(word, EN_ES) == word
        stars = await apertium.translate("[" * TEXT_BYTES_MAX, EN_ES)
        assert stars == "[" * TEXT_BYTES_MAX
        with pytest.raises(StageFailed, match="longer than") as caught:
            await apertium.translate("é" * (TEXT_BYTES_MAX // 2 + 1), EN_ES)
        assert (caught.value.code, caught.value.retryable) == (Code.TOO_LARGE, False)


@needs_apertium
async def test_callers_get_their_own_translation() -> None:
    """Many at a time, in both directions, nobody gets another's text."""
    got: dict[int, str] = {}

    async def ask(apertium: Apertium, number: int) -> None:
        pair = EN_ES if number % 2 else ("es", "en")
        got[number] = await apertium.translate(f"number {number}", pair)

    async with translator() as apertium, trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(ask, apertium, number)
    assert all(text.endswith(f" {number}") for number, text in got.items())
    assert len(got) == 40


@needs_apertium
async def test_a_cancelled_translation_ends_its_programs() -> None:
    """Cancelled while it starts or while it works, a pipeline is ended and started anew."""
    async with translator() as apertium:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(apertium.translate, "meters " * 4_000, EN_ES)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            assert apertium.pids == ()
            assert await apertium.translate("hello", EN_ES) == "hola"
            assert len(apertium.pids) > 1


@needs_apertium
@pytest.mark.parametrize("place", [0, 5, -1])
async def test_a_program_that_was_killed_is_replaced(place: int) -> None:
    """Whichever program of an idle pipeline dies, the next text is translated all the same."""
    async with translator() as apertium:
        assert await apertium.translate("hello", EN_ES) == "hola"
        pid = apertium.pids[place]
        os.kill(pid, signal.SIGKILL)
        await until_dead(pid)
        assert await apertium.translate("go forward 10 meters", EN_ES) == "Va de frente 10 metros"
        assert pid not in children()


@needs_apertium
@pytest.mark.parametrize("place", [0, 5, -1])
async def test_a_program_that_dies_at_work_costs_one_text(place: int) -> None:
    """The text fails as retryable, never with half a translation, and the next one is right."""
    async with translator() as apertium:
        await apertium.translate("hello", EN_ES)
        # Stopped, it holds the text until it is killed: the text is surely under way.
        pid = apertium.pids[place]
        os.kill(pid, signal.SIGSTOP)
        failed: list[StageFailed] = []

        async def ask() -> None:
            with pytest.raises(StageFailed) as caught:
                await apertium.translate("go forward 10 meters", EN_ES)
            failed.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGKILL)
        assert (failed[0].code, failed[0].retryable) == (Code.PROCESSING_ERROR, True)
        assert await apertium.translate("hello", EN_ES) == "hola"


# -- stand-ins for its programs, for what the real ones do not do ------------------------------


def install(
    folder: Path, pair: str, body: str = "", *, program: str = "filter", data: str = ""
) -> None:
    """A direction of one program: Python that reads a text up to a zero byte and writes one."""
    path = folder / program
    path.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "text = b''\n"
        "while (byte := os.read(0, 1)):\n"
        "    text += byte\n"
        "    if byte == b'\\0':\n"
        f"        {body or 'os.write(1, text)'}\n"
        "        text = b''\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (folder / f"{pair}.mode").write_text(f"{path} $1 {data} | {path} $2\n")


async def test_a_pipeline_that_hangs_is_ended(tmp_path: Path, autojump_clock: MockClock) -> None:
    """No answer in time is NMT_TIMEOUT, worth another try; the programs are gone."""
    install(tmp_path, "eng-spa", "pass")
    async with translator(tmp_path) as apertium:
        with pytest.raises(StageFailed) as caught:
            await apertium.translate("hello", EN_ES)
        assert (caught.value.code, caught.value.retryable) == (Code.NMT_TIMEOUT, True)
        assert apertium.pids == ()


@pytest.mark.parametrize("body", ["os.write(1, b'hola.\\0')", "os.write(1, b'\\0')", "sys.exit()"])
async def test_half_an_answer_is_none(body: str, tmp_path: Path) -> None:
    """What comes without the text's own number is not taken for its translation."""
    install(tmp_path, "eng-spa", body)
    async with translator(tmp_path) as apertium:
        with pytest.raises(StageFailed) as caught:
            await apertium.translate("hello", EN_ES)
        assert caught.value.code == Code.PROCESSING_ERROR


async def test_few_pipelines_are_kept(tmp_path: Path) -> None:
    """However many directions are asked for, the ones used last stay; the others are ended."""
    pairs: list[Pair] = [("en", f"x{number}") for number in range(PIPELINES_MAX + 3)]
    for src, tgt in pairs:
        install(tmp_path, f"{src}-{tgt}")
    async with translator(tmp_path) as apertium:
        assert apertium.pairs == set(pairs)
        for pair in (*pairs, *reversed(pairs)):
            assert await apertium.translate("hello", pair) == "hello"
            assert len(apertium.pids) <= 2 * PIPELINES_MAX
        async with trio.open_nursery() as nursery:
            for pair in pairs * 3:
                nursery.start_soon(apertium.translate, "hello", pair)
        assert len(apertium.pids) <= 2 * PIPELINES_MAX


async def test_a_direction_needs_all_of_its_programs_and_data(tmp_path: Path) -> None:
    """Only what could run is announced; what is missing is no error and is found when it comes."""
    data = tmp_path / "eng-spa.bin"
    install(tmp_path, "eng-spa", data=str(data))
    (tmp_path / "eng-cat.mode").write_text("no-such-program $1 | no-such-program")
    (tmp_path / "spa-eng_US.mode").write_text(f"{tmp_path}/filter")
    (tmp_path / "eng-fra.mode").write_text("'unclosed")
    (tmp_path / "eng-deu.mode").write_bytes(b"\xff\xfe")
    (tmp_path / "eng-por.mode").write_text("")
    assert discover_pairs(tmp_path) == {}
    apertium = Apertium(tmp_path)
    await apertium.probe()
    assert apertium.fault is not None
    assert apertium.fault.hint == "apt-get install apertium apertium-eng-spa"
    data.touch()
    await apertium.probe()
    assert apertium.fault is None
    assert apertium.pairs == {EN_ES}


async def test_without_a_pair_there_is_no_translation(tmp_path: Path) -> None:
    """A direction that is not installed fails as MODEL_NOT_AVAILABLE: another node may have it."""
    async with translator(tmp_path / "none") as apertium:
        with pytest.raises(StageFailed, match="en→es") as caught:
            await apertium.translate("hello", EN_ES)
        assert (caught.value.code, caught.value.retryable) == (Code.MODEL_NOT_AVAILABLE, True)
        assert apertium.fault is not None
        known = "no language pair" if shutil.which("lt-proc") else "not installed"
        assert apertium.fault.reason == known


# -- the stream format ---------------------------------------------------------------------------


def test_a_mode_becomes_commands_that_flush() -> None:
    """Each program gets -z; the mark for unknown words is switched off, other words stay."""
    mode = "lt-proc '/a b.bin' | cg-proc $1 -x /c.bin | post $2 -y|\n"
    assert commands_of(mode) == [
        ["lt-proc", "-z", "/a b.bin"],
        ["cg-proc", "-z", "-n", "-x", "/c.bin"],
        ["post", "-z", "-y"],
    ]


@given(
    text=st.text(st.characters(categories=("L", "N", "P", "S"), codec="utf-8"), min_size=1),
    number=st.integers(1, 10**9),
)
def test_the_stream_gives_back_what_it_was_given(text: str, number: int) -> None:
    """Programs that change nothing give back the very text, whatever signs are in it."""
    stream = to_stream(text, number)
    assert stream.count(b"\0") == 1
    assert from_stream(stream, text, number) == text


@pytest.mark.parametrize(
    "answer", [b"", b"\0", b"hola.\0", b"hola.[2]\0", b"hola.[1]", b"hola.[1]x\0"]
)
def test_an_answer_that_is_not_whole_is_an_error(answer: bytes) -> None:
    """Without the text's number, or with something behind it, an answer belongs to nobody."""
    with pytest.raises(ValueError, match="not whole"):
        from_stream(answer, "hello", 1)
