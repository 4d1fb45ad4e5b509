"""Worlds that are played in every test run: what went wrong once, and what easily would.

Each entry says in a sentence what it is about, and names the facts that must come up in it, so
that it keeps showing what it was made for. A world that failed in a search is added here, made
small, with the sentence that would have kept it from failing.
"""

from __future__ import annotations

from typing import Any, get_args

import attrs
from simulation.pipes import Direction, Fault, Kind, LinkPlan
from simulation.worldplan import (
    TICK_S,
    Attack,
    Crash,
    DiskPlan,
    Freeze,
    HostilePlan,
    NodePlan,
    Receipts,
    Say,
    SessionKind,
    SessionPlan,
    Work,
    WorldPlan,
)


@attrs.frozen
class Entry:
    """A world, why it is here, and the facts that it must reach.

    `spares` are ways to end a connection in which none may end here.
    """

    why: str
    plan: WorldPlan
    reaches: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()


def struck(kind: Kind, direction: Direction = "to_client", **where: Any) -> tuple[LinkPlan, ...]:
    """A first connection that one fault strikes."""
    return (LinkPlan(faults=(Fault(kind, direction, **where),)),)


RAW_NODE = NodePlan(kind="raw")
PATIENT: tuple[SessionKind, ...] = ("sdk", "raw", "sdk")
LITTLE_KEPT = (
    ("retained_bytes_max", 4096), ("retained_outcomes_max", 9), ("jobs_per_session_max", 8),
)  # fmt: skip
SMALL_OUTBOX = (
    ("outbox_bytes_max", 41_984), ("retained_bytes_max", 8192), ("message_bytes_max", 4096),
    ("retained_outcomes_max", 9), ("jobs_per_session_max", 8),
)  # fmt: skip
RECEIPTS: tuple[Receipts, ...] = ("twice", "late", "backwards", "beyond", "never")
TWO_WORDS = (Say(), Say(0.25))
BURST = tuple(Say(padding=200) for _ in range(12))

