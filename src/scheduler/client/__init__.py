"""The client SDK: a session that survives its connections, and the process that holds it.

    async with connect("ws://127.0.0.1:5010", src_lang="en", tgt_lang="es") as session:
        result = await session.translate(wav_bytes)
        print(result.text_translated)

* ``connect``: the way in, and the :class:`Session`;
* ``upkeep``: its dialling again and again;
* ``conversation``: what a session said and is owed, whichever connection carries it;
* ``link``: one connection of it;
* ``resumption``: what another process needs to go on with it;
* ``utterances``: one utterance, from its submission to its outcome;
* ``feed``: what is told besides outcomes.
"""

from scheduler.client.connect import Session, connect
from scheduler.client.feed import ConnectionState, Event, Feed, JobEvent, StateChanged
from scheduler.client.resumption import Resumption
from scheduler.client.utterances import Outcome, Submission, Translation

__all__ = [
    "ConnectionState",
    "Event",
    "Feed",
    "JobEvent",
    "Outcome",
    "Resumption",
    "Session",
    "StateChanged",
    "Submission",
    "Translation",
    "connect",
]
