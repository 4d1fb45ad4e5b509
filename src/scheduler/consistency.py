"""Which settings cannot stand beside each other, in sentences that name both.

A set that is refused at start-up is an error of one line; one that is not is a night of looking
for a timer that can never fire. Each function gives the problems of one kind of settings.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import attrs

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("console", "json")
JOURNAL_SYNCS = ("normal", "full")
ORIGIN = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
)
OUTCOME_BYTES = 512
"""What an outcome takes besides its contents, even one whose contents were given up."""
MAY_BE_ZERO = frozenset({"port", "dispatched_timeout_per_audio"})

Problems = Iterator[str]

LESS: tuple[tuple[str, str, str], ...] = (
    ("node_receipt_timeout", "dispatched_timeout", "a lost assignment must leave time to retry"),
    ("heartbeat_interval", "node_suspect_timeout", "one late heartbeat is no suspicion"),
    ("node_suspect_timeout", "node_dead_timeout", "a node is suspected before it is given up"),
    ("pong_timeout", "client_receipt_timeout", "a live peer answers a ping before it is cut"),
    ("write_timeout", "client_receipt_timeout", "a stuck write is found before its receipt is due"),
    ("client_probe_timeout", "client_receipt_timeout", "the probe comes before the verdict"),
    ("client_receipt_timeout", "session_retention", "a cut session must find its outcomes"),
    ("client_receipt_timeout", "outcome_retention", "an outcome outlives its connection"),
    ("audio_chars_max", "message_bytes_max", "the refusal must be sayable before the cut"),
    ("feed_interval", "feed_keepalive", "a pause between views is no silence"),
    ("drain_reconnect_spread", "drain_timeout", "sessions leave while there is somebody to leave"),
    ("jobs_per_session_max", "journal_records_max", "a session's end is remembered in one step"),
    ("chunk_pause", "chunked_seconds_max", "a pause must be able to end an utterance"),
)
"""The first must be less than the second, and why."""


def inconsistencies(config: Any) -> list[str]:
    """What is wrong with the settings of a scheduler; empty when the set is consistent."""
    return [
        *_not_positive(config),
        *_words(config),
        *_origins(config),
        *_pairs(config),
        *_less(config),
        *_sizes(config),
        *_failover(config),
    ]


def node_inconsistencies(config: Any) -> list[str]:
    """What is wrong with the settings of a node."""
    return [*_not_positive(config), *_words(config), *_pauses(config)]


def client_inconsistencies(config: Any) -> list[str]:
    """What is wrong with the settings of a client."""
    return [*_not_positive(config), *_pauses(config)]


def _not_positive(config: Any) -> Problems:
    """Every number is finite, and more than zero unless zero means something."""
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        least = "0 or more" if field.name in MAY_BE_ZERO else "more than 0"
        if not math.isfinite(value) or value < 0 or (value == 0 and field.name not in MAY_BE_ZERO):
            yield f"{field.name} must be {least}, not {value}"


def _words(config: Any) -> Problems:
    """Settings that are one of a few words."""
    choices = {"log_level": LOG_LEVELS, "log_format": LOG_FORMATS, "journal_sync": JOURNAL_SYNCS}
    for name, words in choices.items():
        value = getattr(config, name, words[0])
        if value not in words:
            yield f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {value!r}"


def _origins(config: Any) -> Problems:
    """What a browser could never send as an Origin would lock everybody out."""
    for origin in filter(None, config.allowed_origins.split(",")):
        if not ORIGIN.fullmatch(origin.strip()):
            yield f"allowed_origins must be like https://host or http://host:port, not {origin!r}"


def _pairs(config: Any) -> Problems:
    """The pairs that an operator expects are written as the metrics write them."""
    for pair in parts(config.metrics_pairs):
        if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)+(\+[A-Za-z0-9]+(-[A-Za-z0-9]+)+)?", pair):
            yield f"metrics_pairs must be pairs like en-es, with commas between, not {pair!r}"


def parts(setting: str) -> list[str]:
    """What a setting names that has commas between."""
    return [part.strip() for part in setting.split(",") if part.strip()]


def _less(config: Any) -> Problems:
    for less, more, why in LESS:
        a, b = getattr(config, less), getattr(config, more)
        if not a < b:
            yield f"{less} ({a:g}) must be less than {more} ({b:g}): {why}"


def _sizes(config: Any) -> Problems:
    """What has to fit into what."""
    if config.port > 65535:
        yield f"port must be 0 to 65535, not {config.port}"
    if (config.chunked_bytes_max + 2) // 3 * 4 > config.audio_chars_max:
        yield (
            f"chunked_bytes_max ({config.chunked_bytes_max}) must be at most three quarters of "
            f"audio_chars_max ({config.audio_chars_max}): base64 makes four characters of three"
        )
    replayed = config.retained_outcomes_max + 2 * config.jobs_per_session_max
    if not replayed < config.outbox_messages_max:
        yield (
            f"retained_outcomes_max + 2 * jobs_per_session_max ({replayed}) must be less than "
            f"outbox_messages_max ({config.outbox_messages_max}): whoever resumes gets all at once"
        )
    kept = config.retained_bytes_max + OUTCOME_BYTES * replayed
    if not 2 * kept <= config.outbox_bytes_max:
        yield (
            f"retained_bytes_max and {OUTCOME_BYTES} for each of {replayed} outcomes ({kept}) must "
            f"be at most half of outbox_bytes_max ({config.outbox_bytes_max}): whoever resumes "
            "gets all at once"
        )


def _failover(config: Any) -> Problems:
    if config.dispatched_timeout > config.dispatched_timeout_max:
        yield (
            f"dispatched_timeout ({config.dispatched_timeout:g}) must not be more than "
            f"dispatched_timeout_max ({config.dispatched_timeout_max:g})"
        )
    node_loss = config.node_dead_timeout + config.node_receipt_timeout
    if not node_loss < config.dispatched_timeout / 2:
        yield (
            f"node_dead_timeout + node_receipt_timeout ({node_loss:g}) must be less than half of "
            f"dispatched_timeout ({config.dispatched_timeout:g}): a second attempt needs its time"
        )


def _pauses(config: Any) -> Problems:
    if config.backoff_first > config.backoff_max:
        yield (
            f"backoff_first ({config.backoff_first:g}) must not be more than backoff_max "
            f"({config.backoff_max:g}): pauses grow from the one to the other"
        )
