"""The way in: a session with a scheduler, for as long as a block lasts.

The session dials with full-jitter pauses and resumes where it was. What it had submitted and
was not accepted is submitted again under the same index, so that nothing runs twice, and an
outcome that comes twice is shown once. It acknowledges each outcome, which is what makes it
*delivered*.
"""

import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import trio

from scheduler import __version__
from scheduler.client.conversation import NOBODY, Conversation
from scheduler.client.feed import ConnectionState, Event, Feed
from scheduler.client.resumption import Resumption
from scheduler.client.upkeep import Reach, Upkeep
from scheduler.client.utterances import Outcome, Submission, Translation
from scheduler.config import ClientConfig, Config
from scheduler.runtime.backoff import Backoff
from scheduler.runtime.dialer import open_stream as open_tcp
from scheduler.runtime.dialer import parse_url
from scheduler.wire import session as wire
from scheduler.wire.codec import decode_from_session, encode


class Session:
    """One conversation. Made by :func:`connect`; use it inside that block only."""

    def __init__(
        self, conversation: Conversation, src_lang: str, tgt_lang: str, unix: Callable[[], float]
    ) -> None:
        self._conversation = conversation
        self._languages = (src_lang, tgt_lang)
        self._unix = unix

    @property
    def state(self) -> ConnectionState:
        """Where its connection is."""
        return self._conversation.announcer.state

    @property
    def detail(self) -> str:
        """Why the connection is there, in words; when the next try is."""
        return self._conversation.announcer.detail

    @property
    def session_id(self) -> str | None:
        """The scheduler's name for it, once it has one."""
        return self._conversation.session_id

    @property
    def resumption(self) -> Resumption | None:
        """What another process needs to go on with this session, see :class:`Resumption`.

        None before the first welcome, and with a scheduler that cannot resume.
        """
        return self._conversation.resumption

    def submit(
        self,
        audio: bytes,
        *,
        audio_format: str = "wav",
        sample_rate: int = 16000,
        src_lang: str | None = None,
        tgt_lang: str | None = None,
    ) -> Submission:
        """Hand in one utterance without waiting for anything.

        ``audio`` is a WAV file, or headerless samples with ``audio_format="pcm16"``. It is
        sent as soon as there is a connection, and again until it is accepted.

        Raises ``Refused`` (too many are open), ``ConnectionLost`` (the session is closed),
        ``ProtocolError`` (the arguments make no valid message).
        """
        said = wire.Utterance(
            session_id=NOBODY,
            utterance_index=0,
            manual_cut=True,
            src_lang=src_lang or self._languages[0],
            tgt_lang=tgt_lang or self._languages[1],
            audio="",
            audio_format=audio_format,  # type: ignore[arg-type]  # submit() checks the message
            sample_rate=sample_rate,
        )
        return Submission(self._conversation.submit(said, audio), self._conversation.cancel)

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

        Waits through lost connections; put a ``trio.fail_after`` around it to wait less long.
        Cancelling it tells the scheduler that the result is not wanted any more. Arguments
        and errors are those of :meth:`submit` and :meth:`Submission.result`.
        """
        submission = self.submit(
            audio,
            audio_format=audio_format,
            sample_rate=sample_rate,
            src_lang=src_lang,
            tgt_lang=tgt_lang,
        )
        try:
            return await submission.result()
        finally:
            submission.cancel()  # nothing happens if there is an outcome

    def outcomes(self) -> Feed[Outcome]:
        """The outcomes of utterances that an earlier process submitted in this session.

        In the order of their acceptance, each once. One reader only. While ``outcomes_max`` of
        them wait to be read, further ones stay with the scheduler. Ends with the session.

        They are acknowledged when this process has them: what it has not read when it is killed
        is not given to the next one.
        """
        return self._conversation.outcomes

    def events(self) -> Feed[Event]:
        """Everything that happens besides outcomes: states, partial texts, job events.

        Begins with the present state and ends with the session. A reader slower than
        ``events_max`` misses the oldest. Each call gives a feed of its own.
        """
        return self._conversation.announcer.feed()

    def played(self, translation: Translation, *, seconds: float = 0.0) -> None:
        """Tell the scheduler that a result has just been heard to its end, in ``seconds``.

        The last link in the chain of receipts. Said later if there is no connection now.
        Raises ``ValueError`` for a translation without anything to hear.
        """
        group_id, trace_id = translation.group_id, translation.trace_id
        if group_id is None or trace_id is None:
            raise ValueError("this translation has nothing that can be played")
        end_ms = int(self._unix() * 1000)
        start_ms = end_ms - int(seconds * 1000)
        self._conversation.played(
            wire.TtsStarted(
                session_id=NOBODY, trace_id=trace_id, group_id=group_id, ts_start_ms=start_ms
            ),
            wire.TtsPlayEnded(
                session_id=NOBODY, trace_id=trace_id, group_id=group_id, ts_end_ms=end_ms
            ),
        )

    def detach(self) -> None:
        """Let the session live on after the block, for whoever has its :attr:`resumption`."""
        self._conversation.detached = True


@contextlib.asynccontextmanager
async def connect(
    url: str,
    *,
    src_lang: str,
    tgt_lang: str,
    platform: str = "python",
    resume: Resumption | None = None,
    config: ClientConfig | None = None,
    transport: Config | None = None,
    open_stream: Reach | None = None,
    draw: Callable[[], float] = random.random,
    unix: Callable[[], float] = time.time,  # noqa: TID251  # what is played has a wall-clock time
) -> AsyncIterator[Session]:
    """A session with the scheduler at ``url`` (``ws://host:port``) for the block's length.

    Does not wait for the connection: it is made, and made again, beside the block. Leaving
    the block closes the session for good; what was not received by then is given up (but see
    :meth:`Session.detach`). ``resume`` goes on with the session of another process.

    A session that a newer connection has taken over is closed and stays so. Whatever else
    ends a connection is followed by the next one, unless the scheduler said not to come back.

    ``open_stream``, ``draw`` (uniform in [0, 1)) and ``unix`` (seconds) replace the network,
    the dice and the wall clock. Raises ``ConfigError`` for an address that is none, and
    ``ProtocolError`` for languages that are none.
    """
    config, transport = config or ClientConfig(), transport or Config()
    hello = wire.SessionInit(
        client_version=__version__,
        platform=platform,
        src_lang=src_lang,
        tgt_lang=tgt_lang,
        receipts=True,
    )
    decode_from_session(encode(hello))
    conversation = Conversation(hello, config, resume)
    backoff = Backoff(first=config.backoff_first, longest=config.backoff_max, draw=draw)
    reach = open_stream or _tcp(url, config)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        with trio.CancelScope(shield=True):  # cancelled between the two, it would wait for ever
            links = await nursery.start(_host)
        upkeep = Upkeep(conversation, reach, backoff, config, transport, links)
        links.start_soon(upkeep.run)
        try:
            yield Session(conversation, src_lang, tgt_lang, unix)
        except Exception as error:  # noqa: BLE001  # raised below, where no nursery wraps it
            failure = error
        finally:
            await upkeep.leave()
            links.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _host(*, task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """Connections live until the goodbye is said, also when the block is cancelled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


def _tcp(url: str, config: ClientConfig) -> Reach:
    address = parse_url(url)
    return partial(open_tcp, address, timeout=config.connect_timeout)
