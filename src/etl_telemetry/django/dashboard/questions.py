"""What pages and API ask, with a fixed number of queries each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.django import mapping
from etl_telemetry.django.alerts import queries as alerts
from etl_telemetry.django.alerts.models import Alert
from etl_telemetry.django.dashboard import links, now
from etl_telemetry.django.dashboard.access import Access
from etl_telemetry.django.dashboard.ordering import BY_NAME, ordered
from etl_telemetry.django.dashboard.window import Window
from etl_telemetry.django.figures import (
    PipelineMetrics,
    RunBucket,
    SystemMetrics,
    pipeline_metrics,
    run_series,
    system_metrics,
)
from etl_telemetry.django.figures.expressions import own
from etl_telemetry.django.figures.queries import alias_of
from etl_telemetry.django.figures.windows import Scope
from etl_telemetry.django.mapping import Models

PAGE = 50
"""Pipelines on one page."""
_MOST_ALERTS = 100


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows besides its table."""

    system: SystemMetrics
    """Figures of all pipelines together."""
    series: Sequence[RunBucket]
    """The same over time."""
    now: now.Now
    """What the observer knows."""
    alerts: Sequence[Alert]
    """Alerts that go on, at most 100."""

    @property
    def success_rate(self) -> float | None:
        """Successful runs of the window among those that ended; None where none ended."""
        ended = sum(bucket.ended_runs for bucket in self.series)
        return sum(bucket.successful_runs for bucket in self.series) / ended if ended else None

    @property
    def failed_runs(self) -> int:
        """Runs of the window that failed or were lost."""
        return sum(bucket.failed_runs for bucket in self.series)

    @property
    def rows_per_hour(self) -> float | None:
        """Rows of the window by its hours; None where no task runs are mapped."""
        told = [bucket.rows for bucket in self.series if bucket.rows is not None]
        seconds = sum(bucket.seconds for bucket in self.series)
        return sum(told) * 3600 / seconds if told and seconds else None


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline in the table."""

    figures: PipelineMetrics
    """Its figures in the window."""
    before: PipelineMetrics
    """Its figures in the window before."""
    last_run_id: object
    """Its run that began last; None: never."""
    links: Sequence[links.Link]
    """Where more is told."""

    @property
    def success_trend(self) -> float | None:
        """Difference of the success rate to the window before; None where either has no end."""
        if not _ended(self.figures) or not _ended(self.before):
            return None
        return self.figures.success_rate - self.before.success_rate

    @property
    def duration_trend(self) -> float | None:
        """Difference of the median duration in seconds; None where either has none."""
        if not self.figures.successful_runs or not self.before.successful_runs:
            return None
        return self.figures.median_duration - self.before.median_duration


@dataclass(frozen=True, slots=True)
class PipelinePage:
    """A part of the table."""

    rows: Sequence[PipelineRow]
    """At most 50."""
    number: int
    """Which part, from 1."""
    pages: int
    """How many there are."""
    total: int
    """Pipelines in all parts."""


def overview(access: Access, window: Window) -> Overview:
    """Ask for everything but the table."""
    seen = access.organizations
    return Overview(
        system=system_metrics(organizations=seen, window=window.length),
        series=run_series(organizations=seen, window=window.length),
        now=now.read(),
        alerts=list(
            alerts.active(organizations=access.names, with_platform=access.sees_all)[:_MOST_ALERTS]
        ),
    )


def pipeline_page(
    access: Access, window: Window, *, number: int, search: str, order: str = BY_NAME
) -> PipelinePage:
    """Ask for a part of the table, in one of `ordering.ORDERS`."""
    models = mapping.current()
    name = models.pipeline["name"]
    found = _visible(models, access)
    if search:
        found = found.filter(**{f"{name}__icontains": search})
    begin = (number - 1) * PAGE
    part = slice(begin, begin + PAGE)
    if order.removeprefix("-") == BY_NAME:
        total = found.count()
        sign = order.removesuffix(BY_NAME)
        keys = found.order_by(f"{sign}{name}", f"{sign}pk").values_list("pk", flat=True)[part]
        figures = _figures(window, list(keys))
        if sign:
            figures.reverse()
    else:  # Only the figures of all of them tell which come first.
        every = ordered(pipeline_metrics(pipelines=found, window=window.length), order)
        total, figures = len(every), every[part]
    return PipelinePage(_rows(models, window, figures), number, max(1, ceil(total / PAGE)), total)


def pipeline_row(access: Access, window: Window, key: str) -> PipelineRow | None:
    """Ask for one pipeline; None where there is none that may be seen."""
    models = mapping.current()
    if "\0" in key:
        return None  # A database may refuse it, with an error.
    try:
        keys = list(_visible(models, access).filter(pk=key).values_list("pk", flat=True)[:1])
    except (ValueError, ValidationError, OverflowError):
        return None  # No key of this model looks like that.
    rows = _rows(models, window, _figures(window, keys))
    return rows[0] if rows else None


def series_of(row: PipelineRow, window: Window) -> list[RunBucket]:
    """Ask for the runs of a pipeline over time."""
    return run_series(pipelines=[row.figures.pipeline_id], window=window.length)


def alerts_of(access: Access, row: PipelineRow) -> list[Alert]:
    """Ask for the alerts that name a pipeline and its organization."""
    name = row.figures.organization or ""
    if access.names is not None and name not in access.names:
        return []
    # Who sees all sees also the alerts of what has no organization.
    names = [name] if name else [UNKNOWN]
    found = alerts.active(organizations=names, with_platform=not name)
    return list(found.filter(pipeline_name=row.figures.pipeline_name)[:_MOST_ALERTS])


def _visible(models: Models, access: Access) -> QuerySet[Any]:
    using = alias_of(models, None)
    scope = Scope(models, using, access.organizations, None, timezone.now(), None)
    return scope.all_pipelines()


def _figures(window: Window, keys: Sequence[Any]) -> list[PipelineMetrics]:
    return pipeline_metrics(pipelines=keys, window=window.length) if keys else []


def _rows(models: Models, window: Window, figures: Sequence[PipelineMetrics]) -> list[PipelineRow]:
    if not figures:
        return []
    keys = [one.pipeline_id for one in figures]
    since = timezone.now() - window.length
    before = {
        one.pipeline_id: one
        for one in pipeline_metrics(pipelines=keys, window=window.length, until=since)
    }
    last = _last_runs(models, keys)
    return [
        PipelineRow(
            one,
            before.get(one.pipeline_id, one),
            last.get(one.pipeline_id),
            links.to(
                pipeline=one.pipeline_name,
                organization=one.organization,
                run=last.get(one.pipeline_id),
            ),
        )
        for one in figures
    ]


def _last_runs(models: Models, keys: Sequence[Any]) -> Mapping[Any, Any]:
    run, using = models.run, alias_of(models, None)
    began = run["started_at"]
    runs = run.model._base_manager.using(using).filter(
        **{run["pipeline"]: OuterRef("pk"), f"{began}__isnull": False}
    )
    last = Subquery(runs.order_by(f"-{began}", "-pk").values("pk")[:1])
    pipelines = models.pipeline.model._base_manager.using(using).filter(pk__in=keys)
    return dict(pipelines.order_by().annotate(**{own("last"): last}).values_list("pk", own("last")))


def _ended(figures: PipelineMetrics) -> int:
    return figures.successful_runs + figures.failed_runs + figures.cancelled_runs
