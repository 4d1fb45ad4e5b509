"""The child process that hosts the engines which block: ``python -m scheduler.node.worker``.

Its own process, because these engines hold the interpreter's lock for as long as they
work (measured: 0.8 s for 2.8 s of speech), and because a process can be stopped at any time.

Frames on standard input and output: a length (uint32, little endian), then that many bytes.
A request is one byte that names the engine and its payload; an answer is ``+`` and the
result or ``-`` and why not. The first answer comes unasked, once the engines are loaded.
The process ends when its standard input ends.
"""

import contextlib
import os
import struct
import sys
from collections.abc import Callable
from typing import BinaryIO

FRAME = struct.Struct("<I")
FRAME_BYTES_MAX = 64 * 2**20
GOOD, BAD = b"+", b"-"
DETECT, RECOGNIZE = b"D", b"R"

Engine = Callable[[bytes], bytes]


def frame(payload: bytes) -> bytes:
    """``payload`` with its length before it."""
    return FRAME.pack(len(payload)) + payload


def load() -> dict[bytes, Engine]:
    """The engines by the byte that names them in a request. Raises whatever they raise."""
    from scheduler.node.engines.silero import load_gate
    from scheduler.node.engines.sphinx import load_decoder

    return {DETECT: load_gate(), RECOGNIZE: load_decoder()}


def serve(requests: BinaryIO, answers: BinaryIO, engines: dict[bytes, Engine]) -> None:
    """Answer requests one by one until they end. ``BrokenPipeError``: nobody wants the answers."""
    while len(head := requests.read(FRAME.size)) == FRAME.size:
        request = requests.read(FRAME.unpack(head)[0])
        try:
            answer = GOOD + engines[request[:1]](request[1:])
        except Exception as error:  # noqa: BLE001  # whatever an engine raises is the answer
            answer = BAD + f"{type(error).__name__}: {error}".encode()
        answers.write(frame(answer))
        answers.flush()


def main() -> int:
    """Load, say so, serve. What a library prints goes to standard error, not between frames."""
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        try:
            engines = load()
        except Exception as error:  # noqa: BLE001  # the parent must hear why there is no engine
            answers.write(frame(BAD + f"{type(error).__name__}: {error}".encode()))
            return 1
        answers.write(frame(GOOD))
        answers.flush()
        serve(sys.stdin.buffer, answers, engines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
