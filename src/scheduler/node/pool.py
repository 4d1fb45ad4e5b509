"""Child processes with engines in them, as many as the node has slots.

A child does one request at a time. A request that is cancelled or takes too long costs its
child the life: nothing softer stops an engine that holds the interpreter's lock, and an
answer that comes late could be taken for the next one's. The next caller gets a new child.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from scheduler.errors import Code, EngineUnavailable, StageFailed
from scheduler.node.installed import EXTRA_HINT
from scheduler.node.worker import FRAME, FRAME_BYTES_MAX, GOOD, frame

COMMAND = (sys.executable, "-m", "scheduler.node.worker")
START_TIMEOUT_SECONDS = 30.0
"""Loading takes 0.8 s on an idle machine."""


class _ChildGone(Exception):
    """The child's output ended, or is no frame."""


class Worker:
    """One child process, or none. Not for two callers at once."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._process: trio.Process | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a child that has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start a child in the place of a dead one, and wait until its engines are loaded.

        Raises :class:`~scheduler.errors.EngineUnavailable`. Cancelling leaves no child.
        """
        await self.stop()
        loaded = False
        try:
            with trio.fail_after(START_TIMEOUT_SECONDS):
                # A session of its own: Ctrl-C in a terminal is for the node, which drains.
                self._process = await trio.lowlevel.open_process(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                answer = await self._read()
            loaded = answer[:1] == GOOD
        except trio.TooSlowError:
            reason = f"not loaded in {START_TIMEOUT_SECONDS:g} s"
            raise EngineUnavailable(reason, "is the machine overloaded?") from None
        except (_ChildGone, OSError) as error:
            raise EngineUnavailable(str(error), EXTRA_HINT) from None
        finally:
            if not loaded:
                await self.stop()
        if not loaded:
            raise EngineUnavailable(answer[1:].decode(errors="replace"), EXTRA_HINT)

    async def call(self, name: bytes, payload: bytes) -> bytes:
        """One request. Ended in any way but by a result, it ends the child too.

        An engine that has raised an error may be left half way through its work.
        Raises ``_ChildGone``, or ``ValueError`` with the engine's error.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        done = False
        try:
            await self._process.stdin.send_all(frame(name + payload))
            answer = await self._read()
            if answer[:1] != GOOD:
                raise ValueError(answer[1:].decode(errors="replace"))
            done = True
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise _ChildGone("the engine's process ended") from None
        finally:
            if not done:
                await self.stop()
        return answer[1:]

    async def stop(self) -> None:
        """Kill the child and reap it. Not cancellable: a killed process ends in no time."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()

    async def _read(self) -> bytes:
        (length,) = FRAME.unpack(await self._read_exactly(FRAME.size))
        if not 1 <= length <= FRAME_BYTES_MAX:
            raise _ChildGone("the engine's process wrote something that is no frame")
        return await self._read_exactly(length)

    async def _read_exactly(self, count: int) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = bytearray()
        while len(data) < count:
            more = await self._process.stdout.receive_some(count - len(data))
            if not more:
                raise _ChildGone("the engine's process ended")
            data += more
        return bytes(data)


class Pool:
    """As many workers as slots; callers wait in the order they came.

    ``precondition`` is asked before a child is started: why it could not work, or None.
    """

    def __init__(
        self,
        slots: int,
        precondition: Callable[[], EngineUnavailable | None] = lambda: None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._precondition = precondition
        self._idle = [Worker(command) for _ in range(slots)]
        self._free = trio.Semaphore(slots)
        self.workers = tuple(self._idle)
        self.fault: EngineUnavailable | None = EngineUnavailable("not started yet", EXTRA_HINT)

    @asynccontextmanager
    async def _worker(self, *, alive: bool) -> AsyncIterator[Worker]:
        """A worker for this block, living or not living if there is such a one."""
        async with self._free:
            worker = next((w for w in self._idle if w.alive is alive), self._idle[0])
            self._idle.remove(worker)
            try:
                yield worker
            finally:
                self._idle.append(worker)

    async def call(self, stage: str, name: bytes, payload: bytes, *, timeout: float) -> bytes:
        """Have a free worker do one request, at most ``timeout`` seconds once it is its turn.

        Raises :class:`~scheduler.errors.StageFailed`. Cancelling frees the slot at once.
        """
        async with self._worker(alive=True) as worker:
            try:
                await self._start(worker)
                with trio.fail_after(timeout):
                    return await worker.call(name, payload)
            except trio.TooSlowError:
                code, why = Code.JOB_TIMEOUT, f"no answer in {timeout:g} s"
            except EngineUnavailable as error:
                code, why = Code.MODEL_LOAD_FAILED, str(error)
            except (_ChildGone, ValueError) as error:
                code, why = Code.PROCESSING_ERROR, str(error)
        raise StageFailed(stage, code, why, retryable=True)

    async def mend(self) -> None:
        """Start the workers that do not live; ``fault`` tells whether that worked."""
        for _ in self.workers:
            if all(worker.alive for worker in self._idle):
                return
            async with self._worker(alive=False) as worker:
                try:
                    await self._start(worker)
                except EngineUnavailable:
                    return

    async def _start(self, worker: Worker) -> None:
        if worker.alive:
            return
        try:
            if (fault := self._precondition()) is not None:
                raise fault
            await worker.start()
        except EngineUnavailable as error:
            self.fault = error
            raise
        self.fault = None

    async def aclose(self) -> None:
        """Kill every child. For when no call is running any more."""
        for worker in self.workers:
            await worker.stop()


class PooledEngine:
    """What every engine that works in the children of a pool tells about itself."""

    def __init__(self, pool: Pool, version: str | None) -> None:
        self._pool = pool
        self.version = version

    @property
    def fault(self) -> EngineUnavailable | None:
        """That of the child processes."""
        return self._pool.fault

    async def probe(self) -> None:
        """Start the child processes that do not live."""
        await self._pool.mend()
