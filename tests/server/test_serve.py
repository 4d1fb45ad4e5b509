"""The whole scheduler, as its peers see it, on a network in memory and in virtual time."""

import json
import math
from typing import Any

import pytest
import structlog.testing
import trio
import trio.testing
from raw_peer import TEXT, RawPeer, close_frame, frame, handshake
from server_support import House, NodePeer, Peer, house, node_register, utterance
from simulation.network import LinkPlan
from simulation.plans import TICK_S
from simulation.schedules import mixed, simulate
from trio.testing import MockClock

from scheduler.core.events import Event
from scheduler.core.events import Received as HeardFrom
from scheduler.errors import Close
from scheduler.wire.session import ClientHeartbeat

EXACT: dict[str, Any] = {"trace_id": "83980e01"}


async def take(node: NodePeer) -> dict[str, Any]:
    """The next job of a node, receipted and started."""
    job = await node.hear("job_assign")
    await node.receipt(job)
    await node.receipt(job, "job_started")
    return job


# -- start order does not matter ---------------------------------------------------------------


async def test_a_client_that_comes_first_gets_its_result(autojump_clock: MockClock) -> None:
    """An utterance submitted 5 s before any node exists is answered as soon as one comes."""
    async with house() as here:
        client = await here.session()
        await client.submit(0)
        accepted = await client.hear("utterance_accepted")
        waiting = await client.hear("ui_event", event="WAITING")
        assert waiting["job_id"] == accepted["job_id"]
        assert waiting["hint"] == "no node is connected; waiting up to 10 s"
        await trio.sleep(5)
        node = await here.node()
        await node.give(await take(node))
        result = await client.hear("translation_result")
        assert trio.current_time() == 5
        assert (result["text_translated"], result["seq"]) == ("hola", 1)
        await client.acknowledge(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (await here.get(f"/api/v1/jobs/{accepted['job_id']}"))[1]["state"] == "acknowledged"


async def test_without_a_node_the_pending_deadline_says_so(autojump_clock: MockClock) -> None:
    """Nobody comes: WAITING with the reason at once, NO_AVAILABLE_NODE at the pending deadline."""
    async with house() as here:
        client = await here.session()
        await client.submit(0)
        outcome = await client.hear("missing_result")
        assert trio.current_time() == here.config.pending_timeout
        assert (outcome["reason"], outcome["code"]) == ("no_available_node", "NO_AVAILABLE_NODE")
        assert "no node is connected" in outcome["hint"]
        assert client.at("ui_event") == [0]
        assert client.all("error") == []


async def test_what_is_waited_for_is_told_again_when_it_changes(autojump_clock: MockClock) -> None:
    """A new reason to wait is told at the instant when it becomes the reason."""
    async with house() as here:
        client = await here.session()
        await client.submit(0)
        await trio.sleep(2)
        pairs = {"supported_language_pairs": [{"src": "de", "tgt": "en"}]}
        await here.node("german", language_capabilities=pairs)
        await trio.sleep(2)
        node = await here.node("able")
        first = await take(node)
        await client.submit(1)
        await trio.testing.wait_all_tasks_blocked()
        hints = [event["hint"] for event in client.all("ui_event") if event["event"] == "WAITING"]
        assert len(hints) == 3
        assert "no node is connected" in hints[0]
        assert "en→es" in hints[1]
        assert "busy" in hints[2] or "slots" in hints[2]
        await node.give(first)
        await node.give(await take(node))
        await client.hear("translation_result", utterance_index=1)
        assert trio.current_time() == 4


# -- a node is lost ---------------------------------------------------------------------------


async def test_a_killed_node_costs_no_time(autojump_clock: MockClock) -> None:
    """The next attempt is on another node in the very instant when the first node's socket ends."""
    async with house() as here:
        first, second = await here.node("first"), await here.node("second")
        client = await here.session()
        await client.submit(0)
        await trio.testing.wait_all_tasks_blocked()
        killed, other = (first, second) if first.all("job_assign") else (second, first)
        job = await take(killed)
        await trio.sleep(7)
        await killed.drop()
        again = await other.hear("job_assign")
        assert trio.current_time() == other.at("job_assign")[0] == 7
        assert (again["job_id"], again["attempt_id"]) == (job["job_id"], 2)
        await other.give(again)
        assert (await client.hear("translation_result"))["seq"] == 1


async def test_a_late_result_of_a_dead_attempt_changes_nothing(autojump_clock: MockClock) -> None:
    """The first node comes back with the result of its lost attempt: stale, and nothing else."""
    async with house() as here:
        killed = await here.node("killed")
        client = await here.session()
        await client.submit(0)
        job = await take(killed)
        await killed.drop()
        other = await here.node("other")
        again = await take(other)
        back = await here.node("killed")
        await trio.testing.wait_all_tasks_blocked()
        before = (await here.get(f"/api/v1/jobs/{job['job_id']}"))[1]
        await back.give(job, text_translated="too late")
        assert (await back.hear("job_result_ack"))["status"] == "stale"
        after = (await here.get(f"/api/v1/jobs/{job['job_id']}"))[1]
        assert without_story(after) == without_story(before)
        assert client.outcomes == []
        await other.give(again)
        await client.hear("translation_result")
        await back.give(job, text_translated="later still")
        assert (await back.hear("job_result_ack"))["status"] == "stale"
        await trio.sleep(60)
        assert [outcome["text_translated"] for outcome in client.outcomes] == ["hola"]


def without_story(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name not in ("story", "time_left_ms")}


async def test_a_node_that_is_cut_off_is_given_up(autojump_clock: MockClock) -> None:
    """A node that vanishes without a word is suspected after 2 s and given up after 4 s."""
    async with house() as here:
        silent = await here.node("silent")
        client = await here.session()
        await client.submit(0)
        await take(silent)
        await trio.sleep_until(3.5)
        link = here.network.links[0]
        link.freeze("client", math.inf)
        link.freeze("server", math.inf)
        other = await here.node("other")
        again = await other.hear("job_assign")
        assert again["attempt_id"] == 2
        assert trio.current_time() == 3 + here.config.node_dead_timeout


# -- peers of the base ------------------------------------------------------------------------


async def test_a_client_of_the_base_is_served(autojump_clock: MockClock) -> None:
    """A client without receipts, with nulls and without our fields, gets its result unasked."""
    async with house() as here:
        peer = await Peer.open(await here.stream(), "/ws/session", here.nursery)
        await peer.say({
            "type": "session_init", "client_version": "2.0", "platform": "web", "src_lang": "en",
            "tgt_lang": "es", "dialect": None, "features": {}, "pairing_code": None,
            "tenant_id": None, "mode": "one_way", "lang_a": None, "lang_b": None,
            "trace_id": "83980e01",
        })  # fmt: skip
        ack = await peer.hear("session_init_ack")
        assert set(ack) >= {
            "session_id", "assigned_node_id", "message", "trace_id", "protocol_version",
            "use_binary_frame", "negotiated_codec",
        }  # fmt: skip
        assert ack["use_binary_frame"] is False
        node = await here.node()
        session_id = ack["session_id"]
        await peer.say({
            "type": "utterance", "session_id": session_id, "utterance_index": 7,
            "manual_cut": True, "src_lang": "en", "tgt_lang": "es", "audio": "AAAA",
            "audio_format": "pcm16", "sample_rate": 16000, "unknown": {"x": [1]},
        })  # fmt: skip
        await node.give(await take(node))
        result = await peer.hear("translation_result")
        assert (result["utterance_index"], result["trace_id"]) == (7, "83980e01")
        assert result["group_id"]
        await trio.testing.wait_all_tasks_blocked()
        assert (await here.get(f"/api/v1/jobs/{result['job_id']}"))[1]["state"] == "written"
        await peer.say(
            {"type": "client_heartbeat", "session_id": session_id, "timestamp": 1_700_000_000_000}
        )
        assert (await peer.hear("server_heartbeat"))["session_id"] == session_id
        await peer.say({"type": "session_close", "session_id": session_id, "reason": "user"})
        assert (await peer.hear("session_close_ack"))["session_id"] == session_id
        await peer.ended.wait()
        assert peer.close_code == Close.NORMAL.code
        assert peer.all("utterance_accepted", "error") == []


async def test_a_client_of_the_base_is_told_of_a_failure(autojump_clock: MockClock) -> None:
    """Without receipts a failure is one ``ui_event`` ERROR and one ``missing_result``, no alert."""
    async with house() as here:
        client = await here.session(receipts=None)
        await client.submit(0)
        await client.hear("missing_result", code="NO_AVAILABLE_NODE")
        errors = [event for event in client.all("ui_event") if event["event"] == "ERROR"]
        assert [(e["status"], e["error_code"]) for e in errors] == [("error", "NO_AVAILABLE_NODE")]
        assert client.all("error") == []


async def test_a_node_of_the_base_is_served(autojump_clock: MockClock) -> None:
    """A node without slots, receipts, pairs and heartbeats works, four jobs at a time."""
    async with house() as here:
        register = node_register(slots=None, receipts=None)
        register["language_capabilities"] = {
            "asr_languages": ["en", "de"], "tts_languages": ["es"], "semantic_languages": [],
            "nmt_capabilities": [],
        }  # fmt: skip
        del register["slots"], register["receipts"], register["node_id"]
        node = await NodePeer.open(await here.stream(), "/ws/node", here.nursery)
        await node.say(register)
        node.node_id = (await node.hear("node_register_ack"))["node_id"]
        client = await here.session()
        for index in range(5):
            await client.submit(index)
        await trio.sleep(20)
        jobs = node.all("job_assign")
        assert [job["utterance_index"] for job in jobs] == [0, 1, 2, 3]
        extra = {"reason": "NO_TEXT_ASSIGNED"}
        stray = {**jobs[0], "job_id": "job-OLD", "utterance_index": 99}
        await node.give(stray, text_asr="", text_translated="", tts_audio="", extra=extra)
        for job in jobs:
            await node.give(job)
        await client.hear("translation_result", utterance_index=3)
        assert client.at("translation_result") == [20] * 4
        assert node.all("job_result_ack", "error") == []
        assert trio.current_time() == 20


# -- a fault of ours ----------------------------------------------------------------------------


async def test_a_fault_of_ours_ends_one_connection(autojump_clock: MockClock) -> None:
    """A handler that raises closes its own connection with 1011; every other one goes on."""
    async with house() as here:
        node = await here.node()
        unlucky, other = await here.session(), await here.session()

        def fail(event: Event) -> None:
            if isinstance(event, HeardFrom) and isinstance(event.message, ClientHeartbeat):
                raise RuntimeError("a planted bug")

        here.plant = fail
        with structlog.testing.capture_logs() as logs:
            await unlucky.beat()
            await unlucky.ended.wait()
            await other.submit(0)
            await node.give(await take(node))
            await other.hear("translation_result")
        assert unlucky.close_code == Close.INTERNAL_ERROR.code
        warnings = [line["event"] for line in logs if line["log_level"] in ("warning", "error")]
        assert warnings == ["connection_failed"]
        assert here.shell.connections == 2


# -- admission ----------------------------------------------------------------------------------


async def test_beyond_connections_max_the_answer_is_503(autojump_clock: MockClock) -> None:
    """One connection too many is told so and closed; when another has left, there is room."""
    async with house(connections_max=2) as here:
        first, second = await here.session(), await here.session()
        stream = await here.stream()
        answer = await RawPeer(stream).hear_end()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"too many connections" in answer
        await first.drop()
        await trio.testing.wait_all_tasks_blocked()
        third = await here.session()
        await second.say(
            {"type": "client_heartbeat", "session_id": second.session_id, "timestamp": 1}
        )
        await second.hear("server_heartbeat")
        assert third.session_id != second.session_id


# -- the end --------------------------------------------------------------------------------------


async def test_draining_lets_work_finish(autojump_clock: MockClock) -> None:
    """Asked to end, the scheduler refuses new work, brings back what runs, and says goodbye."""
    async with house() as here:
        node, client = await here.node(), await here.session()
        await client.submit(0)
        job = await take(node)
        here.shutdown.request()
        await node.hear("node_control", command="drain")
        assert (await here.get("/ready"))[0] == 503
        assert (await here.get("/health"))[0] == 200
        await client.submit(1)
        refused = await client.hear("error")
        assert (refused["code"], refused["details"]["utterance_index"]) == ("DRAINING", 1)
        late = await Peer.open(await here.stream(), "/ws/session", here.nursery)
        await late.say({**node_register(), "type": "session_init", "client_version": "1",
                        "src_lang": "en", "tgt_lang": "es"})  # fmt: skip
        assert (await late.hear("error"))["code"] == "DRAINING"
        await late.ended.wait()
        assert late.close_code == Close.TRY_LATER.code
        await trio.sleep(12)
        await node.give(job)
        result = await client.hear("translation_result")
        await client.acknowledge(result["seq"])
        await here.over.wait()
        assert trio.current_time() == 12
        await client.ended.wait()
        await node.ended.wait()
        assert client.close_code == node.close_code == Close.GOING_AWAY.code


async def test_draining_ends_by_its_timeout(autojump_clock: MockClock) -> None:
    """Work that does not come to its end in time is left; the peers are told 1001."""
    async with house(drain_timeout=20) as here:
        node, client = await here.node(), await here.session()
        await client.submit(0)
        await take(node)
        here.shutdown.request()
        await here.over.wait()
        assert trio.current_time() == 20
        await client.ended.wait()
        assert client.close_code == Close.GOING_AWAY.code


async def test_a_second_request_ends_at_once(autojump_clock: MockClock) -> None:
    """Asked twice, the scheduler waits for nobody's work, and for nobody's reading."""
    async with house() as here:
        node, client = await here.node(), await here.session()
        await client.submit(0)
        await take(node)
        stuck = await here.raw(plan=LinkPlan(latency=0.0, window=200))
        for _ in range(10):
            await stuck.say("nonsense")  # the answers fill its window
        await trio.testing.wait_all_tasks_blocked()
        here.shutdown.request()
        await trio.sleep(1)
        here.shutdown.request()
        await here.over.wait()
        assert trio.current_time() == 1


@pytest.mark.parametrize("requests", [1, 2])
async def test_stalled_peers_do_not_hold_up_the_end(
    requests: int, autojump_clock: MockClock
) -> None:
    """Peers that read nothing, answer nothing, or stopped half-way: the end comes in its time."""
    narrow = LinkPlan(latency=0.0, window=200)
    async with house() as here:
        await here.raw()
        await here.raw("/ws/node", narrow)
        await say_hello_and_stall(here)
        for start in (b"", b"GET / HT", handshake("/ws/session")[:-2]):
            await (await here.stream()).send_all(start)
        half_a_frame = await here.raw()
        await half_a_frame.stream.send_all(b"\x81\xfe\x10")
        slow_reader = await here.stream(narrow)
        await slow_reader.send_all(b"GET /api/v1/stats HTTP/1.1\r\nHost: h\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(requests):
            here.shutdown.request()
        await here.over.wait()
        longest = here.config.close_timeout + (here.config.write_timeout if requests == 1 else 0)
        assert trio.current_time() <= longest
        assert here.shell.connections == 0


async def say_hello_and_stall(here: House) -> None:
    """A session whose outbox is not empty and whose window is full."""
    session = await here.raw(plan=LinkPlan(latency=0.0, window=200))
    for _ in range(10):
        await session.say("nonsense")


async def test_nothing_is_left_running(autojump_clock: MockClock) -> None:
    """After the end there is no task, no timer and no connection of the scheduler's."""
    before = trio.lowlevel.current_statistics().tasks_living
    async with house() as here:
        node, client = await here.node(), await here.session()
        for index in range(3):
            await client.submit(index)
        await take(node)
        await client.drop()
        here.shutdown.request()
        here.shutdown.request()
        await here.over.wait()
        assert here.shell.connections == 0
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_the_registry_is_the_set_of_open_connections(autojump_clock: MockClock) -> None:
    """However a peer ends, it is registered until then, and not a moment longer."""
    async with house() as here:
        assert here.shell.connections == 0
        last_words = {"a close frame": close_frame(1000), "half a frame": b"\x81\xfe",
                      "nonsense": b"\xff\xff\xff", "none": b""}  # fmt: skip
        streams = [await here.stream() for _ in last_words]
        for stream in streams:
            await RawPeer.upgrade(stream)
        await trio.testing.wait_all_tasks_blocked()
        left = len(streams)
        for stream, last_word in zip(streams, last_words.values(), strict=True):
            assert here.shell.connections == left
            await stream.send_all(last_word)
            await stream.send_eof()
            await trio.testing.wait_all_tasks_blocked()
            left -= 1
        assert here.shell.connections == 0
        assert trio.current_time() == 0


# -- a frozen process ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "frozen_for"),
    [
        ("receipt", 1.25),
        ("receipt", 8.0),
        ("receipt", 25.0),
        ("result", 8.0),
        ("result", 100.0),
        ("acknowledgement", 8.0),
        ("acknowledgement", 100.0),
    ],
)
def test_what_came_while_we_were_frozen_is_heard_first(said: str, frozen_for: float) -> None:
    """A deadline that passed in our own sleep is judged after what arrived meanwhile was read.

    Not a receipt, a result or an acknowledgement that was in time is called late, and nobody is
    cut off or set back for it.
    """

    async def main() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        plan = LinkPlan(latency=TICK_S)
        async with house() as here:
            node, client = await here.node("n", plan), await here.session(plan)
            await client.submit(0)
            job = await node.hear("job_assign")
            if said == "receipt":
                await node.receipt(job)
                clock.jump(frozen_for)
                await trio.sleep(2)
            await node.receipt(job)
            await trio.sleep(1)
            await node.give(job)
            if said == "result":
                clock.jump(frozen_for)
            outcome = await client.hear("translation_result", "missing_result")
            await client.acknowledge(outcome["seq"])
            if said == "acknowledgement":
                clock.jump(frozen_for)
            await trio.sleep(20)
            assert [outcome["type"] for outcome in client.outcomes] == ["translation_result"]
            assert here.shell.connections == 2
            shown = (await here.get(f"/api/v1/jobs/{job['job_id']}"))[1]
            assert (shown["state"], len(shown["attempts"])) == ("acknowledged", 1)
            (peer,) = (await here.get("/api/v1/nodes"))[1]["nodes"]
            assert peer["setbacks"] == 0
            assert node.all("job_cancel") == []

    for seed in range(8):
        simulate(main, schedule=mixed(seed), timeout_s=4000)


async def test_what_is_said_in_one_breath_is_answered(autojump_clock: MockClock) -> None:
    """The answers to a burst need not fit into the outbox, as long as the peer's socket takes them.

    Else whoever comes back with much to say again would be cut off for it, again and again.
    """
    limits = {"retained_outcomes_max": 2, "jobs_per_session_max": 2, "outbox_messages_max": 12}
    async with house(**limits) as here:
        client = await here.session(LinkPlan(prompt=True))
        burst = [json.dumps(utterance(client.session_id, index)).encode() for index in range(42)]
        await client.raw.stream.send_all(b"".join(frame(TEXT, said) for said in burst))
        await trio.sleep(1)
        assert len(client.all("utterance_accepted")) == 2
        assert len(client.all("error")) == 40
        assert client.close_code is None
