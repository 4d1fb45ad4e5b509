"""What a careful listener knows: who was told what, when, and whether that was allowed.

The ledger sees what goes into the engine and the effects that come out, and nothing of its
state. From these alone it keeps its own idea of every session, node and job (``known``), and
raises :exc:`Broken` with the name of the property that an effect contradicts. What must hold
between the steps is in ``properties``, what facts may be recorded in ``facts``.
"""

from collections import Counter
from typing import Any

from core import facts
from core.known import Broken, Machine, Person, Task, pairs_of

from scheduler.config import Config
from scheduler.core.events import (
    ClearTimer,
    DrainStarted,
    Effect,
    End,
    Event,
    Expired,
    Generation,
    Heard,
    Left,
    NodeJoined,
    Note,
    Probe,
    Received,
    Remember,
    Replace,
    Send,
    SessionJoined,
    SetTimer,
    Silent,
    Timer,
    Writing,
    Written,
)
from scheduler.core.quarantine import AWAY_SECONDS, CANARY_SESSION
from scheduler.core.records import JobAccepted, JobSettled
from scheduler.errors import Close
from scheduler.wire import node, session
from scheduler.wire.common import Error

Outcome = session.TranslationResult | session.MissingResult
Cancelled = tuple[Generation, str, int | None]


def whole_ms(instant: float) -> float:
    """What is left of an instant that was written down in milliseconds."""
    return round(instant * 1000) / 1000


