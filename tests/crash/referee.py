"""What the clients' logs say about the promises, each violation a sentence."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crash.client import speech


def lines(log: Path) -> list[dict[str, Any]]:
    """The whole lines of a log."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def violations(log: Path) -> Iterator[str]:
    """Every accepted utterance has one outcome, received once, in order, and its own."""
    story = lines(log)
    outcomes = [line for line in story if line["what"] == "outcome"]
    accepted = {line["index"]: line["job_id"] for line in story if line["what"] == "accepted"}
    sessions = [line["id"] for line in story if line["what"] == "session"]
    for line in story:
        if line["what"] == "accepted" and accepted[line["index"]] != line["job_id"]:
            yield f"{log.name}: utterance {line['index']} was accepted as two jobs"
    if len(sessions) != 1:
        yield f"{log.name}: the session was lost and began anew {len(sessions) - 1} times"
    count = sum(line["what"] == "submitted" for line in story)
    if count == 0:
        yield f"{log.name}: nothing was ever submitted"
    seen = Counter(line["index"] for line in outcomes)
    for index in range(count):
        if seen[index] != 1:
            yield f"{log.name}: utterance {index} has {seen[index]} outcomes"
    if [line["seq"] for line in outcomes] != list(range(1, count + 1)):
        yield f"{log.name}: the outcomes are numbered {[line['seq'] for line in outcomes]}"
    for line in outcomes:
        if line["reason"] != "translated":
            yield f"{log.name}: utterance {line['index']} ended as {line['reason']}"
        elif line["text"] != speech(log.name, line["index"]):
            yield f"{log.name}: utterance {line['index']} got the outcome of {line['text']!r}"
        if line["index"] in accepted and accepted[line["index"]] != line["job_id"]:
            yield f"{log.name}: utterance {line['index']} got the outcome of another job"
