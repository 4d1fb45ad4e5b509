"""Whose a journal's file is: who may read it, who may write it, and where none can be."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_support import BEGAN, accepted, keep, kept
from repository import ROOT

from scheduler.cli import main
from scheduler.config import Config
from scheduler.store.claim import claim
from scheduler.store.journal import JournalError
from scheduler.store.sqlite import open_sqlite
from scheduler.store.survey import survey

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


# -- who may read it ----------------------------------------------------------------------------


def test_nobody_else_could_ever_read_it(tmp_path: Path) -> None:
    """Without a umask, at no moment has anybody else a right to anything a new journal makes."""
    python_path = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    child = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "wide_open_child.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": python_path}, capture_output=True, check=True,
    )  # fmt: skip
    modes = json.loads(child.stdout)
    assert modes == {
        "made": ["700"],
        "too": ["700"],
        "journal.sqlite3": ["600"],
        "journal.sqlite3-wal": ["600"],
        "journal.sqlite3-shm": ["600"],
    }


async def test_a_journal_that_was_left_open_is_closed(path: Path) -> None:
    """Rights that somebody gave to others are taken away when a scheduler begins to use it."""
    await keep(open_sqlite(path, Config()), BEGAN)
    path.chmod(0o644)
    await keep(open_sqlite(path, Config()), accepted(1))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    """Only a directory that is made for the journal is made private."""
    tmp_path.chmod(0o755)
    claim(tmp_path / "journal.sqlite3").release()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


# -- who may write it ---------------------------------------------------------------------------


def test_a_second_claim_is_refused(path: Path) -> None:
    """As long as one has a file nobody else gets it, and afterwards the next one does."""
    first = claim(path)
    with pytest.raises(JournalError, match="another scheduler is using"):
        claim(path)
    first.release()
    claim(path).release()


def test_another_name_is_no_other_journal(path: Path, tmp_path: Path) -> None:
    """By a symbolic link, a link to its directory, or the name it has now: it is the same one."""
    first = claim(path)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "link-to-link").symlink_to("link")
    (tmp_path / "elsewhere").symlink_to(path.parent)
    names = [tmp_path / "link", tmp_path / "link-to-link", tmp_path / "elsewhere" / path.name]
    for name in names:
        with pytest.raises(JournalError, match="another scheduler is using"):
            claim(name)
    with pytest.raises(JournalError, match="another scheduler is using"):
        claim(path.rename(path.with_name("renamed.sqlite3")))
    first.release()


def test_a_file_with_two_names_is_refused(path: Path, tmp_path: Path) -> None:
    """SQLite's log goes by one name: by the other, with or without a first one, it is refused."""
    first = claim(path)
    (tmp_path / "other").hardlink_to(path)
    with pytest.raises(JournalError, match="has 2 names"):
        claim(tmp_path / "other")
    first.release()
    with pytest.raises(JournalError, match="has 2 names"):
        claim(tmp_path / "other")
    (tmp_path / "other").unlink()
    claim(path).release()


async def test_a_journal_may_be_named_by_a_link(path: Path, tmp_path: Path) -> None:
    """What is kept by way of a symbolic link is found under the name it leads to."""
    path.parent.mkdir()
    (tmp_path / "link").symlink_to(path)
    await keep(open_sqlite(tmp_path / "link", Config()), BEGAN, accepted(1))
    assert [job.accepted for job in await kept(path)] == [accepted(1)]


# -- where none can be --------------------------------------------------------------------------


@contextlib.contextmanager
def without_privileges() -> Iterator[Path]:
    """An empty directory, and as long as the block lasts no right to write to another's."""
    with tempfile.TemporaryDirectory() as name:
        root = os.geteuid() == 0
        if root:
            os.chown(name, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


def refused(path: Path, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What ``--journal`` with this path ends with: one line, and the code 1."""
    with pytest.raises(SystemExit) as ended:
        main([*command, "--journal", str(path)])
    text = str(ended.value.code)  # a text is printed, and the code is then 1
    assert text.startswith("error: ")
    assert "\n" not in text
    return text


every_command = pytest.mark.parametrize("command", [("serve", "--port", "0"), ("journal",)])


@every_command
def test_a_directory_is_no_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A directory is refused in one line."""
    assert str(tmp_path) in refused(tmp_path, capsys, *command)


@every_command
def test_what_is_below_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A path whose parent is a file, or whose parent's parent is, is refused in one line."""
    (tmp_path / "file").write_text("")
    for below in (tmp_path / "file" / "j", tmp_path / "file" / "a" / "j"):
        assert str(below) in refused(below, capsys, *command)


@every_command
def test_a_pipe_is_refused_and_not_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """A pipe or a device is refused in one line."""
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path(os.devnull)):
        assert str(odd) in refused(odd, capsys, *command)


@every_command
def test_links_that_lead_nowhere_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """Links in a circle, a name that is too long, and the home of nobody: each in one line."""
    (tmp_path / "link").symlink_to("link")
    for odd in (tmp_path / "link", tmp_path / ("x" * 300), Path("~nobody-of-that-name/j")):
        assert str(odd) in refused(odd, capsys, *command)


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_what_may_not_be_read_or_written_is_refused(what: str) -> None:
    """A file and a directory without rights are refused, by whoever wants to use or see it."""
    with without_privileges() as directory:
        path = directory / "closed" / "journal.sqlite3"
        await keep(open_sqlite(path, Config()), BEGAN)
        closed = path if what == "file" else path.parent
        closed.chmod(0)
        for look in (lambda path: open_sqlite(path, Config()), survey):
            with pytest.raises(JournalError, match=r"cannot be (used|read) \("):
                look(path)
        path.parent.chmod(0o700)


async def test_a_directory_that_became_read_only_is_refused() -> None:
    """Where nothing can be made any more, a journal that is there and a new one are refused."""
    with without_privileges() as directory:
        path = directory / "closed" / "journal.sqlite3"
        await keep(open_sqlite(path, Config()), BEGAN)
        path.parent.chmod(0o500)
        for other in (path, path.with_name("new.sqlite3"), path.parent / "a" / "new.sqlite3"):
            with pytest.raises(JournalError, match=r"cannot be (used|read|written) \("):
                open_sqlite(other, Config())
        path.parent.chmod(0o700)
