"""What is queued together is one write, and every outcome in it is told before and after."""

import pytest
import trio
import trio.testing
from connection_support import linked
from simulation.network import LinkPlan, LinkStream
from trio.testing import MockClock

from scheduler.runtime.lane import text_frame
from scheduler.runtime.outbox import Entry, Outbox
from scheduler.runtime.stream import WholeWrites
from scheduler.runtime.writer import BATCH_BYTES, Writer

OUTBOX_MESSAGES_MAX = 1000


class Desk:
    """A writer, its outbox, and all that it tells, with the bytes that had been sent by then."""

    def __init__(self, theirs: LinkStream, ours: LinkStream) -> None:
        self.theirs, self.ours = theirs, ours
        self.outbox = Outbox(messages_max=OUTBOX_MESSAGES_MAX, bytes_max=10**7)
        self.told: list[tuple[str, int, int]] = []
        self.writes: list[int] = []
        self.closed = False
        self.stream = WholeWrites(ours, write_timeout=3)
        begin = self.stream.begin

        def counted(data: bytes) -> None:
            self.writes.append(len(data))
            begin(data)

        self.stream.begin = counted  # type: ignore[method-assign]
        self.writer = Writer(self.outbox, self.stream, masked=False, closed=lambda: self.closed)

    def put(self, *texts: str) -> None:
        """Queue outcomes, numbered from 1."""
        for seq, text in enumerate(texts, 1):
            assert self.outbox.put(Entry(text, seq))

    async def run(self) -> None:
        await self.writer.run(
            lambda seq: self.told.append(("writing", seq, self.ours.sends.sent)),
            lambda seq: self.told.append(("written", seq, self.ours.sends.sent)),
        )

    async def fail(self, error: type[Exception]) -> None:
        """Run, and end with this error."""
        with pytest.raises(error):
            await self.run()


async def desk(plan: LinkPlan = LinkPlan(latency=0.0)) -> Desk:  # noqa: B008
    return Desk(*await linked(plan))


async def test_what_is_queued_together_goes_out_together() -> None:
    """Three messages are one write, in their order; each is told before it and after it."""
    here = await desk()
    here.put("one", "two", "three")
    here.outbox.close()
    await here.run()
    frames = b"".join(text_frame(text, masked=False) for text in ("one", "two", "three"))
    assert await here.theirs.receive_some() == frames
    assert here.writes == [len(frames)]
    assert here.told == [("writing", seq, 0) for seq in (1, 2, 3)] + [
        ("written", seq, len(frames)) for seq in (1, 2, 3)
    ]
    assert here.outbox.size_bytes == 0


async def test_a_batch_has_its_size() -> None:
    """A write that is large already takes no more messages with it."""
    here = await desk(LinkPlan(latency=0.0, window=2 * BATCH_BYTES))
    here.put("small", "x" * BATCH_BYTES, "small", "small")
    here.outbox.close()
    await here.run()
    assert [size > BATCH_BYTES for size in here.writes] == [True, False]


