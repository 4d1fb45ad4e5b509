"""A story becomes lines for people, in the order of what happened."""

from troubles import TROUBLES

from scheduler.observe.timeline import timeline


def lines(name: str) -> list[str]:
    job = TROUBLES[name]()["jobs"][-1]
    return [f"{line['offset_ms']} {line['what']}: {line['text']}" for line in job["timeline"]]


def test_a_write_into_silence_says_so() -> None:
    """The lines show the unanswered ping beside the write, and how the connection ended."""
    assert lines("frozen")[-3:] == [
        "29000 written: outcome 1 to connection 1, without an answer to the ping of 27.0 s",
        "32000 probed: no acknowledgement yet; connection 1 is pinged",
        (
            "32000 disconnected: connection 1: no sign of life (4001); last heard at 17.0 s, "
            "no answer to the ping of 27.0 s; the session may resume until 00:10:33 UTC"
        ),
    ]


def test_each_attempt_has_its_lines() -> None:
    """Who got the job, who lost it and why."""
    assert "1250 lost: attempt 1: node-1 disconnected: the connection broke" in lines("failed_over")
    assert "1250 assigned: attempt 2 to node-2" in lines("failed_over")
    assert "1750 finished: translated by node-2" in lines("failed_over")


def test_why_nodes_were_turned_down_is_in_the_line() -> None:
    """A waiting job's line has every node's own reason."""
    assert (
        "0 waiting: none of the 2 connected nodes can do en→es; "
        "node-1: cannot do en→es; node-2: cannot do en→es"
    ) in lines("no_capable_node")


def test_a_stale_input_is_in_the_lines() -> None:
    """What came too late and changed nothing is shown."""
    assert lines("timeout")[-1] == "30500 stale: job_result from node-1 changed nothing"


def test_an_answer_after_the_ping_means_life() -> None:
    """A ping without a pong is no silence if anything was heard after it."""
    job = TROUBLES["unanswered"]()["jobs"][0]
    job["story"][-1]["heard_at_ms"] = job["story"][-1]["unanswered_since_ms"] + 1
    assert timeline(job)[-1]["text"] == "outcome 1 to connection 1"


def test_every_kind_of_line_has_words_of_its_own() -> None:
    """No line of any story is only the name of who did it."""
    for name in TROUBLES:
        job = TROUBLES[name]()["jobs"][-1]
        silent = [line["what"] for line in job["timeline"] if line["text"] == line["actor"]]
        assert set(silent) <= {"node silent", "node heard"}, name


def test_lines_are_in_the_order_of_time() -> None:
    """What a restarted scheduler read back stands where it happened."""
    for name in TROUBLES:
        offsets = [line["offset_ms"] for line in TROUBLES[name]()["jobs"][-1]["timeline"]]
        assert offsets == sorted(offsets), name
