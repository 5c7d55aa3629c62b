"""Recorders: what arrives for good calls, and that bad ones neither raise nor spoil anything."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given, settings

from etl_telemetry import guard, metrics
from etl_telemetry.catalogue import METRICS, ConnectorStatus, RunStatus, TaskStatus
from etl_telemetry.metrics import rebuild
from support.hostile import anything
from support.telemetry import Telemetry, labels, telemetry

RUN = labels({"pipeline.name": "daily", "status": "success", "organization": "acme"})
TASK = labels({"task.type": "extract", "status": "retried", "pipeline.name": "daily"})
TIMED_TASK = labels({"task.type": "extract", "status": "retried"})
OPERATION = labels({"connector.type": "http", "operation": "fetch", "status": "error"})
STEP = labels({"pipeline.name": "daily", "step.type": "load"})


@pytest.fixture
def seen() -> Iterator[Telemetry]:
    """Begin and end with no telemetry, no drops, no past and empty label bounds."""
    guard.reset_after_fork()
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    yield telemetry()
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    rebuild.reset_after_fork()
    guard.reset_after_fork()


def record_each() -> None:
    """Call every recorder once, correctly."""
    metrics.record_pipeline_execution("daily", "acme", RunStatus.SUCCESS, 2.0)
    metrics.record_task_execution("extract", "daily", TaskStatus.RETRIED, 0.5)
    metrics.record_connector_operation("http", "fetch", ConnectorStatus.ERROR, 0.25)
    metrics.record_rows("daily", "load", read=10, processed=7, rejected=2, skipped=1)
    metrics.record_active_runs(3)
    metrics.record_queue_sizes({"celery": 12, "slow": 0})
    metrics.record_database_connections({"postgresql": 9})
    metrics.record_last_success("daily", "acme", 1_760_000_000)
    metrics.record_platform_info("1.4", "production", "2026-01-31")


EACH = {
    "pipeline.executions": {RUN: 1},
    "pipeline.execution.duration": {RUN: 1},
    "task.executions": {TASK: 1},
    "task.execution.duration": {TIMED_TASK: 1},
    "connector.operations": {OPERATION: 1},
    "connector.operation.duration": {OPERATION: 1},
    "data.rows.read": {STEP: 10},
    "data.rows.processed": {STEP: 7},
    "data.rows.rejected": {STEP: 2},
    "data.rows.skipped": {STEP: 1},
    "active_pipeline_runs": {(): 3},
    "celery.queue.size": {
        labels({"queue.name": "celery"}): 12,
        labels({"queue.name": "slow"}): 0,
    },
    "database.connections.active": {labels({"database.type": "postgresql"}): 9},
    "pipeline.last_success.timestamp": {
        labels({"pipeline.name": "daily", "organization": "acme"}): 1_760_000_000.0
    },
    "etl_platform_info": {
        labels({"version": "1.4", "environment": "production", "build_date": "2026-01-31"}): 1
    },
}


def test_every_recorder_arrives(seen: Telemetry) -> None:
    """Each recorder writes its metrics, and no other, with the labels of the catalogue."""
    record_each()
    assert seen.values() == EACH
    assert guard.drops() == {}


def test_metrics_match_the_catalogue(seen: Telemetry) -> None:
    """Name, unit, description, labels and buckets of what arrives are those declared."""
    record_each()
    data = seen.reader.get_metrics_data()
    assert data is not None
    (scope,) = data.resource_metrics[0].scope_metrics
    assert scope.scope.name == "etl_telemetry"
    for metric in scope.metrics:
        declared = METRICS[metric.name]
        assert (metric.unit, metric.description) == (declared.unit, declared.description)
        for point in metric.data.data_points:
            assert sorted(point.attributes or {}) == sorted(declared.attributes)
            assert getattr(point, "explicit_bounds", None) == declared.buckets


@pytest.mark.parametrize("status", list(RunStatus))
def test_duration_for_every_outcome(seen: Telemetry, status: RunStatus) -> None:
    """A run that failed, was cancelled or got lost has a duration as a successful one has."""
    metrics.record_pipeline_execution("daily", "acme", status, timedelta(seconds=90))
    key = labels({"pipeline.name": "daily", "status": status.value, "organization": "acme"})
    (point,) = seen.points()["pipeline.execution.duration"].values()
    assert (labels(point.attributes), point.count, point.sum) == (key, 1, 90.0)


def test_text_status_in_any_case(seen: Telemetry) -> None:
    """A status is understood as text, whatever its case."""
    metrics.record_pipeline_execution("daily", "acme", "Success")
    assert seen.values() == {"pipeline.executions": {RUN: 1}}
    assert guard.drops() == {}


@pytest.mark.parametrize("status", ["error", "", None, 3, b"\xff", TaskStatus.RETRIED])
def test_unknown_status_is_counted_as_unknown(seen: Telemetry, status: object) -> None:
    """A status that no run can have still counts the run, under `unknown`, and the drop."""
    metrics.record_pipeline_execution("daily", "acme", status)  # type: ignore[arg-type]
    key = labels({"pipeline.name": "daily", "status": "unknown", "organization": "acme"})
    assert seen.values() == {"pipeline.executions": {key: 1}}
    assert guard.drops()["unknown_status"] == 1


@pytest.mark.parametrize(
    "duration", [-0.001, math.nan, math.inf, "1", True, 10**400, 1.1e9, timedelta(-1), object()]
)
def test_bad_duration_still_counts(seen: Telemetry, duration: object) -> None:
    """An impossible duration is left out; the run is counted."""
    metrics.record_pipeline_execution("daily", "acme", "success", duration)  # type: ignore[arg-type]
    assert seen.values() == {"pipeline.executions": {RUN: 1}}
    assert guard.drops() == {"invalid_value": 1}


@pytest.mark.parametrize("rows", [-1, 1.5, math.nan, "7", None, True, 10**12 + 1])
def test_bad_row_numbers_leave_the_others(seen: Telemetry, rows: object) -> None:
    """One wrong number of rows is left out; the other numbers of the call count."""
    metrics.record_rows("daily", "load", read=rows, processed=4)  # type: ignore[arg-type]
    assert seen.values() == {"data.rows.processed": {STEP: 4}}
    assert guard.drops() == {"invalid_value": 1}


@pytest.mark.parametrize("size", [-1, 0.5, "3", None])
def test_bad_gauge_values_leave_the_others(seen: Telemetry, size: object) -> None:
    """One wrong size is left out; the other queues are reported."""
    metrics.record_queue_sizes({"bad": size, "good": 1})  # type: ignore[dict-item]
    assert seen.values() == {"celery.queue.size": {labels({"queue.name": "good"}): 1}}
    assert guard.drops() == {"invalid_value": 1}


def test_last_success_takes_a_datetime(seen: Telemetry) -> None:
    """The time of the last success can be an aware datetime."""
    metrics.record_last_success("daily", "acme", datetime(2026, 1, 1, tzinfo=UTC))
    assert seen.values() == {
        "pipeline.last_success.timestamp": {
            labels({"pipeline.name": "daily", "organization": "acme"}): 1_767_225_600.0
        }
    }


class Colour(str, Enum):  # noqa: UP042 - exactly the kind that prints as `Colour.RED`
    """A text choice, as Django's TextChoices are: prints itself otherwise than it compares."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text", "drops"),
    [
        ("größe", "größe", {}),
        (7, "7", {}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001", {}),
        (Colour.RED, "red", {}),
        (b"caf\xc3\xa9", "café", {"invalid_value": 1}),
        (None, "unknown", {"invalid_value": 1}),
        ("", "unknown", {"invalid_value": 1}),
        (True, "True", {"invalid_value": 1}),
        ("x" * 300, "x" * 199 + "…", {"truncated": 1}),
        ("a\ud800b", "a?b", {}),
    ],
)
def test_label_values(seen: Telemetry, value: object, text: str, drops: dict[str, int]) -> None:
    """Text, numbers and UUIDs name things; the rest is coerced and counted."""
    metrics.record_rows(value, "load", read=1)  # type: ignore[arg-type]
    key = labels({"pipeline.name": text, "step.type": "load"})
    assert seen.values() == {"data.rows.read": {key: 1}}
    assert guard.drops() == drops