async def test_what_promises_too_early_is_not_in_the_batch() -> None:
    """A message whose record is not kept yet stays behind, and follows when it is."""
    here, kept = await desk(), 0
    here.outbox.committed = lambda: kept
    here.outbox.put(Entry("refusal"))
    here.outbox.put(Entry("promise", after=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        assert here.writes == [len(text_frame("refusal", masked=False))]
        kept = 1
        here.outbox.close()
    assert len(here.writes) == 2


async def test_nothing_follows_a_close_frame() -> None:
    """On a closed connection nothing is written."""
    here = await desk()
    here.closed = True
    here.put("too late")
    with pytest.raises(trio.BrokenResourceError):
        await here.run()
    assert here.writes == []


async def test_a_write_that_breaks_is_not_told_as_written(autojump_clock: MockClock) -> None:
    """Of a batch that did not get through whole, nothing is called written."""
    here = await desk(LinkPlan(latency=0.0, window=8))
    here.put("one", "two", "three")
    with pytest.raises(trio.BrokenResourceError):
        await here.run()
    assert [what for what, _, _ in here.told] == ["writing"] * 3


PROMPT = LinkPlan(latency=0.0, prompt=True)


def heard(*texts: str) -> bytes:
    return b"".join(text_frame(text, masked=False) for text in texts)


async def test_what_is_taken_at_once_is_written_by_flush_itself() -> None:
    """On a stream that takes everything the messages are out, and told, when ``flush`` returns."""
    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        here.put("one", "two")
        here.writer.flush()
        size = len(heard("one", "two"))
        assert here.told[:2] == [("writing", 1, 0), ("writing", 2, 0)]
        assert here.told[2:] == [("written", 1, size), ("written", 2, size)]
        assert here.outbox.size_bytes == 0
        here.outbox.close()
    assert await here.theirs.receive_some() == heard("one", "two")


async def test_what_is_not_taken_at_once_is_for_the_task(autojump_clock: MockClock) -> None:
    """A rest comes first, what was queued behind it follows; neither is told too early."""
    here = await desk(LinkPlan(latency=0.0, window=8, prompt=True))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        here.outbox.put(Entry("x" * 20, 1))
        here.writer.flush()
        here.outbox.put(Entry("behind it", 2))
        here.writer.flush()
        assert (here.ours.sends.sent, here.told) == (8, [("writing", 1, 0)])
        wanted = heard("x" * 20, "behind it")
        received = b""
        while len(received) < len(wanted):
            received += await here.theirs.receive_some()
            assert ("written" in [what for what, _, _ in here.told]) <= (len(received) > 8)
        assert received == wanted
        here.outbox.close()
    assert [(what, seq) for what, seq, _ in here.told] == [
        (what, seq) for seq in (1, 2) for what in ("writing", "written")
    ]


async def test_what_is_gathered_is_one_write_of_the_task() -> None:
    """In a crowd nothing is written at once; the task takes all that has come by its next turn."""
    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        for text in ("one", "two", "three"):
            here.outbox.put(Entry(text))
            here.writer.flush(gather=True)
        assert here.writes == []
        await trio.testing.wait_all_tasks_blocked()
        assert here.writes == [len(heard("one", "two", "three"))]
        here.outbox.close()


async def test_an_outbox_under_pressure_is_not_filled_by_patience() -> None:
    """When it is half full what is there is written at once, crowd or not."""
    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(OUTBOX_MESSAGES_MAX // 2):
            here.outbox.put(Entry("x"))
        here.writer.flush(gather=True)
        assert len(here.writes) == 1
        here.outbox.close()


async def test_flush_leaves_to_the_task_what_only_that_can_tell() -> None:
    """On a broken stream ``flush`` raises nothing; the task does, and nothing is called written."""
    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.fail, trio.BrokenResourceError)
        await trio.testing.wait_all_tasks_blocked()
        here.ours.link.reset()
        here.put("one")
        here.writer.flush()
    assert here.told == [("writing", 1, 0)]


async def test_nothing_is_flushed_before_and_after_the_task_runs() -> None:
    """Before somebody listens to what is told, and after, messages stay in the outbox."""
    here = await desk(PROMPT)
    here.put("one")
    here.writer.flush()
    assert (len(here.outbox), here.told) == (1, [])
    with trio.CancelScope() as scope:
        scope.cancel()
        await here.run()
    here.writer.flush()
    assert (len(here.outbox), here.told, here.ours.sends.sent) == (1, [], 0)


async def test_flush_writes_nothing_behind_a_close_frame() -> None:
    """On a closed connection the message stays where it is, and the task raises."""
    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.fail, trio.BrokenResourceError)
        await trio.testing.wait_all_tasks_blocked()
        here.closed = True
        here.put("too late")
        here.writer.flush()
        assert here.writes == []
    assert here.writes == []


async def test_who_was_closed_ends_as_soon_as_the_last_promise_is_kept(
    autojump_clock: MockClock,
) -> None:
    """The task ends when ``flush`` has written what a closed outbox still had to say."""
    here, kept = await desk(PROMPT), 0
    here.outbox.committed = lambda: kept
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        here.outbox.put(Entry("promise", after=1))
        here.outbox.close()
        await trio.testing.wait_all_tasks_blocked()
        kept = 1
        here.writer.flush()
    assert trio.current_time() == 0
    assert await here.theirs.receive_some() == heard("promise")


async def test_a_fault_while_flushing_ends_the_task() -> None:
    """What cannot be encoded is raised by the task; nothing of that batch is called written."""

    def encode() -> str:
        raise ZeroDivisionError

    here = await desk(PROMPT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.fail, ZeroDivisionError)
        await trio.testing.wait_all_tasks_blocked()
        here.outbox.put(Entry("one", 1))
        here.outbox.put(Entry(encode))
        here.writer.flush()
        here.put("later")
        here.writer.flush()
    assert (here.told, here.ours.sends.sent) == ([], 0)
