"""What a session makes of what a scheduler says, right or wrong: against one that is scripted."""

import base64
from collections.abc import Sequence

import attrs
import pytest
import trio
from client_support import (
    Caller,
    ScriptedScheduler,
    collect,
    missing,
    outcome,
    scripted,
    session_on,
    told,
    until,
    welcome,
)
from messages import hello, utterance
from trio.testing import MockClock

from scheduler.client import Event, Outcome, Resumption, Session, StateChanged
from scheduler.client.conversation import Conversation
from scheduler.client.link import Link
from scheduler.config import ClientConfig
from scheduler.errors import ConnectionLost, ProtocolError, Refused, TranslationFailed
from scheduler.wire import session as wire
from scheduler.wire.codec import encode
from scheduler.wire.common import Error

KEPT = Resumption(session_id="s-1", resume_token="secret", last_seq=3, next_index=5)


async def settled() -> None:
    """Let messages arrive that are under way."""
    await trio.sleep(0.25)


async def ask(session: Session, text: str = "hello") -> str:
    return (await session.translate(text.encode(), audio_format="pcm16")).text_translated


async def expect(caller: Caller, kinds: Sequence[type[wire.FromSession]]) -> None:
    for kind in kinds:
        await caller.hear(kind)


# -- submitting ----------------------------------------------------------------------------


async def test_an_utterance_is_sent_once_there_is_a_session(autojump_clock: MockClock) -> None:
    """What is submitted before the welcome waits for it, and then goes in the session's name."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        session.submit(b"RIFF", src_lang="de")
        caller = await scheduler.caller()
        greeting = await caller.hear(wire.SessionInit)
        assert (greeting.src_lang, greeting.tgt_lang, greeting.receipts) == ("en", "es", True)
        await settled()
        assert caller.unheard() == []
        await caller.say(welcome())
        said = await caller.hear(wire.Utterance)
        assert (said.session_id, said.utterance_index) == ("s-1", 0)
        assert (said.src_lang, said.tgt_lang, said.audio_format) == ("de", "es", "wav")
        assert base64.b64decode(said.audio) == b"RIFF"


async def test_what_was_not_accepted_is_submitted_again_and_the_rest_is_not(
    autojump_clock: MockClock,
) -> None:
    """On the next connection an utterance without a receipt comes under the same index."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        first, second = session.submit(b"one"), session.submit(b"two")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.accept(await caller.hear(wire.Utterance))
        await settled()
        await caller.close(1011)
        caller = await scheduler.caller()
        await caller.welcome()
        again = await caller.hear(wire.Utterance)
        assert (again.utterance_index, base64.b64decode(again.audio)) == (1, b"two")
        assert (first.job_id, second.job_id) == ("job-1", None)
        await settled()
        assert caller.unheard() == []


async def test_what_the_scheduler_lost_is_said_again(autojump_clock: MockClock) -> None:
    """A scheduler that kept no audio over its restart is sent the utterance it asks for."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.accept(await caller.hear(wire.Utterance), "job-1")
        about = {"session_id": "s-1", "job_id": "job-1", "trace_id": "t"}
        for index in (0, 1):  # the second is none of ours
            await caller.say(wire.UtteranceNeeded(utterance_index=index, **about))
        again = await caller.hear(wire.Utterance)
        assert (again.utterance_index, base64.b64decode(again.audio)) == (0, b"one")
        await settled()
        assert caller.unheard() == []


async def test_a_new_session_is_asked_for_everything_again(autojump_clock: MockClock) -> None:
    """A scheduler that does not know the session any more gets every open utterance."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        session.submit(b"one"), session.submit(b"two")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.accept(await caller.hear(wire.Utterance), "job-1")
        await caller.accept(await caller.hear(wire.Utterance), "job-2")
        await settled()
        await caller.close(1011)
        events = session.events()
        caller = await scheduler.caller()
        assert (await caller.hear(wire.SessionInit)).resume is not None
        await caller.say(Error(code="RESUME_REFUSED", message="there is nothing to resume"))
        await caller.say(welcome(session_id="s-2", recovered=False))
        for index in (0, 1):
            again = await caller.hear(wire.Utterance)
            assert (again.session_id, again.utterance_index) == ("s-2", index)
        heard = await told(events)
        assert Error(code="RESUME_REFUSED", message="there is nothing to resume") in heard
        last = heard[-1]
        assert isinstance(last, StateChanged)
        assert (last.state, last.detail, last.recovered) == ("open", "a new session", False)


