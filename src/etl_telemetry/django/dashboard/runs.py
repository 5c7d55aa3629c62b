"""The runs of a pipeline with their task runs, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, QuerySet, Sum, Window
from django.db.models.constants import LOOKUP_SEP
from django.db.models.functions import RowNumber

from etl_telemetry.catalogue import UNKNOWN
from etl_telemetry.django import mapping
from etl_telemetry.django.dashboard import links
from etl_telemetry.django.dashboard.questions import PipelineRow
from etl_telemetry.django.dashboard.steps import Step, steps
from etl_telemetry.django.figures import PipelineMetrics
from etl_telemetry.django.figures.expressions import computed, own, rows
from etl_telemetry.django.figures.queries import alias_of
from etl_telemetry.django.mapping import Mapped, Models

PAGE = 50
"""Runs on one page."""
_MOST_TASKS = 40
"""Task runs of one run: a run of thousands takes nothing from the others."""
_LONGEST_ERROR = 1_000


@dataclass(frozen=True, slots=True)
class TaskRun:
    """What one task did in a run."""

    name: str
    """Name of the task, where the mapping tells it."""
    status: str
    """The host's word for its status, where the mapping tells it."""
    steps: Sequence[Step]
    """Its steps with their rows."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline."""

    id: object
    """Its key."""
    status: str
    """Telemetry's word for its status."""
    started_at: datetime | None
    """When it began."""
    finished_at: datetime | None
    """When it ended."""
    trigger: str
    """What triggered it, where the mapping tells it."""
    attempt: int | None
    """Which attempt it is, where the mapping tells it."""
    error: str
    """Why it failed, where the mapping tells it."""
    tasks: Sequence[TaskRun]
    """The first of its task runs, at most 40."""
    more_tasks: int
    """How many there are besides these."""
    processed: int | None
    """Rows of all its task runs, as in the figures; None where no task runs are mapped."""
    rejected: int | None
    """Rows that the steps of `tasks` rejected; None where no task runs are mapped."""
    links: Sequence[links.Link]
    """Where more is told."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it is active."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class RunPage:
    """A part of the runs, the latest first."""

    rows: Sequence[Run]
    """At most 50."""
    number: int
    """Which part, from 1."""
    more: bool
    """Whether there is a part behind it."""


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The task runs of one run."""

    told: Sequence[TaskRun] = ()
    number: int = 0
    processed: int | None = None


def run_page(row: PipelineRow, *, number: int) -> RunPage:
    """Ask for a part of the runs of a pipeline, with their task runs: three queries."""
    models = mapping.current()
    run = models.run
    facts = {
        fact: run.get(fact)
        for fact in ("status", "started_at", "finished_at", "trigger", "attempt", "error")
    }
    named = {own(fact): F(field) for fact, field in facts.items() if field is not None}
    begin = (number - 1) * PAGE
    found = list(
        run.model._base_manager.using(alias_of(models, None))
        .filter(**{run["pipeline"]: row.figures.pipeline_id})
        .order_by(_latest_first(run), "-pk")
        .values("pk", **named)[begin : begin + PAGE + 1]
    )
    shown = found[:PAGE]
    tasks = _tasks(models, [told["pk"] for told in shown])
    return RunPage(
        [_run(models, row.figures, told["pk"], computed(told), tasks) for told in shown],
        number,
        more=len(found) > PAGE,
    )


def _latest_first(run: Mapped) -> Any:
    began = run["started_at"]
    # A plain index gives no order with NULLS LAST: it is asked for only where there may be a NULL.
    always = LOOKUP_SEP not in began and not run.model._meta.get_field(began).null
    return F(began).desc() if always else F(began).desc(nulls_last=True)


def _tasks(models: Models, runs: Sequence[Any]) -> Mapping[Any, _Tasks] | None:
    """Ask for the task runs of some runs; None where no task runs are mapped."""
    mapped = models.task_run
    if mapped is None:
        return None
    every = mapped.model._base_manager.using(alias_of(models, None)).order_by()
    theirs = every.filter(**{f"{mapped['run']}__in": runs})
    told = _told(mapped, every, theirs)
    counted = theirs.values_list(mapped["run"]).annotate(
        **{own("number"): Count("pk"), own("rows"): Sum(rows(mapped["metrics"], models.rows))}
    )
    return {run: _Tasks(told.get(run, ()), number, total) for run, number, total in counted}


def _told(
    mapped: Mapped, every: QuerySet[Any], theirs: QuerySet[Any]
) -> Mapping[Any, list[TaskRun]]:
    """Ask for the first task runs of each run."""
    # The places are counted without the metrics, which may be long.
    place = Window(RowNumber(), partition_by=F(mapped["run"]), order_by=F("pk").asc())
    first = theirs.annotate(**{own("place"): place}).filter(**{f"{own('place')}__lte": _MOST_TASKS})
    facts = [mapped["run"], mapped["metrics"], mapped.get("name"), mapped.get("status")]
    asked = every.filter(pk__in=first.values("pk")).order_by("pk")
    found: dict[Any, list[TaskRun]] = {}
    for run, metrics, *rest in asked.values_list(*(fact for fact in facts if fact is not None)):
        found.setdefault(run, []).append(_task(mapped, metrics, rest))
    return found


def _task(mapped: Mapped, metrics: object, rest: list[object]) -> TaskRun:
    told = dict(zip([f for f in ("name", "status") if mapped.get(f)], rest, strict=True))
    return TaskRun(_text(told.get("name")), _text(told.get("status")), steps(metrics))


def _run(
    models: Models,
    pipeline: PipelineMetrics,
    key: object,
    told: Mapping[str, Any],
    tasks: Mapping[Any, _Tasks] | None,
) -> Run:
    mine = _Tasks() if tasks is None else tasks.get(key, _Tasks(processed=0))
    rejected = sum(step.rejected or 0 for task in mine.told for step in task.steps)
    return Run(
        id=key,
        status=models.statuses.word(told["status"]) or UNKNOWN,
        started_at=told["started_at"],
        finished_at=told["finished_at"],
        trigger=_text(told.get("trigger")),
        attempt=told.get("attempt"),
        error=_text(told.get("error"))[:_LONGEST_ERROR],
        tasks=mine.told,
        more_tasks=mine.number - len(mine.told),
        processed=mine.processed,
        rejected=None if tasks is None else rejected,
        links=links.to(
            pipeline=pipeline.pipeline_name,
            organization=pipeline.organization,
            run=key,
            of_run=True,
        ),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)
