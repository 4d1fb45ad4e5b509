"""A session's record: who may resume, and which index comes next."""

import pytest
from messages import hello

from scheduler.core.session import Session


def a_session(**more: object) -> Session:
    said: dict[str, object] = {
        "session_id": "s-1", "resume_token": "token-1", "hello": hello(), "trace_id": "t",
        "joined_at": 0.0, "connection": 1,
    }  # fmt: skip
    return Session(**(said | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(("said", "receipts"), [(True, True), (False, False), (None, False)])
def test_receipts_are_given_by_who_says_so(said: bool | None, receipts: bool) -> None:
    """A client that does not mention receipts gives none."""
    assert a_session(hello=hello(receipts=said)).receipts is receipts


def test_the_next_index_is_beyond_all_that_were_used() -> None:
    """Speech that is cut here is numbered after the client's own, and after what is forgotten."""
    session = a_session()
    assert session.next_index == 0
    session.by_index[7] = "job-1"
    session.by_index[3] = "job-2"
    assert session.next_index == 8
    session.forgotten_index = 11
    assert session.next_index == 12
