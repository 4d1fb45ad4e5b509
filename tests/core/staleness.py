"""Which inputs name nothing current. Such an input must change nothing."""

from typing import TYPE_CHECKING, Any

from core.known import Machine, Person, Task

from scheduler.core.events import Event, Expired, Heard, Left, Received, Silent, Writing, Written
from scheduler.core.quarantine import CANARY_ATTEMPT
from scheduler.wire import node, session

if TYPE_CHECKING:
    from core.ledger import Ledger


def is_stale(ledger: "Ledger", event: Event, now: float) -> bool:
    """Whether nothing current is named, by all that the ledger knows."""
    match event:
        case Received(connection, message):
            peer = ledger.at.get(connection)
            if isinstance(peer, Person):
                return _from_session(ledger, peer, message)
            return peer is None or _from_node(ledger, peer, message)
        case Writing(connection, seq) | Written(connection, seq):
            person = ledger.at.get(connection)
            return not isinstance(person, Person) or not person.is_owed(seq)
        case Left(connection):
            return connection not in ledger.at
        case Silent(connection) | Heard(connection):
            machine = ledger.at.get(connection)
            silent = isinstance(event, Silent)
            return not isinstance(machine, Machine) or machine.suspect == silent
        case Expired(timer) if timer.kind == "job":
            task = ledger.tasks.get(timer.key)
            return task is None or not task.live or now < ledger.deadline(task)
    return False


def _from_session(ledger: "Ledger", person: Person, message: Any) -> bool:
    if isinstance(message, session.SessionInit) or message.session_id != person.session_id:
        return True
    match message:
        case session.ResultAck(seq=seq):
            return not person.acked < seq <= person.sent
        case session.JobCancel(job_id=job_id):
            task = ledger.tasks.get(job_id)
            return task is None or not task.live or task.session_id != person.session_id
        case session.Utterance(utterance_index=index):
            too_large = len(message.audio) > ledger.config.audio_chars_max
            return index in person.indexes or ledger.draining or too_large
    return False


def _from_node(ledger: "Ledger", machine: Machine, message: Any) -> bool:
    if isinstance(message, node.NodeRegister):
        return True
    job_id = getattr(message, "job_id", None)
    if job_id is None:
        return bool(message.node_id != machine.node_id)
    if job_id == machine.canary:
        own = getattr(message, "node_id", machine.node_id) == machine.node_id
        return not own or message.attempt_id not in (None, CANARY_ATTEMPT)
    task = ledger.tasks.get(job_id)
    if task is None or not _names_its_own(machine, task, message):
        return True
    if task.on == machine.connection and message.attempt_id in (None, task.attempt):
        return False
    return not (isinstance(message, node.JobResult) and _salvages(ledger, machine, task, message))


def _names_its_own(machine: Machine, task: Task, message: Any) -> bool:
    node_id = getattr(message, "node_id", machine.node_id)
    session_id = getattr(message, "session_id", task.session_id)
    return bool(node_id == machine.node_id and session_id == task.session_id)


def _salvages(ledger: "Ledger", machine: Machine, task: Task, result: node.JobResult) -> bool:
    """A good result of the last attempt, after its timeout, before anybody was told."""
    last = (task.last_on, task.attempt) == (machine.connection, result.attempt_id)
    if task.kind != "job_timeout" or not last or not result.success:
        return False
    person = ledger.persons[task.session_id]
    if task.place > person.turn:
        return True
    return person.receipts and task.place not in person.told and task.place not in person.gaps
