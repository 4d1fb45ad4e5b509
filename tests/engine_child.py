"""A child process with engines that need no models; started by tests in the place of the real one.

Everything but the engines is the real thing: frames, answers, and what happens to output.
``ENGINE_CHILD_FAULT`` may name a file: while it exists, loading fails with its text.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

from scheduler.node import worker

ECHO, PID, BLOCK, RAISE, DIE, BABBLE = b"E", b"P", b"B", b"R", b"K", b"W"


def block(release: bytes) -> bytes:
    """Hold the interpreter until the file named in the request is there; say that it begins."""
    with contextlib.suppress(OSError):  # the file of a request that is never released has no home
        Path(f"{release.decode()}.begun").touch()
    while not Path(release.decode()).exists():
        time.sleep(0.005)
    return b"released"


def fail(text: bytes) -> bytes:
    raise ValueError(text.decode())


def die(_: bytes) -> bytes:
    os._exit(7)


def babble(_: bytes) -> bytes:
    """Write what is no frame, past everything that should prevent it."""
    os.write(int(os.environ["ENGINE_CHILD_ANSWERS"]), b"\xff\xff\xff\xff")
    return b""


def load() -> dict[bytes, worker.Engine]:
    print("a library prints something while it is loaded")
    fault = Path(os.environ.get("ENGINE_CHILD_FAULT", "/nonexistent"))
    if fault.exists():
        raise OSError(fault.read_text())
    return {
        ECHO: lambda payload: payload[::-1],
        PID: lambda _: str(os.getpid()).encode(),
        BLOCK: block,
        RAISE: fail,
        DIE: die,
        BABBLE: babble,
    }


if __name__ == "__main__":
    os.environ["ENGINE_CHILD_ANSWERS"] = str(os.dup(1))
    worker.load = load
    sys.exit(worker.main())
