"""Everything that is known under one id, explained: each job with its timeline and verdict."""

from datetime import UTC, datetime
from typing import Any

import attrs

from scheduler.observe.timeline import timeline
from scheduler.observe.verdict import verdict


def explain(trace: dict[str, Any]) -> dict[str, Any]:
    """Add ``timeline`` and ``verdict`` to each job of ``Snapshot.trace``."""
    jobs = [
        {**job, "timeline": timeline(job), "verdict": attrs.asdict(verdict(job))}
        for job in trace["jobs"]
    ]
    return {**trace, "jobs": jobs}


def unknown(name: str, since_ms: int) -> str:
    """Why nothing is known under an id, by a scheduler that has run since then (Unix ms)."""
    since = datetime.fromtimestamp(since_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    forgotten = "the record of a job is forgotten when finished_retention is over after its outcome"
    if name.startswith("s-"):
        forgotten = "a session is forgotten when it was closed or session_retention is over"
    return (
        f"nothing is known of this id now. This scheduler has been running since {since}; what "
        f"was finished before that is not shown any more, and {forgotten}. The log says "
        "what became of it: look there for the id"
    )
