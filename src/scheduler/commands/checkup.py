"""The whole way of one utterance, step by step, until the first step that fails.

Each step needs the one before it, so the first that fails is the cause. What a step found,
and what to do about it, are sentences for people; its number is for programs.
"""

import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode

import attrs
import trio

from scheduler import __version__
from scheduler.commands.advice import about_job, about_link, about_nodes, about_refusal
from scheduler.commands.http import Reach, get_json
from scheduler.commands.probe import PROBE_S, probe
from scheduler.config import Config
from scheduler.errors import Close, Code, ConnectionLost, ProtocolError, SchedulerError
from scheduler.observe.words import seconds
from scheduler.runtime.connection import Connection, dial
from scheduler.wire import session as wire
from scheduler.wire.codec import decode_to_session, encode
from scheduler.wire.common import Error

STEPS = (
    "port", "upgrade", "hello", "node", "languages", "services", "slot", "receipt", "result",
    "acknowledgement",
)  # fmt: skip
TOTAL_S = 8.0
"""All steps together; goodbye, a last look and the start of Python take the rest of ten seconds."""
LINK_S = 3.0
"""Each of the steps that only need the scheduler itself."""
RESULT_BY_S = 6.0
"""When the result must be there, so that there is time to ask why it is not."""
CLOSE_S = 0.5
MESSAGES_MAX = 1000
UNDELIVERED = ("UNWRITTEN", "HELD", "UNACKNOWLEDGED")
"""The job is done, so it is not for the node to say why we have not heard of it."""
SILENCE = "silence_detected"

M = TypeVar("M")


@attrs.frozen(kw_only=True)
class Found:
    """What one step found. ``advice`` is the next step to take, if it is not well."""

    number: int
    name: str
    well: bool
    text: str
    advice: str = ""


@attrs.frozen(kw_only=True)
class Patient:
    """What is examined: ``reach`` opens a stream to ``url``; ``audio`` is a WAV file."""

    url: str
    reach: Reach
    src: str
    tgt: str
    audio: bytes
    sample_rate: int


