"""Which settings are refused together: every inequality is reached, at its exact edge."""

from typing import Any

import attrs
import pytest

from scheduler.config import ClientConfig, Config, NodeConfig
from scheduler.consistency import LESS, inconsistencies
from scheduler.errors import ConfigError

FEW_OUTCOMES = {"retained_outcomes_max": 2, "jobs_per_session_max": 1}
WIDE: dict[str, Any] = {
    # so wide that one pair can clash without another one clashing as well
    "dispatched_timeout": 1e6, "dispatched_timeout_max": 1e7, "session_retention": 1e6,
    "outcome_retention": 1e6, "chunked_seconds_max": 1e6, "message_bytes_max": 2**30,
    "outbox_bytes_max": 2**30, "feed_keepalive": 1e6,
}  # fmt: skip


@pytest.mark.parametrize(("less", "more", "why"), LESS, ids=lambda part: str(part)[:24])
def test_what_must_be_less_is_less(less: str, more: str, why: str) -> None:
    """Equal is refused, with both names, both values and the reason; a little less is not."""
    edge = {"audio_chars_max": 2**20}.get(less, 64.0)
    with pytest.raises(ConfigError, match=rf"{less} \(.*\) must be less than {more} \(.*\): {why}"):
        Config(**(WIDE | {less: edge, more: edge}))
    below = edge - 1 if isinstance(edge, int) else edge * 0.99
    said = refused(**(WIDE | {less: below, more: edge}))
    assert not any(sentence.startswith(f"{less} (") and more in sentence for sentence in said)


def refused(**settings: Any) -> list[str]:
    """The sentences by which this set is refused; none if it is taken."""
    try:
        Config(**settings)
    except ConfigError as error:
        return str(error).split("; ")
    return []


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        ({"port": 65535}, {"port": 65536}, "port must be 0 to 65535, not 65536"),
        ({"port": 0}, {"port": -1}, "port must be 0 or more, not -1"),
        (
            {"dispatched_timeout": 40.0, "dispatched_timeout_max": 40.0},
            {"dispatched_timeout": 41.0, "dispatched_timeout_max": 40.0},
            r"dispatched_timeout \(41\) must not be more than dispatched_timeout_max \(40\)",
        ),
        (
            {"chunked_bytes_max": 768, "audio_chars_max": 1024},
            {"chunked_bytes_max": 769, "audio_chars_max": 1024},
            r"chunked_bytes_max \(769\) must be at most three quarters of audio_chars_max \(1024\)",
        ),
        (
            {"retained_outcomes_max": 9, "jobs_per_session_max": 5, "outbox_messages_max": 20},
            {"retained_outcomes_max": 10, "jobs_per_session_max": 5, "outbox_messages_max": 20},
            r"retained_outcomes_max \+ 2 \* jobs_per_session_max \(20\) must be less than outbox_",
        ),
        (
            {"retained_bytes_max": 500, "outbox_bytes_max": 5096, **FEW_OUTCOMES},
            {"retained_bytes_max": 501, "outbox_bytes_max": 5096, **FEW_OUTCOMES},
            r"512 for each of 4 outcomes \(2549\) must be at most half of outbox_bytes_max",
        ),
        (
            {"dispatched_timeout": 20.0, "node_dead_timeout": 8.0, "node_receipt_timeout": 1.5},
            {"dispatched_timeout": 20.0, "node_dead_timeout": 8.0, "node_receipt_timeout": 2.0},
            r"node_dead_timeout \+ node_receipt_timeout \(10\) must be less than half of disp",
        ),
        (
            {"allowed_origins": "https://a.example, http://[::1]:5010,"},
            {"allowed_origins": "https://a.example/page"},
            "allowed_origins must be like https://host or http://host:port, not 'https://a.exa",
        ),
        (
            {"log_level": "debug"},
            {"log_level": "loud"},
            "log_level must be debug, info, warning or error, not 'loud'",
        ),
        ({"log_format": "json"}, {"log_format": "x"}, "log_format must be console or json"),
        ({"journal_sync": "full"}, {"journal_sync": "x"}, "journal_sync must be normal or full"),
    ],
)
def test_a_set_is_refused_just_beyond_its_edge(
    good: dict[str, Any], bad: dict[str, Any], sentence: str
) -> None:
    """The last set that can work is taken; the first that cannot is refused with both names."""
    assert inconsistencies(Config(**good)) == []
    with pytest.raises(ConfigError, match=sentence):
        Config(**bad)


@pytest.mark.parametrize("kind", [NodeConfig, ClientConfig])
def test_pauses_grow(kind: Any) -> None:
    """The first pause may be the longest, and not longer."""
    kind(backoff_first=5.0, backoff_max=5.0)
    with pytest.raises(ConfigError, match=r"backoff_first \(6\) must not be more than backoff_max"):
        kind(backoff_first=6.0, backoff_max=5.0)


def test_a_node_is_refused_words_that_nobody_knows() -> None:
    """Its log is held to the same words as the scheduler's."""
    with pytest.raises(ConfigError, match="log_level must be"):
        NodeConfig(log_level="loud")
    with pytest.raises(ConfigError, match="log_format must be"):
        NodeConfig(log_format="xml")


def test_every_problem_is_told_at_once() -> None:
    """Whoever made two mistakes need not start twice to learn of both."""
    said = refused(pending_timeout=-1.0, log_level="loud", attempts_max=0)
    assert [sentence.split(" ")[0] for sentence in said] == [
        "pending_timeout", "attempts_max", "log_level",
    ]  # fmt: skip


def test_inequalities_speak_of_settings() -> None:
    """Each name in the table is a field of Config."""
    names = {field.name for field in attrs.fields(Config)}
    assert {name for less, more, _ in LESS for name in (less, more)} <= names