async def test_what_is_too_large_for_the_scheduler_is_refused_here(
    autojump_clock: MockClock,
) -> None:
    """Audio beyond the limit of the welcome is refused with the figures, and is never sent."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        early = session.submit(b"123456789")
        caller = await scheduler.caller()
        await caller.welcome(limits={"audio_chars_max": 8})
        for submission in (early, session.submit(b"123456789")):
            with pytest.raises(Refused, match="12 base64 characters, at most 8 fit") as caught:
                await submission.result()
            assert (caught.value.code, caught.value.retryable) == ("TOO_LARGE", False)
        await settled()
        assert caller.unheard() == []


async def test_too_many_open_utterances_are_refused_here(autojump_clock: MockClock) -> None:
    """The bound on open utterances is the client's own, and it counts those without an outcome."""
    config = ClientConfig(utterances_open_max=1)
    async with scripted() as (network, scheduler), session_on(network, config=config) as session:
        first = session.submit(b"one")
        with pytest.raises(Refused, match="1 utterances are waiting") as caught:
            session.submit(b"two")
        assert (caught.value.code, caught.value.retryable) == ("OVERLOADED", True)
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say(outcome(0, 1))
        await first.result()
        assert session.submit(b"three").utterance_index == 1


async def test_arguments_that_make_no_message_are_refused_at_once(
    autojump_clock: MockClock,
) -> None:
    """A mistake in a call is an error that names the place, and costs no index."""
    async with scripted() as (network, _), session_on(network) as session:
        with pytest.raises(ProtocolError, match=r"^\$\.audio_format: "):
            session.submit(b"", audio_format="mp3")
        with pytest.raises(ProtocolError, match=r"^\$\.sample_rate: "):
            session.submit(b"", sample_rate=0)
        with pytest.raises(ProtocolError, match=r"^\$\.tgt_lang: "):
            await session.translate(b"", tgt_lang="x" * 99)
        assert session.submit(b"").utterance_index == 0


@pytest.mark.parametrize(
    ("code", "retryable"),
    [("OVERLOADED", True), ("RATE_LIMITED", True), ("TOO_LARGE", False), ("SOMETHING_NEW", False)],
)
async def test_a_refusal_is_told_to_whom_it_concerns(
    code: str, retryable: bool, autojump_clock: MockClock
) -> None:
    """An error about an utterance that was not accepted refuses that one and no other."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        first, second = session.submit(b"one"), session.submit(b"two")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say(Error(code=code, message="no", details={"utterance_index": 1}))
        with pytest.raises(Refused, match=f"no \\[{code}\\]") as caught:
            await second.result()
        assert (caught.value.code, caught.value.retryable) == (code, retryable)
        await caller.say(outcome(0, 1))
        assert (await first.result()).text_translated == "hola"


async def test_an_error_about_an_accepted_utterance_is_no_outcome(
    autojump_clock: MockClock,
) -> None:
    """Once accepted, an utterance ends by its outcome only; the error is told as an event."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        events, submission = session.events(), session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.accept(await caller.hear(wire.Utterance))
        error = Error(code="OVERLOADED", message="no", details={"utterance_index": 0})
        await caller.say(error)
        await caller.say(outcome(0, 1))
        await submission.result()
        assert error in await told(events)


async def test_a_draining_scheduler_refuses_for_now_only(autojump_clock: MockClock) -> None:
    """What a scheduler did not take because it drains is submitted to the next one."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(Error(code="DRAINING", message="", details={"utterance_index": 0}))
        await settled()
        await caller.close(1001)
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(outcome(0, 1))
        assert (await submission.result()).text_translated == "hola"


async def test_what_a_draining_scheduler_refused_is_cancelled_here(
    autojump_clock: MockClock,
) -> None:
    """Nobody has it, so nobody needs to be told, and nobody waits for a next connection."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(Error(code="DRAINING", message="", details={"utterance_index": 0}))
        await settled()
        submission.cancel()
        with pytest.raises(TranslationFailed, match="cancelled before it was accepted"):
            await submission.result()


