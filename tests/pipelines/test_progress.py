"""How far the steps are that run now: rows done and expected, time since a sign of life."""

from __future__ import annotations

import contextvars
import gc
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_telemetry import metrics
from etl_telemetry.pipelines import pipeline_run, progress, step
from support.patience import PATIENT
from support.telemetry import Telemetry, labels, telemetry

DONE, EXPECTED, AGE = "step.rows.done", "step.rows.expected", "step.heartbeat.age"
LOAD = labels({"pipeline.name": "daily", "step.type": "load"})


@pytest.fixture
def seen() -> Telemetry:
    """Give the telemetry of this process, with what ended before told."""
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    found = telemetry()
    found.clear()
    return found


def told(seen: Telemetry) -> dict[str, Any]:
    """Return what is reported of steps now."""
    return {name: at for name, at in seen.values().items() if name in {DONE, EXPECTED, AGE} and at}


def test_a_step_that_reports_is_seen_while_it_runs_and_ends_with_zero(seen: Telemetry) -> None:
    """Its rows go up and down with it; the age of its last sign of life is a number of seconds."""
    with pipeline_run("daily", organization="acme"), step("load", rows_total=10) as load:
        first = told(seen)
        load.add_rows(read=4)
        second = told(seen)
        load.add_rows(written=5, rejected=1)
        third = told(seen)
    last, after = told(seen), told(seen)
    assert (first[DONE], first[EXPECTED]) == ({LOAD: 0}, {LOAD: 10})
    assert (second[DONE], third[DONE]) == ({LOAD: 4}, {LOAD: 6})
    assert 0 <= third[AGE][LOAD] < 60
    assert (last[DONE], last[EXPECTED], last[AGE]) == ({LOAD: 0}, {LOAD: 0}, {LOAD: 0})
    assert after == {}


def test_a_step_that_tells_nothing_is_not_reported(seen: Telemetry) -> None:
    """It has no sign of life whose age would mean anything."""
    with step("load"):
        assert told(seen) == {}


def test_a_sign_of_life_makes_the_age_fall(
    seen: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most silent of the steps of one type counts."""
    clock = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("etl_telemetry.pipelines.steps.monotonic", lambda: clock[0])
    unknown = labels({"pipeline.name": "unknown", "step.type": "load"})
    with step("load") as one, step("load") as other:
        one.heartbeat()
        other.heartbeat()
        clock[0] += 5
        one.add_rows(read=1)
        assert told(seen)[AGE] == {unknown: 5}
        other.heartbeat()
        clock[0] += 1
        assert told(seen)[AGE] == {unknown: 1}


def test_a_step_that_is_never_left_is_forgotten_with_its_object(seen: Telemetry) -> None:
    """A generator that is dropped leaves no step that would look as if it hung."""
    unknown = labels({"pipeline.name": "unknown", "step.type": "load"})

    def forget() -> None:
        load = step("load")
        load.__enter__()
        load.heartbeat()
        assert told(seen)[DONE] == {unknown: 0}

    contextvars.copy_context().run(forget)
    gc.collect()
    assert told(seen)[AGE] == {unknown: 0}
    assert told(seen) == {}


def test_a_forked_child_does_not_report_its_parents_steps(seen: Telemetry) -> None:
    """The step runs in the parent."""
    with step("load") as load:
        load.heartbeat()
        assert len(progress._running.by_key()) == 1
        pid = os.fork()
        if pid == 0:
            os._exit(len(progress._running.by_key()))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert len(progress._running.by_key()) == 1


def test_labels_are_bounded(seen: Telemetry) -> None:
    """As those of all metrics."""
    metrics.configure(max_pipelines=1, max_organizations=50)
    with (
        pipeline_run("daily", organization="acme"),
        step("load") as one,
        pipeline_run("weekly", organization="acme"),
        step("load") as other,
    ):
        one.add_rows(read=1)
        other.add_rows(read=2)
        assert told(seen)[DONE] == {
            LOAD: 1,
            labels({"pipeline.name": "other", "step.type": "load"}): 2,
        }
    told(seen)


def test_a_total_that_is_none_is_left_out(seen: Telemetry) -> None:
    """A wrong number is counted as a mistake; one that comes later is taken."""
    with pipeline_run("daily", organization="acme"), step("load", rows_total=-1) as load:
        load.heartbeat()
        assert EXPECTED not in told(seen)
        load.expect_rows(7)
        assert told(seen)[EXPECTED] == {LOAD: 7}
    told(seen)


@PATIENT
@given(
    st.dictionaries(st.sampled_from(["read", "processed", "rejected", "skipped"]), st.integers(0))
)
def test_rows_done_are_those_that_are_through_or_at_least_taken_in(rows: dict[str, int]) -> None:
    """Whichever the step tells: never fewer than it has put out."""
    through = sum(number for word, number in rows.items() if word != "read")
    assert progress.Progress("p", "s", rows).done == max(through, rows.get("read", 0))
