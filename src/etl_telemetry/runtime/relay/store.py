"""The sums of the children, kept by their parent, and exported as its own.

A child hands over what it measured since the last time. Here it is added up: sums and
histograms exactly; an up-down counter without the part of a process that has ended; of a
gauge what the catalogue says (`over_processes`). So there is one writer, and one series for each
set of attributes, however many children came and went.
"""

from __future__ import annotations

import dataclasses
import operator
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from functools import reduce
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk import metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from etl_telemetry import guard
from etl_telemetry.catalogue import (
    BOUNDS,
    METRICS,
    SCOPE,
    DropReason,
)
from etl_telemetry.metrics.labels import bounded
from etl_telemetry.runtime.relay import decode, points
from etl_telemetry.runtime.relay.points import Point

Temporalities = Mapping[Any, AggregationTemporality]

_MAX_SETS = 2_000
_OVERFLOW = {"otel.metric.overflow": True}
_DELTA = AggregationTemporality.DELTA
_READ = {
    "sum": points.number,
    "gauge": points.number,
    "histogram": points.histogram,
    "exponential_histogram": points.exponential,
}
_COMBINED: Mapping[str, Callable[[float, float], float]] = {"sum": operator.add, "max": max}
"""How the gauges that each process looks at, whenever it collects, become one. What such a process
does not tell any more has ended, and is told once more, as 0: backends that look a few minutes back
would show the last value on."""


class Stream:
    """One metric of the children: its series."""

    __slots__ = (
        "by_process", "combine", "ends_at_zero", "is_newest", "kind", "metric", "monotonic",
        "scope", "series",
    )  # fmt: skip

    def __init__(self, scope: InstrumentationScope, metric: Any, kind: str) -> None:
        self.scope = scope
        self.metric = (metric.name, metric.description, metric.unit)
        self.kind = kind
        self.monotonic = kind == "sum" and metric.sum.is_monotonic
        ours = METRICS.get(metric.name) if scope.name == SCOPE else None
        over = ours.over_processes if ours is not None and kind == "gauge" else "last"
        self.is_newest = over == "newest"
        self.combine = _COMBINED.get(over)
        # Parts of any other up-down counter may be 0 together, and not apart.
        self.ends_at_zero = ours is not None and ours.ends_at_zero
        self.series: dict[Hashable, Point] = {}
        """Sums of all processes by attributes, and what is newest."""
        self.by_process: dict[Hashable, dict[int, Point]] = {}
        """What must go with its process: up-down counters and gauges."""

    @property
    def lasts(self) -> bool:
        """Whether what a process added outlives it."""
        is_sum = self.monotonic or self.kind in ("histogram", "exponential_histogram")
        return is_sum or self.is_newest

    def add(self, point: Point, pid: int) -> None:
        """Add what a process measured."""
        point = self._bounded(point)
        key = key_of(point)
        if self.lasts:
            before = self.series.get(key)
            together = points.larger if self.is_newest else points.added
            self.series[key] = point if before is None else together(before, point)
            return
        parts = self.by_process.setdefault(key, {})
        mine = parts.pop(pid, None)  # And in again: the last one is the one that was set last.
        parts[pid] = point if mine is None or self.kind == "gauge" else points.added(mine, point)

    def end(self, pid: int) -> None:
        """Take back what ended with its process."""
        for parts in self.by_process.values():
            parts.pop(pid, None)

    def current(self) -> dict[Hashable, Point]:
        """Return a point for each series."""
        if self.lasts:
            return dict(self.series)
        found = {}
        for key, parts in list(self.by_process.items()):
            of_living = list(parts.values())
            if self.kind != "gauge":
                found[key] = self._total(key, of_living)
            elif of_living:
                found[key] = self._gauge(of_living)
            elif self.combine is not None:
                found[key] = self._total(key, [])
                del self.by_process[key]
        if self.ends_at_zero:
            for key, point in found.items():
                if isinstance(point, NumberDataPoint) and not point.value:
                    self.by_process.pop(key, None)
        return found

    def settle(self, *, delta: bool) -> None:
        """Begin anew after an export: exemplars are told once, and deltas too."""
        for key, point in self.series.items():
            if point.exemplars:
                self.series[key] = dataclasses.replace(point, exemplars=[])
        if delta and self.lasts and not self.is_newest:
            self.series.clear()

    def _gauge(self, parts: list[Point]) -> Point:
        last = parts[-1]
        if self.combine is None:
            return last
        values: list[Any] = [part.value for part in parts if isinstance(part, NumberDataPoint)]
        combined: Point = dataclasses.replace(last, value=reduce(self.combine, values))
        return combined

    def beside(self, own: Any, point: Any) -> Point:
        """Return the gauge of this process: with its children's where they become one."""
        how = max if self.is_newest else self.combine
        beside: Point = (
            own if how is None else dataclasses.replace(own, value=how(own.value, point.value))
        )
        return beside

    def _total(self, key: Any, parts: list[Point]) -> Point:
        now = time.time_ns()
        zero = NumberDataPoint(dict(key), now, now, 0)
        total: Point = zero
        for part in parts:
            total = points.added(total, part)
        return total

    def _bounded(self, point: Point) -> Point:
        given = point.attributes or {}
        if self.scope.name == SCOPE:
            # Each child admits as many values as the bound: together they know more.
            kept = {k: bounded(k, v) if k in BOUNDS else v for k, v in given.items()}
            return point if kept == given else dataclasses.replace(point, attributes=kept)
        known = self.series if self.lasts else self.by_process
        if len(known) < _MAX_SETS or key_of(point) in known:
            return point
        guard.drop(
            DropReason.LABEL_OVERFLOW,
            detail=f"{self.metric[0]} has more than {_MAX_SETS} sets of attributes",
        )
        return dataclasses.replace(point, attributes=_OVERFLOW)


