"""Hand collected metrics to an exporter, each new series with a zero first.

A cumulative series that is born at 1 hides its first event from `increase()` and
`rate()`: they need two points. So the first time a counter or histogram series
is exported, a zero at its start time goes before it, as Prometheus does itself
with `created-timestamp-zero-ingestion`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from etl_telemetry.metrics import goes_on
from etl_telemetry.metrics.totals import Snapshot, published
from etl_telemetry.runtime import totals
from etl_telemetry.runtime.continued import with_begins
from etl_telemetry.runtime.observed import ObservedSeries

Merge = Callable[[MetricsData, Mapping[Any, AggregationTemporality]], MetricsData]
"""Adds what other processes handed over, with the temporality that each kind shall have."""
_Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
_NO_BUCKETS = Buckets(offset=0, bucket_counts=[])
_SHORTLY_BEFORE = 60 * 10**9
"""One minute, in nanoseconds: `increase()` over a few minutes sees both points, and it is far from
the hour at which Prometheus refuses a sample as too old, and with it the whole export."""


_APART = 10**6
"""One millisecond, in nanoseconds: Prometheus counts in them, keeps the first of two points at one
time, and would refuse the value that comes right after its zero."""


class ExportingReader(MetricReader):
    """Export at each `collect()`; `delivered` tells how the last one went."""

    def __init__(
        self, exporter: MetricExporter, observed: ObservedSeries, *, merge: Merge | None = None
    ) -> None:
        # As the SDK's own periodic reader asks its exporter; there is no public way.
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001
        )
        self._exporter = exporter
        self._observed = observed
        self._merge = merge
        self._seen: set[Hashable] = set()
        self._continued: set[str] = set()
        self.delivered = True

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object
    ) -> None:
        new: set[Hashable] = set()
        own = with_begins(metrics_data)
        if self._merge is not None:
            own = self._merge(own, self._instrument_class_temporality)
        ledger = published()  # Once: it may change meanwhile.
        own = totals.with_totals(own, ledger)
        data = _with_zeros(own, self._seen, new, self._continued, ledger)
        data = self._observed.apart(totals.apart(data, ledger))
        result = self._exporter.export(data, timeout_millis=timeout_millis)
        self.delivered = result is MetricExportResult.SUCCESS
        self._observed.delivered(everything=self.delivered)
        if self.delivered:
            self._seen |= new

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Close the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_millis)


def _with_zeros(
    data: MetricsData,
    seen: set[Hashable],
    new: set[Hashable],
    continued: set[str],
    ledger: Snapshot | None,
) -> MetricsData:
    """Return `data` with a zero point before the first point of each series not in `seen`."""
    resources = []
    for resource in data.resource_metrics:
        scopes = []
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                known = totals.announced(metric, ledger)
                past = goes_on(metric.name)
                if past and metric.name not in continued:
                    # What a ledger brought back was exported by the process before.
                    continued.add(metric.name)
                    known = [p for p in metric.data.data_points if _labels(p) in past]
                seen.update(_key(metric, scope.scope.name, point) for point in known)
            metrics = [
                _metric(metric, scope.scope.name, seen, new)
                for metric in scope.metrics
                # Without a point it is encoded without a type. Prometheus 3.14 answers such a
                # request with 500, and the Collector drops all that was in it.
                if metric.data.data_points
            ]
            scopes.append(dataclasses.replace(scope, metrics=metrics))
        resources.append(dataclasses.replace(resource, scope_metrics=scopes))
    return MetricsData(resource_metrics=resources)


def _metric(metric: Metric, scope: str, seen: set[Hashable], new: set[Hashable]) -> Metric:
    data = metric.data
    counts = (
        data.is_monotonic
        if isinstance(data, Sum)
        else isinstance(data, (Histogram, ExponentialHistogram))
    )
    if not counts or data.aggregation_temporality is not AggregationTemporality.CUMULATIVE:  # type: ignore[union-attr]
        return metric
    points: list[_Point] = []
    for point in data.data_points:
        key = _key(metric, scope, point)
        if key not in seen:
            new.add(key)
            points.append(_zero(point))
        points.append(point)
    if len(points) == len(data.data_points):
        return metric
    return dataclasses.replace(metric, data=dataclasses.replace(data, data_points=points))  # type: ignore[arg-type]


def _labels(point: object) -> frozenset[tuple[str, Any]]:
    return frozenset((getattr(point, "attributes", None) or {}).items())


def _key(metric: Metric, scope: str, point: object) -> Hashable:
    attributes = getattr(point, "attributes", None) or {}
    return (scope, metric.name, frozenset((k, str(v)) for k, v in attributes.items()))


def _zero(point: _Point) -> _Point:
    # No backend takes a point from long ago: a series that joins rebuilt ones is born now.
    at = max(point.start_time_unix_nano, point.time_unix_nano - _SHORTLY_BEFORE)
    at = min(at, point.time_unix_nano - _APART)
    begun = min(at, point.start_time_unix_nano)
    point = dataclasses.replace(point, start_time_unix_nano=begun, time_unix_nano=at, exemplars=[])
    if isinstance(point, NumberDataPoint):
        return dataclasses.replace(point, value=type(point.value)(0))
    # Of nothing there is no smallest and no largest: OTLP leaves them out.
    empty: dict[str, Any] = {"count": 0, "sum": 0.0, "min": None, "max": None}
    if isinstance(point, HistogramDataPoint):
        empty["bucket_counts"] = [0] * len(point.bucket_counts)
    else:
        empty |= {"zero_count": 0, "positive": _NO_BUCKETS, "negative": _NO_BUCKETS}
    return dataclasses.replace(point, **empty)
