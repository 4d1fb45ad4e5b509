"""Views of the state for pages and programs: plain data, ready to be made JSON.

Holds ids, states, counts and times; never speech, tokens or addresses. Instants are
Unix milliseconds, durations milliseconds.
"""

from collections import Counter
from heapq import nsmallest
from itertools import islice
from typing import Any

from scheduler.core.job import INSTANTS, Attempt, Job, StoryLine
from scheduler.core.node import Node
from scheduler.core.placement import Need, Rejection, unable, unavailable
from scheduler.core.session import Session
from scheduler.core.state import State
from scheduler.core.states import JobState
from scheduler.core.story import being_written, why_not

LISTED_MAX = 1000
TRACED_JOBS_MAX = 100
"""Jobs shown for one trace or session, the newest ones."""


PASSING = frozenset(
    {"all_busy", *map(str, (Rejection.SUSPECT, Rejection.DRAINING, Rejection.QUARANTINED))}
)
"""Reasons for waiting that mean: there is a node that can do this, but not now."""


class Snapshot:
    """What can be read of the state at the instant ``now``."""

    def __init__(self, state: State, now: float) -> None:
        self._state = state
        self._now = now

    @property
    def draining(self) -> bool:
        """Whether new work is refused."""
        return self._state.draining

    @property
    def journal_failed(self) -> str | None:
        """Why nothing can be kept at present; None as long as it can."""
        return self._state.journal_failed

    @property
    def now_ms(self) -> int:
        """The instant that is shown."""
        return int((self._state.epoch + self._now) * 1000)

    def stats(self) -> dict[str, Any]:
        """Numbers, each derived from the records or from the facts noted so far."""
        state = self._state
        by_state = Counter(str(job.state) for job in state.jobs.values())
        connected = sum(s.connection is not None for s in state.sessions.values())
        return {
            "sessions": {"total": len(state.sessions), "connected": connected},
            "nodes": {
                "total": len(state.nodes),
                "slots": sum(n.slots for n in state.nodes.values()),
                "slots_free": sum(n.free for n in state.nodes.values()),
            },
            "jobs": {
                "waiting": state.jobs_waiting,
                "running": sum(len(n.running) for n in state.nodes.values()),
                "by_state": dict(sorted(by_state.items())),
                "owed_outcomes": sum(len(s.owed) for s in state.sessions.values()),
                "owed_bytes": state.owed_bytes,
            },
            "facts": dict(sorted(state.counts.items())),
            "draining": state.draining,
            "journal_failing": state.journal_failed is not None,
        }

    def load(self) -> dict[str, Any]:
        """The few numbers that are measured all the time; costs nothing per settled job.

        ``waiting`` and ``running`` count jobs by need, where there are any; ``served`` are the
        needs of waiting jobs that some connected node can do, though not now.
        """
        state = self._state
        waiting: Counter[str] = Counter()
        served: set[str] = set()
        for need, queue in state.waiting.items():
            waiting[need.text] += len(queue)
            if state.waiting_because[need][0] in PASSING:
                served.add(need.text)
        on_nodes = (job_id for node in state.nodes.values() for job_id in node.running)
        running = Counter(state.jobs[job_id].need.text for job_id in on_nodes)
        connected = sum(s.connection is not None for s in state.sessions.values())
        return {
            "connected": connected,
            "resumable": len(state.sessions) - connected,
            "nodes": dict(Counter(node.status for node in state.nodes.values())),
            "slots": sum(node.slots for node in state.nodes.values()),
            "slots_free": sum(node.free for node in state.nodes.values()),
            "waiting": dict(waiting),
            "served": sorted(served),
            "running": dict(running),
            "owed_outcomes": sum(len(s.owed) for s in state.sessions.values()),
            "owed_bytes": state.owed_bytes,
            "draining": state.draining,
            "journal_failing": state.journal_failed is not None,
        }

    def nodes(self, need: Need | None = None, *, most: int = LISTED_MAX) -> list[dict[str, Any]]:
        """Every registered node, what it can do and why it may not be used.

        With ``need`` each has a ``rejection`` for it: None, or a word and a text. If there are
        too many, those that somebody should look at are shown before the others.
        """
        known = nsmallest(most, self._state.nodes.values(), key=lambda n: n.status == "ready")
        if need is None:
            return [self._node(node) for node in known]
        return [{**self._node(node), "rejection": _rejection(need, node)} for node in known]

    def sessions(self, *, most: int = LISTED_MAX) -> list[dict[str, Any]]:
        """Every session, connected or resumable; the newest first."""
        newest = islice(reversed(self._state.sessions.values()), most)
        return [self._session(session) for session in newest]

    def jobs(self, *, most: int = LISTED_MAX) -> list[dict[str, Any]]:
        """The newest jobs, live or settled, without their stories; the newest first."""
        newest = islice(reversed(self._state.jobs.values()), most)
        return [self._job(job) for job in newest]

    def job(self, job_id: str) -> dict[str, Any] | None:
        """One job with its attempts and its story; None if it is not (or no longer) known."""
        job = self._state.jobs.get(job_id)
        if job is None:
            return None
        return {**self._job(job), "story": [self._line(line) for line in job.story]}

    def trace(self, name: str) -> dict[str, Any] | None:
        """All that is known under a job id, a trace id or a session id; None if nothing is.

        ``jobs`` are in the order of acceptance, each with its story and its ``session`` as
        it is now (None if it is over).
        """
        state = self._state
        session = state.sessions.get(name)
        if name in state.jobs:
            kind, jobs = "job", [state.jobs[name]]
        else:
            of_session = [job for job in state.jobs.values() if job.session_id == name]
            of_trace = [job for job in state.jobs.values() if job.trace_id == name]
            kind = "session" if session or of_session else "trace"
            jobs = (of_session or of_trace)[-TRACED_JOBS_MAX:]
        if session is None and not jobs:
            return None
        return {
            "id": name,
            "kind": kind,
            "now_ms": self._unix_ms(self._now),
            "session": session and self._session(session),
            "jobs": [self._traced(job) for job in jobs],
        }

    def _traced(self, job: Job) -> dict[str, Any]:
        session = self._state.sessions.get(job.session_id)
        story = [self._line(line) for line in job.story]
        return {
            **self._job(job),
            "session": session and self._session(session),
            "traceparent": job.traceparent,
            "being_written": session is not None and being_written(session, job),
            "story": story,
        }

    def _line(self, line: StoryLine) -> dict[str, Any]:
        detail = {
            (f"{key}_ms" if key in INSTANTS else key): (
                self._unix_ms(value) if key in INSTANTS else value
            )
            for key, value in line.detail.items()
        }
        return {"at_ms": self._unix_ms(line.at), "what": line.what, "actor": line.actor, **detail}

    def _unix_ms(self, at: float | None) -> int | None:
        return None if at is None else round((self._state.epoch + at) * 1000)

    def _node(self, node: Node) -> dict[str, Any]:
        languages = node.languages
        return {
            "node_id": node.node_id,
            "status": node.status,
            "joined_at_ms": self._unix_ms(node.joined_at),
            "version": node.hello.version,
            "platform": node.hello.platform,
            "receipts": node.receipts,
            "slots": node.slots,
            "slots_free": node.free,
            "running": sorted(node.running),
            "completed": node.completed,
            "setbacks": node.setbacks,
            "quarantined": node.quarantined,
            "silent": node.suspect,
            "draining": node.draining,
            "capabilities": [
                {"type": c.type, "ready": c.ready, "reason": c.reason} for c in node.capabilities
            ],
            "services": [
                {
                    "service_id": s.service_id,
                    "type": s.type,
                    "status": s.status,
                    "last_error": s.last_error,
                }
                for s in node.services
            ],
            "hears": None if languages is None else languages.asr_languages,
            "speaks": None if languages is None else languages.tts_languages,
            "pairs": [
                f"{p.src}-{p.tgt}" for p in (languages and languages.supported_language_pairs) or ()
            ],
        }

    def _session(self, session: Session) -> dict[str, Any]:
        return {
            "session_id": session.session_id,
            "connected": session.connection is not None,
            "resumable_until_ms": self._unix_ms(session.resumable_until),
            "joined_at_ms": self._unix_ms(session.joined_at),
            "platform": session.hello.platform,
            "src_lang": session.hello.src_lang,
            "tgt_lang": session.hello.tgt_lang,
            "receipts": session.receipts,
            "unfinished": len(session.order),
            "owed": len(session.owed),
            "acked_seq": session.acked_seq,
        }

    def _waiting(self, job: Job) -> tuple[str, str] | None:
        """Why a job waits, as a word and as a sentence; None if it does not."""
        because = self._state.waiting_because
        return because.get(job.need) if job.state is JobState.PENDING else None

    def _job(self, job: Job) -> dict[str, Any]:
        outcome = job.outcome
        return {
            "job_id": job.job_id,
            "session_id": job.session_id,
            "utterance_index": job.utterance_index,
            "trace_id": job.trace_id,
            "state": str(job.state),
            "need": job.need.text,
            "accepted_at_ms": self._unix_ms(job.accepted_at),
            "waiting_because": job.waiting_because,
            "waiting_text": waiting[1] if (waiting := self._waiting(job)) else None,
            "deadline_at_ms": self._unix_ms(job.deadline) if job.live else None,
            "time_left_ms": int((job.deadline - self._now) * 1000) if job.live else None,
            "node_id": job.attempts[-1].node_id if job.attempts else None,
            "attempts": [self._attempt(attempt) for attempt in job.attempts],
            "outcome": None if outcome is None else str(outcome.kind),
            "code": None if outcome is None else outcome.code,
            "hint": None if outcome is None else outcome.hint,
            "settled_at_ms": self._unix_ms(job.settled_at),
            "played_at_ms": self._unix_ms(job.played_at),
            "seq": job.seq,
        }

    def _attempt(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "attempt_id": attempt.number,
            "node_id": attempt.node_id,
            "assigned_at_ms": self._unix_ms(attempt.assigned_at),
            "received_at_ms": self._unix_ms(attempt.received_at),
            "started_at_ms": self._unix_ms(attempt.started_at),
            "ended_at_ms": self._unix_ms(attempt.ended_at),
            "end": attempt.end,
            "code": attempt.code,
        }


def _rejection(need: Need, node: Node) -> dict[str, str] | None:
    reason = unable(need, node.abilities) or unavailable(node)
    if reason is None:
        return None
    return {"reason": str(reason), "text": why_not(need, node, reason)}
