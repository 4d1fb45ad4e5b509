"""One utterance on the client's side: how an outcome is shown, and what a submission tells."""

import base64

import pytest
import trio
from client_support import missing, outcome
from messages import utterance
from trio.testing import MockClock, wait_all_tasks_blocked

from scheduler.client.feed import Feed
from scheduler.client.utterances import OpenUtterance, Outcome, Submission, Translation
from scheduler.errors import ConnectionLost, ProtocolError, TranslationFailed
from scheduler.wire.common import ServiceTimings


def entry() -> OpenUtterance:
    return OpenUtterance(utterance("s-1", 4), Feed(10))


def test_a_good_outcome_is_shown_whole() -> None:
    """Texts, sound, timings and names of a result are those of the message."""
    sound = base64.b64encode(b"RIFF").decode()
    assert Outcome(outcome(4, 1, tts_audio=sound)).translation() == Translation(
        job_id="job-4",
        utterance_index=4,
        text_source="hi",
        text_translated="hola",
        audio=b"RIFF",
        timings=ServiceTimings(total_ms=1),
        trace_id="t",
        group_id="job-4",
    )


def test_silence_is_no_failure() -> None:
    """Where nobody spoke there is a translation without content, and it says so."""
    shown = Outcome(missing(4, 1, "silence_detected")).translation()
    assert shown == Translation(job_id="job-4", utterance_index=4, silence=True)


@pytest.mark.parametrize("reason", ["no_available_node", "job_timeout", "cancelled", "gap"])
def test_a_failure_is_an_error_with_its_reason(reason: str) -> None:
    """Every other missing result is raised, with the words of the wire."""
    failed = Outcome(missing(4, 1, reason, code="CODE", hint="what to do"))
    with pytest.raises(TranslationFailed, match=r"what to do \[CODE\]") as caught:
        failed.translation()
    assert (caught.value.reason, caught.value.code) == (reason, "CODE")


def test_sound_that_is_no_base64_is_an_error_that_names_the_place() -> None:
    """What a broken peer sends is a ProtocolError, not an accident of a library."""
    with pytest.raises(ProtocolError, match=r"^\$\.tts_audio: no base64"):
        Outcome(outcome(4, 1, tts_audio="RIFF!")).translation()


async def test_a_result_is_waited_for_by_everybody(autojump_clock: MockClock) -> None:
    """Every waiter gets the one outcome, now and later."""
    record, got = entry(), list[str]()
    submission = Submission(record, lambda _: None)

    async def wait() -> None:
        got.append((await submission.result()).text_translated)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        record.settle(Outcome(outcome(4, 1)))
    await wait()
    assert got == ["hola"] * 3


async def test_an_end_without_an_outcome_is_raised() -> None:
    """Where the session ended first, its end is what a waiter gets."""
    record = entry()
    record.settle(ConnectionLost(4501, "unauthorized", reconnect=False))
    with pytest.raises(ConnectionLost, match="unauthorized"):
        await Submission(record, lambda _: None).result()


async def test_the_events_of_an_utterance_end_with_its_outcome() -> None:
    """A loop over them needs no other end."""
    record = entry()
    record.settle(Outcome(outcome(4, 1)))
    assert [event async for event in Submission(record, lambda _: None).events()] == []


def test_an_utterance_has_one_outcome() -> None:
    """A second outcome is a fault of ours, not a second answer."""
    record = entry()
    record.settle(Outcome(outcome(4, 1)))
    with pytest.raises(AssertionError):
        record.settle(Outcome(outcome(4, 2)))


def test_a_submission_shows_its_names() -> None:
    """The index is known from the start, the job id once it was accepted."""
    record, cancelled = entry(), list[OpenUtterance]()
    submission = Submission(record, cancelled.append)
    assert (submission.utterance_index, submission.job_id) == (4, None)
    record.job_id = "job-4"
    assert submission.job_id == "job-4"
    submission.cancel()
    assert cancelled == [record]
