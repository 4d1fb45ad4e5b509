"""Nothing is promised before it is remembered: the whole server with a journal driven by hand."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from fakes import CountingIds
from hand_journal import HandJournal
from messages import capabilities, languages
from raw_peer import CLOSE, RawPeer
from simulation.network import LinkPlan, Network
from trio.testing import wait_all_tasks_blocked

from scheduler.config import Config
from scheduler.server.serve import Shutdown, serve
from scheduler.wire.codec import encode
from scheduler.wire.common import Hardware
from scheduler.wire.node import NodeRegister

AT_ONCE = LinkPlan(latency=0.0)
HELLO: dict[str, Any] = {
    "type": "session_init", "client_version": "1", "platform": "test", "src_lang": "en",
    "tgt_lang": "es", "receipts": True,
}  # fmt: skip


class Server:
    """One life of a scheduler on a network in memory."""

    plan = AT_ONCE

    def __init__(self, journal: HandJournal) -> None:
        self.journal = journal
        self.network = Network()
        self.shutdown = Shutdown()
        self.ids = CountingIds()

    async def peer(self, path: str) -> RawPeer:
        stream = await self.network.connect(self.plan, path, listener="door")
        return await RawPeer.upgrade(stream, path)

    async def ready(self) -> tuple[int, Any]:
        stream = await self.network.connect(AT_ONCE, "http", listener="door")
        await stream.send_all(b"GET /ready HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, _, body = (await RawPeer(stream).hear_end()).partition(b"\r\n\r\n")
        await stream.aclose()
        return int(head.split()[1]), json.loads(body)

    async def session(self, resume: dict[str, Any] | None = None) -> RawPeer:
        peer = await self.peer("/ws/session")
        await peer.say(HELLO if resume is None else {**HELLO, "resume": resume})
        return peer

    async def node(self) -> RawPeer:
        peer = await self.peer("/ws/node")
        register = NodeRegister(
            version="1", platform="test", hardware=Hardware(cpu_cores=1, memory_gb=1),
            installed_models=(), capability_by_type=capabilities(), features_supported={},
            accept_public_jobs=True, node_id="node-a", language_capabilities=languages(),
            slots=4, receipts=True,
        )  # fmt: skip
        await peer.say(encode(register))
        await peer.hear_message("node_register_ack")
        return peer


@contextlib.asynccontextmanager
async def served(journal: HandJournal, **settings: Any) -> AsyncIterator[Server]:
    server = Server(journal)
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Any]) -> None:
            await serve(
                Config(**settings), listeners=[server.network.listener("door")], ids=server.ids,
                epoch=0.0, shutdown=server.shutdown, journal=journal, task_status=task_status,
            )  # fmt: skip

        await nursery.start(run)
        yield server
        nursery.cancel_scope.cancel()


def utterance(session_id: str, index: int) -> dict[str, Any]:
    return {
        "type": "utterance", "session_id": session_id, "utterance_index": index,
        "manual_cut": True, "src_lang": "en", "tgt_lang": "es", "audio": "AAAA",
        "audio_format": "pcm16", "sample_rate": 16000,
    }  # fmt: skip


def result(assignment: dict[str, Any]) -> dict[str, Any]:
    names = ("job_id", "attempt_id", "session_id", "utterance_index", "trace_id")
    return {
        "type": "job_result", "node_id": "node-a", "success": True, "text_asr": "hi",
        "text_translated": "hola", **{name: assignment[name] for name in names},
    }  # fmt: skip


def about(kind: str, assignment: dict[str, Any]) -> dict[str, Any]:
    names = ("job_id", "attempt_id", "session_id", "trace_id")
    return {"type": kind, "node_id": "node-a", **{name: assignment[name] for name in names}}


async def waits_for(journal: HandJournal, peer: RawPeer, kind: str) -> dict[str, Any]:
    """The message of this kind, and that it did not come before the journal had kept it."""
    await wait_all_tasks_blocked()
    assert kind.encode() not in await _arrived(peer), f"{kind} left before its commit"
    journal.commit()
    return await peer.hear_message(kind)


async def _arrived(peer: RawPeer) -> bytes:
    """Everything that has come so far; it stays to be heard."""
    with trio.move_on_after(1 / 64):  # of a virtual clock: until nothing more can come
        while data := await peer.stream.receive_some():
            peer.unread += data
    return peer.unread


@pytest.fixture
def journal() -> HandJournal:
    return HandJournal()


@pytest.fixture(autouse=True, params=[False, True], ids=["waited for", "taken at once"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test, with links on which a write is waited for and with those that take it at once."""
    monkeypatch.setattr(Server, "plan", LinkPlan(latency=0.0, prompt=request.param))