# -- outcomes ------------------------------------------------------------------------------


async def test_an_outcome_is_shown_once_and_acknowledged_always(autojump_clock: MockClock) -> None:
    """The same outcome again is acknowledged again, and nobody hears of it twice."""
    async with scripted() as (network, scheduler):
        async with session_on(network) as session:
            submission = session.submit(b"one")
            caller = await scheduler.caller()
            await caller.welcome()
            await caller.hear(wire.Utterance)
            for text in ("hola", "adios"):
                await caller.say(outcome(0, 1, text))
                assert (await caller.hear(wire.ResultAck)).seq == 1
            assert (await submission.result()).text_translated == "hola"
        assert session.resumption is not None
        assert session.resumption.last_seq == 1


async def test_acknowledgements_never_move_backwards(autojump_clock: MockClock) -> None:
    """An old outcome is answered with the newest position."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        session.submit(b"one"), session.submit(b"two")
        caller = await scheduler.caller()
        await caller.welcome()
        await expect(caller, [wire.Utterance, wire.Utterance])
        for index, seq, acknowledged in ((0, 1, 1), (1, 2, 2), (0, 1, 2)):
            await caller.say(outcome(index, seq))
            assert (await caller.hear(wire.ResultAck)).seq == acknowledged


async def test_a_scheduler_of_the_base_is_understood(autojump_clock: MockClock) -> None:
    """Without ``seq`` an outcome is shown and not acknowledged; without a token nobody resumes."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome(resume_token=None, resumed=None, recovered=None)
        await caller.hear(wire.Utterance)
        assert session.resumption is None
        await settled()
        await caller.close(1011)
        caller = await scheduler.caller()
        assert (await caller.hear(wire.SessionInit)).resume is None
        await caller.say(welcome(session_id="s-9", resume_token=None, resumed=None, recovered=None))
        assert (await caller.hear(wire.Utterance)).session_id == "s-9"
        await caller.say(outcome(0, None, session_id="s-9"))
        assert (await submission.result()).text_translated == "hola"
        await settled()
        assert caller.unheard() == []


@pytest.mark.parametrize("reason", ["gap", "job_timeout", "no_available_node"])
async def test_a_failure_is_raised_as_it_is(reason: str, autojump_clock: MockClock) -> None:
    """What leaves the block is the typed error, and no group is around it."""
    async with scripted() as (network, scheduler), trio.open_nursery() as nursery:

        async def play() -> None:
            caller = await scheduler.caller()
            await caller.welcome()
            await caller.hear(wire.Utterance)
            await caller.say(missing(0, 1, reason, code="CODE", hint="why"))

        nursery.start_soon(play)
        with pytest.raises(TranslationFailed) as caught:
            async with session_on(network) as session:
                await ask(session)
        assert (caught.value.reason, caught.value.code, caught.value.hint) == (
            reason, "CODE", "why",
        )  # fmt: skip


async def test_another_sessions_messages_are_not_heard(autojump_clock: MockClock) -> None:
    """An outcome that carries a foreign session id is neither shown nor acknowledged."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(outcome(0, 1, "forged", session_id="s-2"))
        await caller.say(outcome(0, 1, "hola"))
        assert (await submission.result()).text_translated == "hola"
        assert (await caller.hear(wire.ResultAck)).seq == 1


async def test_nothing_is_heard_before_the_welcome(autojump_clock: MockClock) -> None:
    """An outcome on a connection that was not welcomed is left for the replay."""
    async with scripted() as (network, scheduler), session_on(network, resume=KEPT) as session:
        caller = await scheduler.caller()
        await caller.hear(wire.SessionInit)
        await caller.say(outcome(2, 4, "early"))
        await caller.say(welcome(resumed=True))
        await caller.say(outcome(2, 4, "hola"))
        assert (await anext(session.outcomes())).translation().text_translated == "hola"


async def test_a_second_welcome_changes_nothing(autojump_clock: MockClock) -> None:
    """A connection has one session, whatever is said later."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say(welcome(session_id="s-2"))
        await settled()
        assert session.session_id == "s-1"


