"""The order of the table of pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from etl_telemetry.django.figures import PipelineMetrics

BY_NAME = "name"
"""Where nobody asks for another order."""


def _of_ended(one: PipelineMetrics) -> float | None:
    ended = one.successful_runs + one.failed_runs + one.cancelled_runs
    return one.success_rate if ended else None


def _median(one: PipelineMetrics) -> float | None:
    return one.median_duration if one.successful_runs else None


def _p95(one: PipelineMetrics) -> float | None:
    return one.p95_duration if one.successful_runs else None


_FIGURES: Mapping[str, Callable[[PipelineMetrics], Any]] = {
    "last": lambda one: one.last_run_time,
    "runs": lambda one: one.total_runs,
    "failed": lambda one: one.failed_runs,
    "success": _of_ended,
    "median": _median,
    "p95": _p95,
    "rows": lambda one: one.total_rows_processed,
    "speed": lambda one: one.average_rows_per_second,
}
ORDERS = (BY_NAME, *_FIGURES)
"""What may be asked for; with `-` before it the other way round."""
_COLUMNS = {
    "Pipeline": BY_NAME, "Organization": "", "Last run": "", "Began": "last", "Runs": "runs",
    "Failed": "failed", "Success rate": "success", "Median": "median", "p95": "p95",
    "Rows": "rows", "Rows per second": "speed", "Links": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    title: str
    """What stands above it."""
    order: str
    """The order that a click asks for; empty: none."""
    now: str
    """Its order now, as `aria-sort` says it; empty: the table is in another one."""


def columns(order: str) -> list[Column]:
    """Return the columns of a table in that order.

    >>> columns("-failed")[5]
    Column(title='Failed', order='failed', now='descending')
    """
    return [_column(title, name, order) for title, name in _COLUMNS.items()]


def _column(title: str, name: str, order: str) -> Column:
    if not name or name != order.removeprefix("-"):
        # The most, and the latest, first; names from A.
        return Column(title, name if name in {"", BY_NAME} else f"-{name}", "")
    if order.startswith("-"):
        return Column(title, name, "descending")
    return Column(title, f"-{name}", "ascending")


def ordered(figures: Iterable[PipelineMetrics], order: str) -> list[PipelineMetrics]:
    """Order by a figure; whoever has none comes last, either way. Equal ones stay as they are."""
    tell = _FIGURES[order.removeprefix("-")]
    told = [(tell(one), one) for one in figures]
    known = sorted(
        (pair for pair in told if pair[0] is not None),
        key=lambda pair: pair[0],
        reverse=order.startswith("-"),
    )
    return [one for _, one in known] + [one for figure, one in told if figure is None]
