"""What a child process says: frames, and nothing between them."""

import subprocess
import sys

import engine_child
from engine_child import ECHO, RAISE

from scheduler.node.worker import BAD, FRAME, GOOD, frame

LOADED = frame(GOOD)


def run(requests: bytes, **environment: str) -> tuple[bytes, bytes, int]:
    """Standard output, standard error and exit code of a child that got these requests."""
    done = subprocess.run(
        [sys.executable, engine_child.__file__],
        input=requests,
        capture_output=True,
        timeout=60,
        env=environment,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


def test_requests_are_answered_in_order_until_they_end() -> None:
    """Each request has one answer, good or bad; the end of the input is the end of the child."""
    output, _, code = run(frame(ECHO + b"abc") + frame(RAISE + b"x") + frame(b"?") + frame(ECHO))
    answers = [GOOD + b"cba", BAD + b"ValueError: x", BAD + b"KeyError: b'?'", GOOD]
    assert output == LOADED + b"".join(map(frame, answers))
    assert code == 0


def test_what_a_library_prints_is_not_taken_for_an_answer() -> None:
    """Printing goes to standard error, whoever does it and whenever."""
    output, errors, _ = run(b"")
    assert output == LOADED
    assert b"a library prints" in errors


def test_what_cannot_be_loaded_is_told() -> None:
    """Without engines there is one answer: why not."""
    output, _, code = run(b"", ENGINE_CHILD_FAULT=__file__)
    assert output[FRAME.size :].startswith(BAD + b'OSError: """What a child')
    assert code == 1


def test_half_a_request_is_the_end_of_them() -> None:
    """A node that dies in the middle of a request leaves a child that ends."""
    assert run(frame(ECHO + b"abc")[:2])[0] == LOADED


def test_a_reader_that_is_gone_is_the_end_too() -> None:
    """A node that was killed leaves a child that ends without a word about it."""
    child = subprocess.Popen(
        [sys.executable, engine_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.read(len(LOADED)) == LOADED
        child.stdout.close()
        child.stdin.write(frame(ECHO + bytes(10**6)))
        child.stdin.flush()
        assert child.wait(timeout=60) == 0
        assert b"Traceback" not in child.stderr.read()
