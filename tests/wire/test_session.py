"""Messages between sessions and the scheduler, as clients really send and read them."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import shapes

from scheduler.errors import ProtocolError
from scheduler.wire import session
from scheduler.wire.codec import (
    decode,
    decode_from_session,
    decode_to_node,
    decode_to_session,
    encode,
)
from scheduler.wire.common import Error
from scheduler.wire.node import JobAssign

SAID = [(table, tag) for table in (session.FROM_SESSION, session.TO_SESSION) for tag in table]


def understood(said: dict[str, Any]) -> bool:
    """Whether a session may say this."""
    found = shapes.answer(json.dumps(said), session.FROM_SESSION)
    return not isinstance(found, ProtocolError)


@pytest.mark.parametrize(
    ("union", "table"),
    [
        (session.FromSession, session.FROM_SESSION),
        (session.ToSession, session.TO_SESSION),
    ],
)
def test_tables_and_unions_agree(union: Any, table: dict[str, type[Any]]) -> None:
    """Every message of a direction has one tag, and what mypy checks is what is decoded."""
    assert sorted(kind.__name__ for kind in get_args(union)) == sorted(
        kind.__name__ for kind in table.values()
    )
    assert all(
        tag == "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__)[1:]
        for tag, kind in table.items()
    )


@pytest.mark.parametrize(("table", "tag"), SAID, ids=[tag for _, tag in SAID])
@settings(max_examples=30)
@given(data=st.data())
def test_each_message_survives_its_encoding(
    table: Mapping[str, type[Any]], tag: str, data: st.DataObject
) -> None:
    """What a message says is what is understood."""
    message = data.draw(shapes.records(table[tag]))
    assert decode(encode(message), table) == message


def test_the_hello_of_the_web_client_of_the_base() -> None:
    """It says null for what it does not have, and has fields that nobody here knows."""
    text = """{"type":"session_init","client_version":"web-1.0","platform":"web","src_lang":"auto",
        "tgt_lang":"en","dialect":null,"features":{},"pairing_code":null,"tenant_id":null,
        "mode":"two_way_auto","lang_a":"zh","lang_b":"en","auto_langs":["zh","en"],
        "enable_streaming_asr":true,"partial_update_interval_ms":1000,"trace_id":"t-1",
        "some_later_field":{"x":[1,2,null]}}"""
    assert decode_from_session(text) == session.SessionInit(
        client_version="web-1.0",
        platform="web",
        src_lang="auto",
        tgt_lang="en",
        features={},
        mode="two_way_auto",
        lang_a="zh",
        lang_b="en",
        auto_langs=("zh", "en"),
        enable_streaming_asr=True,
        partial_update_interval_ms=1000,
        trace_id="t-1",
    )


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": ""}])
def test_the_last_chunk_of_the_base_is_empty(payload: dict[str, Any]) -> None:
    """An ``audio_chunk`` with ``is_final`` may have no payload at all."""
    said = {"type": "audio_chunk", "session_id": "s-1", "seq": 9, "is_final": True}
    message = decode_from_session(json.dumps(said | payload))
    assert isinstance(message, session.AudioChunk)
    assert not message.payload


def test_an_index_may_start_anywhere() -> None:
    """A mobile client goes on counting over a reconnect: any index from 0 on will do."""
    said = {"type": "utterance", **shapes.full(session.Utterance)}
    for index in (0, 1, 4711, 2**31):
        message = decode_from_session(json.dumps(said | {"utterance_index": index}))
        assert isinstance(message, session.Utterance)
        assert message.utterance_index == index


def test_an_index_can_be_counted_on_from() -> None:
    """The scheduler numbers cut utterances after a client's own: a node understands those too.

    Else a client could make every node seem to ignore its jobs.
    """
    said = {"type": "utterance", **shapes.full(session.Utterance)}
    largest = max(i for i in (2**52, 2**53, 2**62) if understood(said | {"utterance_index": i}))
    assigned = {"type": "job_assign", **shapes.full(JobAssign), "utterance_index": largest + 2**20}
    message = decode_to_node(json.dumps(assigned))
    assert isinstance(message, JobAssign)
    assert message.utterance_index == largest + 2**20


def test_audio_is_passed_on_as_it_is() -> None:
    """Nobody looks into the base64 here, so nobody refuses it or changes it."""
    said = {"type": "utterance", **shapes.full(session.Utterance)}
    for audio in ("", "AAAA", "no base64 at all…", "A" * 1_000_000):
        message = decode_from_session(json.dumps(said | {"audio": audio}))
        assert isinstance(message, session.Utterance)
        assert message.audio == audio


def test_an_acceptance_is_told_apart_from_other_messages_about_a_job() -> None:
    """Messages that share their fields stay different messages."""
    for tag in ("utterance_accepted", "ui_event", "asr_partial"):
        said = {"type": tag, **shapes.full(session.TO_SESSION[tag])}
        message = decode_to_session(json.dumps(said))
        assert type(message) is session.TO_SESSION[tag]
        assert json.loads(encode(message))["type"] == tag


@pytest.mark.parametrize("tag", sorted(session.TO_SESSION.keys() - session.FROM_SESSION.keys()))
def test_a_session_cannot_speak_for_the_scheduler(tag: str) -> None:
    """A message of the other direction is no message."""
    text = json.dumps({"type": tag, **shapes.full(session.TO_SESSION[tag])})
    assert type(decode_to_session(text)) is session.TO_SESSION[tag]
    with pytest.raises(ProtocolError, match=r"^\$\.type: unknown message type"):
        decode_from_session(text)


def test_an_error_is_the_same_for_both_kinds_of_peer() -> None:
    """``error`` has a code, a message and perhaps details, as an object."""
    assert session.TO_SESSION["error"] is Error
    assert [field.name for field in attrs.fields(Error)] == ["code", "message", "details"]
