"""What the attempts of a job came to, in words."""

from scheduler.observe.record import View, last, offset
from scheduler.observe.words import listed, seconds

_ENDS = {
    "node_left": "disconnected",
    "node_restarted": "came back without it",
    "no_receipt": "did not receipt it in time",
    "scheduler_restarted": "had it when the scheduler was restarted",
}
_NO_LOSS = ("translated", "silence_detected", "job_timeout", "cancelled")
"""Ends of an attempt that are the end of its job, and by no fault of the attempt."""


def node_of(job: View) -> str:
    """The node of the last attempt."""
    return str(job["attempts"][-1]["node_id"]) if job["attempts"] else "no node"


def lost_attempts(job: View) -> list[str]:
    """How each attempt that was lost ended, one part of a sentence each."""
    lost = [a for a in job["attempts"] if a["end"] is not None and a["end"] not in _NO_LOSS]
    return [
        f"attempt {attempt['attempt_id']} was lost at {offset(job, attempt['ended_at_ms'])} "
        f"({_cause(job, attempt)})"
        for attempt in lost
    ]


def all_lost(job: View) -> str:
    """One part of a sentence about all attempts that were lost; empty if none was."""
    lost = lost_attempts(job)
    return listed(lost) if lost else ""


def _cause(job: View, attempt: View) -> str:
    node_id = attempt["node_id"] or "a node"
    hint = _hint(job, attempt)
    if attempt["code"] is not None:
        said = hint.removeprefix(f"{node_id}: ")
        return f"{node_id} failed with {attempt['code']}" + (f": {said}" if said else "")
    if hint.startswith(f"{node_id} "):
        return hint
    return f"{node_id} {_ENDS.get(attempt['end'], attempt['end'])}"


def _hint(job: View, attempt: View) -> str:
    """What was told when the attempt was lost; the last one's is that of the outcome."""
    lines = (line for line in job["story"] if line["what"] == "lost")
    line = next((one for one in lines if one["attempt"] == attempt["attempt_id"]), None)
    return str((line.get("hint") if line is not None else job["hint"]) or "")


def running(job: View) -> str:
    """How far the current attempt is."""
    attempt = job["attempts"][-1]
    text = f"{attempt['node_id']} {_progress(job, attempt, 'has not', ' yet')}"
    line = last(job, "node silent", "node heard")
    if line is not None and line["what"] == "node silent":
        text += f" and has been silent since {offset(job, line['at_ms'])}"
    return text


def timed_out(job: View) -> str:
    """How far the last attempt was when its time was over, and whether its result came late."""
    if not job["attempts"]:
        return "no node had it"
    attempt = job["attempts"][-1]
    text = f"{attempt['node_id']} {_progress(job, attempt, 'had not', '')}"
    late = last(job, "stale")
    if late is None or late["input"] != "job_result" or late["at_ms"] < job["settled_at_ms"]:
        return text
    too_late = seconds(late["at_ms"] - job["settled_at_ms"])
    return f"{text}; its result came {too_late} too late and changed nothing"


def _progress(job: View, attempt: View, not_: str, yet: str) -> str:
    if attempt["started_at_ms"] is not None:
        return f"started it at {offset(job, attempt['started_at_ms'])}"
    if attempt["received_at_ms"] is not None:
        at = offset(job, attempt["received_at_ms"])
        return f"received it at {at} and {not_} started it{yet}"
    return f"was given it at {offset(job, attempt['assigned_at_ms'])} and {not_} answered{yet}"
