"""Numbers for Prometheus: counted from facts, sampled from the state, bounded in labels."""

import re
from typing import Any

import trio
from client_support import reach, scheduler_world, session_on
from fakes import ScriptedRunner
from measured import PREFIX, Measured, one_delivered
from messages import result, utterance
from prometheus_client.parser import text_string_to_metric_families

from scheduler.observe.labels import ASKED_MAX
from scheduler.wire import node, session
from scheduler.wire.common import Pipeline


def test_a_delivered_job_is_counted_at_every_stage() -> None:
    """Accepted, assigned, settled, written, delivered; its wait, its run, its stages, its way."""
    stage = Measured()
    stage.submit()
    stage.advance(2)
    one_delivered(stage)
    assert stage.read("jobs_accepted_total", pair="en-es") == 1
    assert stage.read("jobs_settled_total", pair="en-es", outcome="translated") == 1
    assert stage.read("outcomes_written_total") == 1
    assert stage.read("outcomes_delivered_total") == 1
    assert stage.read("job_wait_seconds_sum", pair="en-es") == 2
    assert stage.read("job_run_seconds_sum", pair="en-es") == 1.5
    assert stage.read("delivery_seconds_sum", pair="en-es") == 3.75
    assert stage.read("stage_seconds_sum", stage="asr") == 0.7


def test_written_is_not_delivered() -> None:
    """What was written and not acknowledged is not counted as delivered."""
    stage = Measured()
    machine, node_id = stage.join_node()
    stage.submit()
    stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    stage.write(heard_at=0)
    assert stage.read("outcomes_written_total") == 1
    assert stage.read("outcomes_delivered_total") == 0
    assert stage.read("owed_outcomes") == 1


def test_failures_have_a_code_from_the_catalogue() -> None:
    """A code that a node made up is counted as ``other``."""
    stage = Measured(attempts_max=1)
    machine, node_id = stage.join_node()
    for index, code in enumerate(("MODEL_NOT_AVAILABLE", "what I had to say")):
        stage.submit(index)
        stage.say(machine, result(stage.last(machine, node.JobAssign), node_id, error=code))
    assert stage.read("job_failures_total", code="MODEL_NOT_AVAILABLE") == 1
    assert stage.read("job_failures_total", code="other") == 1
    assert stage.read("attempts_lost_total", reason="failed") == 2


def test_demand_is_valid_without_nodes() -> None:
    """With no node at all, what waits is the demand; later what runs; in the end it is zero."""
    stage = Measured()
    assert stage.read("jobs_waiting", pair="en-es") is None
    stage.submit(0)
    stage.submit(1)
    assert stage.read("nodes", status="ready") == 0
    assert stage.read("jobs_waiting", pair="en-es") == 2
    machine, node_id = stage.join_node()
    assert stage.read("jobs_waiting", pair="en-es") == 1
    assert stage.read("jobs_running", pair="en-es") == 1
    for _ in range(2):
        stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    assert stage.read("jobs_waiting", pair="en-es") == 0
    assert stage.read("jobs_running", pair="en-es") == 0


def flood(stage: Measured, sessions: int = 30) -> None:
    """Clients that ask for more invented pairs than there are labels, all at once."""
    for number in range(sessions):
        person, welcome = stage.join_session()
        src = f"{chr(97 + number)}qx"
        stage.say(person, utterance(welcome.session_id, 0, src=src, tgt="yy"))


def test_invented_pairs_do_not_hide_the_demand_of_a_served_one() -> None:
    """A pair that a node serves is seen to wait and to run, whatever else clients ask for.

    Also when its node is busy, and when it is gone and only the pair's own past speaks for it.
    """
    stage = Measured(pairs_max=1)
    machine, node_id = stage.join_node(slots=1)
    flood(stage)
    stage.submit(0)
    stage.submit(1)
    assert stage.read("jobs_waiting", pair="en-es") == 1
    assert stage.read("jobs_running", pair="en-es") == 1
    stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    stage.leave(machine)
    assert stage.read("jobs_waiting", pair="en-es") == 1
    assert stage.read("jobs_waiting", pair="other") == 30 - ASKED_MAX
    assert stage.read("jobs_settled_total", pair="en-es", outcome="translated") == 1


def test_a_pair_whose_nodes_are_all_busy_is_served() -> None:
    """The first job of a pair waits for a busy node that can do it: it is no invention."""
    stage = Measured()
    stage.join_node(slots=1, pairs=(("en", "es"), ("de", "es")))
    stage.submit()
    flood(stage)
    stage.say(stage.person, utterance(stage.welcome.session_id, 1, src="de", tgt="es"))
    assert stage.read("jobs_waiting", pair="de-es") == 1


