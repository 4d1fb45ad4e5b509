"""An utterance's place in a distributed trace: heard, made up, and passed on."""

from typing import Any

import attrs
import pytest
from messages import hello, utterance
from playbook import Playbook

from scheduler.core.events import SessionJoined
from scheduler.core.tracecontext import TraceContext, context_of, parse, span_id
from scheduler.wire import node, session

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAID = f"00-{TRACE}-{SPAN}-01"
ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def assigned(book: Playbook, **said: Any) -> node.JobAssign:
    person, ack = book.join_session()
    machine, _ = book.join_node()
    book.say(person, utterance(ack.session_id, **said))
    return book.last(machine, node.JobAssign)


def test_what_a_client_says_is_understood() -> None:
    """The example of the recommendation, one that is not sampled, and one of a later version."""
    assert parse(SAID) == TraceContext(TRACE, SPAN, sampled=True)
    assert parse(SAID[:-1] + "0") == TraceContext(TRACE, SPAN, sampled=False)
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-comes-later") == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "said",
    [
        None, "", "00", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-0g",
        f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)  # fmt: skip
def test_what_is_no_place_in_a_trace_begins_one(said: str | None) -> None:
    """Nonsense is as good as nothing: the utterance has a trace of its own."""
    own = context_of("job-1", said)
    assert own == context_of("job-1", None)
    assert (len(own.trace_id), own.span_id) == (32, "")


def test_what_is_passed_on_can_be_read() -> None:
    """A place is said as it is read."""
    place = context_of("job-1", None).at(span_id("job-1", "attempt 1"))
    assert parse(place.traceparent) == place


def test_spans_of_a_job_have_different_ids() -> None:
    """No two spans of a job, and no spans of two jobs, are called the same."""
    names = [(f"job-{j}", name) for j in (1, 2) for name in ("utterance", "attempt 1", "attempt 2")]
    assert len({span_id(*name) for name in names}) == len(names)


def test_a_node_is_told_the_client_s_place() -> None:
    """Without spans of our own, the node's are children of the client's."""
    assert assigned(Playbook(), traceparent=SAID).traceparent == SAID
    assert assigned(Playbook()).traceparent is None


def test_a_node_is_told_its_attempt() -> None:
    """With spans of our own, the node's are children of its attempt, in the client's trace."""
    told = parse(assigned(Playbook(otel_endpoint=ENDPOINT), traceparent=SAID).traceparent)
    assert told == TraceContext(TRACE, span_id("job-1", "attempt 1"))
    told = parse(assigned(Playbook(otel_endpoint=ENDPOINT)).traceparent)
    assert told == context_of("job-1", None).at(span_id("job-1", "attempt 1"))


def test_a_session_may_say_it_for_all_its_utterances() -> None:
    """The hello's place counts for utterances that have none, those in chunks included."""
    book = Playbook()
    person = book.open()
    book.apply(SessionJoined(person, attrs.evolve(hello(), traceparent=SAID)))
    ack = book.last(person, session.SessionInitAck)
    machine, _ = book.join_node(slots=2)
    book.say(person, utterance(ack.session_id))
    chunk = session.AudioChunk(
        session_id=ack.session_id, seq=0, is_final=True, payload="AAAA" * 100
    )
    book.say(person, chunk)
    assert [job.traceparent for job in book.all(machine, node.JobAssign)] == [SAID, SAID]
