"""The client SDK: a session that survives its connections.

    async with connect("ws://127.0.0.1:5010", src_lang="en", tgt_lang="es") as session:
        result = await session.translate(wav_bytes)
        print(result.text_translated)

The session dials, and dials again with full-jitter pauses, for as long as the block is
open. It resumes where it was: what it had submitted and was not accepted is submitted again
under the same index, so that nothing runs twice, and an outcome that comes twice is shown
once. It acknowledges each outcome, which is what makes it *delivered*.
"""

import base64
import contextlib
import enum
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs
import trio

from scheduler import __version__
from scheduler.config import ClientConfig, Config
from scheduler.errors import (
    Close,
    Code,
    ConnectionLost,
    ProtocolError,
    Refused,
    TranslationFailed,
)
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.connection import Connection, dial
from scheduler.runtime.dialer import open_stream, parse_url
from scheduler.wire import session as wire
from scheduler.wire.codec import decode_from_session, decode_to_session, encode
from scheduler.wire.common import Error, Resume, ServiceTimings


class ConnectionState(enum.StrEnum):
    """Where a session's connection is."""

    CONNECTING = "connecting"
    OPEN = "open"
    RESUMING = "resuming"
    CLOSED = "closed"


@attrs.frozen
class StateChanged:
    """The connection's state; ``detail`` says why, and when the next try is."""

    state: ConnectionState
    detail: str


Event = StateChanged | wire.AsrPartial | wire.UiEvent | wire.Backpressure | Error
"""What :meth:`Session.events` tells besides outcomes."""


@attrs.frozen(kw_only=True)
class Translation:
    """What came back for one utterance. All empty (``silence``): nobody spoke.

    ``audio`` is a whole file of ``audio_format``; ``timings`` are in milliseconds.
    """

    job_id: str | None
    utterance_index: int
    text_source: str = ""
    text_translated: str = ""
    audio: bytes = b""
    audio_format: str = "wav"
    timings: ServiceTimings | None = None
    silence: bool = False


