"""Whether the session has its outcome, and if not, where it is and what will become of it."""

import attrs

from scheduler.observe.record import View, last, offset, unanswered_since
from scheduler.observe.words import clock

FROZEN = "the device was frozen or cut off"


@attrs.frozen
class Homecoming:
    """``text`` is the rest of a sentence, without a capital letter and a full stop."""

    code: str
    text: str

    @property
    def delivered(self) -> bool:
        """Whether the session acknowledged it."""
        return self.code == "DELIVERED"


def homecoming(job: View, noun: str) -> Homecoming:
    """How far the outcome of a settled job has come; ``noun`` names it (``the result``)."""
    states = {
        "acknowledged": _acknowledged,
        "written": _written,
        "finished": _unwritten,
        "expired": _expired,
    }
    return states[job["state"]](job, noun)


def _acknowledged(job: View, noun: str) -> Homecoming:
    line = last(job, "acknowledged")
    after = offset(job, line["at_ms"] if line else job["settled_at_ms"])
    text = f"the session acknowledged {noun} {after} after submission"
    if (back := last(job, "resumed")) is not None:
        text += f", having resumed at {offset(job, back['at_ms'])}"
        if (lost := last(job, "disconnected")) is not None:
            text += f"; its connection had ended at {offset(job, lost['at_ms'])} ({_why(lost)})"
    return Homecoming("DELIVERED", text)


def _written(job: View, noun: str) -> Homecoming:
    text, silent = _write(job, noun)
    if job["story"][0].get("receipts", True):
        return Homecoming("UNACKNOWLEDGED", f"{text}; {_what_next(job)}")
    if silent:
        return Homecoming("UNHEARD", f"{text}; a session without receipts cannot get it again")
    return Homecoming("WRITTEN", f"{text}, which is all that a session without receipts can tell")


def _write(job: View, noun: str) -> tuple[str, bool]:
    """When and to what kind of connection it was written; whether that one was silent."""
    line = last(job, "written")
    if line is None:
        return f"{noun} was written", False
    text = f"{noun} was written {offset(job, line['at_ms'])} after submission to a connection that"
    end = next(
        (
            later
            for later in job["story"]
            if later["what"] == "disconnected" and later["connection"] == line["connection"]
        ),
        None,
    )
    since = unanswered_since(line) or (end and unanswered_since(end))
    if since is not None:
        had = "had" if since <= line["at_ms"] else "then"
        at = offset(job, since)
        return f"{text} {had} stopped answering pings at {at} ({FROZEN})", True
    if end is not None:
        heard_later = end["heard_at_ms"] > line["at_ms"]
        return f"{text} ended at {offset(job, end['at_ms'])} ({end['why']})", not heard_later
    probed = last(job, "probed")
    if probed is not None and probed["connection"] == line["connection"]:
        at = offset(job, probed["at_ms"])
        return f"{text} is open and was pinged for an answer at {at}", False
    return f"{text} is open", False


def _why(disconnected: View) -> str:
    """Why a connection ended, and what that means of the device."""
    if unanswered_since(disconnected) is None:
        return str(disconnected["why"])
    return f"{disconnected['why']}: {FROZEN}"


def _what_next(job: View) -> str:
    session = job["session"]
    if session is None:
        return "its session is over"
    if session["connected"]:
        return "its acknowledgement is awaited"
    until = clock(session["resumable_until_ms"])
    return (
        f"it is kept and will be replayed when session {job['session_id']} resumes (until {until})"
    )


def _unwritten(job: View, noun: str) -> Homecoming:
    ready = offset(job, job["settled_at_ms"])
    if job["seq"] is None:
        text = f"{noun} is ready since {ready} and waits for the outcome of an earlier utterance"
        return Homecoming("HELD", text)
    session = job["session"]
    if session is not None and session["connected"]:
        text = f"{noun} is ready since {ready} and waits to be written"
        if job["being_written"]:
            text = f"{noun} is ready since {ready}, and the connection does not take all of it"
        return Homecoming("UNWRITTEN", text)
    text = f"{noun} is ready since {ready}"
    if (line := last(job, "disconnected")) is not None:
        ended = f"{offset(job, line['at_ms'])} ({_why(line)})"
        if line["at_ms"] <= job["settled_at_ms"]:
            text += f"; the connection of its session had ended at {ended}"
        elif "unfinished_write" in line:
            text += f"; the connection took only a part of it and ended at {ended}"
        else:
            text += f"; the connection of its session ended at {ended} before it was written"
    return Homecoming("UNWRITTEN", f"{text}; {_what_next(job)}")


def _expired(job: View, noun: str) -> Homecoming:
    line = last(job, "expired")
    assert line is not None
    at = offset(job, line["at_ms"])
    text = _write(job, noun)[0] if last(job, "written") else f"{noun} was never written"
    if line["why"] == "age":
        text += f"; it was given up at {at}, when it had been kept for as long as promised"
        return Homecoming("GAP", f"{text}, and a gap takes its place")
    if line["why"] == "retention":
        text += f"; it was given up at {at}, since no more may be kept for a session"
        return Homecoming("GAP", f"{text}, and a gap takes its place")
    return Homecoming("EXPIRED", f"{text}; it expired at {at} because {line['why']}")
