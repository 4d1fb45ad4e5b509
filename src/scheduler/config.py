"""Every timer and every limit: its name, its unit, its default and its reason.

One flat class, so that one name serves everywhere: the field ``pending_timeout`` is the flag
``--pending-timeout``, the variable ``SCHEDULER_PENDING_TIMEOUT`` and the TOML key
``pending_timeout`` under ``[scheduler]``. Units are in the types below.

Durations are measured on the monotonic clock. What must hold between them is in ``consistency``.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs

from scheduler.consistency import (
    client_inconsistencies,
    inconsistencies,
    node_inconsistencies,
)
from scheduler.errors import ConfigError

Seconds = float
Count = int
Bytes = int
Ratio = float


_USUAL: Any = SimpleNamespace(
    dispatched_timeout=30.0, node_dead_timeout=4.0, node_suspect_timeout=2.0, drain_timeout=30.0,
    client_receipt_timeout=10.0, session_retention=600.0, message_bytes_max=2**24,
    audio_chars_max=2**23,
)  # fmt: skip
"""The usual settings, from which the sentences of ``--help`` are computed."""


def _setting(default: Any, text: str) -> Any:
    """One setting: its default, and the sentence shown by ``--help``.

    A default that is a function of the other settings follows them down: whoever shortens
    ``dispatched_timeout`` need not know every timer that must be shorter still.
    """
    if callable(default):
        text = f"{text} Follows the others; usually {default(_USUAL):g}."
        default = attrs.Factory(default, takes_self=True)
    return attrs.field(default=default, metadata={"typed-settings": {"help": text}, "help": text})


def _refuse(settings: Any, check: Callable[[Any], list[str]]) -> None:
    if problems := check(settings):
        raise ConfigError("; ".join(problems))


@attrs.frozen(kw_only=True)
class Config:
    """What the scheduler is allowed to do, for how long, and how much of it."""

    # -- the door -------------------------------------------------------------
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(5010, "Port to listen on; 0 lets the system choose one.")
    allowed_origins: str = _setting(
        "", "Web sites whose pages may connect (https://HOST[:PORT], commas between); empty: any."
    )
    journal: str = _setting(
        "", "Where accepted work is kept: a file, or 'memory' for no longer than this run. "
        "Without it: a file under the user's state directory.",
    )  # fmt: skip
    log_level: str = _setting("info", "Least severe log line shown: debug, info, warning or error.")
    log_format: str = _setting("console", "Log lines for people (console) or programs (json).")
    otel_endpoint: str = _setting(
        "", "Where spans are sent (OTLP over HTTP, http://HOST:4318/v1/traces); empty for nowhere."
    )

    # -- the life of a job ------------------------------------------------------
    pending_timeout: Seconds = _setting(
        10.0, "How long a job waits for a free node that can do it (NO_AVAILABLE_NODE)."
    )
    dispatched_timeout: Seconds = _setting(
        30.0, "How long a job may take from its first assignment, all attempts (JOB_TIMEOUT)."
    )
    dispatched_timeout_per_audio: Ratio = _setting(
        0.0, "Seconds added to the dispatched timeout per second of audio."
    )
    dispatched_timeout_max: Seconds = _setting(
        lambda c: max(120.0, c.dispatched_timeout),
        "The dispatched timeout never grows beyond this.",
    )
    node_receipt_timeout: Seconds = _setting(
        lambda c: min(1.5, c.dispatched_timeout / 8),
        "How long a node that gives receipts may take to receipt an assignment.",
    )
    attempts_max: Count = _setting(3, "Attempts of one job before it fails as NODE_UNAVAILABLE.")
    finished_retention: Seconds = _setting(
        300.0, "How long a job's record stays readable after its outcome was settled."
    )
    finished_jobs_max: Count = _setting(10_000, "Finished job records kept for reading.")

    # -- nodes ------------------------------------------------------------------
    node_dead_timeout: Seconds = _setting(
        lambda c: min(4.0, c.dispatched_timeout / 4),
        "Silence after which a node's connection is cut.",
    )
    node_suspect_timeout: Seconds = _setting(
        lambda c: min(2.0, c.node_dead_timeout / 2), "Silence after which a node gets no new work."
    )
    heartbeat_interval: Seconds = _setting(
        lambda c: min(1.0, c.node_suspect_timeout / 2),
        "How often a node with receipts sends a heartbeat.",
    )
    quarantine_setbacks: Count = _setting(
        3, "Failures in a row after which a node gets no jobs until a canary went well."
    )
    canary_interval: Seconds = _setting(
        10.0, "Pause before a quarantined node is tried with a canary."
    )
    canary_timeout: Seconds = _setting(10.0, "How long a canary may take.")
    result_stored_timeout: Seconds = _setting(5.0, "A node resends a result not receipted by then.")
    node_backoff_max: Seconds = _setting(5.0, "Longest pause between a node's attempts to connect.")

    # -- sessions ---------------------------------------------------------------
    session_retention: Seconds = _setting(
        600.0, "How long a session without a connection may be resumed."
    )
    client_receipt_timeout: Seconds = _setting(
        lambda c: min(10.0, c.session_retention / 2),
        "A session that stays silent this long after an outcome is cut; it may resume.",
    )
    client_probe_timeout: Seconds = _setting(
        lambda c: min(3.0, c.client_receipt_timeout * 0.3),
        "A session that has not acknowledged a written outcome is pinged after this.",
    )
    client_backoff_max: Seconds = _setting(
        30.0, "Longest pause between a client's attempts to connect."
    )
    retained_outcomes_max: Count = _setting(256, "Unacknowledged outcomes kept per session.")
    outcome_retention: Seconds = _setting(
        lambda c: c.session_retention,
        "An outcome that is not acknowledged for this long is given up; a gap stays.",
    )
    utterances_remembered_max: Count = _setting(
        10_000, "Utterance indexes remembered per session, so that none runs twice."
    )

    # -- connections ------------------------------------------------------------
    handshake_timeout: Seconds = _setting(5.0, "From TCP accept to a complete request head.")
    hello_timeout: Seconds = _setting(5.0, "From the upgrade to session_init or node_register.")
    close_timeout: Seconds = _setting(2.0, "How long a peer may take to answer our close frame.")
    write_timeout: Seconds = _setting(
        lambda c: min(5.0, c.client_receipt_timeout / 2),
        "A write that makes no progress for this long is cut.",
    )
    ping_interval: Seconds = _setting(10.0, "Silence after which a connection is pinged.")
    pong_timeout: Seconds = _setting(
        lambda c: min(5.0, c.client_receipt_timeout / 2),
        "Silence after a ping that ends the connection.",
    )
    stall_threshold: Seconds = _setting(
        1.0, "If our own process slept this much too long, peers get one more heartbeat."
    )
    http_idle_timeout: Seconds = _setting(60.0, "Idle time of a kept-alive HTTP connection.")
    drain_timeout: Seconds = _setting(30.0, "How long running work may finish after SIGTERM.")
    drain_reconnect_spread: Seconds = _setting(
        lambda c: min(2.0, c.drain_timeout / 2),
        "Over how long sessions are spread that are told to come back after a restart.",
    )

    # -- the journal ------------------------------------------------------------
    journal_sync: str = _setting(
        "normal", "normal survives a crash of this program, full also one of the machine (slower)."
    )
    audio_at_rest: bool = _setting(
        True, "Whether the audio of accepted utterances may be written to the journal."
    )
    journal_retry_interval: Seconds = _setting(
        1.0, "Pause before a journal that could not be written is tried again."
    )
    journal_records_max: Count = _setting(
        20_000, "Records waiting to be written; beyond it utterances are refused as OVERLOADED."
    )

    # -- the live feed of the dashboard -------------------------------------------
    feed_interval: Seconds = _setting(0.5, "Pause between two views of what has changed.")
    feed_keepalive: Seconds = _setting(10.0, "A reader of the feed hears something this often.")
    feed_readers_max: Count = _setting(64, "Readers of the feed at one time; more get 503.")
    feed_rows_max: Count = _setting(200, "Nodes, sessions and jobs shown in the feed, of each.")

    # -- bounds -----------------------------------------------------------------
    metrics_pairs_max: Count = _setting(
        64, "Language pairs that nodes serve with metrics of their own; more count as 'other'."
    )
    metrics_pairs: str = _setting(
        "", "Language pairs that have metrics of their own in any case, e.g. 'en-es,es-en'."
    )
    connections_max: Count = _setting(20_000, "Connections of all kinds at one time.")
    sessions_max: Count = _setting(12_000, "Sessions at one time, resumable ones included.")
    nodes_max: Count = _setting(10_000, "Registered nodes at one time.")
    slots_per_node_max: Count = _setting(256, "Slots one node may offer; more are ignored.")
    base_node_slots: Count = _setting(4, "Slots of a node that does not say how many it has.")
    jobs_waiting_max: Count = _setting(
        100_000, "Jobs waiting for a node; beyond it utterances are refused as OVERLOADED."
    )
    jobs_per_session_max: Count = _setting(
        64, "Unfinished jobs of one session; beyond it utterances are refused as OVERLOADED."
    )
    message_bytes_max: Bytes = _setting(
        16 * 2**20, "Largest WebSocket message; a larger one closes its connection with 1009."
    )
    audio_chars_max: Count = _setting(
        lambda c: min(8 * 2**20, c.message_bytes_max // 2),
        "Longest base64 audio of an utterance; a longer one is refused as TOO_LARGE.",
    )
    outbox_messages_max: Count = _setting(1024, "Messages waiting for one connection's writer.")
    outbox_bytes_max: Bytes = _setting(
        lambda c: max(32 * 2**20, 3 * c.message_bytes_max),
        "Bytes waiting for one connection's writer; beyond it the peer is cut (4002).",
    )
    audio_total_chars_max: Count = _setting(
        2**30,
        "Base64 audio of all unfinished utterances; beyond it they are refused as OVERLOADED.",
    )
    retained_bytes_max: Bytes = _setting(
        lambda c: c.message_bytes_max * 5 // 4,
        "Bytes of unacknowledged outcomes kept per session; the largest result must fit.",
    )
    retained_total_bytes_max: Bytes = _setting(
        512 * 2**20, "Bytes of unacknowledged outcomes kept for all sessions together."
    )
    invalid_messages_max: Count = _setting(
        20, "Invalid messages from one connection before it is closed with 4500."
    )
    request_head_bytes_max: Bytes = _setting(16 * 2**10, "Largest HTTP request head.")
    request_body_bytes_max: Bytes = _setting(64 * 2**10, "Largest HTTP request body.")

    # -- speech that comes in chunks, and is cut here ----------------------------
    chunk_pause: Seconds = _setting(
        3.0, "A pause of this length without a chunk ends the utterance."
    )
    chunked_seconds_max: Seconds = _setting(
        20.0, "An utterance is cut at this length, and this long after its first chunk."
    )
    chunked_bytes_max: Bytes = _setting(
        lambda c: min(500 * 2**10, c.audio_chars_max // 4 * 3),
        "An utterance is cut at this many bytes of samples; 32,000 are a second.",
    )
    padding_manual: Seconds = _setting(
        0.28, "Silence that a node is told to put around an utterance that the client ended."
    )
    padding_automatic: Seconds = _setting(
        0.22, "Silence that a node is told to put around an utterance that was cut here."
    )

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot work, naming each."""
        _refuse(self, inconsistencies)


