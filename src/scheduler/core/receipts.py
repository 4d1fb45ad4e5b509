"""How long a session that was told something may take to acknowledge it.

Bytes that were written prove nothing, and a peer that was cut off without a word looks just
like one that is slow. So after ``client_probe_timeout`` the connection is pinged, and after
``client_receipt_timeout`` it is given up. The outcomes are kept; the session may resume.
"""

from scheduler.core import story
from scheduler.core.events import Timer
from scheduler.core.session import Session
from scheduler.core.state import Step
from scheduler.errors import Close


def expect(step: Step, session: Session) -> None:
    """From now on the session has ``client_receipt_timeout`` to acknowledge something."""
    session.receipt_by = step.now + step.config.client_receipt_timeout
    step.set_timer(_timer(session), step.now + step.config.client_probe_timeout)


def unexpect(step: Step, session: Session) -> None:
    """Nothing is awaited: all was acknowledged, or there is nobody to await it from."""
    if session.receipt_by is not None:
        session.receipt_by = None
        step.clear_timer(_timer(session))


def overdue(step: Step, session: Session) -> None:
    """The timer ran out: ask for a sign of life first, then give the connection up."""
    if session.connection is None or session.receipt_by is None:
        return
    if step.now < session.receipt_by:
        step.probe(session.connection)
        story.probed(step, session)
        step.set_timer(_timer(session), session.receipt_by)
        return
    step.note("receipt_overdue", session_id=session.session_id, owed=len(session.owed))
    session.receipt_by = None
    step.give_up(session.connection, Close.RECEIPT_TIMEOUT)


def _timer(session: Session) -> Timer:
    return Timer("receipt", session.session_id)
