"""A node is told everything that the utterance said, and what the scheduler knows about it."""

from typing import Any

import attrs
from messages import utterance
from playbook import Playbook

from scheduler.core.assignment import pipeline
from scheduler.wire import node
from scheduler.wire.common import Pipeline
from scheduler.wire.session import Utterance


def test_what_the_session_said_reaches_the_node_as_it_was() -> None:
    """Audio, languages, mode and options are passed on unchanged."""
    said: dict[str, Any] = {
        "audio": "UklGRg==", "audio_format": "wav", "sample_rate": 8000, "dialect": "en-GB",
        "features": {"noise": "low"}, "mode": "one_way", "lang_a": "en", "lang_b": "es",
        "auto_langs": ("en", "es"), "enable_streaming_asr": True,
        "partial_update_interval_ms": 300, "trace_id": "trace of the client",
    }  # fmt: skip
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node()
    book.say(person, utterance(ack.session_id, 5, **said))

    job = book.last(machine, node.JobAssign)
    shared = {f.name for f in attrs.fields(Utterance)} & {
        f.name for f in attrs.fields(node.JobAssign)
    }
    assert set(said) <= shared
    told = {name: getattr(job, name) for name in said}
    assert told == said
    assert (job.session_id, job.utterance_index) == (ack.session_id, 5)


def test_the_deadline_is_the_time_that_is_left() -> None:
    """A later attempt is told the rest of the one overall deadline, and never less than none."""
    book = Playbook()
    person, ack = book.join_session()
    first, _ = book.join_node(receipts=None)
    book.say(person, utterance(ack.session_id))
    book.advance(12.5)
    second, _ = book.join_node()
    book.leave(first)

    assert book.last(first, node.JobAssign).deadline_ms == 30_000
    assert book.last(second, node.JobAssign).deadline_ms == 17_500


def test_the_stages_are_said_outright() -> None:
    """A stage that the session left out is said to be on or off, never left to the node."""
    book = Playbook()
    person, ack = book.join_session()
    machine, _ = book.join_node()
    book.say(person, utterance(ack.session_id, pipeline=Pipeline(use_tts=False)))

    asked = book.last(machine, node.JobAssign).pipeline
    assert asked == pipeline({"asr", "nmt"})
    assert None not in attrs.astuple(asked)
