"""What the engine accepts can be kept, and what was kept can be read; or it is said what cannot."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_support import BEGAN, accepted, settled
from messages import hello, register, result, utterance
from restarts import Restarts, what_is_kept_of
from wire import shapes

from scheduler.core.events import NodeJoined, SessionJoined
from scheduler.core.records import JobAccepted, JobSettled, Record, SessionBegan
from scheduler.errors import ProtocolError
from scheduler.store import rows, schema
from scheduler.wire import node, session
from scheduler.wire.codec import decode, encode

# -- whatever a peer may say ------------------------------------------------------------------

ODD_TEXTS = (
    "", "\0", "a\0b", "\ud800", "\udfff\ud800", "\U0010ffff", "\ufeff", "\ufffe", "\u2028", "é",
    "e\u0301", "' OR 1 --", '"', "\\", "\x1b[0m", "x" * 128, "é" * 256, "x" * 257, "𝄞" * 10_000,
)  # fmt: skip
ODD_INTS = tuple(
    sign * (2**bits + off)
    for bits in (0, 31, 32, 52, 53, 63, 64)
    for off in (-1, 0, 1)
    for sign in (1, -1)
)
ODD_NUMBERS = (0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 0.1, 2**53 + 1, 10**400)


def nested(depth: int) -> Any:
    inner: Any = "in"
    for _ in range(depth):
        inner = {"in": [inner]} if depth % 2 else {"in": inner}
    return inner


FREE = (
    st.sampled_from([{}, *({"x": odd} for odd in (*ODD_TEXTS, *ODD_INTS, *ODD_NUMBERS))])
    | st.sampled_from([{odd: None} for odd in ODD_TEXTS])
    | st.integers(1, 40).map(nested)
    | st.integers(0, 3000).map(lambda size: {str(number): [number] for number in range(size)})
    | st.dictionaries(st.text(max_size=3), shapes.ANYTHING, max_size=3)
)


def odd(hint: Any) -> st.SearchStrategy[Any]:
    """JSON values of a hint, those at its bounds first; some are beyond, and will be refused."""
    inner, bound = shapes.bare(shapes.split(hint)[0])
    if attrs.has(inner):
        return messages(inner)
    match shapes.kind_of(inner):
        case "str":
            texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=5)
            return texts | st.just("é" * bound.most) if bound else texts
        case "int":
            ends = st.sampled_from((bound.least, bound.most)) if bound else st.nothing()
            return ends | st.sampled_from(ODD_INTS)
        case "number":
            return st.sampled_from(ODD_NUMBERS)
        case "object" | "anything":
            return FREE
        case "list":
            return st.lists(odd(shapes.bare(inner)[0].__args__[0]), max_size=2)
        case _:
            return shapes.values(inner)


def messages(kind: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields of a message, as JSON."""
    fields = {field.name: odd(field.type) for field in attrs.fields(kind)}
    return st.fixed_dictionaries({}, optional=fields)


TO_SESSION = frozenset(session.TO_SESSION.values())


