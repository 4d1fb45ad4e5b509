"""What answers at the scheduler's port when a step got no answer: one look at ``GET /ready``."""

import math

import trio

from scheduler.commands.advice import Finding
from scheduler.commands.http import Reach, get_json
from scheduler.errors import ConnectionLost, SchedulerError

PROBE_S = 0.8

_STATES = {
    "ready": Finding("the scheduler says that it is ready"),
    "draining": Finding(
        "the scheduler drains and takes nothing new",
        "the scheduler is being restarted; try again in a moment",
    ),
    "journal_failing": Finding(
        "the scheduler's journal cannot be written, so it takes nothing new",
        "make room on the disk of the journal, or mend its permissions: the scheduler's log names "
        "the file and the problem (journal_failed). It tries again by itself and then goes on",
    ),
}


async def probe(reach: Reach, url: str) -> Finding:
    """What is there now; ``advice`` is empty if it is a scheduler that says it is well.

    Takes :data:`PROBE_S` at the most. Cancelling leaves nothing behind.
    """
    with trio.move_on_after(PROBE_S):
        try:
            _, view = await get_json(reach, "/ready", timeout=math.inf)
            return _STATES[view["status"]]
        except ConnectionLost:
            advice = "look at the last lines of the scheduler's log, and start it again"
            return Finding("the scheduler does not listen any more", advice)
        except (SchedulerError, LookupError, TypeError):
            advice = "another program has that port (ss -ltnp shows which): stop it, or start the "
            advice += f"scheduler on another --port and correct the address {url}"
            return Finding("what answers there is no scheduler", advice)
    advice = "the program that has that port (ss -ltnp shows which) is frozen or far too busy; ps "
    advice += "shows T for one that was stopped: kill -CONT PID, or start it again. "
    advice += "If it is not the scheduler, stop it or choose another --port"
    return Finding("the port takes connections, and nobody answers, not even GET /ready", advice)
