"""The life of a job: its states, and the only moves between them.

Two laws, as strict as they are short:

1. Every change of ``Job.state`` goes through :func:`next_state`. A move that is not in
   ``TRANSITIONS`` does not exist, and asking for it is a bug of ours.
2. A job is *settled* by exactly one ``finish``. There is no second ``finish`` in the
   table from any settled state, so result, failure, timeout and cancellation can race
   as they like: whichever is handled first wins, and the others find no move.

Reading the table:

* The one exception to law 2 is ``salvage``: a good result that comes after its job had timed
  out, while nobody has been told yet, takes the failure's place. It is not a second
  settling: the job stays ``finished``, and once a writer has taken the failure there is no
  way to it.
* ``pending`` is left only by an assignment or by the job's end. A lost attempt brings
  the job back there, with the next attempt number, on the same overall deadline.
* A node of the base sends neither ``job_ack`` nor ``job_started``, so ``assigned`` may
  finish directly; a node may also start before its receipt was read.
* ``written`` is a statement about one connection: bytes went into the operating system.
  It is not delivery. Only ``acknowledged`` is, and it is said by the session itself.
* The acknowledgement can overtake our own note that the write was finished (the peer
  answers while the writer task has not run again), hence ``finished → acknowledged``.
* A resumed session gets an outcome written again: ``written → written``.
* ``expired`` is where an outcome goes whose session is gone, or which was dropped
  because too much was waiting to be acknowledged. It is never silent. What a connection had
  taken before that may have arrived all the same: a session that acknowledges it before it
  was told of the gap has it, hence ``expired → acknowledged``.

``docs/states.md`` is drawn from this table, and a test compares the two.
"""

import enum


class JobState(enum.StrEnum):
    """Where a job is; the words are those of the API and of the wire."""

    ACCEPTED = "accepted"
    PENDING = "pending"
    ASSIGNED = "assigned"
    RECEIVED = "received"
    STARTED = "started"
    FINISHED = "finished"
    WRITTEN = "written"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "expired"


class Move(enum.StrEnum):
    """What can happen to a job."""

    WAIT = "wait"
    ASSIGN = "assign"
    RECEIVE = "receive"
    START = "start"
    LOSE = "lose"
    FINISH = "finish"
    SALVAGE = "salvage"
    WRITE = "write"
    ACKNOWLEDGE = "acknowledge"
    EXPIRE = "expire"


_S, _M = JobState, Move

TRANSITIONS: dict[tuple[JobState, Move], JobState] = {
    (_S.ACCEPTED, _M.WAIT): _S.PENDING,
    (_S.PENDING, _M.ASSIGN): _S.ASSIGNED,
    (_S.PENDING, _M.FINISH): _S.FINISHED,
    (_S.ASSIGNED, _M.RECEIVE): _S.RECEIVED,
    (_S.ASSIGNED, _M.START): _S.STARTED,
    (_S.ASSIGNED, _M.LOSE): _S.PENDING,
    (_S.ASSIGNED, _M.FINISH): _S.FINISHED,
    (_S.RECEIVED, _M.START): _S.STARTED,
    (_S.RECEIVED, _M.LOSE): _S.PENDING,
    (_S.RECEIVED, _M.FINISH): _S.FINISHED,
    (_S.STARTED, _M.LOSE): _S.PENDING,
    (_S.STARTED, _M.FINISH): _S.FINISHED,
    (_S.FINISHED, _M.SALVAGE): _S.FINISHED,
    (_S.FINISHED, _M.WRITE): _S.WRITTEN,
    (_S.FINISHED, _M.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.FINISHED, _M.EXPIRE): _S.EXPIRED,
    (_S.WRITTEN, _M.WRITE): _S.WRITTEN,
    (_S.WRITTEN, _M.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.WRITTEN, _M.EXPIRE): _S.EXPIRED,
    (_S.EXPIRED, _M.ACKNOWLEDGE): _S.ACKNOWLEDGED,
}

LIVE = frozenset({_S.ACCEPTED, _S.PENDING, _S.ASSIGNED, _S.RECEIVED, _S.STARTED})
"""Not settled yet: exactly the states that have a deadline."""

ON_NODE = frozenset({_S.ASSIGNED, _S.RECEIVED, _S.STARTED})
"""A slot is taken: exactly the states that have a current attempt."""

MEANING: dict[JobState, str] = {
    _S.ACCEPTED: "The utterance was taken; the scheduler owes one outcome.",
    _S.PENDING: "No slot has it. It waits in the queue of its need until its pending deadline.",
    _S.ASSIGNED: "A slot is reserved and the node was asked.",
    _S.RECEIVED: "The node said that it has the job (`job_ack`).",
    _S.STARTED: "The node said that it is running the job (`job_started`).",
    _S.FINISHED: "The outcome is decided and kept; it has not been written to any connection "
    "of its session yet.",
    _S.WRITTEN: "The outcome was written to a connection that was current at that moment. "
    "For a session without receipts nothing later can be known.",
    _S.ACKNOWLEDGED: "The session said that it has the outcome. This, and only this, is "
    "*delivered*.",
    _S.EXPIRED: "The outcome was kept for as long as promised and not acknowledged until then.",
}


class IllegalMoveError(AssertionError):
    """A move that the table does not have was asked for: a bug of the engine."""


def next_state(state: JobState, move: Move) -> JobState:
    """The state after ``move``; raises :class:`IllegalMoveError` if there is none."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        raise IllegalMoveError(f"no move {move} from {state}") from None


def picture() -> str:
    """The table as a Mermaid state diagram, as it stands in ``docs/states.md``."""
    lines = ["stateDiagram-v2", f"    [*] --> {JobState.ACCEPTED}"]
    lines += [f"    {a} --> {b}: {move}" for (a, move), b in TRANSITIONS.items()]
    moving = {a for a, _ in TRANSITIONS}
    lines += [f"    {state} --> [*]" for state in JobState if state not in moving]
    return "\n".join(lines)
