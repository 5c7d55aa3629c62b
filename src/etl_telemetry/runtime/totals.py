"""Export the totals of a ledger instead of the sums of this process, see `metrics.totals`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from etl_telemetry.catalogue import METRICS
from etl_telemetry.metrics.totals import RUN_METRICS, RunTotal, Snapshot, published

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def with_totals(data: MetricsData) -> MetricsData:
    """Return `data` with the series of the ledger, and no other of these metrics.

    The sums of this process are parts of them. Where the ledger is somebody else's by now, there
    is nothing to say.
    """
    snapshot = published()
    if snapshot is None:
        return data
    return dataclasses.replace(
        data,
        resource_metrics=[
            dataclasses.replace(
                resource,
                scope_metrics=[
                    dataclasses.replace(
                        scope, metrics=[_replaced(metric, snapshot) for metric in scope.metrics]
                    )
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def announced(metric: Metric) -> Sequence[Any]:
    """Return the points whose series some process before this one has exported."""
    snapshot = published()
    if snapshot is None or metric.name not in RUN_METRICS:
        return ()
    points = metric.data.data_points
    return [point for point in points if (total := _of(snapshot, point)) and total.announced]


def _of(snapshot: Snapshot, point: Any) -> RunTotal | None:
    return snapshot.by_labels.get(frozenset((point.attributes or {}).items()))


def _replaced(metric: Metric, snapshot: Snapshot) -> Metric:
    if metric.name not in RUN_METRICS:
        return metric
    points: list[Any] = []
    for point in metric.data.data_points:
        total = _of(snapshot, point)
        if total is not None and not snapshot.expired:
            points.append(_point(metric, point, total, snapshot.since_ns))
    if isinstance(metric.data, Sum):
        return dataclasses.replace(metric, data=Sum(points, _CUMULATIVE, is_monotonic=True))
    # Of an exponential histogram the ledger has no buckets: it keeps those of the catalogue.
    return dataclasses.replace(metric, data=Histogram(points, _CUMULATIVE))


def _point(
    metric: Metric, point: Any, total: RunTotal, since_ns: int
) -> NumberDataPoint | HistogramDataPoint:
    same: dict[str, Any] = {
        "attributes": point.attributes,
        "start_time_unix_nano": since_ns,
        "time_unix_nano": point.time_unix_nano,
        "exemplars": point.exemplars,
    }
    if isinstance(metric.data, Sum):
        return NumberDataPoint(value=total.count, **same)
    nothing: Any = None  # The ledger knows neither the smallest nor the largest: OTLP leaves out.
    return HistogramDataPoint(
        count=sum(total.buckets),
        sum=total.seconds,
        bucket_counts=list(total.buckets),
        explicit_bounds=list(METRICS[metric.name].buckets or ()),
        min=nothing,
        max=nothing,
        **same,
    )