def test_the_last_admitted_value_keeps_its_own(seen: Telemetry) -> None:
    """The 2,000th pipeline has its own series; the 2,001st becomes `other`, and that is counted."""
    for number in range(2_001):
        metrics.record_pipeline_execution(f"p{number}", "acme", "success")
    names = {dict(key)["pipeline.name"] for key in seen.values()["pipeline.executions"]}
    assert names == {f"p{number}" for number in range(2_000)} | {"other"}
    assert guard.drops() == {"label_overflow": 1}


def test_overflow_names_the_attribute_and_the_line(
    seen: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """An overflow is logged once per line of the application, and says which label is full."""
    metrics.configure(max_pipelines=2_000, max_organizations=1)
    with caplog.at_level(logging.WARNING, "etl_telemetry"):
        for organization in ("a", "b", "c"):
            metrics.record_last_success("daily", organization, 1.0)
    (record,) = caplog.records
    line = test_overflow_names_the_attribute_and_the_line.__code__.co_firstlineno + 7
    assert record.getMessage() == "telemetry_dropped"
    assert (record.reason, record.detail, record.caller) == (  # type: ignore[attr-defined]
        "label_overflow",
        "organization has more than 1 values: it became 'other'",
        f"{__file__}:{line}",
    )
    assert guard.drops() == {"label_overflow": 2}
    assert sorted(
        str(dict(key)["organization"]) for key in seen.values()["pipeline.last_success.timestamp"]
    ) == ["a", "other"]


def test_bound_is_exact_over_threads() -> None:
    """Threads that race for the last places fill exactly the bound, with one answer a value."""
    guard.reset_after_fork()
    bound = metrics.LabelBound("pipeline.name", 50)
    start = threading.Barrier(8)

    def ask(offset: int) -> set[str]:
        start.wait()
        return {bound(f"p{(number + offset) % 100}") for number in range(100)}

    with ThreadPoolExecutor(8) as pool:
        answers = set().union(*pool.map(ask, range(0, 80, 10)))
    assert len(answers - {"other"}) == 50
    guard.reset_after_fork()


FORK_WITH_LOCK = """
import os, sys, threading
from etl_telemetry.metrics import LabelBound
bound = LabelBound("pipeline.name", 10)
bound._lock.acquire()
child = os.fork()
if not child:
    os._exit(0 if bound("daily") == "daily" else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_held_during_a_fork_does_not_hang_the_child() -> None:
    """A child admits new labels although a thread of the parent was just admitting one."""
    done = subprocess.run([sys.executable, "-c", FORK_WITH_LOCK], timeout=60, check=False)
    assert done.returncode == 0


CALLS: tuple[Callable[..., None], ...] = (
    metrics.record_pipeline_execution,
    metrics.record_task_execution,
    metrics.record_connector_operation,
    lambda a, b, c, d: metrics.record_rows(a, b, read=c, processed=d, skipped=a, rejected=b),
    lambda a, b, c, d: metrics.record_queue_sizes(a),
    lambda a, b, c, d: metrics.record_database_connections({"a": b, b"": c, None: d}),
    lambda a, b, c, d: metrics.record_active_runs(a),
    lambda a, b, c, d: metrics.record_last_success(a, b, c),
    lambda a, b, c, d: metrics.record_platform_info(a, b, c),
)


@settings(max_examples=200, deadline=None)
@given(anything(), anything(), anything(), anything())
def test_no_input_raises_or_spoils_others(a: object, b: object, c: object, d: object) -> None:
    """Whatever a caller passes, nothing is raised, and a good call arrives whole afterwards."""
    seen = telemetry()
    for call in CALLS:
        call(a, b, c, d)
    seen.clear()
    metrics.configure(max_pipelines=2_000, max_organizations=50)
    record_each()
    assert seen.values() == EACH


@pytest.mark.parametrize(
    ("executions", "since"),
    [(None, 1.0), ([], math.nan), ([], "yesterday"), (3, 1.0), ([], -1)],
)
def test_a_ledger_that_is_none_is_refused(
    seen: Telemetry, executions: object, since: object
) -> None:
    """Nothing is counted, nothing raises, and the refusal is."""
    rebuilt = metrics.rebuild_pipeline_executions
    assert rebuilt(executions, since=since) == 0  # type: ignore[arg-type]
    assert seen.values() == {}
    assert guard.drops() == {"invalid_value": 1}


def test_an_odd_row_of_a_ledger_costs_itself_only(seen: Telemetry) -> None:
    """The rows around it are counted."""
    rows = [("daily", "acme", "success", 1.0), 7, ("daily", "acme", "success", 2.0)]
    assert metrics.rebuild_pipeline_executions(rows, since=1.0) == 2  # type: ignore[arg-type]
    assert seen.values()["pipeline.executions"] == {RUN: 2}
