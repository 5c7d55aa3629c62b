"""The questions: a fixed number of queries, whatever the number of pipelines and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router
from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, Sum, When

from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.django import mapping
from etl_telemetry.django.figures import percentiles
from etl_telemetry.django.figures.expressions import computed, duration, measured, own, rows
from etl_telemetry.django.figures.values import (
    NEVER_RUN,
    PipelineMetrics,
    PipelineVolume,
    SystemMetrics,
)
from etl_telemetry.django.figures.windows import MONTH, Scope, bounds
from etl_telemetry.django.mapping import Models

_TOP = 10
_LAST_STATUS, _LAST_TIME = own("last_status"), own("last_time")
COUNTS = {
    "successful_runs": ("success",),
    "failed_runs": ("failed", "lost"),
    "cancelled_runs": ("cancelled",),
    "active_runs": ("pending", "running"),
}
"""Figure -> telemetry's words for the status of the runs that it counts."""
Facts = Mapping[str, Any]


def pipeline_metrics(
    *,
    organizations: Iterable[Any] | None = None,
    pipelines: Iterable[Any] | None = None,
    window: timedelta = MONTH,
    until: datetime | None = None,
    using: str | None = None,
) -> list[PipelineMetrics]:
    """Return the figures of each pipeline, by name, over the runs that began in a window.

    Three queries on PostgreSQL, four elsewhere, whatever the number of pipelines.

    Args:
        organizations: Only the pipelines of these: instances, keys or a query set.
        pipelines: Only these: instances, keys or a query set.
        window: Length of the window.
        until: Its end, exclusive; by default it is open and its length counts back from now.
        using: Alias of the database; by default the one from which the host reads runs.

    Raises:
        ConfigurationError: The host's models are not mapped.
        ValueError: The window is not longer than nothing.
    """
    models = mapping.current()
    scope = Scope(models, alias_of(models, using), organizations, pipelines, *bounds(window, until))
    listed = list(_with_last_run(scope))
    ran = {facts["key"]: facts for facts in _ran(scope)}
    processed = _processed(scope)
    return [
        _figures(models, one, ran.get(one["pk"], {}), processed.get(one["pk"])) for one in listed
    ]


def system_metrics(
    *,
    organizations: Iterable[Any] | None = None,
    window: timedelta = MONTH,
    until: datetime | None = None,
    using: str | None = None,
) -> SystemMetrics:
    """Return the figures of all pipelines together, with two queries.

    Arguments and errors are those of `pipeline_metrics`.
    """
    models = mapping.current()
    scope = Scope(models, alias_of(models, using), organizations, None, *bounds(window, until))
    key, began = models.run["pipeline"], models.run["started_at"]
    name = models.of_run(models.pipeline["name"])
    found = list(
        scope.runs()
        .values_list(key, name)
        .annotate(
            **{
                own("total"): Count(began),
                own("timed"): Count(began, filter=measured(models)),
                own("took"): Sum(duration(models), filter=measured(models)),
            }
        )
    )
    active = scope.all_runs().filter(**{f"{models.run['status']}__in": models.statuses.active})
    number = sum(timed for _, _, _, timed, _ in found)
    seconds = sum((took for *_, took in found if took is not None), timedelta()).total_seconds()
    busiest = sorted(found, key=lambda row: (-row[2], str(row[1]), str(row[0])))[:_TOP]
    return SystemMetrics(
        total_pipelines=len(found),
        total_runs=sum(total for _, _, total, _, _ in found),
        active_runs=active.count(),
        average_duration_seconds=seconds / number if number else 0.0,
        top_pipelines=tuple(PipelineVolume(row[0], str(row[1]), row[2]) for row in busiest),
    )


def counts(models: Models) -> dict[str, Count]:
    """Return what counts the runs by status."""
    began, status = models.run["started_at"], f"{models.run['status']}__in"
    return {
        own(name): Count(began, filter=Q(**{status: models.statuses.of(*words)}))
        for name, words in COUNTS.items()
    }


def alias_of(models: Models, using: str | None) -> str:
    """Return one alias for all tables, so that a router sends no half of a query elsewhere."""
    return router.db_for_read(models.run.model) if using is None else using