class Store:
    """All metrics of the children."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[Hashable, Stream] = {}
        self._starts: dict[Hashable, int] = {}
        self._begun = time.time_ns()

    def clear(self) -> None:
        """Begin at zero."""
        with self._lock:
            self._streams.clear()
            self._starts.clear()
            self._begun = time.time_ns()

    def add(self, encoded: bytes, pid: int) -> None:
        """Add what process `pid` handed over."""
        request = ExportMetricsServiceRequest.FromString(encoded)
        with self._lock:
            for stream in self._streams.values():
                if stream.combine is not None:
                    stream.end(pid)
            for part in request.resource_metrics:
                for scope_metrics in part.scope_metrics:
                    scope = decode.scope(scope_metrics.scope, scope_metrics.schema_url)
                    for metric in scope_metrics.metrics:
                        self._add(scope or InstrumentationScope(""), metric, pid)

    def end(self, pid: int) -> None:
        """Take back what ended with a process."""
        with self._lock:
            for stream in self._streams.values():
                stream.end(pid)

    def merged(self, data: MetricsData, temporalities: Temporalities) -> MetricsData:
        """Return what this process measured itself, with what its children did, in one series."""
        if not data.resource_metrics:
            return data
        first, *others = data.resource_metrics
        with self._lock:
            scopes = {_scope_key(found.scope): found for found in first.scope_metrics}
            for stream in self._streams.values():
                temporality = _temporality(stream, temporalities)
                found = stream.current()
                if found:
                    key = _scope_key(stream.scope)
                    own = scopes.get(key) or ScopeMetrics(
                        stream.scope, [], stream.scope.schema_url or ""
                    )
                    scopes[key] = self._with(own, stream, found, temporality)
                stream.settle(delta=temporality is _DELTA)
        merged = dataclasses.replace(first, scope_metrics=list(scopes.values()))
        return MetricsData(resource_metrics=[merged, *others])

    def _add(self, scope: InstrumentationScope, metric: Any, pid: int) -> None:
        kind = metric.WhichOneof("data")
        if kind not in _READ:
            return
        read: Any = _READ[kind]
        for encoded in getattr(metric, kind).data_points:
            point = read(encoded)
            bounds = getattr(point, "explicit_bounds", ())
            key = (_scope_key(scope), metric.name, metric.unit, kind, bounds)
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = Stream(scope, metric, kind)
            stream.add(point, pid)

    def _with(
        self,
        own: ScopeMetrics,
        stream: Stream,
        found: dict[Hashable, Point],
        temporality: AggregationTemporality,
    ) -> ScopeMetrics:
        """Return the metrics of a scope with those of a stream among them."""
        metrics_of_scope = list(own.metrics)
        at = next((i for i, m in enumerate(metrics_of_scope) if _is(m, stream)), None)
        mine: Any = () if at is None else metrics_of_scope[at].data.data_points
        together: dict[Hashable, Point] = {key_of(point): point for point in mine}
        now = max((point.time_unix_nano for point in mine), default=time.time_ns())
        for key, point in found.items():
            here = together.get(key)
            if here is None:
                begun = self._begun if temporality is not _DELTA else point.start_time_unix_nano
                together[key] = dataclasses.replace(
                    point, start_time_unix_nano=begun, time_unix_nano=now
                )
            elif stream.kind == "gauge":
                together[key] = stream.beside(here, point)
            else:
                together[key] = dataclasses.replace(
                    points.added(here, point), start_time_unix_nano=here.start_time_unix_nano
                )
        if temporality is not _DELTA and stream.kind != "gauge":
            together = {k: self._begun_once(stream, k, point) for k, point in together.items()}
        merged = _metric(stream, list(together.values()), temporality)
        if at is None:
            metrics_of_scope.append(merged)
        else:
            metrics_of_scope[at] = merged
        return dataclasses.replace(own, metrics=metrics_of_scope)

    def _begun_once(self, stream: Stream, key: Hashable, point: Point) -> Point:
        """Keep the first begin that was exported: another one would mean a new count from zero."""
        begun = self._starts.setdefault(
            (_scope_key(stream.scope), stream.metric[0], key), point.start_time_unix_nano
        )
        return dataclasses.replace(point, start_time_unix_nano=begun)


def key_of(point: Point) -> Hashable:
    """Return what tells a series from the others of its metric."""
    return frozenset((point.attributes or {}).items())


def _scope_key(scope: InstrumentationScope) -> Hashable:
    return (scope.name, scope.version, scope.schema_url or None)


def _is(metric: Metric, stream: Stream) -> bool:
    """Tell whether a metric of this process is the one of the stream."""
    data = metric.data
    if metric.name != stream.metric[0] or (metric.unit or "") != stream.metric[2]:
        return False
    if isinstance(data, Sum):
        return stream.kind == "sum" and data.is_monotonic == stream.monotonic
    if isinstance(data, Histogram):
        bounds = {tuple(point.explicit_bounds) for point in data.data_points}
        of_stream = {tuple(point.explicit_bounds) for point in stream.series.values()}  # type: ignore[union-attr]
        return stream.kind == "histogram" and bounds == of_stream
    if isinstance(data, ExponentialHistogram):
        return stream.kind == "exponential_histogram"
    return stream.kind == "gauge"


def _temporality(stream: Stream, wanted: Temporalities) -> AggregationTemporality:
    kind: type
    if stream.kind == "sum":
        kind = metrics.Counter if stream.monotonic else metrics.UpDownCounter
    else:
        kind = metrics.Histogram
    return wanted.get(kind, AggregationTemporality.CUMULATIVE)


def _metric(stream: Stream, found: list[Any], temporality: AggregationTemporality) -> Metric:
    data: Any
    if stream.kind == "sum":
        data = Sum(found, temporality, stream.monotonic)
    elif stream.kind == "gauge":
        data = Gauge(found)
    elif stream.kind == "histogram":
        data = Histogram(found, temporality)
    else:
        data = ExponentialHistogram(found, temporality)
    name, description, unit = stream.metric
    return Metric(name, description, unit, data)
