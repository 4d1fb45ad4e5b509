"""What became of a job, and why: one or two plain sentences, and a word for programs.

A pure function of what the record shows. It says two things and keeps them apart: how the
job ended, and whether the session knows (``homecoming``). *Delivered* is said only of what
the session acknowledged.
"""

import attrs

from scheduler.observe.attempts import all_lost, lost_attempts, node_of, running, timed_out
from scheduler.observe.homecoming import homecoming
from scheduler.observe.record import View, last
from scheduler.observe.words import listed, seconds, sentence

GOOD = ("translated", "silence_detected")


@attrs.frozen
class Verdict:
    """``code`` is the failure's own code, or says how far the outcome has come.

    ``delivered`` is whether the session acknowledged the outcome, whichever it is.
    """

    code: str
    delivered: bool
    text: str


def verdict(job: View) -> Verdict:
    """Judge one job as it is shown by ``Snapshot.trace``, with its story and its session."""
    outcome = job["outcome"]
    if outcome is None:
        return _waiting(job) if job["state"] == "pending" else _running(job)
    if outcome in GOOD:
        return _good(job)
    if outcome == "cancelled":
        return _cancelled(job)
    causes = {"no_available_node": _no_node, "job_timeout": _timeout, "node_failed": _node_failed}
    cause = causes[outcome](job) if outcome in causes else str(job["hint"] or outcome)
    home = homecoming(job, "the failure")
    text = f"Failed: {cause}. {sentence(home.text)}"
    return Verdict(job["code"] or outcome.upper(), home.delivered, text)


def _waiting(job: View) -> Verdict:
    left = seconds(max(0, job["time_left_ms"]))
    text = f"Waiting{_because(job)}. It fails in {left} if no node takes it."
    return Verdict("WAITING", False, _with_losses(job, text))


def _running(job: View) -> Verdict:
    left = seconds(max(0, job["time_left_ms"]))
    text = f"Running: {running(job)}. It fails in {left} if it is not done by then."
    return Verdict("RUNNING", False, _with_losses(job, text))


def _good(job: View) -> Verdict:
    did = f"{node_of(job)} translated it"
    noun = "the result"
    if job["outcome"] == "silence_detected":
        did, noun = f"{node_of(job)} heard nobody speak in it", "that"
    if len(job["attempts"]) > 1:
        did += f" on attempt {len(job['attempts'])}"
    if (line := last(job, "finished")) is not None and "salvaged" in line:
        did += " after the deadline, but before anybody had been told of the timeout"
    home = homecoming(job, noun)
    begin = {"DELIVERED": f"Delivered: {did}, and ", "WRITTEN": f"Written: {did}; "}
    text = f"{begin.get(home.code, 'Not delivered: ')}{home.text}."
    return Verdict(home.code, home.delivered, _with_losses(job, text))


def _cancelled(job: View) -> Verdict:
    after = seconds(job["settled_at_ms"] - job["accepted_at_ms"])
    text = f"Cancelled {after} after submission: {job['hint'] or 'no reason given'}."
    if job["state"] == "expired":  # with its session: nobody is left who wants to know
        return Verdict("CANCELLED", False, text)
    home = homecoming(job, "the cancellation")
    return Verdict("CANCELLED", home.delivered, f"{text} {sentence(home.text)}")


def _because(job: View) -> str:
    """Why nobody can take it, and each node's own reason."""
    line = last(job, "waiting")
    if line is None:
        return ""
    rejected: dict[str, str] = line.get("rejected") or {}
    each = "; ".join(f"{node_id}: {why}" for node_id, why in rejected.items())
    return f": {line['text']}" + (f" ({each})" if each else "")


def _no_node(job: View) -> str:
    after = seconds(job["settled_at_ms"] - job["accepted_at_ms"])
    text = f"no node had taken it {after} after submission{_because(job)}"
    lost = all_lost(job)
    return f"{text}; {lost}" if lost else text


def _timeout(job: View) -> str:
    after = seconds(job["settled_at_ms"] - job["accepted_at_ms"])
    text = f"there was no result {after} after submission; {timed_out(job)}"
    lost = all_lost(job)
    return f"{text}; {lost}" if lost else text


def _node_failed(job: View) -> str:
    lost = lost_attempts(job)
    if not lost:
        return str(job["hint"] or "the node failed")
    if job["settled_at_ms"] > job["attempts"][-1]["ended_at_ms"]:
        return f"{listed(lost)}, and no other node took it{_because(job)}"
    return listed(lost) + ("" if len(lost) == 1 else ", and no more are made")


def _with_losses(job: View, text: str) -> str:
    lost = all_lost(job)
    return f"{text} {sentence(lost)}" if lost else text