def test_an_expected_pair_is_measured_before_anybody_asks() -> None:
    """Zero demand is a number from the start, and in a flood without any node it is counted."""
    stage = Measured(expected=("en-es",))
    assert stage.read("jobs_waiting", pair="en-es") == 0
    flood(stage)
    stage.submit()
    assert stage.read("nodes", status="ready") == 0
    assert stage.read("jobs_waiting", pair="en-es") == 1


def test_nothing_is_left_of_a_pair_that_lost_its_label() -> None:
    """Counters and histograms of such a pair go with it, or floods would fill the memory."""
    stage = Measured(pairs_max=1)
    for src in ("en", "de"):
        machine, node_id = stage.join_node(pairs=((src, "es"),))
        stage.say(stage.person, utterance(stage.welcome.session_id, ord(src[0]), src=src, tgt="es"))
        stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    assert stage.metrics is not None
    text = stage.metrics.exposition().decode()
    assert 'pair="de-es"' in text
    assert 'pair="en-es"' not in text


def test_jobs_of_one_pair_count_together() -> None:
    """Jobs of a pair that need different services are the demand of that pair."""
    stage = Measured()
    stage.submit(0)
    message = utterance(stage.welcome.session_id, 1, pipeline=Pipeline(use_tts=False))
    stage.say(stage.person, message)
    assert stage.read("jobs_waiting", pair="en-es") == 2


def test_why_connections_end() -> None:
    """The end of a connection is counted by the kind of peer and by the reason, in our words."""
    stage = Measured()
    machine, _ = stage.join_node()
    stage.leave(machine)
    stage.leave(stage.person)
    assert stage.read("connections_ended_total", peer="node", reason="peer_gone") == 1
    assert stage.read("connections_ended_total", peer="session", reason="peer_gone") == 1
    assert stage.read("sessions", state="connected") == 0
    assert stage.read("sessions", state="resumable") == 1


def test_an_ended_session_is_a_reason_without_its_words() -> None:
    """What a client said when it closed is no label."""
    stage = Measured()
    machine, node_id = stage.join_node()
    stage.submit()
    stage.say(machine, result(stage.last(machine, node.JobAssign), node_id))
    close = session.SessionClose(session_id=stage.welcome.session_id, reason="my secret")
    stage.say(stage.person, close)
    assert stage.read("outcomes_expired_total", reason="session_ended") == 1


def test_series_do_not_grow_with_the_peers() -> None:
    """Many sessions, nodes, jobs and invented languages leave as many series as few do."""

    def series(peers: int) -> int:
        stage = Measured(pairs_max=2)
        for number in range(peers):
            person, welcome = stage.join_session()
            machine, _ = stage.join_node(pairs=(("en", "es"), ("de", "es")))
            for index, (src, tgt) in enumerate((("en", "es"), ("de", "es"), (f"x{number}", "y"))):
                stage.say(person, utterance(welcome.session_id, index, src=src, tgt=tgt))
            stage.leave(machine)
        assert stage.metrics is not None
        text = stage.metrics.exposition().decode()
        assert "s-1" not in text
        assert "node-1" not in text
        return len(text.splitlines())

    assert series(8) == series(40)


def test_every_name_follows_the_conventions() -> None:
    """Base units, ``_total`` for counters, a prefix, a help text, lower-case words."""
    stage = Measured()
    assert stage.metrics is not None
    for family in text_string_to_metric_families(stage.metrics.exposition().decode()):
        assert family.documentation
        assert re.fullmatch(r"(lingua_scheduler|process)_[a-z_]+", family.name), family.name
        assert not re.search(r"_(ms|milliseconds|count|minutes)$", family.name), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


async def test_a_scrape_is_answered(autojump_clock: object) -> None:
    """``/metrics`` gives the text of the exposition format, and two schedulers do not mix."""
    async with (
        scheduler_world(ScriptedRunner()) as world,
        scheduler_world() as idle,
        session_on(world.network) as session_one,
    ):
        await session_one.translate(b"hola")
        await trio.sleep(1)
        texts = [await scraped(one.network) for one in (world, idle)]
    assert f"{PREFIX}outcomes_delivered_total 1.0" in texts[0]
    assert f"{PREFIX}outcomes_delivered_total 0.0" in texts[1]
    assert not [text for text in texts if "hola" in text.lower()]


async def scraped(network: Any) -> str:
    stream = await reach(network)()
    async with stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join([bytes(chunk) async for chunk in stream])
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-type: text/plain; version=0.0.4" in head.lower()
    return body.decode()