class _UnwellError(Exception):
    """``doubtful``: the scheduler itself may be the cause, which a look at it tells."""

    def __init__(self, cause: str, advice: str, *, doubtful: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.advice = advice
        self.doubtful = doubtful


async def examine(patient: Patient, tell: Callable[[Found], None]) -> int:
    """Go through the steps, telling what each found; the number of the one that failed, or 0.

    Takes ten seconds at the most. Cancelling leaves nothing behind, and neither does it: its
    session is closed in any case.
    """
    checkup = _Checkup(patient, tell)
    unwell: _UnwellError | None = None
    try:
        with trio.move_on_after(TOTAL_S) as scope:
            await checkup.run()
    except* _UnwellError as group:
        found = _first(group)
        assert isinstance(found, _UnwellError)
        unwell = found
    except* SchedulerError as group:
        unwell = checkup.unwell(str(_first(group)))
    if scope.cancelled_caught:
        unwell = checkup.unwell(f"no answer in {TOTAL_S:g} s")
    if unwell is None:
        return 0
    cause, advice = unwell.cause, unwell.advice
    if unwell.doubtful:
        seen = await probe(patient.reach, patient.url)
        if seen.advice:
            cause, advice = f"{cause.rstrip('.')}; {seen.text}", seen.advice
    number = STEPS.index(checkup.step) + 1
    tell(Found(number=number, name=checkup.step, well=False, text=cause, advice=advice))
    return number


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Checkup:
    """One run. ``step`` is the one that is being taken."""

    def __init__(self, patient: Patient, tell: Callable[[Found], None]) -> None:
        self._patient = patient
        self._tell = tell
        self._begun = trio.current_time()
        self._heard_send, self._heard = trio.open_memory_channel[Any](MESSAGES_MAX)
        self._session_id: str | None = None
        self.step = STEPS[0]

    def unwell(self, cause: str) -> _UnwellError:
        """The step that is being taken got no answer, or none that can be used."""
        advice = about_link(self.step, self._patient.url, cause)
        return _UnwellError(cause, advice, doubtful=self.step != STEPS[0])

    def _well(self, text: str) -> None:
        number = STEPS.index(self.step) + 1
        self._tell(Found(number=number, name=self.step, well=True, text=text))
        self.step = STEPS[min(number, len(STEPS) - 1)]

    async def run(self) -> None:
        """All steps; raises for the first that fails."""
        with trio.move_on_after(LINK_S) as scope:
            stream = await self._patient.reach()
        if scope.cancelled_caught:
            raise ConnectionLost(None, f"no answer in {LINK_S:g} s")
        self._well(f"something listens at {self._patient.url}")
        config = Config(close_timeout=CLOSE_S, handshake_timeout=LINK_S)
        async with dial(stream, "scheduler", "/ws/session", config) as connection:
            self._well("it speaks WebSocket")
            async with self._listening(connection):
                session_id = await self._hello(connection)
                await self._nodes()
                await self._utterance(connection, session_id)

    @contextlib.asynccontextmanager
    async def _listening(self, connection: Connection) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, connection)
            try:
                yield
            finally:
                if self._session_id is not None:  # so that nothing is kept for us
                    goodbye = wire.SessionClose(session_id=self._session_id, reason="examined")
                    connection.put(encode(goodbye))
                connection.end(Close.NORMAL)
                with trio.move_on_after(CLOSE_S, shield=True):
                    await connection.over.wait()
                nursery.cancel_scope.cancel()

    async def _listen(self, connection: Connection) -> None:
        await connection.run(self._take)
        self._take(connection.lost)

    def _take(self, heard: str | bytes | ConnectionLost) -> None:
        with contextlib.suppress(trio.WouldBlock):
            self._heard_send.send_nowait(heard)

    async def _hear(self, kind: type[M], within: float, what: str) -> M:
        """The next message of this kind, ``within`` so many seconds."""
        with trio.move_on_after(within):
            async for raw in self._heard:
                if isinstance(raw, ConnectionLost):
                    raise raw
                message = self._read(raw)
                if isinstance(message, kind):
                    return message
                if isinstance(message, Error):
                    text = f"{message.message} [{message.code}]"
                    advice = about_refusal(message.code)
                    raise _UnwellError(text, advice, doubtful=message.code == Code.OVERLOADED)
        raise ConnectionLost(None, f"no {what} in {seconds(int(within * 1000))}")

    def _read(self, raw: str | bytes) -> object:
        try:
            return decode_to_session(raw)
        except ProtocolError as error:
            text = f"it said something that is no message of this protocol: {error}"
            raise self.unwell(text) from None

    async def _hello(self, connection: Connection) -> str:
        patient = self._patient
        hello = wire.SessionInit(
            client_version=__version__,
            platform="doctor",
            src_lang=patient.src,
            tgt_lang=patient.tgt,
            receipts=True,
        )
        connection.put(encode(hello))
        ack = await self._hear(wire.SessionInitAck, LINK_S, "answer to the hello")
        self._session_id = ack.session_id
        self._well(f"this is session {ack.session_id}")
        return ack.session_id

    async def _nodes(self) -> None:
        """Four steps at once: they are four questions about the same list."""
        query = urlencode({"from": self._patient.src, "to": self._patient.tgt})
        status, view = await get_json(
            self._patient.reach, f"/api/v1/placement?{query}", timeout=LINK_S
        )
        if "nodes" not in view:
            raise SchedulerError(f"it does not tell about its nodes (HTTP {status})")
        for finding in about_nodes(view, self._patient.url):
            if finding.advice:
                raise _UnwellError(finding.text, finding.advice)
            self._well(finding.text)

    async def _utterance(self, connection: Connection, session_id: str) -> None:
        patient = self._patient
        audio = base64.b64encode(patient.audio).decode("ascii")
        said = wire.Utterance(
            session_id=session_id,
            utterance_index=0,
            manual_cut=True,
            src_lang=patient.src,
            tgt_lang=patient.tgt,
            audio=audio,
            audio_format="wav",
            sample_rate=patient.sample_rate,
        )
        connection.put(encode(said))
        accepted = await self._hear(wire.UtteranceAccepted, LINK_S, "receipt")
        self._well(f"the scheduler owes one outcome for {accepted.job_id}")
        await self._outcome(connection, session_id, accepted.job_id)

    async def _outcome(self, connection: Connection, session_id: str, job_id: str) -> None:
        kinds: Any = wire.TranslationResult | wire.MissingResult
        try:
            within = max(0.0, self._begun + RESULT_BY_S - trio.current_time())
            outcome = await self._hear(kinds, within, "result")
        except ConnectionLost as lost:
            await self._ask_why(job_id, str(lost), "")
        if isinstance(outcome, wire.MissingResult):
            if outcome.reason == SILENCE:
                text = "the node heard nobody speak in a recording of somebody who speaks"
                advice = "its detector or recogniser does not hear speech; look at the node's log"
                raise _UnwellError(text, advice)
            await self._ask_why(job_id, outcome.hint or outcome.reason, outcome.code or "")
        took = outcome.service_timings and outcome.service_timings.total_ms
        ran = f" in {seconds(took)}" if took is not None else ""
        self._well(f"“{outcome.text_asr}” became “{outcome.text_translated}”{ran}")
        connection.put(encode(wire.ResultAck(session_id=session_id, seq=outcome.seq or 0)))
        await self._acknowledged(job_id)

    async def _ask_why(self, job_id: str, fallback: str, code: str) -> NoReturn:
        """The verdict of the record, if it can be had."""
        try:
            job = await self._traced(job_id)
        except SchedulerError:
            raise self.unwell(f"{fallback} [{code}]" if code else fallback) from None
        text, code = job["verdict"]["text"], code or job["verdict"]["code"]
        doubtful = code in UNDELIVERED
        raise _UnwellError(f"{text} [{code}]", about_job(job, code), doubtful=doubtful)

    async def _traced(self, job_id: str) -> dict[str, Any]:
        path = f"/api/v1/traces/{job_id}"
        _, trace = await get_json(self._patient.reach, path, timeout=PROBE_S)
        job: dict[str, Any] = trace["jobs"][0]
        return job

    async def _acknowledged(self, job_id: str) -> None:
        """Until the record says so: our word is on its way."""
        text = "the receipt was sent and is not in the record"
        with trio.move_on_at(self._begun + TOTAL_S - CLOSE_S):
            while True:
                verdict = (await self._traced(job_id))["verdict"]
                if verdict["delivered"]:
                    self._well(verdict["text"])
                    return
                text = verdict["text"]
                await trio.sleep(0.1)
        raise self.unwell(text)
