"""What is wrong and what to do about it, in sentences for people."""

from typing import Any

import attrs

from scheduler.errors import Close, Code
from scheduler.observe.record import last

NODES_TOLD_MAX = 5
PAIRS_TOLD_MAX = 8

View = dict[str, Any]


@attrs.frozen
class Finding:
    """One answer of the nodes; ``advice`` is empty if it is well."""

    text: str
    advice: str = ""


_TRYING = (
    "If one is running, its last line says which address it tries and why it does not get through; "
    "if that line says that it is connected, it is frozen or cut off"
)
_FROZEN = (
    "it is frozen or cut off: look at its process (ps shows T for one that was stopped: kill -CONT "
    "PID), at its machine, and at the network between"
)
_UNFIT = ("service_missing", "language_missing")
_OUT_OF_SERVICE = {
    "service_not_ready": "mend what is named there on the node's machine; the node takes jobs as "
    "soon as it says that it is ready",
    "draining": "a draining node takes no new jobs; start another one, or wait until it is back",
    "quarantined": "it failed several jobs in a row; its own log says why. It is tried again with "
    "a small job every few seconds",
    "silent": _FROZEN,
}


def about_nodes(view: View, url: str) -> list[Finding]:
    """The answers of ``/api/v1/placement``, up to the first bad one: is a node there, can it
    do the languages, are its services ready, has it a slot.
    """
    nodes, need = view["nodes"], view["need"]
    command = f"python -m scheduler node --url {url}"
    if not nodes:
        return [Finding(_nobody(view["facts"]), f"start a node: {command}. {_TRYING}")]
    found = [Finding(f"{_count(len(nodes), 'node')} connected")]
    fit = [node for node in nodes if _reason(node) not in _UNFIT]
    if not fit:
        advice = f"start a node that has engines for {need}, or ask for a pair that is there "
        advice += "(--from and --to); /api/v1/nodes lists them all"
        return [*found, Finding(f"no node can do {need}: {_each(nodes)}", advice)]
    found.append(Finding(f"{_names(fit)} can do {need}"))
    serving = [node for node in fit if _reason(node) not in _OUT_OF_SERVICE]
    if not serving:
        advice = _OUT_OF_SERVICE[_reason(fit[0])]
        return [*found, Finding(f"no node that can do {need} serves: {_each(fit)}", advice)]
    found.append(Finding(f"{_names(serving)}: asr, nmt and tts are ready"))
    free = [node for node in serving if _reason(node) == ""]
    if not free:
        advice = "wait, give a node more slots (--slots), or start another node"
        return [*found, Finding(f"no slot is free: {_each(serving)}", advice)]
    slots = sum(node["slots_free"] for node in free)
    return [*found, Finding(f"{_count(slots, 'slot')} free")]


def _nobody(facts: View) -> str:
    joined = facts.get("node_joined", 0)
    if not joined:
        return "no node is connected, and none has been since the scheduler started"
    were = "was 1 registration" if joined == 1 else f"were {joined} registrations"
    return f"no node is connected any more; since the scheduler started there {were}"


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"


def _reason(node: View) -> str:
    return str(node["rejection"]["reason"]) if node["rejection"] else ""


def _names(nodes: list[View]) -> str:
    names = [node["node_id"] for node in nodes[:NODES_TOLD_MAX]]
    more = len(nodes) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _each(nodes: list[View]) -> str:
    """Every node's own reason, and the errors of its services."""
    told = [f"{node['node_id']}: {_why(node)}" for node in nodes[:NODES_TOLD_MAX]]
    more = len(nodes) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _why(node: View) -> str:
    errors = [
        f"{service['service_id']}: {service['last_error']}"
        for service in node["services"]
        if service["last_error"] and service["last_error"] not in node["rejection"]["text"]
    ]
    pairs = node.get("pairs") or []
    if node["rejection"]["reason"] == "language_missing" and pairs:
        more = ", …" if len(pairs) > PAIRS_TOLD_MAX else ""
        errors.append(f"it has {', '.join(pairs[:PAIRS_TOLD_MAX])}{more}")
    return "; ".join([node["rejection"]["text"], *errors])


def about_link(step: str, url: str, cause: str) -> str:
    """What to do when the scheduler says that it is well, and yet this step failed."""
    match step:
        case "port" if cause.startswith("no TLS"):
            return f"is {url} to be ws:// (no TLS) or wss://? Else the certificate has to be mended"
        case "port":
            return f"start the scheduler (python -m scheduler), or correct the address {url}"
        case "upgrade" | "node":
            return f"a proxy at {url} may let HTTP through and no WebSocket; mend its settings"
        case "hello" | "receipt":
            text = "the scheduler answers GET /ready, and not this: it waits for the disk of its "
            return text + "journal, or has too much to do; look at its log and at its machine"
        case _:
            return "look at the scheduler's log and at the network between"


_BY_CODE = {
    Code.NO_AVAILABLE_NODE: "the nodes changed while the doctor looked; run it again",
    Code.JOB_TIMEOUT: "the node is too slow or stuck; look at its log and its load",
    Code.OVERLOADED: "too much is waiting; add nodes, or try later",
    Code.DRAINING: "the scheduler is being restarted; try again in a moment",
    "RUNNING": "the node is slow; look at its log and its load, and give it time",
    "WAITING": "the nodes changed while the doctor looked; run it again",
}
_UNPLACED = (Code.NO_AVAILABLE_NODE, Code.NODE_UNAVAILABLE, "WAITING")


def about_job(job: View, code: str) -> str:
    """What to do about an utterance that failed with ``code``, or is not done."""
    silence = last(job, "node silent", "node heard")
    if code == "RUNNING" and silence is not None and silence["what"] == "node silent":
        return f"{job['node_id']} has the job; {_FROZEN}"
    if code in _UNPLACED and (lost := last(job, "lost")) is not None:
        hint = lost.get("hint") or ""
        if lost["why"] == "no_receipt" or Close.KEEPALIVE_TIMEOUT.text in hint:
            return f"{job['node_id']} had the job and fell silent; {_FROZEN}"
        if lost["why"] == "node_left":
            return f"{job['node_id']} ended, or its network did, while it had the job; see its log"
    if code == "WAITING" and job["waiting_because"] == "all_busy":
        return "somebody else took the slot; add nodes or slots, or try again"
    story = f"python -m scheduler trace {job['job_id']} tells the rest"
    return _BY_CODE.get(code, f"look at the node's log; {story}")


def about_refusal(code: str) -> str:
    """What to do about a hello or an utterance that was refused with ``code``."""
    return _BY_CODE.get(code, "look at the scheduler's settings and at its log")
