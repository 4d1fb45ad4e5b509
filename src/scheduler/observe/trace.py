"""Everything that is known under one id, explained: each job with its timeline and verdict."""

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
