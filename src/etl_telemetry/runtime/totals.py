"""Export the totals of a ledger instead of the sums of this process, see `metrics.totals`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    Sum,
)

from etl_telemetry.catalogue import METRICS
from etl_telemetry.metrics.totals import RUN_METRICS, RunTotal, Snapshot
from etl_telemetry.runtime.resource import shared_resource

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def with_totals(data: MetricsData, snapshot: Snapshot | None) -> MetricsData:
    """Return `data` with the series of the ledger, and no other of these metrics.

    The sums of this process are parts of them. Where the ledger is somebody else's by now, there
    is nothing to say.
    """
    if snapshot is None:
        return data
    return MetricsData(
        [
            _with_metrics(resource, lambda metric: [_replaced(metric, snapshot)])
            for resource in data.resource_metrics
        ]
    )


def apart(data: MetricsData, snapshot: Snapshot | None) -> MetricsData:
    """Return `data` with the series of the ledger under their own instance id, if it has one."""
    if snapshot is None or snapshot.instance_id is None:
        return data
    rest, ours = [], []
    for resource in data.resource_metrics:
        own = shared_resource(resource.resource, snapshot.instance_id)
        moved = dataclasses.replace(resource, resource=own)
        rest.append(_with_metrics(resource, lambda m: [] if m.name in RUN_METRICS else [m]))
        ours.append(_with_metrics(moved, lambda m: [m] if m.name in RUN_METRICS else []))
    return MetricsData([*rest, *(moved for moved in ours if moved.scope_metrics)])


def _with_metrics(
    resource: ResourceMetrics, change: Callable[[Metric], list[Metric]]
) -> ResourceMetrics:
    """Return the same with each metric changed; what is empty then is left out."""
    scopes = [
        dataclasses.replace(
            scope, metrics=[new for metric in scope.metrics for new in change(metric)]
        )
        for scope in resource.scope_metrics
    ]
    return dataclasses.replace(resource, scope_metrics=[scope for scope in scopes if scope.metrics])


def announced(metric: Metric, snapshot: Snapshot | None) -> Sequence[Any]:
    """Return the points whose series some process before this one has exported."""
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
