"""`finish_run`: a run ends once, from any process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from etl_telemetry import guard
from etl_telemetry.pipelines import Run, attach, detach, finish, finish_run
from support.events import Event, kept
from support.telemetry import Telemetry, labels

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(seconds=90)


def ended(run_id: Any = 42, status: Any = "success", **options: Any) -> bool:
    """Finish a run that took 90 seconds."""
    facts = {"name": "daily", "organization": "acme", "started_at": BEGIN, "finished_at": END}
    return finish_run(run_id, status, **{**facts, **options})


def executions(seen: Telemetry) -> dict[str, float]:
    """Return how many runs were counted, by status."""
    points = seen.values().get("pipeline.executions", {})
    return {str(dict(key)["status"]): number for key, number in points.items()}


@pytest.mark.parametrize("status", ["success", "failed", "cancelled", "lost"])
def test_the_end_of_a_run(seen: Telemetry, events: list[Event], status: str) -> None:
    """Count, duration, root span with true times, log event; a last success on success only."""
    assert ended(status=status, rows={"read": 10, "processed": 9, "rejected": 1, "other": 5})
    key = labels({"pipeline.name": "daily", "organization": "acme", "status": status})
    points = seen.points()
    assert {name: list(found) for name, found in points.items() if "last" not in name} == {
        "pipeline.executions": [key],
        "pipeline.execution.duration": [key],
    }
    assert points["pipeline.execution.duration"][key].sum == 90.0
    last = points.get("pipeline.last_success.timestamp", {})
    assert [point.value for point in last.values()] == (
        [END.timestamp()] if status == "success" else []
    )
    span = seen.span("pipeline run daily")
    run = Run(id="42", name="daily", organization="acme", started_ns=0)
    broken = status in ("failed", "lost")
    assert (span.context, span.parent, span.start_time, span.end_time) == (
        run.span_context, None, 1_767_225_600 * 10**9, 1_767_225_690 * 10**9,
    )  # fmt: skip
    assert (span.status.status_code, span.status.description) == (
        (StatusCode.ERROR, status) if broken else (StatusCode.UNSET, None)
    )
    assert dict(span.attributes or {}) == {
        "pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "42",
        "pipeline.status": status, "pipeline.run.rows.read": 10,
        "pipeline.run.rows.processed": 9, "pipeline.run.rows.rejected": 1,
    }  # fmt: skip
    assert events == [
        Event(
            "pipeline_run_finished", "INFO",
            {
                "pipeline.name": "daily", "pipeline.organization": "acme", "pipeline.run.id": "42",
                "pipeline.status": status, "duration": 90.0,
            },
        )
    ]  # fmt: skip
    assert guard.drops() == {}


def test_a_second_finish_changes_nothing(seen: Telemetry, events: list[Event]) -> None:
    """A redelivered task finishes again: nothing is counted, a debug event says so."""
    assert [ended(), ended(status="failed"), ended("42")] == [True, False, False]
    assert executions(seen) == {"success": 1}
    assert len(seen.spans()) == 1
    assert [(e.name, e.level) for e in events[1:]] == [
        ("pipeline_run_already_finished", "DEBUG")
    ] * 2


def test_threads_that_race_count_one(seen: Telemetry) -> None:
    """Of many threads that finish the same run exactly one counts it."""
    start = threading.Barrier(8)

    def race(number: int) -> int:
        start.wait()
        return sum(ended(run_id) for run_id in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 50
    assert executions(seen) == {"success": 50}


def test_claim_is_the_only_judge(seen: Telemetry) -> None:
    """With a claim, its answer decides: an attempt with the same id can count again."""
    answers = iter([True, False, True])
    asked: list[str] = []

    def claim(run_id: str) -> bool:
        asked.append(run_id)
        return next(answers)

    assert [ended(claim=claim) for _ in range(3)] == [True, False, True]
    assert asked == ["42"] * 3
    assert executions(seen) == {"success": 2}
    assert not ended()  # Without a claim: this process has seen its end.


def test_what_a_claim_raises_reaches_the_application(seen: Telemetry) -> None:
    """Nothing was counted, so the call can be repeated."""

    def broken(run_id: str) -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        ended(claim=broken)
    assert executions(seen) == {}
    assert ended(claim=lambda run_id: True)


def test_a_claim_without_an_answer_is_no(seen: Telemetry) -> None:
    """A claim that forgets its `return` counts nothing, and that is told."""
    assert not ended(claim=lambda run_id: None)
    assert (executions(seen), guard.drops()) == ({}, {"invalid_value": 1})


@pytest.mark.parametrize("claim", [True, "yes", 3])
def test_a_claim_that_is_no_function_is_not_asked(seen: Telemetry, claim: object) -> None:
    """The guard of this process decides then."""
    assert [ended(claim=claim), ended(claim=claim)] == [True, False]
    assert guard.drops() == {"invalid_value": 2}


@pytest.mark.parametrize("run_id", [None, "", b""])
def test_without_an_id_it_is_counted_and_claims_nothing(seen: Telemetry, run_id: object) -> None:
    """A run that nobody can name still happened."""

    def claim(run_id: str) -> bool:
        raise AssertionError

    assert ended(run_id, claim=claim)
    assert executions(seen) == {"success": 1}
    assert guard.drops()["invalid_value"] >= 1


def test_memory_of_ended_runs_is_bounded(seen: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ids are forgotten, the newest are known."""
    monkeypatch.setattr(finish, "_REMEMBERED", 3)
    assert [ended(n) for n in (1, 2, 3, 4)] == [True] * 4
    assert [ended(n) for n in (4, 3, 2, 1)] == [False, False, False, True]
    assert len(finish._finished._by_id) == 3


