"""The queue before a writer has two bounds; what may be dropped is dropped, outcomes never."""

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from scheduler.runtime.outbox import Entry, Outbox

SMALL = {"messages_max": 10, "bytes_max": 100}


def outbox(**bounds: Any) -> Outbox:
    return Outbox(**(SMALL | bounds))


def drained(box: Outbox) -> list[Entry]:
    """Everything that is still in the queue; closes it."""
    box.close()
    entries = []
    while (entry := box.get_nowait()) is not None:
        entries.append(entry)
        box.done(entry)
    assert box.over
    return entries


def test_what_goes_in_comes_out_in_order() -> None:
    """The queue is one: droppable or not, first in is first out."""
    box = outbox()
    entries = [Entry("a"), Entry("b", 1), Entry("c", droppable=True), Entry("d", 2)]
    for entry in entries:
        assert box.put(entry)
    assert drained(box) == entries
    assert box.size_bytes == 0


def test_what_is_encoded_late_counts_in_number_only() -> None:
    """A large message that is in memory anyway is made when its turn comes, and not before."""
    made = []

    def encode() -> str:
        made.append("x" * 1000)
        return made[-1]

    box = outbox()
    assert all(box.put(Entry(encode)) for _ in range(10))
    assert not box.put(Entry(encode))
    assert (box.size_bytes, made) == (0, [])
    assert [entry.text for entry in drained(box)] == [encode] * 10


def test_the_number_is_bounded() -> None:
    """One more message than allowed does not fit, and leaves the queue as it was."""
    box = outbox(bytes_max=10**6)
    assert [box.put(Entry("x", seq)) for seq in range(11)] == [True] * 10 + [False]
    assert len(box) == 10
    assert box.size_bytes == 10


def test_the_bytes_are_bounded() -> None:
    """A message that would go beyond the bytes does not fit; one that just fills them does."""
    box = outbox()
    assert box.put(Entry("x" * 60))
    assert not box.put(Entry("x" * 41))
    assert box.put(Entry("x" * 40))
    assert box.size_bytes == 100


def test_bytes_are_those_that_are_written() -> None:
    """Text outside of ASCII counts with as many bytes as it will take on the wire."""
    box = outbox()
    assert box.put(Entry("语" * 33))
    assert box.size_bytes == 99
    assert not box.put(Entry("é"))


def test_droppables_are_left_out_under_pressure() -> None:
    """From half of a bound on droppable messages vanish, are counted, and nobody is cut off."""
    by_number, by_bytes = outbox(bytes_max=10**6), outbox()
    for seq in range(5):
        assert by_number.put(Entry("x", seq))
    assert by_bytes.put(Entry("x" * 50, 0))
    for box in (by_number, by_bytes):
        before = len(box)
        assert box.put(Entry("partial", droppable=True))
        assert (len(box), box.dropped) == (before, 1)
        assert box.put(Entry("outcome", 9))
        assert (drained(box))[-1].seq == 9


def test_what_the_writer_has_taken_still_counts() -> None:
    """Bytes leave the account when they were written, not when somebody means to write them."""
    box = outbox()
    box.put(Entry("x" * 90))
    entry = box.get_nowait()
    assert entry is not None
    assert not box.put(Entry("x" * 20))
    box.done(entry)
    assert box.put(Entry("x" * 20))
    assert box.size_bytes == 20


def test_an_outcome_can_be_replaced_while_it_waits() -> None:
    """A queued outcome gets a new text in its old place; one that was taken stays as it was."""
    box = outbox()
    for seq in (1, 2, 3):
        box.put(Entry(f"failure {seq}", seq))
    taken = box.get_nowait()
    box.replace(1, "too late")
    box.replace(2, "result")
    box.replace(7, "unknown")
    assert taken == Entry("failure 1", 1)
    assert [entry.text for entry in drained(box)] == ["result", "failure 3"]


