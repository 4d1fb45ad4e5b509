"""A run told line by line: what struck, what the scheduler decided, what peers read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulation.history import Step
from simulation.taps import OUTCOMES
from simulation.world import Run

from scheduler.core.events import Effect, End, Left, Note, Send

LINES_MAX = 200


def tell(run: Run, lines_max: int = LINES_MAX) -> str:
    """Everything that happened, in order, each line with its instant."""
    lines = sorted([*_strikes(run), *_decisions(run), *_readings(run), *_wishes(run)], key=_at)
    told = [f"{at:10.6f}  {what}" for at, what in lines]
    if len(told) > lines_max:
        told[lines_max // 2 : -(lines_max // 2)] = [f"... {len(told) - lines_max} lines left out"]
    return "\n".join(told)


def _at(line: tuple[float, str]) -> float:
    return line[0]


def _strikes(run: Run) -> Iterator[tuple[float, str]]:
    for link in run.scene.network.links:
        yield link.connected_at, f"the link {link.label} is connected"
        for at, fault in link.struck:
            yield at, f"{fault.kind} on {link.label}, {fault.direction}"


def _decisions(run: Run) -> Iterator[tuple[float, str]]:
    for step in run.history.steps:
        did = ", ".join(filter(None, map(_effect, step.effects)))
        yield step.at, f"{_event(step)} → {did or 'nothing'}"


def _event(step: Step) -> str:
    event: Any = step.event
    said = getattr(event, "message", None) or getattr(event, "hello", None)
    words = [type(event).__name__]
    if (connection := getattr(event, "connection", None)) is not None:
        words.append(f"on {connection}")
    if said is not None:
        names = ("job_id", "attempt_id", "seq", "utterance_index", "resume")
        named = {n: getattr(said, n) for n in names if getattr(said, n, None) is not None}
        words.append(f"{type(said).__name__}{named or ''}")
    if isinstance(event, Left):
        words.append(event.close.name)
    if (timer := getattr(event, "timer", None)) is not None:
        words.append(f"{timer.kind} {timer.key}")
    return " ".join(words)


def _effect(effect: Effect) -> str:
    match effect:
        case Note():
            detail = {k: v for k, v in effect.detail.items() if k != "need"}
            return f"{effect.name} {detail}"
        case Send(seq=int(seq)):
            return f"send outcome {seq} on {effect.connection}"
        case Send(message=message) if type(message).__name__ in ("JobAssign", "JobCancel"):
            return f"{type(message).__name__} on {effect.connection}"
        case End():
            return f"end {effect.connection}: {effect.close.name}"
    return ""


def _readings(run: Run) -> Iterator[tuple[float, str]]:
    for talk in run.scene.talks:
        for heard in talk.heard:
            message = heard.message
            if message.get("type") in OUTCOMES:
                what = message.get("reason") or "translated"
                yield heard.at, f"{talk.owner} reads outcome {message['seq']}: {what}"
        if talk.over_at <= run.ended_at:
            yield talk.over_at, f"{talk.owner} is done with {talk.link.label} ({talk.close_code})"


def _wishes(run: Run) -> Iterator[tuple[float, str]]:
    for wish in run.scene.wishes:
        yield wish.said_at, f"{wish.client} says {wish.text[:24]!r}"
        if wish.ended_at is not None:
            yield wish.ended_at, f"{wish.client} is told of {wish.text[:24]!r}: {wish.ended}"