async def test_what_is_no_message_is_told_and_harms_nothing(autojump_clock: MockClock) -> None:
    """A message that cannot be read is an event with the place of the fault."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        events, submission = session.events(), session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say('{"type":"translation_result"}')
        await caller.say("not json")
        await caller.say(outcome(0, 1))
        await submission.result()
        errors = [event for event in await told(events) if isinstance(event, Error)]
        assert [error.code for error in errors] == ["INVALID_MESSAGE"] * 2
        assert all(error.message.startswith("from the scheduler: $") for error in errors)


# -- another process -----------------------------------------------------------------------


async def test_the_outcomes_of_an_earlier_life_come_in_order_and_once(
    autojump_clock: MockClock,
) -> None:
    """They are acknowledged as they arrive, and those of this life are not among them."""
    async with scripted() as (network, scheduler), session_on(network, resume=KEPT) as session:
        caller = await scheduler.caller()
        said = await caller.hear(wire.SessionInit)
        assert said.resume == KEPT.request
        assert (session.state, session.session_id) == ("resuming", "s-1")
        await caller.say(welcome(resumed=True))
        submission = session.submit(b"new")
        assert submission.utterance_index == KEPT.next_index
        await caller.hear(wire.Utterance)
        for index, seq in ((2, 4), (3, 5), (3, 5), (5, 6)):
            await caller.say(outcome(index, seq, f"number {index}"))
        await caller.say(missing(4, 7, "job_timeout", code="JOB_TIMEOUT", hint="late"))
        assert (await submission.result()).text_translated == "number 5"
        got = [await anext(session.outcomes()) for _ in range(3)]
        assert [one.utterance_index for one in got] == [2, 3, 4]
        assert [one.job_id for one in got] == ["job-2", "job-3", "job-4"]
        with pytest.raises(TranslationFailed, match="late"):
            got[2].translation()
        assert [(await caller.hear(wire.ResultAck)).seq for _ in range(5)] == [4, 5, 5, 6, 7]
        assert session.resumption == attrs.evolve(KEPT, last_seq=7, next_index=6)


async def test_what_there_is_no_room_for_stays_with_the_scheduler(
    autojump_clock: MockClock,
) -> None:
    """An outcome that nobody reads is not acknowledged: it comes again on the next connection."""
    config = ClientConfig(outcomes_max=1)
    async with (
        scripted() as (network, scheduler),
        session_on(network, resume=KEPT, config=config) as session,
    ):
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say(outcome(2, 4))
        await caller.say(outcome(3, 5))
        assert (await caller.hear(wire.ResultAck)).seq == 4
        await caller.over.wait()
        assert (caller.code, caller.unheard()) == (4002, [])
        assert (await anext(session.outcomes())).utterance_index == 2
        caller = await scheduler.caller()
        said = await caller.hear(wire.SessionInit)
        assert said.resume is not None
        assert said.resume.last_seq == 4
        await caller.say(welcome(resumed=True))
        await caller.say(outcome(3, 5))
        assert (await caller.hear(wire.ResultAck)).seq == 5
        assert (await anext(session.outcomes())).utterance_index == 3


async def test_a_gap_is_told(autojump_clock: MockClock) -> None:
    """Where the scheduler could not keep everything, the state says so."""
    async with scripted() as (network, scheduler), session_on(network, resume=KEPT) as session:
        events = session.events()
        caller = await scheduler.caller()
        await caller.welcome(recovered=False)
        await settled()
        last = (await told(events))[-1]
        assert isinstance(last, StateChanged)
        assert (last.state, last.detail, last.recovered) == ("open", "resumed", False)


async def test_a_new_session_does_not_use_old_indexes(autojump_clock: MockClock) -> None:
    """Also when the resumption was refused, an index has one meaning over all lives."""
    async with scripted() as (network, scheduler), session_on(network, resume=KEPT) as session:
        caller = await scheduler.caller()
        await caller.hear(wire.SessionInit)
        await caller.say(welcome(session_id="s-2", recovered=False))
        await settled()
        assert session.submit(b"one").utterance_index == KEPT.next_index
        assert session.resumption == Resumption(
            session_id="s-2", resume_token="secret", last_seq=0, next_index=KEPT.next_index + 1
        )


async def test_a_detached_session_is_not_closed(autojump_clock: MockClock) -> None:
    """Leaving the block then says nothing but goodbye, and what came later is not counted."""
    async with scripted() as (network, scheduler):
        async with session_on(network) as session:
            session.submit(b"one")
            caller = await scheduler.caller()
            await caller.welcome()
            await caller.hear(wire.Utterance)
            session.detach()
        await caller.over.wait()
        assert (caller.code, caller.unheard()) == (1000, [])
        assert session.resumption is not None
        assert session.resumption.next_index == 1


async def test_what_comes_after_the_end_is_not_counted() -> None:
    """An outcome that arrives while the session is being left stays with the scheduler."""
    conversation = Conversation(hello(), ClientConfig(), KEPT)
    link = Link()
    conversation.received(link, encode(welcome(resumed=True)))
    conversation.received(link, encode(outcome(2, 4)))
    conversation.detached = True
    conversation.leave()
    conversation.received(link, encode(outcome(3, 5)))
    assert conversation.resumption == attrs.evolve(KEPT, last_seq=4)


async def test_leaving_the_block_closes_the_session(autojump_clock: MockClock) -> None:
    """The scheduler is told, the connection ends in order, and whoever waits learns why."""
    async with scripted() as (network, scheduler):
        heard = list[Event]()
        early = list[Outcome]()
        async with trio.open_nursery() as nursery:
            async with session_on(network) as session:
                nursery.start_soon(collect, session.events(), heard)
                nursery.start_soon(collect, session.outcomes(), early)
                submission = session.submit(b"one")
                caller = await scheduler.caller()
                await caller.welcome()
                await caller.hear(wire.Utterance)
            assert (await caller.hear(wire.SessionClose)).session_id == "s-1"
        await caller.over.wait()
        assert caller.code == 1000
        assert heard[-1] == StateChanged(session.state, "closed by the client")
        with pytest.raises(ConnectionLost, match="closed by the client") as caught:
            await submission.result()
        assert not caught.value.reconnect
        with pytest.raises(ConnectionLost, match="the session is closed: closed by the client"):
            session.submit(b"two")


# -- cancelling ----------------------------------------------------------------------------


async def cancelled_after(scheduler: ScriptedScheduler, session: Session, seconds: float) -> Caller:
    caller = await scheduler.caller()
    await caller.welcome()
    with trio.move_on_after(seconds):
        await ask(session)
    await caller.hear(wire.Utterance)
    return caller


async def test_an_utterance_that_is_cancelled_before_its_receipt_is_cancelled_with_it(
    autojump_clock: MockClock,
) -> None:
    """The job's name is needed to cancel it: as soon as it comes, the scheduler is told."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        caller = await cancelled_after(scheduler, session, 1)
        await settled()
        assert caller.unheard() == []
        await caller.accept(utterance("s-1"), "job-7")
        assert (await caller.hear(wire.JobCancel)).job_id == "job-7"
        await caller.say(missing(0, 1, "cancelled"))
        assert (await caller.hear(wire.ResultAck)).seq == 1


