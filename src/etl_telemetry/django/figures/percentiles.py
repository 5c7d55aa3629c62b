"""Percentiles of durations, the same on every database.

Of n durations in order, the percentile p stands at the place p * (n - 1), counted from 0;
between two places it is interpolated along a straight line. That is PostgreSQL's
`percentile_cont`, the default of numpy, and `PERCENTILE.INC` of spreadsheets. So the median of
two is the middle between them, and of one duration every percentile is that one.

PostgreSQL computes it. Elsewhere the database numbers the durations of each group (a pipeline, an
hour), gives those around the places that are asked for, at most four a group, and they are
interpolated here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from etl_telemetry.django.figures.expressions import PercentileCont, duration, measured, own
from etl_telemetry.django.mapping import Models

PERCENTS = {"median": 50, "p95": 95}
"""The percentiles that there are figures of."""


def aggregates(models: Models) -> dict[str, PercentileCont]:
    """Return what PostgreSQL adds to a query that is grouped by pipeline."""
    return {
        own(name): PercentileCont(duration(models), fraction=percent / 100, filter=measured(models))
        for name, percent in PERCENTS.items()
    }


def by_hand(models: Models, runs: QuerySet[Any], by: str) -> Mapping[object, dict[str, float]]:
    """Return the percentiles of each group, in seconds, with one query for any database.

    `by` is the field or annotation that groups the runs.
    """
    took, place, number = own("took"), own("place"), own("number")
    timed = runs.filter(measured(models)).annotate(**{took: duration(models)})
    placed = timed.annotate(
        **{
            place: Window(RowNumber(), partition_by=F(by), order_by=F(took).asc()),
            number: Window(Count("pk"), partition_by=F(by)),
        }
    )
    wanted = Q()
    for name, percent in PERCENTS.items():
        # Whole numbers: a fraction of a place may be lost in floating point.
        distance = (F(place) - 1) * 100 - (F(number) - 1) * percent
        to = own(f"to_{name}")
        placed = placed.annotate(**{to: distance})
        wanted |= Q(**{f"{to}__gt": -100, f"{to}__lt": 100})
    rows = placed.filter(wanted).values_list(by, place, number, took)
    return _interpolated(rows)


def _interpolated(rows: Iterable[tuple[Any, ...]]) -> Mapping[object, dict[str, float]]:
    """Return the percentiles of rows of group, place, number of places, duration."""
    found: dict[object, dict[int, timedelta]] = defaultdict(dict)
    numbers: dict[object, int] = {}
    for key, place, number, duration_ in rows:
        found[key][place - 1] = duration_
        numbers[key] = number
    return {
        key: {
            name: _between(found[key], Fraction(percent, 100) * (number - 1))
            for name, percent in PERCENTS.items()
        }
        for key, number in numbers.items()
    }


def percentile(durations: Iterable[float], percent: int) -> float:
    """Return a percentile by its definition; 0 of nothing.

    >>> percentile([3.0, 1.0], 50), percentile([1.0], 95), percentile([], 95)
    (2.0, 1.0, 0.0)
    """
    ordered = dict(enumerate(sorted(durations)))
    place = Fraction(percent, 100) * (len(ordered) - 1)
    return _between(ordered, place) if ordered else 0.0


def _between(ordered: Mapping[int, float | timedelta], place: Fraction) -> float:
    below = floor(place)
    low = _seconds(ordered[below])
    if place == below:
        return low
    return low + (_seconds(ordered[below + 1]) - low) * float(place - below)


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value