@pytest.mark.parametrize(
    ("started_at", "seconds"),
    [
        (BEGIN, 90.0),
        (BEGIN.astimezone(), 90.0),
        (BEGIN.timestamp(), 90.0),
        (int(BEGIN.timestamp()), 90.0),
        (BEGIN.isoformat(), 90.0),
    ],
)
def test_forms_of_a_moment(seen: Telemetry, started_at: object, seconds: float) -> None:
    """A moment is an aware datetime, Unix seconds or ISO text."""
    assert ended(started_at=started_at)
    (point,) = seen.points()["pipeline.execution.duration"].values()
    assert point.sum == seconds
    assert guard.drops() == {}


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs tzset")
def test_a_naive_begin_is_local_time(seen: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment without a time zone is read as Python reads it, and counted as a mistake."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert ended(started_at=datetime(2026, 1, 1, 9))  # noqa: DTZ001 - the mistake
    finally:
        monkeypatch.undo()
        time.tzset()
    (point,) = seen.points()["pipeline.execution.duration"].values()
    assert point.sum == 90.0
    assert guard.drops() == {"invalid_value": 1}


def test_exemplars_of_the_end_lead_to_the_root(seen: Telemetry) -> None:
    """Where a task ends its run, count and log record lead to the run, not to the task."""
    run = Run(id="42", name="daily", organization="acme", started_ns=0)
    token = attach(run)
    with kept("etl_telemetry.pipelines") as logs, trace.get_tracer("t").start_as_current_span("t"):
        assert ended()
    detach(token)
    (point,) = seen.points()["pipeline.executions"].values()
    assert [exemplar.span_id for exemplar in point.exemplars] == [run.span_context.span_id]
    assert [event.span_id for event in logs] == [run.span_context.span_id]


@pytest.mark.parametrize(
    "started_at",
    [
        None,
        "yesterday",
        math.nan,
        -5,
        1e12,
        True,
        b"1",
        END + timedelta(seconds=1),
        datetime(1, 1, 1),  # noqa: DTZ001 - what a database without time zones returns
    ],
)
def test_a_begin_that_makes_no_sense_costs_the_duration_only(
    seen: Telemetry, started_at: object
) -> None:
    """The run is counted, and its span is a point at its end or begin."""
    assert ended(started_at=started_at)
    assert sorted(seen.values()) == ["pipeline.executions", "pipeline.last_success.timestamp"]
    span = seen.span("pipeline run daily")
    assert span.start_time == span.end_time
    assert (guard.drops() != {}) is (started_at is not None)


def test_error_as_exception_or_text(seen: Telemetry) -> None:
    """An error callback has the exception or its text; both are redacted."""
    ended(1, "failed", error=ValueError("DETAIL: Key (mail)=(a@b.c)"))
    ended(2, "failed", error="worker lost")
    ended(3, "success", error="ignored")
    found = [
        (span.status.description, (span.attributes or {}).get("error.type"))
        for span in seen.spans()
    ]
    assert found == [("DETAIL: ?", "ValueError"), ("worker lost", "_OTHER"), (None, "_OTHER")]


def test_audit_of_the_end(seen: Telemetry) -> None:
    """With a place for audit events, the end of a run is one, once."""
    with kept("etl_telemetry.audit") as events:
        ended(status="failed", triggered_by="7", error=ValueError("no"))
        ended(status="failed", triggered_by="7")
    ((name, fields),) = [(event.name, event.fields) for event in events]
    audit = {key: value for key, value in fields.items() if key.startswith("audit.")}
    assert (name, audit) == (
        "pipeline_execution_finished",
        {
            "audit.actor": "7",
            "audit.organization": "acme",
            "audit.resource.type": "pipeline_run",
            "audit.resource.id": "42",
            "audit.outcome": "failure",
            "audit.details": {
                "pipeline_name": "daily", "triggered_by": "7", "status": "failed",
                "duration": 90.0, "error_type": "ValueError",
            },
        },
    )  # fmt: skip


def test_one_broken_part_does_not_cost_the_others(
    seen: Telemetry, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the span cannot be emitted, the run is counted and logged all the same."""

    def broken(span: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("etl_telemetry.pipelines.report.tracing.emit", broken)
    assert ended()
    assert executions(seen) == {"success": 1}
    assert [event.name for event in events] == ["pipeline_run_finished"]
    assert guard.drops() == {"internal_error": 1}


FORK = """
import os, sys
from etl_telemetry.pipelines import finish_run
def end(run_id):
    return finish_run(run_id, "success", name="d", organization="o", started_at=0)
assert end(1)
child = os.fork()
if not child:
    os._exit(0 if not end(1) and end(2) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not end(2))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_knows_what_its_parent_ended() -> None:
    """A fork copies the memory of ended runs; without a claim the two do not share it later."""
    done = subprocess.run([sys.executable, "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0
