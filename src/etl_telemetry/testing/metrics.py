"""Metrics as `{labels: value}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics.export import Gauge, Metric, MetricsData

from etl_telemetry.runtime.observed import is_end
from etl_telemetry.testing.sequences import listing

Labels = tuple[tuple[str, object], ...]
"""All labels of a series, as sorted pairs."""
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """What a histogram holds. Equal where the counts are: sums of durations differ each time."""

    count: int
    """Measurements."""
    sum: float = field(default=0.0, compare=False)
    """Their sum."""

    def __add__(self, other: HistogramValue) -> HistogramValue:
        return HistogramValue(count=self.count + other.count, sum=self.sum + other.sum)

    def __bool__(self) -> bool:
        return self.count > 0


Value = int | float | HistogramValue


class Metrics(dict[str, dict[Labels, Value]]):
    """Metric name -> labels -> value since the capture began.

    Counters and histograms of which nothing was counted are left out: in an export they are
    zeros that announce a series. Gauges are all here.
    """

    def named(self, name: str, *, by: Sequence[str] | None = None) -> dict[Key, Value]:
        """Return the values of one metric by the values of the labels `by`, in that order.

        Series that differ in other labels are added up. Without `by` the keys are all labels,
        as sorted pairs. A metric without values raises `AssertionError` that tells what there is.
        """
        __tracebackhide__ = True
        if name not in self:
            raise AssertionError(
                f"no metric {name!r} has a value; there are: {listing(self) or 'none'}"
            )
        found: dict[Key, Value] = {}
        for labels, value in self[name].items():
            key = labels if by is None else tuple(map(dict(labels).get, by))
            found[key] = _plus(found[key], value) if key in found else value
        return found


def read(data: MetricsData | None) -> Metrics:
    """Return the values in an export of cumulative metrics."""
    found = Metrics()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                values = _values(metric)
                if values:
                    found[metric.name] = found.get(metric.name, {}) | values
    return found


def _values(metric: Metric) -> dict[Labels, Value]:
    # A new series has a zero first: the last point of each is its value.
    points: Mapping[Labels, Value] = {
        tuple(sorted((point.attributes or {}).items())): _value(point)
        for point in metric.data.data_points
        if not is_end(getattr(point, "value", None))
    }
    keep_zeros = isinstance(metric.data, Gauge)
    return {labels: value for labels, value in points.items() if value or keep_zeros}


def _value(point: Any) -> Value:
    if hasattr(point, "value"):
        number: int | float = point.value
        return number
    return HistogramValue(count=point.count, sum=point.sum)


def _plus(one: Any, other: Any) -> Value:
    added: Value = one + other
    return added