async def test_a_cancellation_survives_its_connection(autojump_clock: MockClock) -> None:
    """What was accepted and is cancelled without a connection is cancelled on the next one."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.accept(await caller.hear(wire.Utterance), "job-7")
        await settled()
        await caller.close(1011)
        await until(lambda: session.state == "resuming")
        submission.cancel()
        caller = await scheduler.caller()
        await caller.welcome()
        assert (await caller.hear(wire.JobCancel)).job_id == "job-7"
        await caller.say(outcome(0, 1, "quicker"))
        assert (await submission.result()).text_translated == "quicker"


async def test_what_was_never_sent_is_cancelled_here(autojump_clock: MockClock) -> None:
    """Nobody needs to be told, and it is not sent any more."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        submission.cancel()
        submission.cancel()
        with pytest.raises(TranslationFailed, match="cancelled before it was accepted") as caught:
            await submission.result()
        assert caught.value.reason == "cancelled"
        caller = await scheduler.caller()
        await caller.welcome()
        await settled()
        assert caller.unheard() == []


async def test_what_may_not_have_arrived_is_not_submitted_again_once_cancelled(
    autojump_clock: MockClock,
) -> None:
    """Sent, not accepted, cancelled, and the connection lost: the next one hears nothing of it."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        submission.cancel()
        await caller.close(1011)
        caller = await scheduler.caller()
        await caller.welcome()
        with pytest.raises(TranslationFailed, match="cancelled before it was accepted"):
            await submission.result()
        await caller.say(outcome(0, 1))  # it had arrived after all: nobody wants it
        assert (await caller.hear(wire.ResultAck)).seq == 1


# -- events and receipts -------------------------------------------------------------------


async def test_events_are_told_to_the_utterance_and_to_the_session(
    autojump_clock: MockClock,
) -> None:
    """Each submission hears of itself only; the session's feed hears everything."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        events = session.events()
        first, second = session.submit(b"one"), session.submit(b"two")
        caller = await scheduler.caller()
        await caller.welcome()
        partials = [
            wire.AsrPartial(
                session_id="s-1", utterance_index=index, job_id=f"job-{index}",
                text=f"text {index}", is_final=False, trace_id="t",
            )
            for index in (0, 1)
        ]  # fmt: skip
        others: list[wire.ToSession] = [
            wire.Backpressure(action="PAUSE", resume_after_ms=500),
            wire.LanguageDetected(session_id="s-1", lang="en", confidence=0.9),
        ]
        for message in (*partials, *others):
            await caller.say(message)
        await caller.say(outcome(0, 1))
        await caller.say(outcome(1, 2))
        assert [event async for event in first.events()] == [partials[0]]
        assert [event async for event in second.events()] == [partials[1]]
        assert (await told(events))[-4:] == [*partials, *others]