CORPUS: dict[str, Entry] = {
    "lost receipt": Entry(
        "An outcome whose acknowledgement was lost comes again and is shown once.",
        WorldPlan(sessions=(SessionPlan(says=TWO_WORDS, crashes=(Crash("before receipt"),)),)),
        ("session_resumed", "delivered"),
    ),
    "lost receipt by hand": Entry(
        "A client that died with an outcome in its hands gets it again.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=TWO_WORDS, crashes=(Crash("before receipt"),)),)
        ),
        ("session_resumed", "delivered"),
    ),
    "receipt at the end": Entry(
        "An acknowledgement that arrives as the connection's last word counts.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=TWO_WORDS, crashes=(Crash("after receipt"),)),)
        ),
        ("session_resumed", "delivered"),
    ),
    "black hole before the outcome": Entry(
        "A link that dies without a word between acceptance and outcome loses nothing.",
        WorldPlan(
            sessions=(
                SessionPlan(kind="raw", links=struck("black_hole", at=0.3125)),
            ),
            nodes=(attrs.evolve(RAW_NODE, works=(Work(0.5),)),),
        ),
        ("session_resumed", "delivered"),
    ),
    "half a link": Entry(
        "What is written to a client that cannot hear is not delivered.",
        WorldPlan(
            sessions=(
                SessionPlan(says=TWO_WORDS, links=struck("half_close", at=0.3125)),
            )
        ),
        ("session_resumed",),
    ),
    "reset of the very first frame": Entry(
        "A link that breaks right behind the handshake is no session.",
        WorldPlan(sessions=(SessionPlan(links=struck("reset", offset=129)),)),
    ),
    "the old connection still lives": Entry(
        "A client that comes back before its old connection is given up takes over at once.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", pause=0.25, says=(Say(), Say(0.25), Say(6.0), Say(10.0)),
                    crashes=(Crash("without a word"),),
                ),
            ),
        ),
        ("session_resumed", "delivered"),
    ),
    "long after": Entry(
        "Nothing comes of a timer whose job has its outcome.",
        WorldPlan(sessions=(SessionPlan(says=(Say(), Say(14.0))),)),
        ("delivered",),
    ),
    "everybody at once": Entry(
        "All links break at one instant and all come back at one instant.",
        WorldPlan(
            sessions=tuple(SessionPlan(says=TWO_WORDS, pause=0.0) for _ in range(6)),
            nodes=(NodePlan(slots=3, pause=0.0), NodePlan(kind="raw", slots=3, pause=0.0)),
            storms=(0.375, 0.5, 2.0),
        ),
        ("session_resumed",),
    ),
    "node comes late": Entry(
        "Who speaks before there is a node waits, is told why, and is served when it comes.",
        WorldPlan(nodes=(NodePlan(at=4.0),)),
        ("waiting", "delivered"),
    ),
    "no node": Entry(
        "Without a node an utterance fails at its pending deadline, and not before.",
        WorldPlan(nodes=(NodePlan(at=6.0),)),
        ("waiting",),
    ),
    "node dies": Entry(
        "The jobs of a node that dies are given to the next one in the same instant.",
        WorldPlan(
            nodes=(NodePlan(works=(Work(0.25, "crash"), Work())), NodePlan(kind="raw", at=0.25)),
        ),
        ("attempt_lost", "delivered"),
    ),
    "node keeps working": Entry(
        "A node that loses its connection and comes back goes on with what it holds.",
        WorldPlan(
            sessions=(SessionPlan(says=tuple(Say() for _ in range(4))),),
            nodes=(
                NodePlan(
                    slots=2, pause=0.0, works=(Work(2.0),),
                    links=struck("black_hole", "to_server", at=1.0),
                ),
            ),
        ),
        ("delivered",),
    ),
    "node by hand keeps working": Entry(
        "A node that comes back while its old connection lives keeps its jobs, and no slot more.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=tuple(Say() for _ in range(6))),),
            nodes=(
                NodePlan(
                    kind="raw", slots=2, pause=0.0, works=(Work(3.0),),
                    links=struck("half_close", "to_client", at=1.0),
                ),
            ),
        ),
        ("delivered",),
    ),
    "two attempts of one job": Entry(
        "A node that comes back with two attempts of one job keeps the right one, or none.",
        WorldPlan(
            nodes=(
                NodePlan(
                    kind="raw", works=(Work(end="nothing", deaf=True),), pause=0.0,
                    links=(
                        LinkPlan(
                            latency=1.0, faults=(Fault("stall", direction="to_server", at=5.0),)
                        ),
                    ),
                ),
            ),
            storms=(8.75,),
        ),
        ("attempt_lost",),
    ),
    "a small canary": Entry(
        "A canary fits into a message, however small messages may be.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=(Say(), Say(6.0), Say(12.0))),),
            nodes=(NodePlan(works=(Work(0.25, "failure"), Work(), Work())),),
            settings=(("quarantine_setbacks", 1), ("message_bytes_max", 4096)),
        ),
        ("canary_sent", "readmitted"),
    ),
    "second attempt": Entry(
        "A job that failed is tried again within the time of the first attempt.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw"),),
            nodes=(NodePlan(kind="raw", works=(Work(10.0, "failure"), Work(10.0))),),
        ),
        ("attempt_lost",),
    ),
    "failure and success": Entry(
        "Failed attempts give their slots back, each once, also when the node leaves.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=tuple(Say(n / 4) for n in range(6))),),
            nodes=(
                NodePlan(
                    kind="raw", slots=2, works=(Work(0.25, "failure"), Work()), leaves=1.5,
                    returns=0.5,
                ),
                NodePlan(kind="raw", works=(Work(0.25),)),
            ),
        ),
        ("attempt_lost",),
    ),
    "speech in chunks": Entry(
        "What comes in chunks is cut at its end, at a pause or when it is too long, and answered.",
        WorldPlan(
            sessions=(
                SessionPlan(kind="chunks", says=(Say(), Say(1.0), Say(1.25, repeats=True))),
                SessionPlan(kind="chunks", says=(Say(), Say(0.25), Say(4.0, repeats=True))),
            ),
            nodes=(NodePlan(), NodePlan(kind="base")),
        ),
        ("utterance_cut", "written"),
    ),
    "silence": Entry(
        "A job that heard nothing is finished, and runs no second time.",
        WorldPlan(nodes=(attrs.evolve(RAW_NODE, works=(Work(0.25, "silence"),)),)),
        ("settled",),
    ),
    "salvage": Entry(
        "A result that comes a tick too late is taken as long as nobody was told.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", pause=2.0, says=(Say(),),
                    links=struck("reset", at=11.5),
                ),
            ),
            nodes=(attrs.evolve(RAW_NODE, works=(Work(TICK_S, due="deadline", deaf=True),)),),
        ),
        ("salvaged", "delivered"),
    ),
    "a tick too late": Entry(
        "A result that comes a tick after its client was told of the timeout changes nothing.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw"), SessionPlan(receipts="late")),
            nodes=(
                NodePlan(kind="raw", slots=2, works=(Work(TICK_S, due="deadline", deaf=True),)),
            ),
        ),
        ("stale",),
    ),
    "work without an end": Entry(
        "A node is told when a job is wanted no more, and has its slot for the next one.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=(Say(), Say(9.0), Say(18.0))),),
            nodes=(NodePlan(kind="raw", works=(Work(end="nothing"), Work())),),
        ),
        ("delivered",),
    ),
    "silent node": Entry(
        "A node that has gone silent gets no job until it is heard again.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=(Say(), Say(3.5), Say(6.0))),),
            nodes=(
                NodePlan(
                    kind="raw", slots=3,
                    links=struck("stall", "to_server", at=1.0, duration=3.0),
                ),
                NodePlan(at=5.0),
            ),
        ),
        ("node_silent", "node_heard", "delivered"),
    ),
    "stale results": Entry(
        "Results of others, of old attempts and of finished jobs change nothing.",
        WorldPlan(
            sessions=(
                SessionPlan(says=tuple(Say(n / 4) for n in range(6))),
                SessionPlan(kind="raw"),
            ),
            nodes=(
                NodePlan(
                    kind="raw", forges=True, works=(Work(0.25, copies=3), Work(3.0, "failure")),
                ),
                NodePlan(kind="base", works=(Work(0.25, copies=2),)),
            ),
            hostiles=(HostilePlan(attack="a forged result"),),
        ),
        ("stale",),
    ),
    "honest retry": Entry(
        "A result that was wrong once may be right when it is sent again.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=TWO_WORDS),),
            nodes=(
                NodePlan(kind="raw", works=(Work(0.25, "failure", copies=2), Work(0.25))),
                NodePlan(kind="raw", works=(Work(0.25),)),
            ),
        ),
        ("attempt_lost", "delivered"),
    ),
    "canary made up": Entry(
        "A node in quarantine is not let in by a result for an attempt that it made up.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=tuple(Say(n / 2) for n in range(12))),),
            nodes=(NodePlan(kind="raw", forges=True, works=(Work(0.25, "failure"),)),),
            settings=(("quarantine_setbacks", 1),),
        ),
        ("quarantined", "canary_sent"),
    ),
    "foreign token": Entry(
        "Who knows the name of another's session but not its token gets nothing of it.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", at=0.25, says=(Say(), Say(4.0)), resumes="foreign",
                    crashes=(Crash(),),
                ),
                SessionPlan(kind="raw", says=(Say(), Say(4.0)), receipts="never"),
                SessionPlan(kind="raw", says=(Say(),), resumes="wrong", crashes=(Crash(),)),
            ),
            nodes=(attrs.evolve(RAW_NODE, slots=3),),
        ),
        ("resume_refused",),
    ),
    "never a receipt": Entry(
        "A client that acknowledges nothing is asked, and then given up; it may come back.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=(Say(), Say(14.0)), receipts="never"),),
        ),
        ("receipt_overdue", "session_resumed"),
    ),
    "receipts back and forth": Entry(
        "Receipts that come twice, late, backwards or for what was never sent do no harm.",
        WorldPlan(
            sessions=tuple(
                SessionPlan(
                    kind="raw", says=(Say(), Say(0.5), Say(1.0)), receipts=how,
                    crashes=(Crash(nth=2),),
                )
                for how in RECEIPTS
            ),
            nodes=(attrs.evolve(RAW_NODE, slots=5),),
        ),
        ("stale", "session_resumed"),
    ),
    "a reader too slow": Entry(
        "A slow reader may miss events; outcomes it never misses.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", says=BURST, freezes=(Freeze(0.25, seconds=2.5),),
                    links=(LinkPlan(window=256),),
                ),
            ),
            nodes=(attrs.evolve(RAW_NODE, slots=12, works=(Work(0.25),)),),
            settings=(
                ("outbox_messages_max", 40), ("retained_outcomes_max", 12),
                ("jobs_per_session_max", 13),
            ),
        ),
        ("delivered",),
    ),
    "a reader much too slow": Entry(
        "A reader for whom even the outcomes pile up is cut off, and gets them when it comes back.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", says=BURST, freezes=(Freeze(0.25, seconds=2.5),),
                    links=(LinkPlan(window=256),),
                ),
            ),
            nodes=(attrs.evolve(RAW_NODE, slots=12, works=(Work(0.25),)),),
            settings=(
                ("outbox_messages_max", 9), ("retained_outcomes_max", 4),
                ("jobs_per_session_max", 2),
            ),
        ),
        ("refused",),
    ),
    "more than fits": Entry(
        "What cannot be kept any longer is given up visibly, the oldest first.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", pause=3.0, says=tuple(Say(0.25, padding=400) for _ in range(8)),
                    links=struck("reset", at=0.5),
                ),
            ),
            nodes=(attrs.evolve(RAW_NODE, slots=8, works=(Work(0.5),)),),
            settings=LITTLE_KEPT,
        ),
        ("expired", "session_resumed"),
    ),
    "as much as fits": Entry(
        "A session may resume with all that may be kept for it.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    pause=0.0, says=tuple(Say(n * TICK_S) for n in range(20)),
                    links=struck("reset", at=0.5),
                ),
            ),
            nodes=(NodePlan(slots=8, works=(Work(0.5),)),),
            settings=(
                ("outbox_messages_max", 9), ("retained_outcomes_max", 4),
                ("jobs_per_session_max", 2),
            ),
        ),
        ("refused", "session_resumed"),
    ),
    "a burst of long utterances": Entry(
        "A node is not given up because much audio for it was decided on at once.",
        WorldPlan(
            sessions=tuple(
                SessionPlan(kind=kind, says=tuple(Say(0.25, padding=1500) for _ in range(8)))
                for kind in PATIENT
            ),
            nodes=(NodePlan(slots=24, links=(LinkPlan(window=4096),)),),
            settings=SMALL_OUTBOX,
        ),
        ("delivered",),
        ("SLOW_CONSUMER",),
    ),
    "much to say": Entry(
        "A client with more to say than fits into its outbox says it bit by bit.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    says=tuple(Say(4.0 + n / 64) for n in range(20)),
                    links=(
                        LinkPlan(faults=(Fault("stall", at=3.0, duration=10.0),)),
                        LinkPlan(faults=(Fault("stall", "to_server", offset=371),)),
                    ),
                ),
            ),
            settings=(
                ("outbox_messages_max", 9), ("retained_outcomes_max", 4),
                ("jobs_per_session_max", 2),
            ),
        ),
        ("delivered",),
    ),
    "refused in between": Entry(
        "An utterance that was refused takes no number and holds nothing back.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", says=(Say(), Say(0.25), Say(1.5), Say(3.0))),),
            settings=(("jobs_per_session_max", 1),),
        ),
        ("refused", "delivered"),
    ),
    "a write cut short": Entry(
        "A connection on which a message was cut short is over: nothing follows half a frame.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    kind="raw", says=(Say(), Say(0.5), Say(5.0)),
                    links=(LinkPlan(window=64, faults=(Fault("stall", at=0.625, duration=4.0),)),),
                ),
            ),
        ),
        ("delivered",),
    ),
    "the scheduler stood still": Entry(
        "Whoever is not heard because the scheduler itself stood still is not given up for it.",
        WorldPlan(
            sessions=tuple(SessionPlan(says=(Say(n / 4),)) for n in range(4)),
            nodes=(NodePlan(slots=2), NodePlan(kind="raw", slots=2)),
            stalls=((1.0, 6.0),),
        ),
        ("delivered",),
    ),
    "the scheduler stands still in the end": Entry(
        "Who comes after all others is served, also if the scheduler has yet to stand still.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    says=(Say(), Say(6.0)),
                    links=(
                        LinkPlan(latency=0.0),
                        LinkPlan(faults=(Fault("half_close", offset=799),)),
                    ),
                    pause=0.0,
                    crashes=(Crash(),),
                    freezes=(Freeze(5.625, seconds=2.0),),
                ),
            ),
            nodes=(NodePlan(pause=0.0),),
            stalls=((8.0, 6.0),),
        ),
        ("delivered",),
    ),
    "a slow disk": Entry(
        "Nothing is promised before it is kept, however long that takes.",
        WorldPlan(
            sessions=(
                SessionPlan(says=tuple(Say(n / 2) for n in range(6))),
                SessionPlan(kind="raw", says=(Say(), Say(3.0)), crashes=(Crash("after receipt"),)),
                SessionPlan(kind="base", says=TWO_WORDS),
            ),
            nodes=(NodePlan(slots=2), attrs.evolve(RAW_NODE, works=(Work(TICK_S, copies=2),))),
            disk=DiskPlan(commit_s=(0.0, 0.25, 1.0)),
        ),
        ("delivered", "session_resumed"),
    ),
    "a full disk": Entry(
        "While nothing can be kept what is new is refused, and what was promised is held to.",
        WorldPlan(
            sessions=(
                SessionPlan(says=tuple(Say(n / 2) for n in range(8))),
                SessionPlan(kind="raw", at=1.5, says=(Say(), Say(5.0))),
            ),
            nodes=(NodePlan(slots=2),),
            disk=DiskPlan(commit_s=(0.25,), full=((1.0, 3.0),)),
        ),
        ("journal_failed", "journal_mended", "refused", "delivered"),
    ),
    "taken back while they wait": Entry(
        "Of jobs that are taken back together none gets the slot of another one.",
        WorldPlan(
            sessions=(SessionPlan(says=(Say(0.75), Say(0.75), Say(0.75))),),
            disk=DiskPlan(commit_s=(0.25,), full=((0.75, 2.0),)),
        ),
        ("journal_failed", "journal_mended", "refused"),
    ),
    "a crowd before the disk": Entry(
        "When more waits than may wait to be kept nothing new is taken, until it is kept.",
        WorldPlan(
            sessions=(SessionPlan(says=tuple(Say(n / 8) for n in range(12))),),
            nodes=(NodePlan(slots=4),),
            disk=DiskPlan(commit_s=(1.0,), crowd=4),
        ),
        ("journal_failed", "journal_mended", "refused", "delivered"),
    ),
    "salvaged before it was kept": Entry(
        "A result that replaces a failure which is not kept yet still comes before the next one.",
        WorldPlan(
            sessions=(SessionPlan(says=TWO_WORDS),),
            nodes=(
                attrs.evolve(
                    RAW_NODE, slots=2,
                    works=(Work(TICK_S, due="deadline", deaf=True), Work(0.5)),
                ),
            ),
            disk=DiskPlan(commit_s=(0.5,)),
        ),
        ("salvaged", "delivered"),
    ),
    "drained": Entry(
        "A scheduler that is asked to end lets what runs come to its end.",
        WorldPlan(nodes=(NodePlan(works=(Work(2.0),)),), drains=1.0),
        ("drain_started", "delivered"),
    ),
    "drained at the door": Entry(
        "A scheduler that is asked to end while somebody knocks leaves nobody standing there.",
        WorldPlan(
            sessions=(SessionPlan(pause=0.0),),
            nodes=(NodePlan(kind="base", works=(Work(0.0),)), NodePlan(kind="base")),
            drains=2 * TICK_S,
            seed=117_582,
        ),
        ("drain_started",),
    ),
    "drained of endless work": Entry(
        "A scheduler that is asked to end does not wait for what has no end.",
        WorldPlan(
            sessions=(SessionPlan(), SessionPlan(kind="raw")),
            nodes=(NodePlan(slots=2, works=(Work(end="nothing"),)),),
            drains=1.0,
            settings=(("drain_timeout", 4.0),),
        ),
        ("drain_started",),
    ),
    "drained in a hurry": Entry(
        "A scheduler that is asked twice ends at once, whatever its peers do.",
        WorldPlan(
            sessions=(SessionPlan(kind="raw", freezes=(Freeze(0.5, seconds=12.0),)), SessionPlan()),
            nodes=(NodePlan(works=(Work(end="nothing"),)),),
            drains=1.0, hurries=1.0,
        ),
        ("drain_started",),
    ),
    "quicker than our own note": Entry(
        "Who acknowledges before our writer has woken up owes nothing for it, and is not asked.",
        WorldPlan(
            sessions=(
                SessionPlan(
                    says=(Say(cancelled_after=1.0), Say()),
                    links=(
                        LinkPlan(latency=0.0, window=16, faults=(Fault("black_hole", at=7.0),)),
                    ),
                ),
            ),
            nodes=(NodePlan(works=(Work(due="deadline"),), pause=0.0),),
        ),
        ("delivered", "written"),
    ),
    "a stranger": Entry(
        "Who says no hello is shown out, however well it answers when it is asked.",
        WorldPlan(
            sessions=(SessionPlan(says=(Say(), Say(14.0))),),
            hostiles=(HostilePlan(attack="no hello"), HostilePlan(attack="a slow head")),
        ),
        ("delivered",),
    ),
    "a siege": Entry(
        "Nothing that a stranger sends does harm to anybody else.",
        WorldPlan(
            sessions=(SessionPlan(says=tuple(Say(n / 2) for n in range(8))),),
            hostiles=tuple(
                HostilePlan(attack=attack, at=0.25) for attack in get_args(Attack)
            ),
        ),
        ("delivered", "stale"),
    ),
    **{
        f"at the deadline {seed}": Entry(
            "A result at the very instant of its deadline: one outcome, whichever comes first.",
            WorldPlan(
                sessions=(SessionPlan(kind="raw"), SessionPlan()),
                nodes=(
                    NodePlan(kind="raw", slots=2, works=(Work(0.0, due="deadline", deaf=True),)),
                ),
                seed=seed,
            ),
            ("settled",),
        )
        for seed in range(6)
    },
}  # fmt: skip