@attrs.frozen(kw_only=True)
class NodeConfig:
    """The settings of a node: where its scheduler is, and how much it takes on."""

    url: str = _setting("ws://127.0.0.1:5010", "The scheduler's address (ws:// or wss://).")
    slots: Count = _setting(2, "Jobs run at the same time.")
    node_id: str = _setting("", "A name that survives restarts; empty lets the scheduler give one.")
    log_level: str = _setting("info", "Least severe log line shown: debug, info, warning or error.")
    log_format: str = _setting("console", "Log lines for people (console) or programs (json).")
    connect_timeout: Seconds = _setting(5.0, "How long one attempt to connect may take.")
    backoff_first: Seconds = _setting(0.5, "Ceiling of the first pause between attempts.")
    backoff_max: Seconds = _setting(5.0, "Ceiling of every pause between attempts.")
    drain_timeout: Seconds = _setting(30.0, "How long running jobs may finish after SIGTERM.")
    results_kept_max: Count = _setting(
        256, "Finished results kept until the scheduler has receipted them."
    )
    results_kept_bytes_max: Bytes = _setting(
        64 * 2**20, "Bytes of finished results kept until the scheduler has receipted them."
    )

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot work, naming each."""
        _refuse(self, node_inconsistencies)


@attrs.frozen(kw_only=True)
class ClientConfig:
    """The settings of a client's connection."""

    connect_timeout: Seconds = _setting(5.0, "How long one attempt to connect may take.")
    backoff_first: Seconds = _setting(0.5, "Ceiling of the first pause between attempts.")
    backoff_max: Seconds = _setting(30.0, "Ceiling of every pause between attempts.")
    welcome_timeout: Seconds = _setting(5.0, "From the upgrade to session_init_ack.")
    healthy_after: Seconds = _setting(
        5.0, "A connection that lasted this long makes the next pause a first one again."
    )
    events_max: Count = _setting(
        1024, "Events kept for a reader that is slow; older ones go first."
    )
    outcomes_max: Count = _setting(
        1024, "Outcomes of an earlier process kept for their reader; more stay with the scheduler."
    )
    utterances_open_max: Count = _setting(64, "Utterances without an outcome at one time.")

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot work, naming each."""
        _refuse(self, client_inconsistencies)


def _own_first(_cls: type, fields: list[Any]) -> list[Any]:
    """The order of ``--help``: what a class adds comes before what it inherits."""
    return sorted(fields, key=lambda field: field.inherited)


@attrs.frozen(kw_only=True, field_transformer=_own_first)
class TranslateConfig(ClientConfig):
    """The settings of ``translate``: those of its connection, and what to do with files."""

    url: str = _setting("ws://127.0.0.1:5010", "The scheduler's address (ws:// or wss://).")
    out: str = _setting(".", "The directory for the translated WAV files; it is made if need be.")
    timeout: Seconds = _setting(60.0, "How long one file's result may take, connecting included.")
    rate: Count = _setting(
        16_000, "Samples per second of headerless .raw files (16-bit little endian, mono)."
    )
