"""Points of metrics: read from OTLP, and added to one another exactly."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeAlias

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from etl_telemetry.runtime.relay.decode import attributes

Point: TypeAlias = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint

_MAX_EXEMPLARS = 4
"""Exemplars that a point without explicit buckets keeps: the latest ones."""
_MAX_BUCKETS = 160
"""Buckets on each side of zero in an exponential histogram, as in the SDK."""


def number(point: Any) -> NumberDataPoint:
    """Return a point of a sum or gauge."""
    return NumberDataPoint(
        attributes=attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        value=_value(point),
        exemplars=_exemplars(point),
    )


def histogram(point: Any) -> HistogramDataPoint:
    """Return a point of a histogram with explicit buckets."""
    return HistogramDataPoint(
        attributes=attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=tuple(point.bucket_counts),
        explicit_bounds=tuple(point.explicit_bounds),
        min=point.min,
        max=point.max,
        exemplars=_exemplars(point),
    )


def exponential(point: Any) -> ExponentialHistogramDataPoint:
    """Return a point of a histogram that chooses its buckets itself."""
    return ExponentialHistogramDataPoint(
        attributes=attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=Buckets(point.positive.offset, tuple(point.positive.bucket_counts)),
        negative=Buckets(point.negative.offset, tuple(point.negative.bucket_counts)),
        flags=point.flags,
        min=point.min,
        max=point.max,
        exemplars=_exemplars(point),
    )


def added(one: Point, other: Point) -> Point:
    """Return the sum of two points of one series: the first's attributes, the later time."""
    common: dict[str, Any] = {
        "start_time_unix_nano": min(one.start_time_unix_nano, other.start_time_unix_nano),
        "time_unix_nano": max(one.time_unix_nano, other.time_unix_nano),
        "exemplars": _both(one, other),
    }
    if isinstance(one, NumberDataPoint) and isinstance(other, NumberDataPoint):
        return dataclasses.replace(one, value=one.value + other.value, **common)
    if isinstance(one, HistogramDataPoint) and isinstance(other, HistogramDataPoint):
        counts = [a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)]
        return dataclasses.replace(one, bucket_counts=counts, **_extent(one, other), **common)
    if isinstance(one, ExponentialHistogramDataPoint) and isinstance(
        other, ExponentialHistogramDataPoint
    ):
        return dataclasses.replace(one, **_buckets(one, other), **_extent(one, other), **common)
    raise TypeError(f"points of {type(one).__name__} and {type(other).__name__} have no sum")


def larger(one: Point, other: Point) -> Point:
    """Return the point of a gauge whose value is larger."""
    if isinstance(one, NumberDataPoint) and isinstance(other, NumberDataPoint):
        return one if one.value > other.value else other
    raise TypeError(f"points of {type(one).__name__} and {type(other).__name__} have no order")


_Histogram = HistogramDataPoint | ExponentialHistogramDataPoint


def _extent(one: _Histogram, other: _Histogram) -> dict[str, Any]:
    # Of nothing there is no smallest and no largest: OTLP then says 0, or the SDK infinity.
    full = [point for point in (one, other) if point.count]
    return {
        "count": one.count + other.count,
        "sum": one.sum + other.sum,
        "min": min((point.min for point in full), default=one.min),
        "max": max((point.max for point in full), default=one.max),
    }


def _buckets(
    one: ExponentialHistogramDataPoint, other: ExponentialHistogramDataPoint
) -> dict[str, Any]:
    # The scale of a point with zeros only says nothing, and may be as coarse as can be.
    full = [p.scale for p in (one, other) if p.count > p.zero_count]
    scale = min(full or [one.scale])
    while True:
        sides = {
            side: _side([(getattr(point, side), point.scale - scale) for point in (one, other)])
            for side in ("positive", "negative")
        }
        if all(len(side.bucket_counts) <= _MAX_BUCKETS for side in sides.values()):
            break
        scale -= 1
    return {"scale": scale, "zero_count": one.zero_count + other.zero_count, **sides}


def _side(parts: Sequence[tuple[Buckets, int]]) -> Buckets:
    """Add buckets whose scale is so much finer than the one that is asked for."""
    counts: dict[int, int] = {}
    for buckets, finer in parts:
        for position, count in enumerate(buckets.bucket_counts):
            if count:
                index = (buckets.offset + position) >> finer
                counts[index] = counts.get(index, 0) + count
    if not counts:
        return Buckets(0, [])
    first, last = min(counts), max(counts)
    return Buckets(first, [counts.get(index, 0) for index in range(first, last + 1)])


def _both(one: Point, other: Point) -> list[Exemplar]:
    latest = sorted([*one.exemplars, *other.exemplars], key=lambda found: found.time_unix_nano)
    if not isinstance(one, HistogramDataPoint):
        return latest[-_MAX_EXEMPLARS:]
    # As the SDK: one for each bucket.
    by_bucket = {bisect_left(one.explicit_bounds, found.value): found for found in latest}
    return list(by_bucket.values())


def _value(point: Any) -> int | float:
    found: int | float = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
    return found


def _exemplars(point: Any) -> list[Exemplar]:
    return [
        Exemplar(
            attributes(found.filtered_attributes),
            _value(found),
            found.time_unix_nano,
            int.from_bytes(found.span_id, "big") if found.span_id else None,
            int.from_bytes(found.trace_id, "big") if found.trace_id else None,
        )
        for found in point.exemplars
    ]
