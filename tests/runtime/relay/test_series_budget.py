"""The series budget: what 50 organizations with 2,000 pipelines leave, over recycled processes."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from etl_telemetry.catalogue import (
    ORGANIZATION,
    PIPELINE_EXECUTION_DURATION,
    PIPELINE_EXECUTIONS,
    PIPELINE_NAME,
    SCOPE,
    STATUS,
    TASK_EXECUTIONS,
    TASK_TYPE,
)
from etl_telemetry.metrics import labels
from etl_telemetry.runtime.collecting import Postponed
from etl_telemetry.runtime.relay.handing import DeltaReader
from etl_telemetry.runtime.relay.store import Store

PIPELINES, ORGANIZATIONS, PROCESSES = 2_000, 50, 12
BUDGET = {
    "pipeline.executions": 2 * PIPELINES,
    "pipeline.execution.duration": 2 * PIPELINES,
    "task.executions": 3 * PIPELINES,
    "http.server.request.duration": 40,
}
"""Series of each metric, whatever the number of processes: a pipeline belongs to one organization,
ended in two ways, and ran three types of tasks; 20 routes answered with two status codes."""


@pytest.fixture(autouse=True)
def _bounds() -> Iterator[None]:
    labels.configure(max_pipelines=PIPELINES, max_organizations=ORGANIZATIONS)
    yield
    labels.configure(max_pipelines=PIPELINES, max_organizations=ORGANIZATIONS)


def process(store: Store, pid: int, pipelines: range) -> None:
    """Be a child that counts the runs and tasks of some pipelines, or requests, and ends."""
    reader = DeltaReader(Postponed())
    provider = MeterProvider([reader], shutdown_on_exit=False)
    ours, http = provider.get_meter(SCOPE), provider.get_meter("http")
    runs = ours.create_counter(PIPELINE_EXECUTIONS.name)
    seconds = ours.create_histogram(
        PIPELINE_EXECUTION_DURATION.name,
        explicit_bucket_boundaries_advisory=PIPELINE_EXECUTION_DURATION.buckets,
    )
    tasks = ours.create_counter(TASK_EXECUTIONS.name)
    requests = http.create_histogram("http.server.request.duration")
    for number in pipelines:
        name = {PIPELINE_NAME: f"pipeline-{number}"}
        for status in ("success", "failed"):
            kept = {**name, ORGANIZATION: f"org-{number % ORGANIZATIONS}", STATUS: status}
            runs.add(1, kept)
            seconds.record(number, kept)
        for kind in ("extract", "transform", "load"):
            tasks.add(1, {**name, TASK_TYPE: kind, STATUS: "success"})
    for route in range(20):
        for code in (200, 500):
            requests.record(0.1, {"http.route": f"/{route}", "http.response.status_code": code})
    taken = reader.take()
    assert taken
    store.add(taken, pid)
    store.end(pid)


def exported(store: Store) -> dict[str, list[Any]]:
    """Return the points by metric, as the relay exports them."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("own").create_up_down_counter("own").add(1)
    own = reader.get_metrics_data()
    assert isinstance(own, MetricsData)
    (resource,) = store.merged(own, {}).resource_metrics
    found = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    return {name: list(metric.data.data_points) for name, metric in found.items() if name != "own"}


def test_the_series_are_those_of_one_process_however_many_there_were() -> None:
    """Twelve processes, each of which knows all pipelines or a part: the budget, exactly."""
    store = Store()
    for pid in range(PROCESSES):
        part = range(PIPELINES) if pid == 0 else range(pid, PIPELINES, PROCESSES)
        process(store, pid, part)
    found = exported(store)
    assert {name: len(points) for name, points in found.items()} == BUDGET
    sums = Counts({name: sum(p.value for p in found[name]) for name in ("pipeline.executions",)})
    runs = PIPELINES + sum(len(range(pid, PIPELINES, PROCESSES)) for pid in range(1, PROCESSES))
    assert sums == {"pipeline.executions": 2 * runs}


def test_past_the_budget_pipelines_share_one_name() -> None:
    """Each child knew 2,000 pipelines at most; together they knew more."""
    store = Store()
    process(store, 1, range(PIPELINES))
    process(store, 2, range(PIPELINES, PIPELINES + 500))
    found = exported(store)["pipeline.executions"]
    others = [p for p in found if p.attributes[PIPELINE_NAME] == "other"]
    assert len({p.attributes[PIPELINE_NAME] for p in found}) == PIPELINES + 1
    assert sum(p.value for p in others) == 2 * 500
