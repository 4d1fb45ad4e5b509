"""The client's side of one session, whichever connection carries it at the moment.

Everything here is synchronous: a message is handled whole, or an utterance submitted whole,
before anybody else can run. Four rules make it truthful:

* an utterance is submitted again, under the same index, until it is known to be accepted;
* an outcome is shown once, and acknowledged always: our last acknowledgement may be lost;
* an outcome that there is no room for is not acknowledged;
* what belongs to another session than the present one is not heard.
"""

import base64
import math
from collections import deque

import attrs
import trio

from scheduler.client.feed import Announcer, ConnectionState, Feed
from scheduler.client.link import Link
from scheduler.client.resumption import Resumption
from scheduler.client.utterances import OpenUtterance, Outcome
from scheduler.config import ClientConfig
from scheduler.errors import (
    Close,
    Code,
    ConnectionLost,
    ProtocolError,
    Refused,
    SchedulerError,
    TranslationFailed,
    may_retry,
)
from scheduler.wire import session as wire
from scheduler.wire.codec import decode_from_session, decode_to_session, encode
from scheduler.wire.common import Error

NOBODY = "unknown"
"""Stands in a message for the session id that it gets when it is sent."""


class Conversation:
    """What a session has said, and what it is owed."""

    def __init__(
        self, hello: wire.SessionInit, config: ClientConfig, resume: Resumption | None
    ) -> None:
        self._hello = hello
        self._config = config
        self._token = resume.resume_token if resume else None
        self._last_seq = resume.last_seq if resume else 0
        self._next_index = self._first_index = resume.next_index if resume else 0
        self._open: dict[int, OpenUtterance] = {}
        self._plays: deque[wire.TtsStarted | wire.TtsPlayEnded] = deque(maxlen=config.events_max)
        self._limits: dict[str, int] = {}
        self._line: Link | None = None
        self.session_id = resume.session_id if resume else None
        self.backoff_max = math.inf
        self.detached = False
        self.outcomes = Feed[Outcome](config.outcomes_max)
        self.announcer = Announcer(self._waiting_state, config.events_max)

    # -- what its user does --------------------------------------------------------------

    @property
    def resumption(self) -> Resumption | None:
        """How to go on with it in another process, if that is possible."""
        if self.session_id is None or self._token is None:
            return None
        return Resumption(
            session_id=self.session_id,
            resume_token=self._token,
            last_seq=self._last_seq,
            next_index=self._next_index,
        )

    def submit(self, said: wire.Utterance, audio: bytes) -> OpenUtterance:
        """Take an utterance; it gets its session, its index and its audio here.

        Raises what ``Session.submit`` says.
        """
        if self.announcer.closed:
            text = f"the session is closed: {self.announcer.detail}"
            raise ConnectionLost(None, text, reconnect=False)
        if len(self._open) >= self._config.utterances_open_max:
            text = f"{len(self._open)} utterances are waiting for their outcome"
            raise Refused(Code.OVERLOADED, text, retryable=True)
        index = self._next_index
        message = attrs.evolve(said, utterance_index=index)
        decode_from_session(encode(message))
        self._next_index += 1
        message = attrs.evolve(message, audio=base64.b64encode(audio).decode("ascii"))
        entry = OpenUtterance(message, Feed(self._config.events_max))
        self._open[index] = entry
        self._send(entry)
        return entry

    def cancel(self, entry: OpenUtterance) -> None:
        """The outcome of an utterance is not wanted any more."""
        if entry.settled.is_set():
            return
        entry.unwanted = True
        if entry.job_id is not None:
            self._cancel_job(entry.job_id)
        elif not entry.sent:
            self._forget(entry)

    def played(self, *play: wire.TtsStarted | wire.TtsPlayEnded) -> None:
        """Report that a result is heard; said later if there is no connection now."""
        if self._line is None:
            self._plays.extend(play)
        for message in play:
            self._put(message)

    # -- its connections -------------------------------------------------------------------

    def hello(self) -> wire.SessionInit:
        """What to say first on a new connection."""
        resumption = self.resumption
        return attrs.evolve(self._hello, resume=resumption.request if resumption else None)

    def waiting(self, detail: str | None = None) -> None:
        """There is no connection yet, or a better one is looked for: ``detail`` says why."""
        state = self._waiting_state if self._line is None else ConnectionState.OPEN
        self.announcer.become(state, self.announcer.detail if detail is None else detail)

    def hung_up(self, link: Link, lost: Exception) -> None:
        """A connection has ended."""
        if self._line is link:
            self._line = None
        if link.left:  # nobody waits for its end: this is where it is told
            self.waiting(str(lost))
        link.finish(lost)

    def finish(self, lost: ConnectionLost) -> Link | None:
        """No connection will come any more: whoever waits is told why.

        Gives the connection that ends by this, if there is one.
        """
        self.announcer.become(ConnectionState.CLOSED, str(lost))
        for entry in list(self._open.values()):
            self._settle(entry, lost)
        self.outcomes.close()
        link, self._line = self._line, None
        if link is not None:
            link.end()
        return link

    def leave(self) -> Link | None:
        """Say goodbye, for good unless ``detached``; the connection that ends by this."""
        if not self.detached:
            self._put(wire.SessionClose(session_id=NOBODY, reason="done"))
        elif self._line is not None:
            self._line.say_all()
        return self.finish(ConnectionLost(None, "closed by the client", reconnect=False))

    # -- what the scheduler says -----------------------------------------------------------

    def received(self, link: Link, raw: str | bytes) -> None:
        """Handle one message of a connection."""
        if self.announcer.closed:
            return
        try:
            message = decode_to_session(raw)
        except ProtocolError as error:
            self.announcer.tell(
                Error(code=Code.INVALID_MESSAGE, message=f"from the scheduler: {error}")
            )
            return
        if isinstance(message, wire.SessionInitAck):
            if link.welcomed_at is None:
                self._welcome(link, message)
        elif isinstance(message, Error):
            self._error(message)
        elif link.welcomed_at is not None:
            self._handle(link, message)

    def _handle(self, link: Link, message: wire.ToSession) -> None:
        if getattr(message, "session_id", self.session_id) != self.session_id:
            return
        match message:
            case wire.UtteranceAccepted():
                self._accepted(message)
            case wire.UtteranceNeeded():
                if (entry := self._open.get(message.utterance_index)) is not None:
                    self._send(entry)
            case wire.TranslationResult() | wire.MissingResult():
                self._outcome(link, Outcome(message))
            case wire.UiEvent() | wire.AsrPartial():
                if (entry := self._open.get(message.utterance_index)) is not None:
                    entry.events.put(message)
                self.announcer.tell(message)
            case wire.GoingAway():
                now = trio.current_time()
                link.stay.deadline = now + message.reconnect_after_ms / 1000
                self.announcer.tell(message)
            case wire.Backpressure() | wire.LanguageDetected():
                self.announcer.tell(message)

    def _welcome(self, link: Link, ack: wire.SessionInitAck) -> None:
        """A new session numbers its outcomes anew and knows no utterance; a resumed one goes on."""
        link.welcomed()
        resumed = bool(ack.resumed)
        if not resumed:
            self._begin_anew()
        predecessor, self._line = self._line, link
        self.session_id, self._token = ack.session_id, ack.resume_token
        self._limits = ack.limits or {}
        self.backoff_max = (ack.timers or {}).get("backoff_max_ms", math.inf) / 1000
        lost_all = link.resuming and not resumed
        detail = "resumed" if resumed else "a new session" if lost_all else "connected"
        whole = ack.recovered is not False and not lost_all
        self.announcer.become(ConnectionState.OPEN, detail, recovered=whole)
        for entry in list(self._open.values()):
            self._submit_again(entry)
        while self._plays:
            self._put(self._plays.popleft())
        if predecessor is not None:
            predecessor.end()

    def _begin_anew(self) -> None:
        """Forget what a scheduler that does not know this session cannot know."""
        self._put(wire.SessionClose(session_id=NOBODY, reason="continued elsewhere"))
        self._last_seq = 0
        self._plays.clear()
        for entry in self._open.values():
            entry.job_id = None

    def _submit_again(self, entry: OpenUtterance) -> None:
        """After a welcome: whatever may not have reached the scheduler is said again."""
        if not entry.unwanted:
            if entry.job_id is None:
                self._send(entry)
        elif entry.job_id is not None:
            self._cancel_job(entry.job_id)
        else:
            self._forget(entry)

    def _send(self, entry: OpenUtterance) -> None:
        """Send it if there is a session; what the scheduler could not take is refused here."""
        chars, chars_max = len(entry.message.audio), self._limits.get("audio_chars_max", math.inf)
        if chars > chars_max:
            text = f"the audio has {chars} base64 characters, at most {chars_max} fit"
            self._settle(entry, Refused(Code.TOO_LARGE, text))
        elif self._line is not None and self.session_id is not None:
            entry.sent = True
            self._line.say(attrs.evolve(entry.message, session_id=self.session_id))

    def _accepted(self, message: wire.UtteranceAccepted) -> None:
        if (entry := self._open.get(message.utterance_index)) is not None:
            entry.job_id = message.job_id
            if entry.unwanted:
                self._cancel_job(message.job_id)

    def _outcome(self, link: Link, outcome: Outcome) -> None:
        seq = outcome.message.seq
        if seq is None or seq > self._last_seq:
            if not self._show(outcome):
                link.end(Close.SLOW_CONSUMER)
                return
            self._last_seq = self._last_seq if seq is None else seq
        if seq is not None:
            self._put(wire.ResultAck(session_id=NOBODY, seq=self._last_seq))

    def _show(self, outcome: Outcome) -> bool:
        """Hand an outcome to whoever waits for it; False if there is no room to keep it."""
        if (entry := self._open.get(outcome.utterance_index)) is not None:
            self._settle(entry, outcome)
        elif outcome.utterance_index < self._first_index:
            if self.outcomes.full:
                return False
            self.outcomes.put(outcome)
        return True

    def _error(self, error: Error) -> None:
        """An error about an utterance that was not accepted refuses it.

        A scheduler that drains takes no new ones; the next connection's may.
        """
        index = (error.details or {}).get("utterance_index")
        entry = self._open.get(index) if isinstance(index, int) else None
        if entry is None or entry.job_id is not None:
            self.announcer.tell(error)
        elif error.code == Code.DRAINING:
            entry.sent = False
        else:
            refused = Refused(error.code, error.message, retryable=may_retry(error.code))
            self._settle(entry, refused)

    # -- small steps -----------------------------------------------------------------------

    def _settle(self, entry: OpenUtterance, outcome: Outcome | SchedulerError) -> None:
        del self._open[entry.message.utterance_index]
        entry.settle(outcome)

    def _forget(self, entry: OpenUtterance) -> None:
        """Nobody waits for it and the scheduler does not know it."""
        text = "cancelled before it was accepted"
        self._settle(entry, TranslationFailed("cancelled", None, text))

    def _cancel_job(self, job_id: str) -> None:
        self._put(wire.JobCancel(session_id=NOBODY, job_id=job_id))

    def _put(self, message: wire.FromSession) -> None:
        """Send it in the name of the present session, if there is a connection."""
        if self._line is not None and self.session_id is not None:
            own = attrs.evolve(message, session_id=self.session_id)  # type: ignore[arg-type]
            self._line.put(own)

    @property
    def _waiting_state(self) -> ConnectionState:
        return ConnectionState.CONNECTING if self._token is None else ConnectionState.RESUMING
