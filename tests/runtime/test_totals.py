"""A ledger's totals leave the process instead of its own sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource

from etl_telemetry import guard
from etl_telemetry.catalogue import METRICS
from etl_telemetry.metrics import (
    RunTotal,
    configure,
    prolong_run_totals,
    publish_run_totals,
    totals,
    withdraw_run_totals,
)
from etl_telemetry.metrics.rebuild import reset_after_fork
from etl_telemetry.runtime.metric_export import ExportingReader
from etl_telemetry.runtime.observed import ObservedSeries

PROCESS = {
    "service.name": "shop", "service.instance.id": "7", "host.name": "a", "process.pid": 1,
}  # fmt: skip
SINCE = 1_760_000_000
BOUNDS = list(METRICS["pipeline.execution.duration"].buckets or ())


class Memory(MetricExporter):
    """Keep the last export."""

    def __init__(self) -> None:
        super().__init__()
        self.data: MetricsData | None = None
        self.result = MetricExportResult.SUCCESS

    def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
        self.data = metrics_data
        # Nothing may be left that OTLP cannot carry, nor a metric without a point: Prometheus
        # answers such a request with 500, and the Collector then drops all of it.
        assert all(
            metric.WhichOneof("data")
            for resource in encode_metrics(metrics_data).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass

    def points(self, metric: str) -> list[Any]:
        """Return the points of a metric, oldest first."""
        assert self.data is not None
        return [
            point
            for resource in self.data.resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]


class Process:
    """A process that exports: its instruments, its reader, what came out."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.reader = ExportingReader(self.memory, ObservedSeries("observer"))
        provider = MeterProvider([self.reader], resource=Resource(PROCESS), shutdown_on_exit=False)
        self.meter = provider.get_meter("etl_telemetry")
        self.runs = self.meter.create_counter("pipeline.executions")
        self.seconds = self.meter.create_histogram(
            "pipeline.execution.duration", explicit_bucket_boundaries_advisory=BOUNDS
        )

    def collect(self) -> list[tuple[str, int]]:
        """Export; return status and value of each point of the counter."""
        self.reader.collect()
        return [
            (p.attributes["status"], p.value) for p in self.memory.points("pipeline.executions")
        ]


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """Give a process whose instruments are those that the totals go to."""
    made = Process()
    monkeypatch.setattr(totals, "counter", lambda _: made.runs)
    monkeypatch.setattr(totals, "histogram", lambda _: made.seconds)
    yield made
    withdraw_run_totals()
    configure(max_pipelines=2_000, max_organizations=50)


def total(status: str = "success", **changed: Any) -> RunTotal:
    """Return a total of three runs, one of them without a duration."""
    facts: dict[str, Any] = {
        "pipeline": "daily", "organization": "acme", "status": status, "count": 3,
        "seconds": 8.0, "buckets": (1, 0, 1, *[0] * 7), "announced": True, **changed,
    }  # fmt: skip
    return RunTotal(**facts)


def test_totals_replace_the_sums_of_the_process(process: Process) -> None:
    """Count, sum, buckets and begin are the ledger's; smallest and largest it does not know."""
    labels = {"pipeline.name": "daily", "status": "success", "organization": "acme"}
    process.runs.add(1, labels)
    process.seconds.record(5.0, labels)
    publish_run_totals([total()], since=SINCE, lifetime=60)
    assert process.collect() == [("success", 3)]
    (count,) = process.memory.points("pipeline.executions")
    (took,) = process.memory.points("pipeline.execution.duration")
    assert dict(count.attributes) == dict(took.attributes) == labels
    assert count.start_time_unix_nano == took.start_time_unix_nano == SINCE * 10**9
    assert (took.count, took.sum, took.min, took.max) == (2, 8.0, None, None)
    assert (took.bucket_counts, took.explicit_bounds) == ([1, 0, 1, *[0] * 7], BOUNDS)


