"""Everything that peers and time can do to an engine, each as one method with two numbers."""

import base64
from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
from core.known import Broken
from core.properties import nothing_is_left
from core.world import TICK, Client, Worker, World
from messages import (
    capabilities,
    heartbeat,
    hello,
    job_ack,
    job_started,
    languages,
    node_error,
    register,
    result,
    utterance,
)

from scheduler.core.events import (
    DrainStarted,
    Expired,
    Generation,
    Heard,
    NodeJoined,
    Received,
    SessionJoined,
    Silent,
    Timer,
)
from scheduler.wire import node, session
from scheduler.wire.common import Resume

T = TypeVar("T")

EN_ES, ES_EN = ("en", "es"), ("es", "en")
SPOKEN = ((EN_ES,), (EN_ES, ES_EN), (ES_EN,), (EN_ES, ES_EN))
LONG_TEXT = "x" * 3000


def one_of(things: Sequence[T], number: int) -> T | None:
    """The newest for 0, then the others; None if there are none."""
    return things[-1 - number % len(things)] if things else None


class Hands:
    """What can be done. Whatever is impossible at the moment is left undone."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _client(self, a: int, *, connected: bool = True) -> Client | None:
        return one_of([c for c in self.world.clients if (c.connection is not None) is connected], a)

    def _worker(self, a: int) -> tuple[Worker, Generation] | None:
        worker = one_of([w for w in self.world.workers if w.connection is not None], a)
        return (worker, worker.connection) if worker and worker.connection else None

    def _job(self, a: int, b: int) -> tuple[Worker, Generation, node.JobAssign] | None:
        found = self._worker(a)
        job = one_of(found[0].jobs, b) if found else None
        return (*found, job) if found and job else None

    # -- sessions -----------------------------------------------------------------------

    def join_session(self, a: int, b: int) -> None:
        connection = self.world.open()
        self.world.apply(SessionJoined(connection, hello(receipts=bool(a % 4) or None)))

    def resume(self, a: int, b: int) -> None:
        """With the right token, mostly; from a lost connection or from one that still lives."""
        client = one_of([c for c in self.world.clients if c.receipts], a)
        if client is None or client.token is None:
            return
        others = [c.token for c in self.world.clients if c is not client and c.token]
        token, last_seq = client.token, client.last_seq
        match b % 8:
            case 4:
                token = "token-wrong"
            case 5:
                token = one_of(others, a) or "token-wrong"
            case 6:
                last_seq += 1 + a
            case 7:
                last_seq = max(0, last_seq - 1 - a)
        resume = Resume(session_id=client.session_id, resume_token=token, last_seq=last_seq)
        connection = self.world.open()
        self.world.apply(SessionJoined(connection, hello(resume=resume)))

    def leave(self, a: int, b: int) -> None:
        if (connection := one_of(list(self.world.links), a)) is not None:
            self.world.leave(connection)

    def close_session(self, a: int, b: int) -> None:
        if (client := self._client(a)) and client.connection:
            client.closed = True
            closing = session.SessionClose(session_id=client.session_id, reason="done")
            self.world.say(client.connection, closing)

    def submit(self, a: int, b: int) -> None:
        """An utterance: a new one, a repeated one, a foreign one, one that is too large."""
        if not (client := self._client(a)) or not client.connection:
            return
        said = utterance(client.session_id, client.next_index, audio="AAAA" * (1 + b % 3))
        match b % 8:
            case 2:
                said = attrs.evolve(said, src_lang="es", tgt_lang="en")
            case 3:
                said = attrs.evolve(
                    said, src_lang="auto", mode="two_way_auto", lang_a="en", lang_b="es"
                )
            case 4:
                said = attrs.evolve(said, utterance_index=max(0, client.next_index - 1 - a))
            case 5 if others := [c for c in self.world.clients if c is not client]:
                said = attrs.evolve(said, session_id=others[-1].session_id)
            case 6:
                said = attrs.evolve(said, audio="A" * (self.world.config.audio_chars_max + 1))
            case 7:
                client.next_index += a  # a client of the base may leave numbers out
        self.world.say(client.connection, said)
        if b % 8 < 4:
            client.next_index += 1

    def chunk(self, a: int, b: int) -> None:
        """A piece of speech, a repeated one, or the end of an utterance."""
        if not (client := self._client(a)) or not client.connection:
            return
        client.chunks += b % 4 != 3
        samples = base64.b64encode(bytes(2 * b)).decode()
        message = session.AudioChunk(
            session_id=client.session_id, seq=client.chunks, is_final=b % 3 == 0, payload=samples
        )
        self.world.say(client.connection, message)
        known = self.world.ledger.persons.get(client.session_id)
        client.next_index = max(known.indexes, default=-1) + 1 if known else client.next_index

    def cancel(self, a: int, b: int) -> None:
        client = self._client(a)
        if not client or not client.connection:
            return
        jobs = [job.job_id for job in self.world.given] if b % 4 == 3 else list(client.jobs)
        if job_id := one_of(jobs, b // 4):
            message = session.JobCancel(session_id=client.session_id, job_id=job_id)
            self.world.say(client.connection, message)

    def acknowledge(self, a: int, b: int) -> None:
        """What was seen, mostly; sometimes an old position, or one of the future."""
        client = self._client(a)
        if not client or not client.connection:
            return
        seq = client.last_seq
        match b % 8:
            case 5:
                seq = max(0, seq - 1)
            case 6:
                seq += 1 + a
            case 7:
                seq = 10_000
        self.world.say(client.connection, session.ResultAck(session_id=client.session_id, seq=seq))

    def chat(self, a: int, b: int) -> None:
        """Messages that decide nothing."""
        if not (client := self._client(a)) or not client.connection:
            return
        job_id = one_of(client.jobs, b // 3) or "job-unknown"
        beat = session.ClientHeartbeat(session_id=client.session_id, timestamp=1)
        ended = session.TtsPlayEnded(
            session_id=client.session_id, trace_id="", group_id=job_id, ts_end_ms=1
        )
        self.world.say(client.connection, (beat, hello(), ended)[b % 3])

    def take(self, a: int, b: int) -> None:
        """A writer takes an outcome, or is done with one."""
        links = [c for c, link in self.world.links.items() if link.outbox or link.taken]
        if (connection := one_of(links, a)) is not None:
            self.world.finish_writing(connection) or self.world.take(connection)

    def write_out(self, a: int, b: int) -> None:
        links = [c for c, link in self.world.links.items() if link.outbox or link.taken]
        if (connection := one_of(links, a)) is not None:
            self.world.write_out(connection)

    # -- nodes ----------------------------------------------------------------------------

    def join_node(self, a: int, b: int) -> None:
        connection = self.world.open()
        slots = (1, 2, 3, None, 1, 2, 3, 0)[b]
        said = register(slots=slots, pairs=SPOKEN[a % 4], receipts=bool(a % 3) or None)
        self.world.apply(NodeJoined(connection, said))

    def rejoin_node(self, a: int, b: int) -> None:
        """A known node registers again, and tells the truth about what it holds or does not."""
        worker = one_of(self.world.workers, a)
        if worker is None:
            return
        held = tuple((job.job_id, job.attempt_id) for job in worker.jobs)
        match b % 4:
            case 1:
                held = ()
            case 2:
                held = tuple((job_id, attempt + 1) for job_id, attempt in held)
            case 3:
                held += tuple((job.job_id, job.attempt_id) for job in self.world.given)
        said = register(
            slots=worker.slots if b < 4 else b % 3,
            pairs=SPOKEN[b % 4],
            receipts=worker.receipts or None,
            node_id=worker.node_id,
            in_flight=held if worker.receipts else (),
        )
        connection = self.world.open()
        self.world.apply(NodeJoined(connection, said))

    def silence(self, a: int, b: int) -> None:
        if found := self._worker(a):
            self.world.apply((Heard if b % 4 else Silent)(found[1]))

    def beat(self, a: int, b: int) -> None:
        """A heartbeat, in which anything may have changed."""
        if not (found := self._worker(a)):
            return
        worker, connection = found
        said: dict[str, Any] = {"capability_by_type": capabilities(ready=b % 8 != 1)}
        if b % 8 in (2, 3):
            said["language_capabilities"] = languages(SPOKEN[a % 4])
        if b % 8 == 4 and a == 7:
            said["draining"] = True
        node_id = "node-other" if b % 8 == 5 else worker.node_id
        message = node_error(node_id) if b % 8 == 6 else heartbeat(node_id, **said)
        self.world.say(connection, message)

    def receipt(self, a: int, b: int) -> None:
        """A node has a job, has started it, or gets on with it."""
        if not (found := self._job(a, b // 4)):
            return
        worker, connection, job = found
        partial = node.AsrPartial(
            job_id=job.job_id, node_id=worker.node_id, session_id=job.session_id,
            utterance_index=job.utterance_index, text="so far", is_final=False,
            trace_id=job.trace_id, attempt_id=job.attempt_id if a % 2 else None,
        )  # fmt: skip
        progress = node.JobProgress(job_id=job.job_id, attempt_id=job.attempt_id, stage="nmt")
        messages = (
            job_ack(job, worker.node_id),
            job_started(job, worker.node_id),
            progress,
            partial,
        )
        self.world.say(connection, messages[b % 4])

    def report(self, a: int, b: int) -> None:
        """A result of any kind, of one of the node's last jobs, perhaps not for the first time."""
        if not (found := self._job(a, b // 4)):
            return
        worker, connection, job = found
        said = result(job, worker.node_id, text=f"{job.job_id} by {worker.node_id}")
        match b % 4:
            case 1:
                said = result(job, worker.node_id, text="" if a % 2 else LONG_TEXT)
            case 2:
                said = result(job, worker.node_id, error="PROCESSING_ERROR")
            case 3:
                error = "UNSUPPORTED_FEATURE" if a % 2 else "MODEL_NOT_AVAILABLE"
                said = result(job, worker.node_id, error=error)
        self.world.say(connection, said)

    def forge(self, a: int, b: int) -> None:
        """A node speaks of anybody's job, and lies about itself, the attempt or the session."""
        job = one_of(self.world.given, b // 4)
        if not (found := self._worker(a)) or job is None:
            return
        worker, connection = found
        said = result(job, worker.node_id, text="forged")
        match b % 4:
            case 1 if other := one_of(self.world.workers, b):
                said = attrs.evolve(said, node_id=other.node_id)
            case 2:
                said = attrs.evolve(said, attempt_id=job.attempt_id + 1)
            case 3:
                said = attrs.evolve(said, session_id="s-other")
        self.world.say(connection, said)

    def report_too_late(self, a: int, b: int) -> None:
        """A good result of a job that has just been given up."""
        ended = {t.job_id for t in self.world.ledger.tasks.values() if t.kind == "job_timeout"}
        for worker in self.world.workers:
            late = [job for job in worker.jobs if job.job_id in ended]
            if worker.connection is not None and (job := one_of(late, a)) is not None:
                said = result(job, worker.node_id, text=f"{job.job_id}, late")
                self.world.say(worker.connection, said)
                return

    def serve(self, a: int, b: int) -> None:
        """A node does one of its current jobs from the receipt to the result."""
        if not (found := self._worker(a)):
            return
        worker, connection = found
        machine = self.world.ledger.machines.get(worker.node_id)
        current = [j for j in worker.jobs if machine and machine.held.get(j.job_id) == j.attempt_id]
        if (job := one_of(current, b)) is not None:
            self.world.say(connection, job_ack(job, worker.node_id))
            self.world.say(connection, job_started(job, worker.node_id))
            self.world.say(connection, result(job, worker.node_id, text=job.job_id))

    def speak_on_a_dead_connection(self, a: int, b: int) -> None:
        """What a replaced connection still says."""
        over = [c for c, link in self.world.links.items() if link.over]
        if (connection := one_of(over, a)) is None:
            return
        owner = self.world.links[connection].owner
        if isinstance(owner, Client):
            ack = session.ResultAck(session_id=owner.session_id, seq=owner.last_seq)
            self.world.apply(Received(connection, ack))
        elif isinstance(owner, Worker) and (job := one_of(owner.jobs, b)) is not None:
            self.world.apply(Received(connection, result(job, owner.node_id, text="from beyond")))

    # -- time --------------------------------------------------------------------------------

    def tick(self, a: int, b: int) -> None:
        self.world.advance((1 + a) * TICK, newest_first=bool(b % 2))

    def wait(self, a: int, b: int) -> None:
        seconds = (0.25, 0.5, 1.0, 1.5, 3.0, 7.0, 10.0, 30.0)[a % 8]
        self.world.advance(seconds, newest_first=bool(b % 2))

    def approach(self, a: int, b: int) -> None:
        self.world.approach()

    def fire(self, a: int, b: int) -> None:
        if (timer := one_of(self.world.due(), a)) is not None:
            self.world.fire(timer)

    def stall(self, a: int, b: int) -> None:
        if a == 7:
            self.world.stall((1 + b) * 0.5)

    def fire_too_early(self, a: int, b: int) -> None:
        """A job's timer that was moved in the same instant may still be heard of."""
        jobs = [*self.world.ledger.tasks, "job-unknown"]
        timer = Timer("job", one_of(jobs, a) or "")
        if self.world.timers.get(timer, self.world.now + 1) > self.world.now:
            self.world.apply(Expired(timer))

    def drain(self, a: int, b: int) -> None:
        if (a, b) == (7, 7):
            self.world.apply(DrainStarted())

    def restart(self, a: int, b: int) -> None:
        """The process is killed and starts again; some nodes are back before anything else."""
        if a == 7:
            self.world.restart()
            for number in range(b % 4):
                self.rejoin_node(number, 0)

    # -- healing, then demanding ------------------------------------------------------------

    def heal(self) -> None:
        """Faults stop. Now everything that is owed must come, in time, and nothing may be left."""
        world = self.world
        world.advance(0)
        self._all_jobs_end()
        self._all_outcomes_arrive()
        self._quarantine_ends()
        world.check()
        for connection in list(world.links):
            world.leave(connection)
        world.advance(world.config.session_retention)
        world.advance(0)
        world.check()
        nothing_is_left(world.ledger, world.engine)

    def _answer_everything(self) -> None:
        for worker in self.world.workers:
            machine = self.world.ledger.machines.get(worker.node_id)
            if machine is None or worker.connection is None:
                continue
            for job in list(worker.jobs):
                current = machine.held.get(job.job_id) == job.attempt_id
                if current or job.job_id == machine.canary:
                    said = result(job, worker.node_id, text=job.job_id)
                    self.world.say(worker.connection, said)

    def _all_jobs_end(self) -> None:
        world, config = self.world, self.world.config

        def done() -> bool:
            self._answer_everything()
            return not any(task.live for task in world.ledger.tasks.values())

        within = config.pending_timeout + config.dispatched_timeout
        world.until(done, within, "every accepted job ends by its deadline")

    def _all_outcomes_arrive(self) -> None:
        """Whoever can comes back, reads and acknowledges; after that nobody is owed anything."""
        world = self.world
        for client in world.clients:
            if (person := world.ledger.persons.get(client.session_id)) is None:
                continue
            client.last_seq = max(client.last_seq, person.acked)  # it may have lied before
            if client.receipts:
                assert client.token is not None
                resume = Resume(
                    session_id=client.session_id,
                    resume_token=client.token,
                    last_seq=client.last_seq,
                )
                world.apply(SessionJoined(world.open(), hello(resume=resume)))
            assert client.connection is not None
            world.write_out(client.connection)
            if client.receipts:
                ack = session.ResultAck(session_id=client.session_id, seq=client.last_seq)
                world.say(client.connection, ack)
        if owed := [person for person in world.ledger.persons.values() if person.tasks]:
            raise Broken("every unacknowledged outcome is replayed or has visibly expired", owed)

    def _quarantine_ends(self) -> None:
        world, config = self.world, self.world.config

        def done() -> bool:
            self._answer_everything()
            return not any(machine.quarantined for machine in world.ledger.machines.values())

        within = config.canary_interval + config.canary_timeout + config.canary_interval
        world.until(done, within, "a quarantined node that works again is readmitted")


ACTIONS = tuple(name for name in vars(Hands) if not name.startswith("_") and name != "heal")
"""The names of everything that can be done."""
