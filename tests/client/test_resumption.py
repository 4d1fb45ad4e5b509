"""What a process keeps to go on with its session in another one."""

import json

import attrs

from scheduler.client import Resumption
from scheduler.wire.common import Resume

KEPT = Resumption(session_id="s-1", resume_token="secret", last_seq=3, next_index=7)


def test_it_is_plain_data() -> None:
    """It goes through JSON and comes back as it was."""
    assert Resumption(**json.loads(json.dumps(attrs.asdict(KEPT)))) == KEPT


def test_its_secret_is_not_shown() -> None:
    """Whoever prints or logs it does not give the token away."""
    assert "secret" not in f"{KEPT} {KEPT!r}"


def test_a_hello_says_what_the_wire_wants() -> None:
    """The request to resume has the session, its secret and the last outcome."""
    assert KEPT.request == Resume(session_id="s-1", resume_token="secret", last_seq=3)
