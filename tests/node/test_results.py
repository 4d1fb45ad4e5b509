"""Kept results: one at a time, again until receipted, within bounds."""

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from scheduler.node.results import Key, Results

A, B, C = ("job-a", 1), ("job-b", 1), ("job-c", 1)


class Writer:
    """Stands where the connection's writer stands: ``queue`` is its outbox, ``sent`` the wire."""

    def __init__(self, results: Results, receipt_timeout: float = 5.0) -> None:
        self._results = results
        self.queue: list[tuple[str, int]] = []
        self.sent: list[str] = []
        results.connected(lambda text, number: self.queue.append((text, number)), receipt_timeout)

    def write(self) -> None:
        """Write until the queue is empty, with whatever that makes the results queue."""
        while self.queue:
            text, number = self.queue.pop(0)
            self.sent.append(text)
            self._results.written(number)


def kept(*keys: Key, number_max: int = 10, bytes_max: int = 1000) -> Results:
    results = Results(number_max=number_max, bytes_max=bytes_max)
    for key in keys:
        results.keep(key, key[0])
    return results


async def test_results_go_out_in_order_and_one_at_a_time() -> None:
    """However many have gathered, the outbox holds one of them at a time."""
    results = kept(A, B, C)
    writer = Writer(results)
    assert [text for text, _ in writer.queue] == ["job-a"]
    results.keep(("job-d", 1), "job-d")
    assert len(writer.queue) == 1
    writer.write()
    assert writer.sent == ["job-a", "job-b", "job-c", "job-d"]


async def test_a_result_is_due_again_when_no_receipt_came(autojump_clock: MockClock) -> None:
    """Written and not receipted within the timeout: sent again; not a moment before."""
    results = kept(A)
    writer = Writer(results, receipt_timeout=5.0)
    writer.write()
    await trio.sleep(4.9)
    results.send_due()
    assert writer.queue == []
    await trio.sleep(0.1)
    results.send_due()
    writer.write()
    assert writer.sent == ["job-a", "job-a"]


async def test_a_receipt_ends_it(autojump_clock: MockClock) -> None:
    """What was receipted is never sent again, on no connection."""
    results = kept(A, B)
    writer = Writer(results)
    writer.write()
    assert results.forget(A)
    assert not results.forget(A)
    await trio.sleep(60)
    results.send_due()
    writer.write()
    results.disconnected()
    again = Writer(results)
    again.write()
    assert writer.sent == ["job-a", "job-b", "job-b"]
    assert again.sent == ["job-b"]


async def test_a_new_connection_gets_everything() -> None:
    """What was written on the connection before, or lay in its outbox, goes out on the next."""
    results = kept(A, B)
    Writer(results)
    results.disconnected()
    results.keep(C, "job-c")
    writer = Writer(results)
    writer.write()
    assert writer.sent == ["job-a", "job-b", "job-c"]


async def test_a_result_that_is_asked_for_again_is_sent_again() -> None:
    """An assignment of what is done already is answered with its result, at once."""
    results = kept(A)
    writer = Writer(results)
    writer.write()
    assert results.repeat(A)
    assert not results.repeat(B)
    writer.write()
    assert writer.sent == ["job-a", "job-a"]


async def test_a_result_dropped_while_it_is_queued_does_not_stop_the_others() -> None:
    """The writer's report gives the place in the outbox back, whatever became of the result."""
    results = kept(A, B)
    writer = Writer(results)
    results.forget(A)
    writer.write()
    assert writer.sent == ["job-a", "job-b"]


async def test_there_are_bounds_and_the_oldest_goes_first() -> None:
    """Beyond a number or a size the oldest results are dropped, and the log says so."""
    with capture_logs() as logs:
        assert kept(A, B, C, number_max=2).keys == (B, C)
        by_size = kept(A, B, C, bytes_max=10)
    assert by_size.keys == (B, C)
    assert by_size.size_bytes == 10
    assert [(entry["event"], entry["job_id"]) for entry in logs] == [
        ("result_dropped", "job-a")
    ] * 2


async def test_the_newest_is_kept_however_large() -> None:
    """A single result beyond the bound is kept: without it the job would be run again."""
    results = kept(A, bytes_max=1)
    assert results.keys == (A,)


async def test_a_result_replaces_that_of_the_same_attempt() -> None:
    """There is one result per attempt, and its size counts once."""
    results = kept(A)
    results.keep(A, "longer")
    assert (len(results), results.size_bytes) == (1, len("longer"))
