"""Whatever a peer sends, it gets the clear answer of the protocol, and nobody else notices."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import raw_peer
import structlog.testing
import trio
import trio.testing
from raw_peer import RawPeer, frame, handshake
from server_support import House, NodePeer, Peer, SessionPeer, house, node_register, utterance
from simulation.network import LinkPlan
from trio.testing import MockClock

from scheduler.errors import Close
from scheduler.runtime.frames import FRAGMENTS_MAX, FRAMES_AT_ONCE

Message = dict[str, Any]


@contextlib.asynccontextmanager
async def bystanders(**settings: Any) -> AsyncIterator[House]:
    """A scheduler at work for others, who must be served at the end as they were before.

    Nor may anything that a peer did be a warning in the log.
    """
    with structlog.testing.capture_logs() as logs:
        async with house(**settings) as here:
            node, client = await here.node(), await here.session()
            await one_job(client, node, 0)
            yield here
            begun = trio.current_time()
            await one_job(client, node, 1)
            newcomer = await here.session()
            await one_job(newcomer, node, 0)
            assert trio.current_time() == begun
    assert [line for line in logs if line["log_level"] not in ("debug", "info")] == []


async def one_job(client: SessionPeer, node: NodePeer, index: int) -> None:
    await client.submit(index)
    await node.give(await node.hear("job_assign", session_id=client.session_id))
    result = await client.hear("translation_result", utterance_index=index)
    await client.acknowledge(result["seq"])


DEEP = "[" * 100_000 + "]" * 100_000
HUGE_NUMBER = "9" * 5_000
NO_MESSAGES = {
    "no JSON": ("nonsense", "$: not JSON"),
    "half of one": ('{"type":"utterance"', "$: not JSON"),
    "two of them": ('{"type":"a"}{"type":"b"}', "$: not JSON"),
    "no object": ("[1,2]", "$: expected object"),
    "a number": ("17", "$: expected object"),
    "NaN": ('{"type":"client_heartbeat","session_id":"s","timestamp":NaN}', "$: not JSON"),
    "no type": ('{"kind":"utterance"}', "$.type: required"),
    "a type that is no text": ('{"type":7}', "$.type: expected str"),
    "an unknown type": ('{"type":"launch"}', "$.type: unknown message type 'launch'"),
    "another room's message": (json.dumps(node_register()), "$.type: unknown message type"),
    "depth": (DEEP, "$: n"),
    "depth within": ('{"type":"client_heartbeat","x":' + DEEP + "}", "$: n"),
    "a lone surrogate": (r'{"type":"session_close","session_id":"s","reason":"\ud800"}', "$: not"),
}


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_what_is_no_message_is_answered(name: str, autojump_clock: MockClock) -> None:
    """Each gets INVALID_MESSAGE naming the place, and ends nothing but itself."""
    text, problem = NO_MESSAGES[name]
    async with bystanders() as here:
        peer = await here.session()
        await peer.say(text)
        error = await peer.hear("error")
        assert error["code"] == "INVALID_MESSAGE"
        assert error["message"].startswith(problem)
        await peer.beat()
        await peer.hear("server_heartbeat")


FIELDS: list[tuple[Message, str]] = [
    ({"utterance_index": "7"}, "$.utterance_index: expected int"),
    ({"utterance_index": True}, "$.utterance_index: expected int"),
    ({"utterance_index": 1.5}, "$.utterance_index: expected int"),
    ({"utterance_index": -1}, "$.utterance_index: expected"),
    ({"utterance_index": None}, "$.utterance_index: expected int"),
    ({"manual_cut": 1}, "$.manual_cut: expected bool"),
    ({"audio": ["AAAA"]}, "$.audio: expected str"),
    ({"audio_format": "mp3"}, "$.audio_format: expected one of"),
    ({"src_lang": ""}, "$.src_lang: expected"),
    ({"pipeline": {"use_asr": "yes"}}, "$.pipeline.use_asr: expected bool"),
    ({"auto_langs": "en"}, "$.auto_langs: expected list"),
    ({"auto_langs": ["en", 5]}, "$.auto_langs[1]: expected str"),
]


@pytest.mark.parametrize(("fields", "problem"), FIELDS, ids=lambda value: str(value)[:40])
async def test_a_wrong_type_is_named_by_its_place(
    fields: Message, problem: str, autojump_clock: MockClock
) -> None:
    """A mistyped field is refused with its path; no job comes of it."""
    async with bystanders() as here:
        peer = await here.session()
        await peer.submit(0, **fields)
        error = await peer.hear("error")
        assert (error["code"], error["message"].startswith(problem)) == ("INVALID_MESSAGE", True), (
            error["message"]
        )
        assert peer.all("utterance_accepted") == []


async def test_a_missing_field_is_named(autojump_clock: MockClock) -> None:
    """What is required and absent is refused by name."""
    async with bystanders() as here:
        peer = await here.session()
        message = utterance(peer.session_id)
        del message["audio"]
        await peer.say(message)
        assert (await peer.hear("error"))["message"] == "$.audio: required"


async def test_a_number_of_5000_digits_is_refused(autojump_clock: MockClock) -> None:
    """Numbers that no peer could read again are not taken, in free objects neither."""
    async with bystanders() as here:
        peer = await here.session()
        message = json.dumps(utterance(peer.session_id, features={"x": "HUGE"}))
        await peer.say(message.replace('"HUGE"', HUGE_NUMBER))
        assert (await peer.hear("error"))["code"] == "INVALID_MESSAGE"


async def test_bytes_that_are_no_text_are_refused(autojump_clock: MockClock) -> None:
    """A binary message is answered; invalid UTF-8 in a text message ends its connection."""
    async with bystanders() as here:
        peer = await here.session()
        await peer.raw.send(raw_peer.BINARY, b"\x00\x01")
        error = await peer.hear("error")
        assert (error["code"], error["message"]) == (
            "INVALID_MESSAGE",
            "$: expected a text message, not a binary one",
        )
        await peer.raw.send(raw_peer.TEXT, b"\xff\xfe")
        await peer.ended.wait()
        assert peer.close_code == Close.INVALID_DATA.code


async def test_somebody_else_s_names_open_nothing(autojump_clock: MockClock) -> None:
    """A foreign session id is INVALID_SESSION; forged results and receipts are stale."""
    async with bystanders() as here:
        victim, node = await here.session(), await here.node("mallory", slots=0)
        await victim.submit(0)
        job = (await here.get("/api/v1/jobs"))[1]["jobs"][0]
        forger = await here.session()
        await forger.say(utterance(victim.session_id))
        assert (await forger.hear("error"))["code"] == "INVALID_SESSION"
        await forger.say(
            {"type": "job_cancel", "session_id": forger.session_id, "job_id": job["job_id"]}
        )
        forged = {"attempt_id": 1, "session_id": victim.session_id, "trace_id": "t",
                  "utterance_index": 0, "job_id": job["job_id"]}  # fmt: skip
        await node.receipt(forged)
        await node.give(forged, text_translated="forged")
        await trio.testing.wait_all_tasks_blocked()
        assert victim.outcomes == []
        await victim.say({"type": "job_cancel", "session_id": victim.session_id,
                          "job_id": job["job_id"]})  # fmt: skip
        assert (await victim.hear("missing_result"))["reason"] == "cancelled"


async def test_the_hello_comes_first(autojump_clock: MockClock) -> None:
    """Anything before the hello is refused by name, and the hello is still welcome."""
    async with bystanders() as here:
        peer = await Peer.open(await here.stream(), "/ws/session", here.nursery)
        await peer.say(utterance("s-1"))
        error = await peer.hear("error")
        assert error["message"] == "$.type: expected session_init first"
        await peer.ended.wait()
        assert peer.close_code == Close.HELLO_TIMEOUT.code


async def test_too_many_invalid_messages_are_enough(autojump_clock: MockClock) -> None:
    """Beyond ``invalid_messages_max`` the connection is closed with 4500, the last one answered."""
    async with bystanders(invalid_messages_max=5) as here:
        peer = await here.session()
        for _ in range(5):
            await peer.say("nonsense")
        await trio.testing.wait_all_tasks_blocked()
        assert not peer.ended.is_set()
        await peer.say("nonsense")
        await peer.ended.wait()
        assert len(peer.all("error")) == 6
        assert peer.close_code == Close.TOO_MANY_INVALID.code


async def test_a_message_too_large_is_1009(autojump_clock: MockClock) -> None:
    """A message beyond ``message_bytes_max`` ends its connection with 1009, sent whole or not."""
    async with bystanders(message_bytes_max=20_000, audio_chars_max=10_000) as here:
        peer = await here.session(LinkPlan(latency=0.0, window=4096))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(suppressed_say, peer, 100_000)
            await peer.ended.wait()
        assert peer.close_code == Close.TOO_LARGE.code
        assert peer.all("error") == []


async def suppressed_say(peer: Peer, size: int) -> None:
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await peer.say("x" * size)


async def test_audio_too_long_is_refused_in_words(autojump_clock: MockClock) -> None:
    """Audio beyond ``audio_chars_max`` is TOO_LARGE for that utterance; the session goes on."""
    async with bystanders(message_bytes_max=20_000, audio_chars_max=1_000) as here:
        peer = await here.session()
        await peer.submit(3, audio="A" * 1_004)
        error = await peer.hear("error")
        assert (error["code"], error["details"]) == ("TOO_LARGE", {"utterance_index": 3})
        await peer.submit(4, audio="A" * 1_000)
        job_id = (await peer.hear("utterance_accepted"))["job_id"]
        await peer.say({"type": "job_cancel", "session_id": peer.session_id, "job_id": job_id})
        await peer.hear("missing_result", utterance_index=4)


async def test_a_message_without_end_ends_its_connection(autojump_clock: MockClock) -> None:
    """Continuation frames without content, for ever, end with their connection."""
    async with bystanders(message_bytes_max=2_000, audio_chars_max=1_000) as here:
        peer = await here.raw()
        await peer.send(raw_peer.TEXT, b"{", final=False)
        await peer.stream.send_all(frame(raw_peer.CONTINUATION, final=False) * FRAGMENTS_MAX)
        assert await peer.hear_close() == Close.TOO_LARGE.code
        await trio.testing.wait_all_tasks_blocked()
        assert here.shell.connections == 2


async def test_what_breaks_the_protocol_is_explained(autojump_clock: MockClock) -> None:
    """Whoever breaks it hears the code of RFC 6455, and the story of its job tells the same."""
    async with bystanders() as here:
        peer = await here.session()
        await peer.submit(0, src_lang="xx")
        job_id = (await peer.hear("utterance_accepted"))["job_id"]
        await peer.raw.send(raw_peer.TEXT, b"\xff")
        await peer.ended.wait()
        assert peer.close_code == Close.INVALID_DATA.code
        await trio.testing.wait_all_tasks_blocked()
        story = (await here.get(f"/api/v1/jobs/{job_id}"))[1]["story"]
        (line,) = [line for line in story if line["what"] == "disconnected"]
        assert (line["close_code"], line["why"]) == (1007, Close.INVALID_DATA.text)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
        (b"GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404),
        (b"POST /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (handshake("/ws/elsewhere"), 404),
        (handshake("/ws/session").replace(b": 13", b": 8"), 426),
        (handshake("/ws/session").replace(b"Sec-WebSocket-Key", b"X"), 400),
        (b"GET /ws/node HTTP/1.1\r\nHost: h\r\n\r\n", 426),
    ],
)
async def test_what_is_no_request_is_answered_in_http(
    sent: bytes, status: int, autojump_clock: MockClock
) -> None:
    """Garbage at the door and handshakes that are none get a status and a sentence at once."""
    async with bystanders() as here:
        stream = await here.stream()
        await stream.send_all(sent)
        answer = await RawPeer(stream).hear_end()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.partition(b"\r\n\r\n")[2].strip()
        assert trio.current_time() == 0


async def test_a_page_of_another_site_is_refused(autojump_clock: MockClock) -> None:
    """With ``allowed_origins`` set the door says 403 to the others, and the rest come in."""
    async with bystanders(allowed_origins="https://speech.example") as here:
        for origin, status in (("https://evil.example", 403), ("https://speech.example", 101)):
            stream = await here.stream()
            sent = f"Origin: {origin}\r\nConnection".encode()
            await stream.send_all(handshake("/ws/session").replace(b"Connection", sent, 1))
            head = await RawPeer(stream).read_head()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            await stream.aclose()


async def test_no_answer_leads_to_a_host_that_the_request_made_up(
    autojump_clock: MockClock,
) -> None:
    """A slash too many is 404: a redirect would name the Host that somebody else wrote."""
    async with bystanders() as here:
        stream = await here.stream()
        await stream.send_all(b"GET /dashboard/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        head = await RawPeer(stream).read_head()
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"evil" not in head


async def test_floods_of_tiny_frames_leave_others_their_turn(autojump_clock: MockClock) -> None:
    """Between a few frames of one peer everybody else may run, however many have arrived."""
    async with bystanders() as here:
        flooding = await here.raw()
        turns = [0]

        async def count() -> None:
            while True:
                turns[0] += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await flooding.stream.send_all(frame(raw_peer.PONG) * 8192)
            await flooding.send(raw_peer.TEXT, b"{}")
            await flooding.hear_message("error")
            nursery.cancel_scope.cancel()
        assert turns[0] >= 8192 / FRAMES_AT_ONCE


@pytest.mark.parametrize(
    "start", [b"", b"G", b"GET /health HTTP/1.1\r\nHost:", handshake("/ws/node")[:-2]]
)
async def test_half_a_handshake_has_its_time(start: bytes, autojump_clock: MockClock) -> None:
    """A peer that stops in the middle of its request is let go after ``handshake_timeout``."""
    async with bystanders() as here:
        stream = await here.stream()
        await stream.send_all(start)
        answer = await RawPeer(stream).hear_end()
        assert answer.startswith(b"HTTP/1.1 408 ") if start else answer == b""
        assert trio.current_time() == here.config.handshake_timeout
        await stream.aclose()


async def test_an_upgrade_without_a_hello_has_its_time(autojump_clock: MockClock) -> None:
    """After the upgrade a peer has ``hello_timeout`` to say who it is; then 4000."""
    async with bystanders() as here:
        peer = await Peer.open(await here.stream(), "/ws/node", here.nursery)
        await peer.ended.wait()
        assert peer.close_code == Close.HELLO_TIMEOUT.code
        assert trio.current_time() == here.config.hello_timeout


async def test_a_reader_that_stops_hurts_itself_alone(autojump_clock: MockClock) -> None:
    """A client that submits and never reads loses its connection; its outcomes are kept for it."""
    async with bystanders() as here:
        narrow = LinkPlan(latency=0.0, window=900)
        raw = await here.raw(plan=narrow)
        await raw.say({"type": "session_init", "client_version": "1", "platform": "x",
                       "src_lang": "en", "tgt_lang": "es", "receipts": True})  # fmt: skip
        welcome = await raw.hear_message("session_init_ack")
        for index in range(20):
            await raw.say(utterance(welcome["session_id"], index, src_lang="xx"))
        await trio.sleep(60)
        assert here.shell.connections == 2
        sessions = (await here.get("/api/v1/sessions"))[1]["sessions"]
        (kept,) = [s for s in sessions if s["session_id"] == welcome["session_id"]]
        assert kept["connected"] is False
        assert kept["owed"] == 20
        resume = {"session_id": welcome["session_id"], "resume_token": welcome["resume_token"],
                  "last_seq": 0}  # fmt: skip
        back = await here.session(resume=resume)
        assert back.welcome["resumed"] is True
        last = await back.hear("missing_result", utterance_index=19)
        assert [outcome["seq"] for outcome in back.outcomes] == list(range(1, 21))
        assert last["code"] == "NO_AVAILABLE_NODE"
