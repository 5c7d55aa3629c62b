"""OTLP metrics to rows."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from etl_telemetry.viewer.flatten import Batch, PointRow, SeriesKey, Source
from etl_telemetry.viewer.flatten_metrics import metrics as flatten_metrics
from support.otlp import SPAN_ID, TRACE_ID, metrics, pairs

CUMULATIVE = 2


def only_row(metric: Metric) -> PointRow:
    """Return the row of a metric that has one point and nothing wrong with it."""
    batch = flatten_metrics(metrics(metric))
    assert not batch.rejected
    ((_, (row,)),) = batch.points
    return row


def a_sum() -> Metric:
    """Return a cumulative sum without points."""
    metric = Metric(name="rows", unit="{row}", description="Rows.")
    metric.sum.aggregation_temporality = CUMULATIVE
    metric.sum.is_monotonic = True
    return metric


def test_a_number_becomes_a_row() -> None:
    """Series and point: every field arrives, attributes in canonical order."""
    metric = a_sum()
    point = metric.sum.data_points.add(
        start_time_unix_nano=1, time_unix_nano=2, as_int=2**60, attributes=pairs({"b": 1, "a": 2})
    )
    point.exemplars.add(
        time_unix_nano=3,
        as_double=1.5,
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=bytes.fromhex(SPAN_ID),
        filtered_attributes=pairs({"c": 3}),
    )
    batch = flatten_metrics(metrics(metric, service_name="etl"))
    key = SeriesKey("rows", "sum", "cumulative", "{row}", "Rows.", "[]", '{"a":2,"b":1}')
    exemplars = f'[[1.5,3,"{TRACE_ID}","{SPAN_ID}",{{"c":3}}]]'
    row = PointRow(key, 1, 2, "1152921504606846976", exemplars)
    assert batch.points == [(Source('{"service.name":"etl"}', "tests", "", "etl"), [row])]


def test_kinds_are_told_apart() -> None:
    """A sum that may fall is another kind than one that may not; a gauge has no temporality."""
    metric = a_sum()
    metric.sum.data_points.add(as_int=1)
    metric.sum.is_monotonic = False
    metric.sum.aggregation_temporality = 1
    assert only_row(metric).series[1:3] == ("updown", "delta")
    gauge = Metric(name="size")
    gauge.gauge.data_points.add(as_double=float("nan"))
    row = only_row(gauge)
    assert (row.series.kind, row.series.temporality, row.value) == ("gauge", "", '"NaN"')


def test_a_histogram_becomes_a_row() -> None:
    """Bounds belong to the series, so that values of one series can be added."""
    metric = Metric(name="duration")
    metric.histogram.aggregation_temporality = CUMULATIVE
    metric.histogram.data_points.add(
        count=3, sum=4.5, min=1, max=2, explicit_bounds=[1, 2.5], bucket_counts=[1, 2, 0]
    )
    row = only_row(metric)
    assert row.series.bounds == "[1.0,2.5]"
    assert json.loads(row.value or "") == {
        "count": 3,
        "sum": 4.5,
        "min": 1.0,
        "max": 2.0,
        "buckets": [1, 2, 0],
    }


def test_an_exponential_histogram_becomes_a_row() -> None:
    """Buckets by index; empty ones take no place; an absent sum is None."""
    metric = Metric(name="duration")
    metric.exponential_histogram.aggregation_temporality = CUMULATIVE
    point = metric.exponential_histogram.data_points.add(count=4, scale=3, zero_count=1)
    point.positive.offset = -1
    point.positive.bucket_counts.extend([1, 0, 2])
    assert json.loads(only_row(metric).value or "") == {
        "count": 4,
        "sum": None,
        "min": None,
        "max": None,
        "scale": 3,
        "zero_count": 1,
        "zero_threshold": 0.0,
        "positive": {"-1": 1, "1": 2},
        "negative": {},
    }


def test_a_summary_becomes_a_row() -> None:
    """The old kind, which some Collector receivers still make."""
    metric = Metric(name="duration")
    metric.summary.data_points.add(count=2, sum=3).quantile_values.add(quantile=0.5, value=1)
    row = only_row(metric)
    assert row.series.kind == "summary"
    assert json.loads(row.value or "") == {"count": 2, "sum": 3.0, "quantiles": {"0.5": 1.0}}


def test_an_ended_series_has_no_value() -> None:
    """The flag NO_RECORDED_VALUE wins over the value's absence, which would be an error."""
    gauge = Metric(name="size")
    gauge.gauge.data_points.add(time_unix_nano=5, flags=1)
    row = only_row(gauge)
    assert (row.time_ns, row.value) == (5, None)


def rejections(metric: Metric) -> Batch:
    """Return the batch of a metric of which no point is accepted."""
    batch = flatten_metrics(metrics(metric))
    assert batch.points == []
    return batch


def test_points_that_break_the_protocol_are_rejected_alone() -> None:
    """A number without a value: the other point is kept."""
    metric = a_sum()
    metric.sum.data_points.add(as_int=5)
    metric.sum.data_points.add()
    batch = flatten_metrics(metrics(metric))
    assert [row.value for _, rows in batch.points for row in rows] == ["5"]
    assert batch.rejected == {"a number data point must have a value": 1}


def test_a_metric_that_breaks_the_protocol_loses_all_points() -> None:
    """No name, no temporality: each point counts."""
    metric = a_sum()
    metric.sum.data_points.add(as_int=5)
    metric.sum.data_points.add(as_int=6)
    metric.sum.aggregation_temporality = 0
    reason = "aggregation_temporality must be delta or cumulative"
    assert rejections(metric).rejected == {reason: 2}
    metric.name = ""
    assert rejections(metric).rejected == {"a metric must have a name": 2}


@pytest.mark.parametrize(
    ("bounds", "buckets", "reason"),
    [
        ([1], [1], "bucket_counts must be one longer than explicit_bounds, or both empty"),
        ([1], [], "bucket_counts must be one longer than explicit_bounds, or both empty"),
        ([], [1, 2], "bucket_counts must be one longer than explicit_bounds, or both empty"),
        ([2, 1], [1, 2, 3], "explicit_bounds must increase"),
        ([1, 1], [1, 2, 3], "explicit_bounds must increase"),
        ([float("nan"), 1], [1, 2, 3], "explicit_bounds must increase"),
    ],
)
def test_a_histogram_must_make_sense(bounds: list[float], buckets: list[int], reason: str) -> None:
    """Buckets that nobody could read are not kept."""
    metric = Metric(name="duration")
    metric.histogram.aggregation_temporality = CUMULATIVE
    metric.histogram.data_points.add(explicit_bounds=bounds, bucket_counts=buckets)
    assert rejections(metric).rejected == {reason: 1}


def test_a_metric_without_data_is_nothing() -> None:
    """An empty metric has no point to reject."""
    assert rejections(Metric(name="x")).rejected == {}
