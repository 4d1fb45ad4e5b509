"""Messages between nodes and the scheduler, as nodes really send and read them."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import shapes

from scheduler.errors import ProtocolError
from scheduler.wire import node
from scheduler.wire.codec import decode, decode_from_node, decode_to_node, encode
from scheduler.wire.common import JobError

REGISTER_OF_THE_BASE = """{"type":"node_register","node_id":null,"version":"2.0.0",
    "capability_schema_version":"2.0","platform":"linux","advanced_features":["streaming"],
    "hardware":{"cpu_cores":8,"memory_gb":32,"gpus":[{"name":"RTX 4070","memory_gb":12}]},
    "installed_models":[{"model_id":"m2m100","kind":"nmt"},"whisper"],
    "installed_services":[{"service_id":"faster-whisper-vad","type":"asr","device":"gpu",
        "status":"running","version":null,"model_id":null,"engine":null,"mem_mb":null,
        "warmup_ms":1203.5,"last_error":null}],
    "capability_by_type":[{"type":"asr","ready":true,"reason":null,"ready_impl_ids":["w"]},
        {"type":"nmt","ready":false,"reason":"no_running_impl"},{"type":"tts","ready":true}],
    "features_supported":{"emotion_detection":false},"accept_public_jobs":true,
    "language_capabilities":{"asr_languages":["en","zh"],"tts_languages":["en","zh"],
        "semantic_languages":null,"nmt_capabilities":[{"model_id":"m2m100",
        "languages":["en","zh"],"rule":"any_to_any"}]}}"""


SAID = [(table, tag) for table in (node.FROM_NODE, node.TO_NODE) for tag in table]


@pytest.mark.parametrize(
    ("union", "table"),
    [(node.FromNode, node.FROM_NODE), (node.ToNode, node.TO_NODE)],
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


def test_a_node_of_the_base_registers() -> None:
    """Nulls for what it does not have, models of any form, no slots, no pairs, no receipts."""
    message = decode_from_node(REGISTER_OF_THE_BASE)
    assert isinstance(message, node.NodeRegister)
    assert message.node_id is None
    assert message.slots is None
    assert message.receipts is None
    assert message.in_flight is None
    assert message.hardware.gpus is not None
    assert message.hardware.gpus[0].memory_gb == 12.0
    assert message.language_capabilities is not None
    assert message.language_capabilities.supported_language_pairs is None
    assert message.installed_models == ({"model_id": "m2m100", "kind": "nmt"}, "whisper")


def test_a_node_of_the_base_beats() -> None:
    """Efficiencies by service keep the spelling that the wire has for them."""
    text = """{"type":"node_heartbeat","node_id":"node-1","timestamp":1700000000000,
        "resource_usage":{"cpu_percent":12.5,"gpu_percent":null,"gpu_mem_percent":null,
        "mem_percent":50,"running_jobs":0},"installed_models":null,"installed_services":[],
        "capability_by_type":[],"processing_metrics":{"serviceEfficiencies":{"nmt":1.7,"asr":2}}}"""
    message = decode_from_node(text)
    assert isinstance(message, node.NodeHeartbeat)
    assert message.processing_metrics is not None
    assert message.processing_metrics.serviceEfficiencies == {"nmt": 1.7, "asr": 2.0}
    assert '"serviceEfficiencies"' in encode(message)


def test_a_node_of_the_base_fails() -> None:
    """A failure has an error with a code, and nothing that says whether to try again."""
    text = """{"type":"job_result","job_id":"job-1","attempt_id":1,"node_id":"node-1",
        "session_id":"s-1","utterance_index":0,"success":false,"text_asr":null,
        "text_translated":null,"tts_audio":null,"tts_format":null,"extra":null,
        "processing_time_ms":12,"error":{"code":"PROCESSING_ERROR","message":"m","details":"d"},
        "trace_id":"t"}"""
    message = decode_from_node(text)
    assert isinstance(message, node.JobResult)
    assert message.error == JobError(code="PROCESSING_ERROR", message="m", details="d")
    assert message.error.retryable is None


def test_an_assignment_always_says_its_dialect() -> None:
    """Null when there is none; the flags of how it was cut are left out when there are none."""
    said = {
        name: value
        for name, value in shapes.full(node.JobAssign).items()
        if not name.startswith("is_")
    }
    message = decode_to_node(json.dumps({"type": "job_assign", **said, "dialect": None}))
    again = json.loads(encode(message))
    assert again["dialect"] is None
    assert not [name for name in again if name.startswith("is_")]


@pytest.mark.parametrize("tag", sorted(node.TO_NODE.keys() - node.FROM_NODE.keys()))
def test_a_node_cannot_speak_for_the_scheduler(tag: str) -> None:
    """A message of the other direction is no message."""
    text = json.dumps({"type": tag, **shapes.full(node.TO_NODE[tag])})
    assert type(decode_to_node(text)) is node.TO_NODE[tag]
    with pytest.raises(ProtocolError, match=r"^\$\.type: unknown message type"):
        decode_from_node(text)


def test_attempts_count_from_one() -> None:
    """There is no attempt 0, for either side."""
    tables: list[tuple[Any, str]] = [(node.FROM_NODE, "job_ack"), (node.TO_NODE, "job_assign")]
    for table, tag in tables:
        said = {"type": tag, **shapes.full(table[tag])}
        assert decode(json.dumps(said | {"attempt_id": 1}), table).attempt_id == 1
        with pytest.raises(ProtocolError, match=r"^\$\.attempt_id: expected 1 to"):
            decode(json.dumps(said | {"attempt_id": 0}), table)