def test_what_promises_waits_and_what_does_not_passes() -> None:
    """A message waits for its record to be kept; others overtake it, promises keep their order."""
    box, kept = outbox(), 0
    box.committed = lambda: kept
    for entry in (Entry("first", 1, after=1), Entry("second", 2, after=2), Entry("refusal")):
        assert box.put(entry)
    assert [box.get_nowait(), box.get_nowait()] == [Entry("refusal"), None]
    kept = 2
    assert [entry.text for entry in drained(box)] == ["first", "second"]


def test_an_acceptance_can_be_taken_back_while_it_waits() -> None:
    """Withdrawn, the acceptance of that one job is never said, and its bytes are free again."""
    box = outbox()
    box.put(Entry("accepted a", job_id="a"))
    box.put(Entry("accepted b", job_id="b"))
    box.withdraw("a")
    box.withdraw("unknown")
    assert box.size_bytes == len("accepted b")
    assert [entry.text for entry in drained(box)] == ["accepted b"]


async def test_the_writer_is_woken() -> None:
    """``woken`` waits for a call of ``wake``, and for the end; a message alone wakes nobody."""
    box = outbox()
    woken = 0

    async def write() -> None:
        nonlocal woken
        while not box.over:
            await box.woken()
            woken += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        box.put(Entry("a"))
        await trio.testing.wait_all_tasks_blocked()
        assert woken == 0
        box.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert woken == 1
        box.get_nowait()
        box.close()
    assert woken == 2


def test_after_the_close_nothing_is_taken() -> None:
    """A closed queue gives what it has, ignores what comes, and never calls that an overflow."""
    box = outbox(messages_max=1)
    box.put(Entry("a"))
    box.close()
    assert box.put(Entry("b"))
    assert drained(box) == [Entry("a")]


def test_clearing_forgets_what_is_queued() -> None:
    """Cleared, the queue is empty, and the account holds what the writer has in its hands."""
    box = outbox()
    box.put(Entry("taken"))
    box.put(Entry("queued"))
    taken = box.get_nowait()
    assert taken is not None
    box.clear()
    assert (len(box), box.size_bytes) == (0, len("taken"))
    box.done(taken)
    assert box.size_bytes == 0


@given(st.data())
def test_the_bounds_hold_and_no_outcome_is_lost(data: st.DataObject) -> None:
    """In any order of puts, takes and replacements: bounds kept, outcomes all there, in order."""

    box = outbox()
    accepted: list[int] = []
    got: list[int] = []
    for seq in range(data.draw(st.integers(0, 40))):
        step = data.draw(st.sampled_from(["put", "put", "drop", "get", "replace"]))
        text = "x" * data.draw(st.integers(0, 30))
        if step == "put":
            if box.put(Entry(text, seq)):
                accepted.append(seq)
        elif step == "drop":
            assert box.put(Entry(text, droppable=True))
        elif step == "replace" and accepted:
            box.replace(data.draw(st.sampled_from(accepted)), "y")
        elif step == "get" and len(box):
            entry = box.get_nowait()
            assert entry is not None
            got += [] if entry.seq is None else [entry.seq]
            box.done(entry)
        assert len(box) <= 10
        assert 0 <= box.size_bytes <= 100
    got += [entry.seq for entry in drained(box) if entry.seq is not None]
    assert got == accepted
    assert box.size_bytes == 0


def test_an_outbox_needs_its_bounds() -> None:
    """There is no queue without bounds."""
    with pytest.raises(TypeError):
        Outbox()  # type: ignore[call-arg]


def test_promises_never_pass_each_other() -> None:
    """An outcome that was replaced, and so waits longer, still comes before the ones after it."""
    outbox = Outbox(messages_max=10, bytes_max=1000)
    committed = 0
    outbox.committed = lambda: committed
    outbox.put(Entry("failure", seq=1, after=10))
    outbox.put(Entry("result", seq=2, after=11))
    outbox.put(Entry("no promise"))
    outbox.replace(1, "salvaged", after=12)
    committed = 11
    first = outbox.get_nowait()
    committed = 12
    rest = [outbox.get_nowait(), outbox.get_nowait()]
    texts = [entry.text for entry in (first, *rest) if entry is not None]
    assert texts == ["no promise", "salvaged", "result"]