async def test_every_promise_waits_for_its_commit(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """A welcome, an acceptance, a stored receipt and an outcome leave after their commit."""
    async with served(journal) as server:
        node = await server.node()
        client = await server.session()
        welcome = await waits_for(journal, client, "session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        await waits_for(journal, client, "utterance_accepted")
        assignment = await node.hear_message("job_assign")
        await node.say(result(assignment))
        await wait_all_tasks_blocked()
        assert b"translation_result" not in await _arrived(client)
        receipt = await waits_for(journal, node, "job_result_ack")
        assert receipt["status"] == "stored"
        outcome = await client.hear_message("translation_result")
        assert outcome["seq"] == 1


async def test_a_failure_and_a_goodbye_wait_for_their_commit(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """An outcome without content, and the receipt of a close, promise as much as others do."""
    async with served(journal, pending_timeout=1.0) as server:
        client = await server.session()
        welcome = await waits_for(journal, client, "session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        await waits_for(journal, client, "utterance_accepted")
        await trio.sleep(2)
        outcome = await waits_for(journal, client, "missing_result")
        assert outcome["seq"] == 1
        close = {"type": "session_close", "session_id": welcome["session_id"], "reason": "done"}
        await client.say(close)
        await waits_for(journal, client, "session_close_ack")
        kept_at = trio.current_time()
        assert (await client.hear()).opcode == CLOSE
        assert trio.current_time() == kept_at, "the close frame waited for something else"


async def test_a_result_that_came_late_waits_for_its_own_commit(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """What takes the place of a timeout that waits leaves after its own commit, not after that."""
    async with served(journal, dispatched_timeout=8.0) as server:
        node = await server.node()
        client = await server.session()
        welcome = await waits_for(journal, client, "session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        await waits_for(journal, client, "utterance_accepted")
        assignment = await node.hear_message("job_assign")
        for _ in range(17):  # a node that is silent for so long is given up
            await node.say(about("job_ack", assignment))
            await trio.sleep(0.5)
        of_the_timeout = len(journal.pending)
        await node.say(result(assignment))
        await wait_all_tasks_blocked()
        assert len(journal.pending) > of_the_timeout
        journal.commit(of_the_timeout)
        await wait_all_tasks_blocked()
        assert b"_result" not in await _arrived(client)
        await waits_for(journal, client, "translation_result")


async def test_it_is_not_ready_while_nothing_can_be_kept(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """No new clients are to be sent as long as they would be refused, and it is said why."""
    async with served(journal) as server:
        await wait_all_tasks_blocked()
        assert await server.ready() == (200, {"status": "ready"})
        for why in ("no room", "no rights"):
            journal.fail(why)
            refused = {"status": "journal_failing", "reason": why}
            assert await server.ready() == (503, refused)
        journal.mend()
        assert await server.ready() == (200, {"status": "ready"})


@pytest.mark.parametrize("receipts", [True, False])
async def test_a_drain_waits_for_what_nobody_keeps(
    journal: HandJournal, autojump_clock: trio.abc.Clock, receipts: bool
) -> None:
    """Jobs that wait hold up no drain if the journal has them; those of a client that cannot
    come back are in no journal, and get their outcome before it ends."""
    async with served(journal, pending_timeout=8.0) as server:
        client = await server.peer("/ws/session")
        await client.say({**HELLO, "receipts": receipts})
        await wait_all_tasks_blocked()
        journal.commit()
        welcome = await client.hear_message("session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        await wait_all_tasks_blocked()
        journal.commit()
        server.shutdown.request()
        if not receipts:
            assert (await client.hear_message("missing_result"))["reason"] == "no_available_node"
        assert await client.hear_close() == 1001
        assert trio.current_time() == (0 if receipts else 8)


async def test_work_does_not_wait_for_the_disk(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """A node gets its job while the acceptance is still being written."""
    async with served(journal) as server:
        node = await server.node()
        client = await server.session()
        welcome = await waits_for(journal, client, "session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        assert (await node.hear_message("job_assign"))["utterance_index"] == 0
        assert journal.pending


async def test_what_cannot_be_kept_is_refused(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """A full disk refuses what was not promised, and everything new, until there is room."""
    async with served(journal) as server:
        node = await server.node()
        client = await server.session()
        session_id = (await waits_for(journal, client, "session_init_ack"))["session_id"]
        await client.say(utterance(session_id, 0))
        await waits_for(journal, client, "utterance_accepted")
        await node.say(result(await node.hear_message("job_assign")))
        await client.say(utterance(session_id, 1))
        await wait_all_tasks_blocked()
        journal.fail()
        assert (await client.hear_message("error"))["details"] == {"utterance_index": 1}
        await client.say(utterance(session_id, 2))
        refusal = await client.hear_message("error")
        assert (refusal["code"], refusal["details"]) == ("OVERLOADED", {"utterance_index": 2})
        assert b"translation_result" not in await _arrived(client)
        journal.mend()
        assert (await client.hear_message("translation_result"))["utterance_index"] == 0
        await client.say(utterance(session_id, 1))
        await waits_for(journal, client, "utterance_accepted")


async def test_a_new_session_is_not_promised_to_be_kept(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """While nothing can be kept, a new session is told to try later, not left waiting."""
    async with served(journal) as server:
        await wait_all_tasks_blocked()
        journal.fail()
        client = await server.session()
        assert (await client.hear_message("error"))["code"] == "OVERLOADED"
        assert await client.hear_close() == 1013


async def test_a_successor_goes_on_where_the_journal_ends(
    journal: HandJournal, autojump_clock: trio.abc.Clock
) -> None:
    """Killed between an outcome's commit and its write, the next process delivers it."""
    async with served(journal) as server:
        node = await server.node()
        client = await server.session()
        welcome = await waits_for(journal, client, "session_init_ack")
        await client.say(utterance(welcome["session_id"], 0))
        await waits_for(journal, client, "utterance_accepted")
        await node.say(result(await node.hear_message("job_assign")))
        await wait_all_tasks_blocked()
        kept = [*journal.kept, *journal.pending]
    async with served(HandJournal(kept, at_once=True)) as server:
        resume = {
            "session_id": welcome["session_id"], "resume_token": welcome["resume_token"],
            "last_seq": 0,
        }  # fmt: skip
        client = await server.session(resume)
        assert (await client.hear_message("session_init_ack"))["resumed"] is True
        assert (await client.hear_message("translation_result"))["seq"] == 1
