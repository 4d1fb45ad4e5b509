"""Everything under one id, explained."""

from troubles import Stage

from scheduler.observe.trace import explain, unknown


def test_a_session_shows_all_its_jobs() -> None:
    """A session's trace has each of its jobs, in order, with timeline and verdict."""
    stage = Stage()
    stage.submit(0)
    stage.submit(1)
    trace = stage.explained("s-1")
    assert trace["kind"] == "session"
    assert [job["job_id"] for job in trace["jobs"]] == ["job-1", "job-2"]
    assert [job["verdict"]["code"] for job in trace["jobs"]] == ["WAITING", "WAITING"]


def test_a_trace_id_shows_its_job() -> None:
    """The id that the client was given for its utterance finds the job."""
    stage = Stage()
    stage.submit(0)
    stage.submit(1)
    trace = stage.explained("trace-3")
    assert (trace["kind"], [job["job_id"] for job in trace["jobs"]]) == ("trace", ["job-2"])


def test_a_session_without_jobs_is_known() -> None:
    """A session that has said nothing yet is shown as it is."""
    trace = Stage().explained("s-1")
    assert (trace["kind"], trace["jobs"]) == ("session", [])
    assert trace["session"]["connected"] is True


def test_what_is_not_known_is_nothing() -> None:
    """An id that names nothing gives nothing."""
    assert Stage().engine.snapshot(0).trace("job-9") is None


def test_explaining_changes_nothing() -> None:
    """The view that is explained stays as it was."""
    stage = Stage()
    stage.submit()
    view = stage.engine.snapshot(0).trace("job-1")
    assert view is not None
    explain(view)
    assert "verdict" not in view["jobs"][0]


def test_each_kind_of_id_is_forgotten_by_its_own_rule() -> None:
    """What is told of an id that nobody knows depends on what it would be the id of."""
    since = "has been running since 2026-01-02 03:04:05 UTC"
    job, session = (unknown(name, 1_767_323_045_999) for name in ("job-1", "s-1"))
    assert since in job
    assert since in session
    assert "finished_retention" in job
    assert "session_retention" in session
