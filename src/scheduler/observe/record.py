"""Reading a job as the snapshot shows it: plain data, with its story."""

from typing import Any

from scheduler.observe.words import seconds

View = dict[str, Any]
"""A job, or a line of its story, as it stands in the JSON of the API."""


def last(job: View, *whats: str) -> View | None:
    """The last line of one of these kinds in the job's story."""
    return next((line for line in reversed(job["story"]) if line["what"] in whats), None)


def offset(job: View, unix_ms: int) -> str:
    """How long after its submission something happened."""
    return seconds(unix_ms - job["accepted_at_ms"])


def unanswered_since(line: View) -> int | None:
    """When the ping was sent that the peer of this line had not answered, in Unix ms.

    A peer that was heard after the ping lives, even if the answer itself never came.
    """
    since: int | None = line.get("unanswered_since_ms")
    return since if since is not None and line.get("heard_at_ms", 0) <= since else None
