"""The file of a journal: made for its owner alone, and claimed by one scheduler at a time.

The claim is a lock on the file itself (``flock``) and not on a name, so that it holds whatever
name leads there: a symbolic link, another mount, the name that the file has been given since.
The system gives it back when the process ends, however it ends. SQLite's own locks are of
another kind (``fcntl``), and closing any descriptor of a file gives those up; so the claim ends
after SQLite has closed the file, never before.

A file with several names (hard links) is refused. SQLite keeps its log beside the name by which
it was opened, and under another one what is in the log would be missing
(sqlite.org/howtocorrupt.html#multiple_links).
"""

import fcntl
import os
import stat
from pathlib import Path

import attrs

from scheduler.store.journal import JournalError

OWNER_ONLY = 0o600
DIRECTORY_OWNER_ONLY = 0o700
BESIDE = ("-wal", "-shm")
"""What SQLite puts beside a file; it gives these the rights of the file itself."""


@attrs.frozen
class Claim:
    """A journal's file that no other scheduler has. ``path`` has no symbolic links in it."""

    path: Path
    descriptor: int

    def to_owner_only(self) -> None:
        """Take away the rights that others have on a file that somebody made too open."""
        os.fchmod(self.descriptor, OWNER_ONLY)
        for suffix in BESIDE:
            beside = self.path.with_name(self.path.name + suffix)
            if beside.exists():
                beside.chmod(OWNER_ONLY)

    def release(self) -> None:
        """Let others have it."""
        os.close(self.descriptor)


def claim(path: Path) -> Claim:
    """Claim the file at ``path``, and make it, empty, if there is none.

    Raises :class:`~scheduler.store.journal.JournalError` if another scheduler has it or if it
    cannot be had at all; what is there is left untouched.
    """
    try:
        real = path.resolve()
        _make_directory(real.parent)
        # Without waiting, lest what is no file (a pipe) holds up the start.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(real, flags, OWNER_ONLY)
    except (OSError, RuntimeError, ValueError) as error:  # the latter two: no path at all
        raise unusable(path, error) from None
    try:
        _lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return Claim(real, descriptor)


def unusable(path: Path, error: Exception) -> JournalError:
    """The one sentence for a path at which the system lets no journal be."""
    reason = getattr(error, "strerror", None) or str(error)
    text = f"the journal {path} cannot be used ({reason[:1].lower()}{reason[1:]})"
    return JournalError(f"{text}; name another file with --journal")


def _make_directory(directory: Path) -> None:
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(DIRECTORY_OWNER_ONLY, exist_ok=True)


def _lock(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(f"{path} is no file; name another one with --journal")
    if found.st_nlink > 1:
        text = f"the journal {path} has {found.st_nlink} names (hard links)"
        raise JournalError(f"{text}; remove all but one, or name another file with --journal")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = f"another scheduler is using the journal {path}"
        raise JournalError(f"{text}; stop it, or name another file with --journal") from None