def test_totals_leave_under_an_instance_id_of_their_own(process: Process) -> None:
    """Whichever process has them: nothing else that tells of one process goes along."""
    process.meter.create_counter("connector.operations").add(1)
    publish_run_totals([total()], since=SINCE, lifetime=60, instance_id="ledger")
    process.reader.collect()
    prolong_run_totals(60)
    process.reader.collect()
    assert process.memory.data is not None
    told = [
        (
            dict(one.resource.attributes),
            [m.name for scope in one.scope_metrics for m in scope.metrics],
        )
        for one in process.memory.data.resource_metrics
    ]
    assert told == [
        (PROCESS, ["connector.operations"]),
        (
            {"service.name": "shop", "service.instance.id": "ledger"},
            ["pipeline.executions", "pipeline.execution.duration"],
        ),
    ]
    publish_run_totals([], since=SINCE, lifetime=0, instance_id="ledger")
    process.reader.collect()
    assert [dict(one.resource.attributes) for one in process.memory.data.resource_metrics] == [
        PROCESS
    ]


def test_series_that_never_left_a_process_gets_a_zero_first(process: Process) -> None:
    """Whichever process exports it first: the one that counted it may be dead."""
    published = [total(announced=False), total("failed")]
    publish_run_totals(published, since=SINCE, lifetime=60)
    assert process.collect() == [("success", 0), ("success", 3), ("failed", 3)]
    zero, first, _ = process.memory.points("pipeline.executions")
    assert first.time_unix_nano - zero.time_unix_nano == 60 * 10**9
    assert process.collect() == [("success", 3), ("failed", 3)]


def test_zero_comes_again_where_it_was_not_delivered(process: Process) -> None:
    """A refused export announced nothing."""
    publish_run_totals([total(announced=False)], since=SINCE, lifetime=60)
    process.memory.result = MetricExportResult.FAILURE
    process.collect()
    process.memory.result = MetricExportResult.SUCCESS
    assert process.collect() == [("success", 0), ("success", 3)]


def test_series_that_another_process_began_gets_no_zero_later(process: Process) -> None:
    """A process that takes over finds series which it has never exported itself."""
    publish_run_totals([total()], since=SINCE, lifetime=60)
    process.collect()
    publish_run_totals([total(), total("failed")], since=SINCE, lifetime=60)
    assert process.collect() == [("success", 3), ("failed", 3)]


def test_nothing_is_exported_after_the_lifetime(process: Process) -> None:
    """Another process may have taken over: two writers of one series look like resets."""
    publish_run_totals([total()], since=SINCE, lifetime=0)
    assert process.collect() == []
    assert process.memory.points("pipeline.execution.duration") == []
    prolong_run_totals(60)
    assert process.collect() == [("success", 3)]


def test_sums_of_the_process_itself_stay_inside(process: Process) -> None:
    """They are a part of totals that somebody else exports by now."""
    process.runs.add(1, {"pipeline.name": "other", "status": "success", "organization": "acme"})
    publish_run_totals([], since=SINCE, lifetime=60)
    assert process.collect() == []


def test_totals_past_a_bound_are_one_series(process: Process) -> None:
    """Labels are bounded where series are written; what becomes one is added up."""
    configure(max_pipelines=1, max_organizations=1)
    many = [total(), total(pipeline="b"), total(pipeline="c", announced=False)]
    publish_run_totals(many, since=SINCE, lifetime=60)
    process.reader.collect()
    points = process.memory.points("pipeline.executions")
    assert [(p.attributes["pipeline.name"], p.value) for p in points] == [
        ("daily", 3),
        ("other", 6),
    ]
    took = process.memory.points("pipeline.execution.duration")[1]
    assert (took.count, took.sum, took.bucket_counts[:3]) == (4, 16.0, [2, 0, 2])


def test_without_totals_nothing_changes(process: Process) -> None:
    """Prolonging or withdrawing what was never published is harmless."""
    prolong_run_totals(60)
    withdraw_run_totals()
    process.runs.add(2, {"status": "success"})
    assert process.collect() == [("success", 0), ("success", 2)]


def test_forked_child_has_no_totals(process: Process) -> None:
    """They are its parent's."""
    publish_run_totals([total()], since=SINCE, lifetime=60)
    reset_after_fork()
    process.runs.add(2, {"status": "failed"})
    assert ("failed", 2) in process.collect()


def test_wrong_totals_never_raise(process: Process) -> None:
    """Telemetry does not break the process that drains."""
    before = guard.drops().get("internal_error", 0)
    publish_run_totals([total(), total(buckets=(1,))], since=SINCE, lifetime=60)
    assert guard.drops()["internal_error"] == before + 1
