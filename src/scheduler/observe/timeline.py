"""A job's story as lines that a person can read, each with its offset from submission."""

from scheduler.observe.record import View, offset, unanswered_since
from scheduler.observe.words import clock


def timeline(job: View) -> list[View]:
    """One entry per line of the story: ``offset_ms``, ``at_ms``, ``what``, ``actor``, ``text``."""
    begun = job["accepted_at_ms"]
    return [
        {
            "offset_ms": line["at_ms"] - begun,
            "at_ms": line["at_ms"],
            "what": line["what"],
            "actor": line["actor"],
            "text": _text(job, line),
        }
        for line in sorted(job["story"], key=lambda line: line["at_ms"])
    ]


def _text(job: View, line: View) -> str:
    match line["what"]:
        case "accepted":
            how = "" if line.get("receipts", True) else ", which cannot acknowledge"
            return f"{job['need']}, from {line['actor']}{how}"
        case "waiting":
            rejected: dict[str, str] = line.get("rejected") or {}
            return "; ".join([line["text"], *(f"{who}: {why}" for who, why in rejected.items())])
        case "pending":
            return "recovered from the journal" if "restarted" in line else "a node is looked for"
        case "assigned" if "taken_over" not in line:
            return f"attempt {line['attempt']} to {line['node_id']}"
        case "received" | "started":
            return f"attempt {line['attempt']} by {line['actor']}"
        case "lost":
            return f"attempt {line['attempt']}: {line.get('hint') or line['why']}{_code(line)}"
        case "finished":
            late = ", in the place of a timeout that nobody had been told"
            text = f"{line['outcome']}{_code(line)} by {line['actor']}"
            return text + (late if "salvaged" in line else "")
        case "written":
            return _written(job, line)
        case "disconnected":
            return _disconnected(job, line)
        case _:
            return _rest(line)


def _rest(line: View) -> str:
    match line["what"]:
        case "assigned":
            return f"attempt {line['attempt']} was still held by {line['actor']}"
        case "acknowledged":
            return f"outcome {line['seq']} by {line['actor']}"
        case "resumed":
            instead = f", in the place of {line['replaced']}" if "replaced" in line else ""
            return f"{line['actor']} on connection {line['connection']}{instead}"
        case "probed":
            return f"no acknowledgement yet; connection {line['connection']} is pinged"
        case "expired":
            return str(line["why"])
        case "stale":
            return f"{line['input']} from {line['actor']} changed nothing"
        case _:
            return str(line["actor"])


def _code(line: View) -> str:
    return f" [{line['code']}]" if "code" in line else ""


def _written(job: View, line: View) -> str:
    text = f"outcome {line['seq']} to connection {line['connection']}"
    if (since := unanswered_since(line)) is not None:
        text += f", without an answer to the ping of {offset(job, since)}"
    return text


def _disconnected(job: View, line: View) -> str:
    text = f"connection {line['connection']}: {line['why']} ({line['close_code']})"
    text += f"; last heard at {offset(job, line['heard_at_ms'])}"
    if (since := unanswered_since(line)) is not None:
        text += f", no answer to the ping of {offset(job, since)}"
    if "unfinished_write" in line:
        text += ", in the middle of this outcome"
    if "resumable_until_ms" in line:
        text += f"; the session may resume until {clock(line['resumable_until_ms'])}"
    return text