@attrs.define(eq=False)
class _Open:
    """An utterance without an outcome."""

    message: wire.Utterance
    settled: trio.Event = attrs.Factory(trio.Event)
    job_id: str | None = None
    outcome: wire.TranslationResult | wire.MissingResult | Exception | None = None

    def settle(self, outcome: wire.TranslationResult | wire.MissingResult | Exception) -> None:
        """The first outcome counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.settled.set()


class Session:
    """One conversation. Made by :func:`connect`; use it inside that block only."""

    def __init__(self, hello: wire.SessionInit, config: ClientConfig) -> None:
        self._hello = hello
        self._config = config
        self._connection: Connection | None = None
        self._open: dict[int, _Open] = {}
        self._next_index = 0
        self._last_seq = 0
        self._resume_token: str | None = None
        self._listeners: list[trio.MemorySendChannel[Event]] = []
        self._welcomed = False
        self._limits: dict[str, int] = {}
        self.session_id: str | None = None
        self.state = ConnectionState.CONNECTING
        self.detail = ""

    # -- for the user ------------------------------------------------------------------

    async def translate(
        self,
        audio: bytes,
        *,
        audio_format: str = "wav",
        sample_rate: int = 16000,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
    ) -> Translation:
        """Submit one utterance and wait for its one outcome.

        ``audio`` is a WAV file, or headerless samples with ``audio_format="pcm16"``. Waits
        through lost connections; put a ``trio.fail_after`` around it to wait less long.
        Cancelling it tells the scheduler that the result is not wanted any more.

        Raises ``TranslationFailed`` (the outcome is a failure), ``Refused`` (it was not
        accepted), ``ConnectionLost`` (the scheduler said not to come back), ``ProtocolError``
        (the arguments make no valid message; nothing was sent).
        """
        if len(self._open) >= self._config.utterances_open_max:
            text = f"{len(self._open)} utterances are waiting for their outcome"
            raise Refused(Code.OVERLOADED, text, retryable=True)
        if self.state is ConnectionState.CLOSED:
            raise ConnectionLost(None, f"the session is closed: {self.detail}", reconnect=False)
        index, self._next_index = self._next_index, self._next_index + 1
        message = wire.Utterance(
            session_id=self.session_id or "unknown",
            utterance_index=index,
            manual_cut=True,
            src_lang=src_lang or self._hello.src_lang,
            tgt_lang=tgt_lang or self._hello.tgt_lang,
            audio="",
            audio_format=audio_format,  # type: ignore[arg-type]  # checked on the next line
            sample_rate=sample_rate,
        )
        decode_from_session(encode(message))
        audio_text = base64.b64encode(audio).decode("ascii")
        entry = self._open[index] = _Open(attrs.evolve(message, audio=audio_text))
        self._submit(entry)
        try:
            await entry.settled.wait()
        finally:
            del self._open[index]
            if entry.outcome is None and entry.job_id and self.session_id:
                self._put(wire.JobCancel(session_id=self.session_id, job_id=entry.job_id))
        return _translation(entry.outcome)

    async def events(self) -> AsyncIterator[Event]:
        """Everything that happens besides outcomes: states, partial texts, job events.

        Ends with the session. A reader slower than ``events_max`` misses the newest ones.
        """
        send, receive = trio.open_memory_channel[Event](self._config.events_max)
        self._listeners.append(send)
        try:
            send.send_nowait(StateChanged(self.state, self.detail))
            async for event in receive:
                yield event
        finally:
            self._listeners.remove(send)

    # -- its connections ---------------------------------------------------------------

    async def _run(
        self,
        open_stream: Callable[[], Awaitable[trio.abc.Stream]],
        backoff: Backoff,
        transport: Config,
    ) -> None:
        """Dial for ever; return only when the scheduler said not to come back."""
        while True:
            resuming = self._resume_token is not None
            self._become(
                ConnectionState.RESUMING if resuming else ConnectionState.CONNECTING, self.detail
            )
            try:
                stream = await open_stream()
                await self._converse(stream, backoff, transport)
            except* ConnectionLost as group:
                lost: BaseException = group
                while isinstance(lost, BaseExceptionGroup):
                    lost = lost.exceptions[0]
            assert isinstance(lost, ConnectionLost)
            if not lost.reconnect:
                self._finish(lost)
                return
            pause = backoff.pause()
            again = ConnectionState.RESUMING if self._resume_token else ConnectionState.CONNECTING
            self._become(again, f"{lost}, next try in {pause:.1f} s")
            await trio.sleep(pause)

    async def _converse(self, stream: trio.abc.Stream, backoff: Backoff, transport: Config) -> None:
        """One connection to its end; always raises ``ConnectionLost``."""
        async with dial(stream, "scheduler", "/ws/session", transport) as connection:
            self._connection = connection
            try:
                resume = None
                if self.session_id is not None and self._resume_token is not None:
                    resume = Resume(
                        session_id=self.session_id,
                        resume_token=self._resume_token,
                        last_seq=self._last_seq,
                    )
                connection.put(encode(attrs.evolve(self._hello, resume=resume)))
                await connection.run(
                    lambda raw: self._receive(connection, raw, backoff),
                    hello_timeout=self._config.welcome_timeout,
                )
            finally:
                self._connection = None
                self._welcomed = False
        raise connection.lost

    def _receive(self, connection: Connection, raw: str | bytes, backoff: Backoff) -> None:
        try:
            message = decode_to_session(raw)
        except ProtocolError as error:
            self._tell(Error(code=Code.INVALID_MESSAGE, message=f"from the scheduler: {error}"))
            return
        match message:
            case wire.SessionInitAck():
                connection.greeted = True
                backoff.healthy()
                self._welcome(message)
            case wire.UtteranceAccepted():
                if (entry := self._open.get(message.utterance_index)) is not None:
                    entry.job_id = message.job_id
            case wire.TranslationResult() | wire.MissingResult():
                self._outcome(message)
            case Error():
                self._error(message)
            case wire.UiEvent() | wire.AsrPartial() | wire.Backpressure():
                self._tell(message)

    def _welcome(self, ack: wire.SessionInitAck) -> None:
        """A new session numbers its outcomes anew; a resumed one goes on."""
        if not ack.resumed:
            self._last_seq = 0
            for entry in self._open.values():
                entry.job_id = None  # what the lost session had accepted is asked for again
        self.session_id, self._resume_token = ack.session_id, ack.resume_token
        self._limits = ack.limits or {}
        self._welcomed = True
        self._become(ConnectionState.OPEN, "resumed" if ack.resumed else "connected")
        for entry in self._open.values():
            if entry.job_id is None:
                self._submit(entry)

    def _submit(self, entry: _Open) -> None:
        """Send it if there is a session; what the scheduler could not take is refused here."""
        chars, chars_max = len(entry.message.audio), self._limits.get("audio_chars_max", math.inf)
        if chars > chars_max:
            text = f"the audio has {chars} base64 characters, at most {chars_max} fit"
            entry.settle(Refused(Code.TOO_LARGE, text))
        elif self._welcomed and self.session_id is not None:
            self._put(attrs.evolve(entry.message, session_id=self.session_id))

    def _put(self, message: wire.FromSession) -> None:
        if self._connection is not None and self._welcomed:
            self._connection.put(encode(message))

    def _outcome(self, message: wire.TranslationResult | wire.MissingResult) -> None:
        """Show it once, acknowledge it always: our last acknowledgement may have been lost."""
        if message.seq is not None and message.seq > self._last_seq:
            self._last_seq = message.seq
            entry = self._open.get(message.utterance_index)
            if entry is not None:
                entry.settle(message)
        if self.session_id is not None:
            self._put(wire.ResultAck(session_id=self.session_id, seq=self._last_seq))

    def _error(self, error: Error) -> None:
        """An error about one utterance refuses it; any other one is told to the listeners."""
        index = (error.details or {}).get("utterance_index")
        entry = self._open.get(index) if isinstance(index, int) else None
        if entry is None or entry.job_id is not None:
            self._tell(error)
            return
        retryable = error.code in (Code.OVERLOADED, Code.DRAINING)
        entry.settle(Refused(error.code, error.message, retryable=retryable))

    def _finish(self, lost: ConnectionLost) -> None:
        self._become(ConnectionState.CLOSED, str(lost))
        for entry in self._open.values():
            entry.settle(lost)

    def _become(self, state: ConnectionState, detail: str) -> None:
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._tell(StateChanged(state, detail))

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            with contextlib.suppress(trio.WouldBlock):
                listener.send_nowait(event)

    async def _leave(self, close_timeout: float) -> None:
        """Say goodbye, so that nothing is kept for a session that will not come back."""
        connection = self._connection
        if connection is not None and self._welcomed and self.session_id is not None:
            self._put(wire.SessionClose(session_id=self.session_id, reason="done"))
            connection.end(Close.NORMAL)
            with trio.move_on_after(close_timeout, shield=True):
                await connection.over.wait()
        self._become(ConnectionState.CLOSED, "closed by the client")
        for listener in self._listeners:
            listener.close()


def _translation(
    outcome: wire.TranslationResult | wire.MissingResult | Exception | None,
) -> Translation:
    match outcome:
        case wire.TranslationResult():
            return Translation(
                job_id=outcome.job_id,
                utterance_index=outcome.utterance_index,
                text_source=outcome.text_asr,
                text_translated=outcome.text_translated,
                audio=base64.b64decode(outcome.tts_audio),
                audio_format=outcome.tts_format,
                timings=outcome.service_timings,
            )
        case wire.MissingResult(reason="silence_detected"):
            return Translation(
                job_id=outcome.job_id, utterance_index=outcome.utterance_index, silence=True
            )
        case wire.MissingResult():
            raise TranslationFailed(outcome.reason, outcome.code, outcome.hint)
        case None:
            raise AssertionError("settled without an outcome")
        case _:
            raise outcome


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    src_lang: str,
    tgt_lang: str,
    platform: str = "python",
    config: ClientConfig | None = None,
    transport: Config | None = None,
    open_stream: Callable[[], Awaitable[trio.abc.Stream]] | None = None,
    draw: Callable[[], float] = random.random,
) -> AsyncIterator[Session]:
    """A session with the scheduler at ``url`` (``ws://host:port``) for the block's length.

    Does not wait for the connection: it is made, and made again, beside the block. Leaving
    the block closes the session for good; what was not received by then is given up.
    ``open_stream`` and ``draw`` (uniform in [0, 1)) replace the network and the dice.
    """
    config = config or ClientConfig()
    transport = transport or Config()
    hello = wire.SessionInit(
        client_version=__version__,
        platform=platform,
        src_lang=src_lang,
        tgt_lang=tgt_lang,
        receipts=True,
    )
    session = Session(hello, config)
    backoff = Backoff(first=config.backoff_first, longest=config.backoff_max, draw=draw)
    reach = open_stream or _tcp(url, config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session._run, reach, backoff, transport)
        try:
            yield session
        finally:
            await session._leave(transport.close_timeout)
            nursery.cancel_scope.cancel()


def _tcp(url: str, config: ClientConfig) -> Callable[[], Awaitable[trio.abc.Stream]]:
    address = parse_url(url)

    async def reach() -> trio.abc.Stream:
        return await open_stream(address, timeout=config.connect_timeout)

    return reach