async def test_a_played_result_is_reported_with_its_times(autojump_clock: MockClock) -> None:
    """The report names the group and the trace, and when playing began and ended."""
    async with (
        scripted() as (network, scheduler),
        session_on(network, unix=lambda: 1000.0) as session,
    ):
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(outcome(0, 1))
        session.played(await submission.result(), seconds=2.5)
        await caller.hear(wire.ResultAck)
        started, ended = (
            await caller.hear(wire.TtsStarted),
            await caller.hear(wire.TtsPlayEnded),
        )
        assert (started.group_id, started.trace_id) == ("job-0", "t")
        assert (started.ts_start_ms, ended.ts_end_ms) == (997_500, 1_000_000)
        assert ended.session_id == "s-1"


async def test_what_was_played_without_a_connection_is_reported_on_the_next(
    autojump_clock: MockClock,
) -> None:
    """The chain of receipts is closed late rather than never."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.hear(wire.Utterance)
        await caller.say(outcome(0, 1))
        result = await submission.result()
        await caller.close(1011)
        await until(lambda: session.state == "resuming")
        session.played(result)
        caller = await scheduler.caller()
        await caller.welcome()
        await expect(caller, [wire.TtsStarted, wire.TtsPlayEnded])


async def test_silence_cannot_be_played(autojump_clock: MockClock) -> None:
    """Reporting it is a mistake of the program, and is told as one."""
    async with scripted() as (network, scheduler), session_on(network) as session:
        submission = session.submit(b"one")
        caller = await scheduler.caller()
        await caller.welcome()
        await caller.say(missing(0, 1, "silence_detected"))
        result = await submission.result()
        assert result.silence
        with pytest.raises(ValueError, match="nothing that can be played"):
            session.played(result)


async def test_a_slow_reader_of_events_misses_the_oldest(autojump_clock: MockClock) -> None:
    """The session's bound on events holds for each feed, and the newest are kept."""
    config = ClientConfig(events_max=2)
    async with scripted() as (network, scheduler), session_on(network, config=config) as session:
        events = session.events()
        caller = await scheduler.caller()
        await caller.welcome()
        said = [wire.Backpressure(action="BUSY", resume_after_ms=number) for number in range(5)]
        for message in said:
            await caller.say(message)
        await settled()
        assert await told(events) == [
            wire.Backpressure(action="BUSY", resume_after_ms=n) for n in (3, 4)
        ]
        assert events.missed == 5  # two states and three requests