def _with_last_run(scope: Scope) -> QuerySet[Any, dict[str, Any]]:
    """Return the pipelines, each with its run that began last, ever."""
    models = scope.models
    run, name = models.run, models.pipeline["name"]
    runs = run.model._base_manager.using(scope.using)
    begun = Q(**{run["pipeline"]: OuterRef("pk"), f"{run['started_at']}__isnull": False})
    last = runs.filter(begun).order_by(f"-{run['started_at']}", "-pk")
    organization = models.organization_name
    return (
        scope.all_pipelines()
        .order_by(name, "pk")
        .annotate(
            **{
                _LAST_STATUS: Subquery(last.values(run["status"])[:1]),
                _LAST_TIME: Subquery(last.values(run["started_at"])[:1]),
            }
        )
        .values("pk", name, *([organization] if organization else []), _LAST_STATUS, _LAST_TIME)
    )


def _ran(scope: Scope) -> Iterable[dict[str, Any]]:
    """Return what is known of the runs of each pipeline.

    Begins are counted, not keys: an index that has begin, status and end is enough.
    """
    models = scope.models
    began = models.run["started_at"]
    runs, pipeline = scope.runs(), models.run["pipeline"]
    grouped = runs.values(pipeline).annotate(
        **{
            own("total_runs"): Count(began),
            own("measured"): Count(began, filter=measured(models)),
            own("took"): Sum(duration(models), filter=measured(models)),
            **counts(models),
        }
    )
    places: Mapping[object, Facts] = {}
    if connections[scope.using].vendor == "postgresql":
        grouped = grouped.annotate(**percentiles.aggregates(models))
    else:
        places = percentiles.by_hand(models, runs, pipeline)
    for facts in grouped:
        key = facts[pipeline]
        yield {**computed(facts), **places.get(key, {}), "key": key}


def _processed(scope: Scope) -> Mapping[object, tuple[int, int]]:
    """Return the rows of each pipeline: of all runs, and of those that have a duration."""
    models = scope.models
    task_run = models.task_run
    if task_run is None:
        return {}
    run = f"{task_run['run']}__"
    pipeline = f"{run}{models.run['pipeline']}"
    timed = Case(When(measured(models, prefix=run), then=True), default=False)
    found = (
        scope.tasks()
        # The numbers are read out of each row once: that is what takes the time.
        .annotate(**{own("timed"): timed})
        .values_list(pipeline, own("timed"))
        .annotate(**{own("number"): Sum(rows(task_run["metrics"], models.rows))})
    )
    processed: dict[object, tuple[int, int]] = {}
    for key, is_timed, number in found:
        every, only = processed.get(key, (0, 0))
        processed[key] = (every + number, only + number if is_timed else only)
    return processed


def _figures(
    models: Models, pipeline: Facts, ran: Facts, processed: tuple[int, int] | None
) -> PipelineMetrics:
    counts = {name: ran.get(name, 0) for name in ("total_runs", *COUNTS)}
    ended = counts["successful_runs"] + counts["failed_runs"] + counts["cancelled_runs"]
    number, took = ran.get("measured", 0), ran.get("took")
    seconds = took.total_seconds() if took is not None else 0.0
    every, timed = processed or (0, 0)
    last = pipeline[_LAST_TIME]
    organization = models.organization_name
    owner = pipeline[organization] if organization else None
    return PipelineMetrics(
        pipeline_id=pipeline["pk"],
        pipeline_name=str(pipeline[models.pipeline["name"]]),
        organization=None if owner is None else str(owner),
        **counts,
        success_rate=counts["successful_runs"] / ended if ended else 0.0,
        average_duration=seconds / number if number else 0.0,
        median_duration=ran.get("median") or 0.0,
        p95_duration=ran.get("p95") or 0.0,
        last_run_status=NEVER_RUN
        if last is None
        else models.statuses.word(pipeline[_LAST_STATUS]) or UNKNOWN,
        last_run_time=last,
        total_rows_processed=every,
        average_rows_per_second=timed / seconds if seconds else 0.0,
    )
