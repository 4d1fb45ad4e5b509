"""Child processes with engines: who waits, who is killed, and that none is left over.

The children are real processes; their engines are those of ``engine_child``.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import engine_child
import pytest
import trio
from engine_child import BABBLE, BLOCK, DIE, ECHO, PID, RAISE
from processes import children, until, until_dead

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.node.pool import Pool

NEVER = b"/nonexistent/release"
COMMAND = (sys.executable, engine_child.__file__)


@asynccontextmanager
async def open_pool(slots: int = 1) -> AsyncIterator[Pool]:
    """A pool for the block's length, after which there must be no child, dead or alive."""
    before = children().keys()
    pool = Pool(slots, command=COMMAND)
    try:
        yield pool
    finally:
        with trio.CancelScope(shield=True):
            await pool.aclose()
    assert children().keys() == before


async def ask(pool: Pool, name: bytes, payload: bytes = b"", *, timeout: float = 60) -> bytes:
    return await pool.call("asr", name, payload, timeout=timeout)


async def pid_of(pool: Pool) -> int:
    return int(await ask(pool, PID))


async def failure(
    pool: Pool, name: bytes, payload: bytes = b"", *, timeout: float = 60
) -> StageFailed:
    with pytest.raises(StageFailed) as caught:
        await ask(pool, name, payload, timeout=timeout)
    assert caught.value.stage == "asr"
    assert caught.value.retryable
    return caught.value


async def test_a_request_is_answered_by_a_process_of_its_own() -> None:
    """The engine runs outside of the node's process, and the same child serves again."""
    async with open_pool() as pool:
        pid = await pid_of(pool)
        assert pid != os.getpid()
        assert await ask(pool, ECHO, b"abc") == b"cba"
        assert await ask(pool, ECHO, bytes(10**6)) == bytes(10**6)
        assert await pid_of(pool) == pid


async def test_the_node_goes_on_while_an_engine_holds_its_interpreter(tmp_path: Path) -> None:
    """The engine blocks until this very event loop lets it go: were the loop blocked, both were."""
    release = tmp_path / "release"
    async with open_pool() as pool, trio.open_nursery() as nursery:
        nursery.start_soon(ask, pool, BLOCK, str(release).encode())
        await until((tmp_path / "release.begun").exists)
        release.touch()


async def test_as_many_at_a_time_as_slots(tmp_path: Path) -> None:
    """With two slots two requests run, the third waits and gets the slot that is free first."""
    first, second = tmp_path / "first", tmp_path / "second"
    ended: list[str] = []

    async def run(pool: Pool, name: bytes, payload: bytes, title: str) -> None:
        await ask(pool, name, payload)
        ended.append(title)

    async with open_pool(2) as pool:
        await pool.mend()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, pool, BLOCK, str(first).encode(), "first")
            nursery.start_soon(run, pool, BLOCK, str(second).encode(), "second")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(run, pool, ECHO, b"", "third")
            await trio.testing.wait_all_tasks_blocked()
            second.touch()
            await until(lambda: len(ended) == 2)
            assert set(ended) == {"second", "third"}
            first.touch()


async def test_a_living_child_is_preferred() -> None:
    """With one child dead and one alive, a request does not wait for a new one to be loaded."""
    async with open_pool(2) as pool:
        await pool.mend()
        dead, alive = (worker.pid for worker in pool.workers)
        assert dead is not None
        os.kill(dead, signal.SIGKILL)
        await until_dead(dead)
        for _ in range(3):
            assert await pid_of(pool) == alive


async def test_a_cancelled_request_frees_its_slot_and_ends_its_child() -> None:
    """Cancelling kills the child that is at work; the next caller gets a new one."""
    async with open_pool() as pool:
        pid = await pid_of(pool)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, pool, BLOCK, NEVER)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert pid not in children()
        assert await pid_of(pool) != pid


async def test_a_cancelled_start_leaves_no_child() -> None:
    """Whoever gives up while the engines are being loaded leaves nothing behind."""
    before = children().keys()
    async with open_pool() as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.mend)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert children().keys() == before


async def test_an_engine_that_does_not_answer_in_time_is_ended() -> None:
    """The request fails as a timeout, and the child is replaced."""
    async with open_pool() as pool:
        pid = await pid_of(pool)
        failed = await failure(pool, BLOCK, NEVER, timeout=0.05)
        assert failed.code == Code.JOB_TIMEOUT
        assert pid not in children()
        assert await ask(pool, ECHO, b"abc") == b"cba"


async def test_a_child_that_was_killed_is_replaced() -> None:
    """Killed while idle: mended when looked after, or by the next request; no zombie stays."""
    async with open_pool() as pool:
        for mend in (pool.mend, lambda: ask(pool, ECHO, b"")):
            pid = await pid_of(pool)
            os.kill(pid, signal.SIGKILL)
            await until_dead(pid)
            await mend()
            assert pid not in children()
            assert all(worker.alive for worker in pool.workers)
            assert pool.fault is None


@pytest.mark.parametrize("end", [DIE, BABBLE])
async def test_a_child_that_ends_at_work_costs_one_request(end: bytes) -> None:
    """It dies or writes nonsense: that request fails, the next one is served by a new child."""
    async with open_pool() as pool:
        failed = await failure(pool, end)
        assert failed.code == Code.PROCESSING_ERROR
        assert "the engine's process" in str(failed)
        assert await ask(pool, ECHO, b"abc") == b"cba"


async def test_an_engine_that_raised_is_not_used_again() -> None:
    """Its error is told, and the next request goes to a child that is not half way through."""
    async with open_pool() as pool:
        pid = await pid_of(pool)
        failed = await failure(pool, RAISE, b"the decoder is confused")
        assert "ValueError: the decoder is confused" in str(failed)
        assert await pid_of(pool) != pid


async def test_what_cannot_be_loaded_is_a_fault_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault has the child's own reason and a hint; when the reason is gone, so is the fault."""
    fault = tmp_path / "fault"
    fault.write_text("no model")
    monkeypatch.setenv("ENGINE_CHILD_FAULT", str(fault))
    async with open_pool(2) as pool:
        assert pool.fault is not None
        await pool.mend()
        assert str(pool.fault) == "OSError: no model (pip install 'lingua-scheduler[node]')"
        assert (await failure(pool, ECHO)).code == Code.MODEL_LOAD_FAILED
        fault.unlink()
        await pool.mend()
        assert pool.fault is None
        assert await ask(pool, ECHO, b"abc") == b"cba"


async def test_without_its_precondition_no_child_is_started() -> None:
    """What is known to be missing is told without trying."""
    missing: EngineUnavailable | None = EngineUnavailable("not installed: x", "install x")
    pool = Pool(1, precondition=lambda: missing, command=("/nonexistent",))
    await pool.mend()
    assert pool.fault is missing
    missing = None
    await pool.mend()
    assert pool.fault is not None
    assert "No such file" in str(pool.fault)


async def test_closing_ends_children_that_work() -> None:
    """No child outlives its pool, whatever it is doing."""
    async with open_pool(2) as pool, trio.open_nursery() as nursery:
        await pool.mend()
        for _ in range(2):
            nursery.start_soon(ask, pool, BLOCK, NEVER)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
