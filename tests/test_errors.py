"""The errors: what they say, whose fault they are, and after which ends one may come back."""

import inspect
import re
from pathlib import Path

import pytest

from scheduler import errors
from scheduler.errors import (
    Close,
    Code,
    ConnectionLost,
    EngineUnavailable,
    ProtocolError,
    Refused,
    SchedulerError,
    StageFailed,
    TranslationFailed,
    may_reconnect,
    may_retry,
)

ROOT = Path(__file__).resolve().parent.parent


def test_every_error_is_one_of_ours() -> None:
    """Whoever catches SchedulerError catches all that this package raises on purpose."""
    raised = [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, Exception)
    ]
    assert len(raised) > 5
    assert all(issubclass(error, SchedulerError) for error in raised)


def test_the_picture_shows_every_error() -> None:
    """The tree on top of the module has each class, and no other."""
    tree = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    defined = [
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, SchedulerError) and value is not SchedulerError
    ]
    assert sorted(tree) == sorted(defined)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ProtocolError("$.seq", "expected int"), "$.seq: expected int"),
        (Refused("OVERLOADED", "no room", retryable=True), "no room [OVERLOADED]"),
        (ConnectionLost(4002, "too slow"), "too slow [4002]"),
        (ConnectionLost(None, "it broke"), "it broke"),
        (TranslationFailed("job_timeout", "JOB_TIMEOUT", "late"), "late [JOB_TIMEOUT]"),
        (TranslationFailed("gap", None, None), "gap [gap]"),
        (StageFailed("asr", "PROCESSING_ERROR", "no ears", retryable=True), "asr: no ears"),
        (EngineUnavailable("no voice", "apt-get install it"), "no voice (apt-get install it)"),
    ],
)
def test_an_error_is_one_line_for_people(error: SchedulerError, text: str) -> None:
    """What is printed says what happened, with the code by which one can look it up."""
    assert str(error) == text


def test_what_a_program_needs_is_in_fields() -> None:
    """Nobody has to read the text to know what to do."""
    refused = Refused("TOO_LARGE", "")
    assert (refused.code, refused.retryable) == ("TOO_LARGE", False)
    lost = ConnectionLost(4501, "unauthorized", reconnect=False)
    assert (lost.code, lost.reason, lost.reconnect) == (4501, "unauthorized", False)
    assert ConnectionLost(None, "").reconnect
    failed = TranslationFailed("gap", None, "kept too long")
    assert (failed.reason, failed.code, failed.hint) == ("gap", None, "kept too long")


def test_a_code_is_its_own_word() -> None:
    """The wire says what the program says."""
    assert all(code.value == code.name for code in Code)


def test_every_code_of_the_protocol_is_here() -> None:
    """The document and the catalogue name the same codes."""
    document = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert [code for code in Code if f"`{code}`" not in document] == []


def test_close_codes_are_unique_and_in_their_ranges() -> None:
    """No two ends share a code; our own are 4000 to 4499 (come back) or 4500 to 4999 (do not)."""
    codes = [close.code for close in Close]
    assert len(codes) == len(set(codes))
    for close in Close:
        assert 1000 <= close.code <= 1015 or 4000 <= close.code <= 4999
        assert close.text
        assert len(close.text.encode()) <= 123  # RFC 6455, 5.5: a control frame holds 125 bytes


@pytest.mark.parametrize("code", [1008, 1009, 4500, 4501, 4777, 4999])
def test_after_some_ends_one_stays_away(code: int) -> None:
    """Not allowed, too large, or anything from 4500 on: the next try would end the same way."""
    assert not may_reconnect(code)


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1013, 3000, 4000, 4003, 4499, 5000])
def test_after_all_others_one_may_come_back(code: int | None) -> None:
    """A link that broke, a restart, an overload: the next try may find it mended."""
    assert may_reconnect(code)


def test_what_may_be_tried_again() -> None:
    """A refusal for want of room passes; one because of what was asked does not."""
    again = [code for code in Code if may_retry(code)]
    assert again == [
        Code.NODE_OVERLOADED, Code.NO_AVAILABLE_NODE, Code.SCHEDULER_DEPENDENCY_DOWN,
        Code.OVERLOADED, Code.RATE_LIMITED, Code.DRAINING,
    ]  # fmt: skip
    assert not may_retry("SOMETHING_NEW")
