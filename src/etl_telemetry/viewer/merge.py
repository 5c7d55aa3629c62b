"""Exact arithmetic on metric values: pure functions, no store, no OTLP.

Rules: https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import reduce
from typing import Any

from etl_telemetry.viewer.records import ExponentialHistogram, Histogram, Value


def parse(kind: str, bounds: Sequence[float], text: str) -> Value:
    """Return the value that the store keeps as JSON `text` for a metric of this `kind`.

    >>> parse("sum", (), "5")
    5
    """
    data = json.loads(text, parse_constant=float)
    if kind in ("histogram", "summary"):
        return _histogram(data, bounds)
    if kind == "exponential_histogram":
        return _exponential(data)
    return real(data)


def dump(value: Value) -> str:
    """Return `value` as the JSON text that `parse` reads; bounds are kept with the series."""
    if isinstance(value, Histogram | ExponentialHistogram):
        data = asdict(value)
        data.pop("bounds", None)
        return json.dumps(data, separators=(",", ":"))
    return json.dumps(value)


def real(value: float | str) -> float:
    """Return a number; special floats are kept by name, since JSON has none."""
    return float(value) if isinstance(value, str) else value


def _maybe(value: float | str | None) -> float | None:
    return None if value is None else real(value)


def _histogram(data: dict[str, Any], bounds: Sequence[float]) -> Histogram:
    return Histogram(
        count=data["count"],
        sum=_maybe(data["sum"]),
        min=_maybe(data.get("min")),
        max=_maybe(data.get("max")),
        bounds=tuple(real(bound) for bound in bounds),
        buckets=tuple(data.get("buckets", ())),
    )


def _exponential(data: dict[str, Any]) -> ExponentialHistogram:
    return ExponentialHistogram(
        count=data["count"],
        sum=_maybe(data["sum"]),
        min=_maybe(data["min"]),
        max=_maybe(data["max"]),
        scale=data["scale"],
        zero_count=data["zero_count"],
        zero_threshold=real(data["zero_threshold"]),
        positive={int(index): count for index, count in data["positive"].items()},
        negative={int(index): count for index, count in data["negative"].items()},
    )


def total(values: Iterable[Value]) -> Value:
    """Return the sum of values of one kind; integers stay integers.

    >>> total([2, 3])
    5
    """
    items = list(values)
    first = items[0]
    if isinstance(first, Histogram | ExponentialHistogram):
        return reduce(add, items)
    numbers = [item for item in items if isinstance(item, int | float)]
    if all(isinstance(item, int) for item in numbers):
        return sum(numbers)
    return _sum(numbers)


def _sum(numbers: Sequence[float]) -> float:
    """Return the exact sum, which does not depend on the order; fsum refuses inf + -inf."""
    if all(math.isfinite(item) for item in numbers):
        return math.fsum(numbers)
    return sum(numbers)


def add(one: Value, other: Value) -> Value:
    """Return the sum of two values of the same kind.

    Raises:
        TypeError: The values are of different kinds.
    """
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        return _add_histograms(one, other)
    if isinstance(one, ExponentialHistogram) and isinstance(other, ExponentialHistogram):
        return _add_exponentials(one, other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one + other
    raise TypeError(f"cannot add {type(one).__name__} and {type(other).__name__}")


def _add_histograms(one: Histogram, other: Histogram) -> Histogram:
    """Merge on the bounds that both have: coarser, but every count stays exact."""
    bounds = tuple(sorted(set(one.bounds) & set(other.bounds)))
    known = bool(one.buckets) and bool(other.buckets)
    return Histogram(
        count=one.count + other.count,
        sum=_both(lambda a, b: a + b, one.sum, other.sum),
        min=_both(min, one.min, other.min),
        max=_both(max, one.max, other.max),
        bounds=bounds if known else (),
        buckets=tuple(
            a + b for a, b in zip(_coarse(one, bounds), _coarse(other, bounds), strict=True)
        )
        if known
        else (),
    )


def _coarse(value: Histogram, bounds: tuple[float, ...]) -> list[int]:
    """Return the buckets of `value` on fewer `bounds`, all of which it has."""
    buckets = [0]
    for index, count in enumerate(value.buckets):
        buckets[-1] += count
        if index < len(value.bounds) and value.bounds[index] in bounds:
            buckets.append(0)
    return buckets


def _add_exponentials(
    one: ExponentialHistogram, other: ExponentialHistogram
) -> ExponentialHistogram:
    """Merge on the coarser scale: bucket i of scale s lies wholly in bucket i >> 1 of s - 1."""
    scale = min(one.scale, other.scale)
    return ExponentialHistogram(
        count=one.count + other.count,
        sum=_both(lambda a, b: a + b, one.sum, other.sum),
        min=_both(min, one.min, other.min),
        max=_both(max, one.max, other.max),
        scale=scale,
        zero_count=one.zero_count + other.zero_count,
        zero_threshold=max(one.zero_threshold, other.zero_threshold),
        positive=_sparse_sum(
            (one.positive, one.scale - scale), (other.positive, other.scale - scale)
        ),
        negative=_sparse_sum(
            (one.negative, one.scale - scale), (other.negative, other.scale - scale)
        ),
    )


def _sparse_sum(*sides: tuple[dict[int, int], int]) -> dict[int, int]:
    merged: Counter[int] = Counter()
    for buckets, shift in sides:
        for index, count in buckets.items():
            merged[index >> shift] += count
    return dict(sorted(merged.items()))


def _both(join: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else join(a, b)
