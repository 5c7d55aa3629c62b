"""The exporting reader: zeros first, and the truth about delivery."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from etl_telemetry.catalogue import PIPELINE_EXECUTIONS
from etl_telemetry.metrics import rebuild, rebuild_pipeline_executions
from etl_telemetry.runtime.metric_export import ExportingReader
from etl_telemetry.runtime.observed import ObservedSeries


class _Memory(MetricExporter):
    """Keep what was exported, and answer as told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.exports: list[dict[str, list[tuple[Any, ...]]]] = []
        self.answer = MetricExportResult.SUCCESS

    def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
        self.exports.append(
            {
                metric.name: [
                    (dict(p.attributes), getattr(p, "value", None) or getattr(p, "count", 0))
                    for p in metric.data.data_points
                ]
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
        )
        return self.answer

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        pass


def _meter(**options: Any) -> tuple[_Memory, ExportingReader, Any]:
    exporter = _Memory(**options)
    reader = ExportingReader(exporter, ObservedSeries("observer"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    return exporter, reader, provider.get_meter("test")


def test_a_new_series_of_a_counter_and_a_histogram_begins_with_zero() -> None:
    """Before the first point of each label set goes a zero, once."""
    exporter, reader, meter = _meter()
    runs, seconds = meter.create_counter("runs"), meter.create_histogram("seconds")
    runs.add(3, {"status": "success"})
    seconds.record(1.5)
    reader.collect()
    runs.add(1, {"status": "success"})
    runs.add(1, {"status": "failed"})
    reader.collect()
    ok, failed = {"status": "success"}, {"status": "failed"}
    assert exporter.exports == [
        {"runs": [(ok, 0), (ok, 3)], "seconds": [({}, 0), ({}, 1)]},
        {"runs": [(ok, 4), (failed, 0), (failed, 1)], "seconds": [({}, 1)]},
    ]


def test_a_zero_is_a_millisecond_before_its_value() -> None:
    """Prometheus counts in milliseconds and keeps the first of two points at one time: the zero."""
    captured: list[MetricsData] = []

    class Capture(_Memory):
        def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
            captured.append(metrics_data)
            return MetricExportResult.SUCCESS

    reader = ExportingReader(Capture(), ObservedSeries("observer"))
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    meter.create_counter("runs").add(1)
    meter.create_histogram("seconds").record(1.5)
    reader.collect()
    for metric in captured[0].resource_metrics[0].scope_metrics[0].metrics:
        zero, point = metric.data.data_points
        assert point.time_unix_nano - zero.time_unix_nano >= 10**6
        assert zero.start_time_unix_nano <= zero.time_unix_nano  # type: ignore[union-attr]


def test_gauges_and_up_down_counters_get_no_zero() -> None:
    """A zero would be a value that was never true."""
    exporter, reader, meter = _meter()
    meter.create_gauge("size").set(7)
    meter.create_up_down_counter("open").add(2)
    reader.collect()
    assert exporter.exports == [{"size": [({}, 7)], "open": [({}, 2)]}]


def test_delta_temporality_gets_no_zero() -> None:
    """A delta needs no point before it."""
    from opentelemetry.sdk.metrics import Counter

    exporter, reader, meter = _meter(preferred_temporality={Counter: AggregationTemporality.DELTA})
    meter.create_counter("runs").add(3)
    reader.collect()
    assert exporter.exports == [{"runs": [({}, 3)]}]


def test_a_zero_that_was_not_delivered_is_sent_again() -> None:
    """Only what the receiver took counts as seen."""
    exporter, reader, meter = _meter()
    meter.create_counter("runs").add(3)
    exporter.answer = MetricExportResult.FAILURE
    reader.collect()
    assert not reader.delivered
    exporter.answer = MetricExportResult.SUCCESS
    reader.collect()
    assert reader.delivered
    assert exporter.exports == [{"runs": [({}, 0), ({}, 3)]}] * 2


@pytest.mark.parametrize("aggregation", [None, ExponentialBucketHistogramAggregation()])
def test_the_zero_of_a_histogram_has_neither_minimum_nor_maximum(aggregation: Any) -> None:
    """Of nothing there is none, and 0 would be the smallest value for ever."""
    captured: list[MetricsData] = []

    class Capture(_Memory):
        def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
            captured.append(metrics_data)
            return MetricExportResult.SUCCESS

    reader = ExportingReader(
        Capture(preferred_aggregation={Histogram: aggregation} if aggregation else None),
        ObservedSeries("observer"),
    )
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
    meter.create_histogram("seconds").record(1.5)
    reader.collect()
    encoded = encode_metrics(captured[0]).resource_metrics[0].scope_metrics[0].metrics[0]
    data = encoded.exponential_histogram if aggregation else encoded.histogram
    assert [
        (point.count, point.sum, point.HasField("min"), point.HasField("max"))
        for point in data.data_points
    ] == [(0, 0.0, False, False), (1, 1.5, True, True)]


def test_the_zero_of_a_series_that_began_long_ago_is_a_minute_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prometheus refuses a sample that is an hour old, and then the whole export with it."""
    captured: list[MetricsData] = []

    class Capture(_Memory):
        def export(self, metrics_data: MetricsData, **_: Any) -> MetricExportResult:  # type: ignore[override]
            captured.append(metrics_data)
            return MetricExportResult.SUCCESS

    monkeypatch.setattr("etl_telemetry.metrics.begin_of", lambda name: 1_735_689_600 * 10**9)
    past = frozenset({frozenset({("status", "success")})})
    monkeypatch.setattr("etl_telemetry.runtime.metric_export.goes_on", lambda name: past)
    reader = ExportingReader(Capture(), ObservedSeries("observer"))
    runs = MeterProvider([reader], shutdown_on_exit=False).get_meter("test").create_counter("runs")
    runs.add(1, {"status": "success"})
    reader.collect()
    runs.add(1, {"status": "failed"})
    reader.collect()
    metric = captured[1].resource_metrics[0].scope_metrics[0].metrics[0]
    *_, zero, point = metric.data.data_points
    assert (zero.value, point.value) == (0, 1)  # type: ignore[union-attr]
    assert point.time_unix_nano - zero.time_unix_nano == 60 * 10**9
    assert {zero.start_time_unix_nano, point.start_time_unix_nano} == {1_735_689_600 * 10**9}


@pytest.mark.parametrize(
    ("past", "first"), [([], [0, 1]), ([("weekly", "acme", "success", 1.0)], [1, 0, 1])],
    ids=["empty", "one run"],
)  # fmt: skip
def test_the_first_run_that_a_ledger_did_not_bring_back_gets_its_zero(
    past: list[Any], first: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it brought was exported before; `increase()` has to see the first run of the rest."""
    exporter, reader, meter = _meter()
    runs = meter.create_counter(PIPELINE_EXECUTIONS.name)
    monkeypatch.setattr(
        rebuild, "record_pipeline_execution", lambda *row: runs.add(1, rebuild.run_labels(*row[:3]))
    )
    try:
        rebuild_pipeline_executions(past, since=1_760_000_000.0)
        runs.add(1, rebuild.run_labels("weekly", "acme", "failed"))
        reader.collect()
    finally:
        rebuild.reset_after_fork()
    assert [value for _, value in exporter.exports[0][PIPELINE_EXECUTIONS.name]] == first
