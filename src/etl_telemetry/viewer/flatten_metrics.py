"""OTLP metrics to rows: every kind of data point becomes a series key and a JSON value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Exemplar,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from etl_telemetry.viewer.flatten import (
    MAX_INTEGER,
    SPAN_ID,
    TRACE_ID,
    Batch,
    PointRow,
    SeriesKey,
    attributes,
    canonical,
    dumps,
    identifier,
    number,
    source,
)
from etl_telemetry.viewer.records import Json

DataPoint: TypeAlias = (
    NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint
)
NO_RECORDED_VALUE = 1
"""Bit of `flags`: the series has ended (metrics.proto, DataPointFlags)."""
TEMPORALITIES = ("", "delta", "cumulative")


class _RejectedError(Exception):
    """A data point breaks the protocol; the text says why."""


def metrics(request: ExportMetricsServiceRequest) -> Batch:
    """Return the data points of a request as rows."""
    batch = Batch()
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            rows: list[PointRow] = []
            for metric in scope_metrics.metrics:
                _metric(metric, rows, batch)
            if rows:
                batch.points.append((source(resource_metrics.resource, scope_metrics.scope), rows))
    return batch


def _metric(metric: Metric, rows: list[PointRow], batch: Batch) -> None:
    """Add the points of one metric to `rows`, the wrong ones to the batch's rejections."""
    which = metric.WhichOneof("data")
    if which is None:
        return
    data = getattr(metric, which)
    temporality = getattr(data, "aggregation_temporality", None)
    kind = "updown" if which == "sum" and not data.is_monotonic else which
    word = TEMPORALITIES[temporality] if temporality in (1, 2) else ""
    problem = ""
    if not metric.name:
        problem = "a metric must have a name"
    elif temporality is not None and not word:
        problem = "aggregation_temporality must be delta or cumulative"
    for point in data.data_points:
        if problem:
            batch.rejected[problem] += 1
            continue
        try:
            rows.append(_point(metric, kind, word, point))
        except _RejectedError as error:
            batch.rejected[str(error)] += 1


def _point(metric: Metric, kind: str, temporality: str, point: DataPoint) -> PointRow:
    ended = point.flags & NO_RECORDED_VALUE
    value = None if ended else _VALUES[kind](point)
    bounds = [number(bound) for bound in getattr(point, "explicit_bounds", ())]
    return PointRow(
        SeriesKey(
            metric.name,
            kind,
            temporality,
            metric.unit,
            metric.description,
            dumps(bounds),
            canonical(attributes(point.attributes)),
        ),
        min(point.start_time_unix_nano, MAX_INTEGER),
        min(point.time_unix_nano, MAX_INTEGER),
        None if ended else dumps(value),
        _exemplars(getattr(point, "exemplars", ())),
    )


def _number(point: NumberDataPoint | Exemplar) -> Json:
    which = point.WhichOneof("value")
    if which == "as_int":
        return point.as_int
    if which == "as_double":
        return number(point.as_double)
    raise _RejectedError("a number data point must have a value")


def _histogram(point: HistogramDataPoint) -> Json:
    bounds, buckets = point.explicit_bounds, point.bucket_counts
    if len(buckets) != (len(bounds) + 1 if bounds or buckets else 0):
        raise _RejectedError("bucket_counts must be one longer than explicit_bounds, or both empty")
    if not all(low < high for low, high in pairwise(bounds)):
        raise _RejectedError("explicit_bounds must increase")
    return {**_common(point), "buckets": list(buckets)}


def _exponential(point: ExponentialHistogramDataPoint) -> Json:
    return {
        **_common(point),
        "scale": point.scale,
        "zero_count": point.zero_count,
        "zero_threshold": number(point.zero_threshold),
        "positive": _sparse(point.positive.offset, point.positive.bucket_counts),
        "negative": _sparse(point.negative.offset, point.negative.bucket_counts),
    }


def _common(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> dict[str, Json]:
    return {
        "count": point.count,
        "sum": number(point.sum) if point.HasField("sum") else None,
        "min": number(point.min) if point.HasField("min") else None,
        "max": number(point.max) if point.HasField("max") else None,
    }


def _sparse(offset: int, counts: Iterable[int]) -> dict[str, Json]:
    return {str(offset + i): count for i, count in enumerate(counts) if count}


def _summary(point: SummaryDataPoint) -> Json:
    return {
        "count": point.count,
        "sum": number(point.sum),
        "quantiles": {str(q.quantile): number(q.value) for q in point.quantile_values},
    }


def _exemplars(exemplars: Iterable[Exemplar]) -> str:
    return dumps(
        [
            (
                _number(exemplar),
                min(exemplar.time_unix_nano, MAX_INTEGER),
                identifier(exemplar.trace_id, TRACE_ID),
                identifier(exemplar.span_id, SPAN_ID),
                attributes(exemplar.filtered_attributes),
            )
            for exemplar in exemplars
            if exemplar.WhichOneof("value")
        ]
    )


_VALUES: dict[str, Callable[..., Json]] = {
    "gauge": _number,
    "sum": _number,
    "updown": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
