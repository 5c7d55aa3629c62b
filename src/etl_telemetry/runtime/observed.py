"""Export what the observer reports: under an instance id of its own, and with an end.

The SDK has no point that says "no value any more", and its encoder writes no flags for gauges
(opentelemetry-python 1.45; delete this part when both can). So such a point travels as the
not-a-number that Prometheus itself uses for it, and becomes OTLP's flag where it is encoded.
"""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import DataPointFlags
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from etl_telemetry.catalogue import OBSERVER_SCOPE
from etl_telemetry.observer import board
from etl_telemetry.runtime.resource import shared_resource

_STALE_BITS = struct.pack("<Q", 0x7FF0_0000_0000_0002)
"""Prometheus' stale marker: what a receiver makes of OTLP's NO_RECORDED_VALUE."""
_STALE: float = struct.unpack("<d", _STALE_BITS)[0]
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_Series = Mapping[Hashable, tuple[Metric, NumberDataPoint]]


class ObservedSeries:
    """The observer's series, as this process exports them. One thread calls it."""

    def __init__(self, instance_id: str) -> None:
        self._instance_id = instance_id
        self._known: _Series = {}
        self._current: _Series = {}
        self._since = 0
        self._before: Mapping[Hashable, float] = {}

    def apart(self, data: MetricsData) -> MetricsData:
        """Return `data` with the observer's series under their own resource, and their ends.

        Say by `delivered` whether they have arrived: an end that has not is sent again.
        """
        ours, rest = [], []
        for resource in data.resource_metrics:
            of_observer = [s for s in resource.scope_metrics if s.scope.name == OBSERVER_SCOPE]
            others = [s for s in resource.scope_metrics if s.scope.name != OBSERVER_SCOPE]
            rest.append(dataclasses.replace(resource, scope_metrics=others))
            ours += of_observer
        metrics = [metric for scope in ours for metric in scope.metrics]
        metrics = self._of_this_lead(metrics)
        self._current = {
            _key(metric, point): (metric, point)
            for metric in metrics
            if isinstance(metric.data, Gauge)
            for point in metric.data.data_points
        }
        if board.handed_over:
            self._known = {}  # They go on in another process.
        metrics += self._ends()
        if not metrics:
            return MetricsData(resource_metrics=rest)
        scope = ours[0].scope if ours else InstrumentationScope(OBSERVER_SCOPE)
        own = ResourceMetrics(
            shared_resource(rest[0].resource, self._instance_id),
            [ScopeMetrics(scope, metrics, "")],
            "",
        )
        return MetricsData(resource_metrics=[*rest, own])

    def delivered(self, *, everything: bool) -> None:
        """Tell whether the last data have arrived."""
        self._known = self._current if everything else {**self._known, **self._current}

    def _of_this_lead(self, metrics: list[Metric]) -> list[Metric]:
        """Return what this process may report: nothing without the lead, and sums since it has it.

        Another observer may have counted in the meantime: its sums go on in the same series.
        """
        if not board.leads:
            self._since = time.time_ns()
            self._before = {
                _key(metric, point): point.value
                for metric in metrics
                if isinstance(metric.data, Sum)
                for point in metric.data.data_points
            }
            return []
        return (
            [self._rebased(metric, metric.data) for metric in metrics] if self._before else metrics
        )

    def _rebased(self, metric: Metric, data: object) -> Metric:
        cumulative = AggregationTemporality.CUMULATIVE
        if not isinstance(data, Sum) or data.aggregation_temporality is not cumulative:
            return metric
        points = [
            dataclasses.replace(
                point,
                value=point.value - self._before.get(_key(metric, point), 0),
                start_time_unix_nano=max(point.start_time_unix_nano, self._since),
            )
            for point in data.data_points
        ]
        return dataclasses.replace(metric, data=dataclasses.replace(data, data_points=points))

    def _ends(self) -> Iterator[Metric]:
        now = time.time_ns()
        for key, (metric, point) in self._known.items():
            if key not in self._current:
                end = dataclasses.replace(point, value=_STALE, time_unix_nano=now, exemplars=[])
                yield dataclasses.replace(metric, data=Gauge(data_points=[end]))


def _key(metric: Metric, point: Any) -> Hashable:
    return metric.name, frozenset((point.attributes or {}).items())


def is_end(value: object) -> bool:
    """Return whether the value of a point says that its series has ended."""
    return isinstance(value, float) and struct.pack("<d", value) == _STALE_BITS


def with_ends(exporter: type[Any]) -> type[Any]:
    """Return OpenTelemetry's exporter of metrics over OTLP, HTTP or gRPC, that can say an end."""

    class EndingMetricExporter(exporter):  # type: ignore[misc]
        __module__ = exporter.__module__
        # The one seam of each exporter between encoding and sending; both are private.

        def _export_batch(self, export_request: ExportMetricsServiceRequest) -> Any:
            return super()._export_batch(_flagged(export_request))

        def _translate_data(self, data: MetricsData) -> ExportMetricsServiceRequest:
            return _flagged(super()._translate_data(data))

    return EndingMetricExporter


def _flagged(request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            if scope.scope.name != OBSERVER_SCOPE:
                continue
            for metric in scope.metrics:
                for point in metric.gauge.data_points:
                    if is_end(point.as_double):
                        point.ClearField("as_double")
                        point.flags = _NO_VALUE
    return request