def some_of(kind: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A few fields with odd values: with many of them nearly every message is refused."""
    one = st.sampled_from(attrs.fields(kind)).flatmap(
        lambda field: st.tuples(st.just(field.name), odd(field.type))
    )
    return st.lists(one, max_size=3).map(dict)


def heard(message: Any, said: dict[str, Any], table: Any) -> Any:
    """What the scheduler hears if a peer says ``message`` with these fields; None if nothing."""
    text = json.dumps(json.loads(encode(message)) | said)
    try:
        return decode(text, table)
    except ProtocolError:
        return None


def expected(records: list[Record]) -> list[Any]:
    """The sessions, acceptances and outcomes that a journal with these records gives back."""
    done = {record.job_id for record in records if isinstance(record, JobSettled)}
    return [
        attrs.evolve(record, utterance=attrs.evolve(record.utterance, audio=""))
        if isinstance(record, JobAccepted) and record.job_id in done
        else record
        for record in records
        if isinstance(record, SessionBegan | JobAccepted | JobSettled)
    ]


def given_back(records: list[Record]) -> list[Any]:
    found: list[Any] = []
    for remembered in what_is_kept_of(records):
        found.append(remembered.began)
        for job in remembered.jobs:
            found += [job.accepted, *([job.settled] if job.settled else [])]
    return found


def is_said_by_the_rules(book: Restarts) -> None:
    """Each peer can read everything that it was told."""
    for messages_told in book.told.values():
        for told in messages_told:
            table = session.TO_SESSION if type(told) in TO_SESSION else node.TO_NODE
            assert decode(encode(told), table) == told


def play(
    hello_said: dict[str, Any],
    node_said: dict[str, Any],
    utterances_said: list[dict[str, Any]],
    result_said: dict[str, Any],
) -> Restarts:
    """A session, a node, utterances, a chunk and results: what is understood of all that."""
    book = Restarts()
    client = book.open()
    understood = heard(hello(), hello_said | {"receipts": True}, session.FROM_SESSION)
    book.apply(SessionJoined(client, understood or hello()))
    session_id = book.last(client, session.SessionInitAck).session_id
    agent = book.open()
    registered = heard(register(slots=9), node_said, node.FROM_NODE)
    book.apply(NodeJoined(agent, registered or register(slots=9)))
    for index, said in enumerate(utterances_said):
        message = heard(utterance(session_id, index), said, session.FROM_SESSION)
        book.say(client, message or utterance(session_id, index))
    chunk = session.AudioChunk(session_id=session_id, seq=0, is_final=True, payload="AAAAAAAA")
    book.say(client, chunk)
    for assignment in book.all(agent, node.JobAssign):
        honest = result(assignment, "")
        said = {"node_id": book.last(agent, node.NodeRegisterAck).node_id}
        book.say(agent, heard(honest, result_said | said, node.FROM_NODE) or honest)
    return book


@settings(max_examples=300)
@given(
    some_of(session.SessionInit),
    some_of(node.NodeRegister),
    st.lists(some_of(session.Utterance), max_size=3),
    some_of(node.JobResult),
)
@example({}, {}, [{"utterance_index": 2**52}], {})
@example({"features": nested(32)}, {}, [{"features": nested(31)}], {"extra": nested(32)})
def test_what_may_be_said_can_be_kept(
    hello_said: dict[str, Any],
    node_said: dict[str, Any],
    utterances_said: list[dict[str, Any]],
    result_said: dict[str, Any],
) -> None:
    """Whatever peers say that is accepted comes back from the journal as it was, and whatever
    they are told because of it, before the restart and after, is a message by their own rules."""
    book = play(hello_said, node_said, utterances_said, result_said)
    is_said_by_the_rules(book)
    records = book.records
    assert sorted(map(repr, given_back(records))) == sorted(map(repr, expected(records)))
    book.kill()
    book.resume(book.last(1, session.SessionInitAck))
    book.join_node()
    is_said_by_the_rules(book)


@pytest.mark.parametrize("audio_at_rest", [True, False])
def test_counting_on_from_the_greatest_index_is_kept(audio_at_rest: bool) -> None:
    """An utterance that is cut here after the greatest index a client may say survives."""
    book = Restarts(audio_at_rest=audio_at_rest)
    client, ack = book.join_session()
    book.say(client, utterance(ack.session_id, 2**52))
    chunk = session.AudioChunk(session_id=ack.session_id, seq=0, is_final=True, payload="AAAAAAAA")
    book.say(client, chunk)
    book.kill()

    client = book.resume(ack)
    jobs = book.engine.snapshot(book.now).jobs()
    assert {job["utterance_index"] for job in jobs} == {2**52, 2**52 + 1}


# -- rows that make no sense ------------------------------------------------------------------


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Three jobs of one session: one to do, one with its outcome, one to do."""
    found = sqlite3.connect(":memory:", isolation_level=None)
    found.row_factory = sqlite3.Row
    schema.migrate(found, 0)
    records: list[Record] = [BEGAN, accepted(1), accepted(2), settled(2), accepted(3)]
    rows.write(found, records, audio_at_rest=True)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE jobs SET utterance = '{' WHERE job_id = 'job-1'", "job 'job-1': .*not JSON"),
        ("UPDATE jobs SET utterance = NULL WHERE job_id = 'job-3'", "job 'job-3': "),
        ("UPDATE jobs SET cut = 'a whim' WHERE job_id = 'job-1'", "job 'job-1': 'a whim'"),
        ("UPDATE jobs SET kind = 'done' WHERE job_id = 'job-2'", "job 'job-2': 'done'"),
        ("UPDATE jobs SET message = x'80' WHERE job_id = 'job-2'", "job 'job-2': "),
        ("UPDATE jobs SET message = utterance WHERE job_id = 'job-2'", "job 'job-2': .*utterance"),
        ("UPDATE sessions SET hello = '{}'", r"session 's-1': \$\.type: required"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(
    connection: sqlite3.Connection, damage: str, named: str
) -> None:
    """Nothing is left out in silence: which row it is, and what is wrong with it, is said."""
    connection.execute(damage)
    with pytest.raises(rows.Unreadable, match=named):
        rows.read(connection)


def test_the_bounds_of_peers_are_not_those_of_the_journal(connection: sqlite3.Connection) -> None:
    """What was accepted under other bounds than today's is still owed."""
    languages = "x" * 100
    said = attrs.evolve(accepted(4).utterance, src_lang=languages, sample_rate=10**9)
    records: list[Record] = [attrs.evolve(accepted(4), utterance=said)]
    rows.write(connection, records, audio_at_rest=True)
    (remembered,) = rows.read(connection)
    assert remembered.jobs[-1].accepted.utterance == said