class Ledger:
    """One listener to one engine; :meth:`observe` takes in each step."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.persons: dict[str, Person] = {}
        self.machines: dict[str, Machine] = {}
        self.away: dict[str, Machine] = {}
        self.tasks: dict[str, Task] = {}
        self.at: dict[Generation, Person | Machine] = {}
        self.ended: dict[Generation, Close] = {}
        self.timers: dict[Timer, float] = {}
        self.tokens: set[str] = set()
        self.facts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.gaps: Counter[str] = Counter()
        self.draining = False
        self.now = 0.0
        self._begin(DrainStarted(), stale=False)

    def _begin(self, event: Event, *, stale: bool) -> None:
        self.event = event
        self.stale = stale
        self.kept: set[str] = set()
        self.delivered: dict[tuple[str, int], str] = {}
        self.reported: tuple[Task, node.JobResult] | None = None
        self.salvaged: Task | None = None
        self.predecessor: Machine | None = None
        self.to_cancel: set[Cancelled] = set()
        self.to_tell: set[str] = set()
        self._cancels: set[Cancelled] = set()
        self._replaced: set[int] = set()
        self.to_replace: set[tuple[Generation, int]] = set()

    def deadline(self, task: Task) -> float:
        """When the job's timer must run out, by the rules of its present phase."""
        if task.on is None:
            until = task.waiting_since + self.config.pending_timeout
            return until if task.overall is None else min(until, task.overall)
        assert task.overall is not None
        machine = self.at[task.on]
        if machine.receipts and not task.receipted:
            return min(task.overall, task.assigned_at + self.config.node_receipt_timeout)
        return task.overall

    def restarted(self, now: float) -> None:
        """The process was killed. What was remembered is all that the next one has.

        Sessions without receipts are gone for good, all connections are gone, and whatever was
        due may have been sent. Instants that were written down are whole milliseconds. Attempts
        get new numbers, beyond all that may have been given, and are counted anew.
        """
        for person in [one for one in self.persons.values() if not one.receipts]:
            del self.persons[person.session_id]
            for task in person.tasks.values():
                del self.tasks[task.job_id]
        for person in self.persons.values():
            person.connection, person.left_at = None, now
            person.sent = person.turn
            person.told = {place for place in person.tasks if place <= person.turn}
            person.received_if_acked = person.told - person.gaps
            person.written_here.clear()
        for task in self.tasks.values():
            task.on = task.last_on = task.why = None
            task.tries, task.next_attempt = 0, task.attempt + 1 + self.config.attempts_max
            task.accepted_at = whole_ms(task.accepted_at)
            task.overall = None if task.overall is None else whole_ms(task.overall)
            task.waiting_since = min(now, task.accepted_at) if task.overall is None else now
        for kept in (self.at, self.ended, self.timers, self.machines, self.away):
            kept.clear()
        self.draining = False

    def observe(self, event: Event, effects: list[Effect], now: float, *, stale: bool) -> None:
        """Take in what was said and what came of it."""
        self._begin(event, stale=stale)
        self.now = now
        if not stale:
            self._hear(event)
        for effect in effects:
            match effect:
                case Send(connection, message, seq):
                    self._send(connection, message, seq)
                case Note(name, detail):
                    facts.take(self, name, detail)
                case SetTimer(timer, at):
                    self.timers[timer] = at
                case ClearTimer(timer):
                    self.timers.pop(timer, None)
                case Remember(record):
                    self._remember(record)
                case End(connection, close, at_once):
                    self._end(connection, close, at_once=at_once)
                case Replace(connection, message, seq):
                    self._replace(connection, message, seq)
                case Probe(connection):
                    self._must_be_live(connection)
        if isinstance(event, Left):
            self.ended.pop(event.connection, None)
        if stale:
            self._must_have_changed_nothing(effects)
        else:
            self._must_have_answered()

    def _must_have_changed_nothing(self, effects: list[Effect]) -> None:
        answers = (Error, node.JobResultAck, session.UtteranceAccepted)
        for effect in effects:
            fine = isinstance(effect, Note) and effect.name in ("stale", "refused")
            if isinstance(effect, Send):
                speaker = getattr(self.event, "connection", None)
                fine = effect.connection == speaker and isinstance(effect.message, answers)
            if not fine:
                raise Broken("a stale input changes nothing", f"{self.event} led to {effect}")

    def _must_have_answered(self) -> None:
        """What the input demanded must have come of it in the same step."""
        if self.delivered:
            raise Broken("what is acknowledged is delivered", self.delivered)
        if self.reported is not None:
            task, result = self.reported
            if task.on is not None and task.attempt == result.attempt_id:
                raise Broken("a current result counts", f"{task} runs on after {result}")
        if self.salvaged is not None:
            person, place = self.persons[self.salvaged.session_id], self.salvaged.place
            queued = person.connection is not None and person.sent_here >= place
            if queued != (place in self._replaced):
                raise Broken("a salvaged outcome takes the failure's place", self.salvaged)
        on = {person.connection for person in self.persons.values()}
        if said := {place for place in self.to_replace if place[0] in on}:  # or its session is over
            raise Broken("what was given up is not said any more", said)
        if self.predecessor is not None:
            self._move_attempts(self.predecessor)
        if isinstance(self.event, Written):
            self._let_go_if_base(self.event)
        if missed := self.to_cancel - self._cancels:
            raise Broken("cancelling reaches the node at once", missed)
        if self.to_tell:
            raise Broken("a waiting session is told why", self.to_tell)
        for connection, job_id, attempt in self._cancels:
            machine = self.at.get(connection)
            if isinstance(machine, Machine) and machine.held.get(job_id, -1) == attempt:
                raise Broken("what is current is not cancelled", (connection, job_id, attempt))

    def _move_attempts(self, old: Machine) -> None:
        """A node came back: the attempts it was not said to have lost must be ones it holds."""
        assert isinstance(self.event, NodeJoined)
        new = self.machines[old.node_id]
        in_flight = {(r.job_id, r.attempt_id) for r in self.event.hello.in_flight or ()}
        for job_id, attempt in old.held.items():
            if (job_id, attempt) not in in_flight:
                raise Broken("what a returning node does not hold is tried again", job_id)
            task = self.tasks[job_id]
            task.on = task.last_on = new.connection
            new.held[job_id] = attempt
        if len(new.held) > new.slots:
            raise Broken("slots are never overbooked", new)

    def _let_go_if_base(self, event: Written) -> None:
        person = self.at[event.connection]
        assert isinstance(person, Person)
        person.written_here.add(event.seq)
        if not person.receipts:
            task = person.tasks.pop(event.seq)
            del self.tasks[task.job_id]
            if task.fate is None:
                raise Broken("every end is explained", task)

    # -- inputs that count -----------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        match event:
            case Received(connection, message):
                peer = self.at[connection]
                if isinstance(peer, Machine):
                    self._hear_machine(peer, message)
                elif isinstance(message, session.ResultAck):
                    self._acknowledge(peer, message.seq)
            case Expired(timer):
                self.timers.pop(timer, None)
            case Writing(connection, seq):
                person = self.at[connection]
                assert isinstance(person, Person)
                person.told.add(seq)
                (set.discard if seq in person.gaps else set.add)(person.received_if_acked, seq)
            case SessionJoined(_, hello) if hello.resume is not None:
                wanted, known = hello.resume, self.persons.get(hello.resume.session_id)
                own = known and known.token == wanted.resume_token
                if known and own and known.acked < wanted.last_seq <= known.sent:
                    self._acknowledge(known, wanted.last_seq)
            case Left(connection):
                gone = self.at.pop(connection)
                if isinstance(gone, Machine):
                    gone.left_at = self.now
                    self.away[gone.node_id] = self.machines.pop(gone.node_id)
                else:
                    gone.connection, gone.left_at = None, self.now
            case Silent(connection) | Heard(connection):
                machine = self.at[connection]
                assert isinstance(machine, Machine)
                machine.suspect = isinstance(event, Silent)
            case DrainStarted():
                self.draining = True
                for machine in self.machines.values():
                    machine.draining = True

    def _hear_machine(self, machine: Machine, message: Any) -> None:
        match message:
            case node.NodeHeartbeat():
                machine.ready = all(c.ready for c in message.capability_by_type)
                if message.language_capabilities is not None:
                    machine.pairs = pairs_of(message.language_capabilities)
                machine.draining = machine.draining or bool(message.draining)
            case node.JobResult() if message.job_id != machine.canary:
                task = self.tasks[message.job_id]
                self.reported = task, message
                if message.success:
                    task.text = message.text_asr
            case node.JobAck() | node.JobStarted() | node.JobProgress() | node.AsrPartial():
                if message.job_id != machine.canary:
                    self.tasks[message.job_id].receipted = True

    def _acknowledge(self, person: Person, seq: int) -> None:
        for place in range(person.acked + 1, seq + 1):
            task = person.tasks.pop(place, None)
            if task is None:  # a session of the base, which was let go when it was written
                continue
            del self.tasks[task.job_id]
            if place not in person.gaps or place in person.received_if_acked:
                self.delivered[person.session_id, place] = task.job_id
            kinds = person.told, person.gaps, person.received_if_acked, person.written_here
            for places in kinds:
                places.discard(place)
        person.acked = seq

    # -- connections --------------------------------------------------------------------------

    def _must_be_live(self, connection: Generation) -> Person | Machine:
        peer = self.at.get(connection)
        if peer is None:
            raise Broken("no effect names a dead connection", (connection, self.event))
        return peer

    def _end(self, connection: Generation, close: Close, *, at_once: bool) -> None:
        if connection not in self.at and getattr(self.event, "connection", None) != connection:
            raise Broken("no effect names a dead connection", (connection, close))
        if at_once != (close is Close.REPLACED):
            raise Broken("a replaced connection is not spoken on", (connection, close))
        self.ended[connection] = close
        if close is Close.RECEIPT_TIMEOUT:
            return  # it is heard until it has left
        peer = self.at.pop(connection, None)
        if isinstance(peer, Person) and peer.connection == connection:
            peer.connection = None

    def _send(self, connection: Generation, message: Any, seq: int | None) -> None:
        if isinstance(message, session.SessionInitAck):
            self._welcome(connection, message)
        elif isinstance(message, node.NodeRegisterAck):
            self._register(connection, message)
        elif isinstance(message, Error):
            if connection != self._speaker():
                raise Broken("an error answers whoever made it", (connection, message))
        else:
            peer = self._must_be_live(connection)
            if isinstance(peer, Machine):
                self._tell_machine(peer, message)
            else:
                self._tell_person(peer, message, seq)

    def _speaker(self) -> Generation | None:
        """Whose doing the present step is, if anybody's."""
        if isinstance(self.event, Expired) and self.event.timer.kind == "pause":
            return self.persons[self.event.timer.key].connection
        return getattr(self.event, "connection", None)

    def _welcome(self, connection: Generation, ack: session.SessionInitAck) -> None:
        assert isinstance(self.event, SessionJoined)
        wanted = self.event.hello.resume
        known = self.persons.get(wanted.session_id) if wanted else None
        may_resume = wanted and known and known.token == wanted.resume_token
        if bool(ack.resumed) != bool(may_resume):
            raise Broken("who has the token resumes, and nobody else", (self.event, ack))
        if known is not None and ack.resumed:
            if known.connection is not None:
                raise Broken("the old connection ends when a new one takes over", ack)
            if ack.recovered != (not known.gaps):
                raise Broken("recovered is false exactly if there is a gap", (ack, known))
            known.connection, known.sent_here = connection, known.acked
            known.written_here.clear()
            self.at[connection] = known
            return
        if ack.session_id in self.persons or ack.resume_token in self.tokens:
            raise Broken("a new session shares nothing with another", ack)
        if ack.resume_token is not None:
            self.tokens.add(ack.resume_token)
        receipts = bool(self.event.hello.receipts)
        pairs = frozenset({(self.event.hello.src_lang, self.event.hello.tgt_lang)})
        person = Person(ack.session_id, ack.resume_token, receipts, connection, pairs)
        self.persons[ack.session_id] = self.at[connection] = person

    def _register(self, connection: Generation, ack: node.NodeRegisterAck) -> None:
        assert isinstance(self.event, NodeJoined)
        hello = self.event.hello
        offered = self.config.base_node_slots if hello.slots is None else hello.slots
        self.predecessor = self.machines.get(ack.node_id)
        machine = Machine(
            node_id=ack.node_id,
            connection=connection,
            receipts=bool(hello.receipts),
            slots=max(0, min(offered, self.config.slots_per_node_max)),
            pairs=pairs_of(hello.language_capabilities),
            ready=all(c.ready for c in hello.capability_by_type),
            draining=self.draining,
        )
        before = self.away.pop(ack.node_id, self.predecessor)
        if before is not None and self.now - before.left_at < AWAY_SECONDS:
            machine.quarantined, machine.on_probation = before.quarantined, before.on_probation
        self.machines[ack.node_id] = self.at[connection] = machine

    # -- what sessions are told ------------------------------------------------------------------

    def _tell_person(self, person: Person, message: Any, seq: int | None) -> None:
        if getattr(message, "session_id", person.session_id) != person.session_id:
            raise Broken("a session sees only its own", (person.session_id, message))
        if isinstance(message, Outcome):
            self._tell_outcome(person, message, seq)
        elif isinstance(message, session.UtteranceAccepted):
            if person.indexes.get(message.utterance_index) != message.job_id:
                raise Broken("the same index is the same job", message)
        elif isinstance(message, session.UiEvent | session.AsrPartial):
            self._tell_progress(person, message)

    def _tell_progress(self, person: Person, message: session.UiEvent | session.AsrPartial) -> None:
        task = self.tasks.get(message.job_id)
        if (
            task is None
            or task.session_id != person.session_id
            or task.index != message.utterance_index
        ):
            raise Broken("a session sees only its own", (person.session_id, message))
        if isinstance(message, session.UiEvent) and message.event == "WAITING":
            self.to_tell.discard(message.job_id)
        is_error = isinstance(message, session.UiEvent) and message.event == "ERROR"
        if task.live == is_error or task.place <= person.sent:
            raise Broken("nothing is told about a job after its outcome", message)
        if is_error and (person.receipts or task.place != person.sent + 1):
            raise Broken("a failure is told once", message)

    def _tell_outcome(self, person: Person, message: Outcome, seq: int | None) -> None:
        if seq != message.seq or seq != person.sent_here + 1:
            after = f"{message} after {person.sent_here}"
            raise Broken("outcomes are sent in the order of acceptance, without a hole", after)
        task = person.tasks.get(seq)
        if task is None or (task.job_id, task.index) != (message.job_id, message.utterance_index):
            raise Broken("the n-th outcome is that of the n-th job", (message, task))
        self._must_be_its_outcome(person, task, message)
        person.sent_here = seq
        person.sent = max(person.sent, seq)

    def _must_be_its_outcome(self, person: Person, task: Task, message: Outcome) -> None:
        if person.receipts and not task.settled_remembered:
            raise Broken("nothing is promised before it is remembered", message)
        if task.place in person.gaps:
            right = isinstance(message, session.MissingResult) and message.reason == "gap"
        elif isinstance(message, session.TranslationResult):
            right = task.kind == "translated" and message.text_asr == task.text
        else:
            right = message.reason == task.kind
        if not right:
            raise Broken("a job has one outcome", (task, message))

    def _replace(self, connection: Generation, message: Any, seq: int) -> None:
        person = self._must_be_live(connection)
        assert isinstance(person, Person)
        if seq in person.gaps:
            self.to_replace.discard((connection, seq))
            self._must_be_its_outcome(person, person.tasks[seq], message)
            return
        if self.salvaged is None or self.salvaged.place != seq:
            raise Broken("a job has one outcome", ("replaced without salvage", message))
        if seq in person.told:
            raise Broken("what was told is never taken back", message)
        self._must_be_its_outcome(person, self.salvaged, message)
        self._replaced.add(seq)

    # -- what nodes are told ----------------------------------------------------------------------

    def _tell_machine(self, machine: Machine, message: Any) -> None:
        match message:
            case node.JobAssign(session_id=session_id) if session_id == CANARY_SESSION:
                if not machine.quarantined or machine.canary is not None:
                    raise Broken("a canary is for a quarantined node", machine)
                machine.canary = message.job_id
            case node.JobAssign():
                self._assign(machine, message)
            case node.JobCancel():
                self._cancels.add((machine.connection, message.job_id, message.attempt_id))
            case node.JobResultAck():
                said = getattr(self.event, "message", None)
                if not isinstance(said, node.JobResult) or said.job_id != message.job_id:
                    raise Broken("a receipt answers a result", message)
                if not self.stale and message.status != "stored":
                    raise Broken("a current result is receipted as stored", message)

    def _assign(self, machine: Machine, message: node.JobAssign) -> None:
        task = self.tasks.get(message.job_id)
        if task is None or not task.live or task.on is not None:
            raise Broken("a job runs in one place, and not after its outcome", message)
        if (task.session_id, task.index) != (message.session_id, message.utterance_index):
            raise Broken("a session sees only its own", message)
        if message.attempt_id != task.next_attempt or task.tries >= self.config.attempts_max:
            raise Broken("attempts are numbered and bounded", (task, message))
        if reason := machine.why_not(task):
            raise Broken("a job goes only to a node that can take it", (reason, task, machine))
        task.attempt, task.next_attempt = message.attempt_id, message.attempt_id + 1
        task.tries += 1
        task.on = task.last_on = machine.connection
        task.assigned_at, task.receipted = self.now, False
        if task.overall is None:
            task.overall = self.now + self.config.dispatched_timeout
        if message.deadline_ms != max(0, int((task.overall - self.now) * 1000)):
            raise Broken("all attempts share one deadline", (task, message))
        if not machine.receipts:
            task.base_nodes.add(machine.node_id)
        machine.held[task.job_id] = task.attempt
        self._cancels.discard((machine.connection, task.job_id, task.attempt))

    def _remember(self, record: Any) -> None:
        if isinstance(record, JobAccepted):
            self.kept.add(record.job_id)
        elif isinstance(record, JobSettled):
            self.tasks[record.job_id].settled_remembered = True
