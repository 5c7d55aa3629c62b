"""Start, end and cancel runs. Every change of a run's status happens here.

The life of a run:

1. `trigger()` creates the row in the caller's transaction. Only when that commits,
   the run begins and its first task is published: a request that fails leaves nothing.
2. The first task sets the row to running.
3. `finish()` ends it. The first finisher wins: the UPDATE has the old status in its
   WHERE clause. The row of the outbox is written in the same transaction, so that a run
   that ended is reported for certain, and one that did not is certainly not.
   Nothing is counted here: see `report_runs`.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from celery import current_app
from celery.result import AsyncResult, GroupResult
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.pipelines import links
from apps.pipelines.models import Pipeline, PipelineRun, RunOutbox, TaskRun
from etl_telemetry import begin_run

logger = logging.getLogger(__name__)
Status = PipelineRun.Status


def trigger(
    pipeline: Pipeline,
    *,
    trigger_type: str,
    user: User | None = None,
    options: dict[str, Any] | None = None,
    attempt: int = 1,
) -> PipelineRun:
    """Create a run; publish its tasks once the surrounding transaction commits."""
    run = PipelineRun.objects.create(
        pipeline=pipeline,
        trigger_type=trigger_type,
        triggered_by=user,
        options=options or {},
        attempt=attempt,
    )
    transaction.on_commit(partial(publish, run.pk))
    return run


def run_again(run: PipelineRun, *, user: User | None) -> PipelineRun:
    """Start the next attempt of a run that ended, with the same options."""
    return trigger(
        run.pipeline,
        trigger_type=PipelineRun.Trigger.RETRY,
        user=user,
        options=run.options,
        attempt=run.attempt + 1,
    )


def publish(run_id: UUID) -> None:
    """Begin the run and publish its tasks; a run that can't be published has failed."""
    from apps.pipelines.flows import flow_of
    from apps.pipelines.tasks.runs import fail_run

    run = PipelineRun.objects.select_related("pipeline__organization").get(pk=run_id)
    name = run.pipeline.name
    row = PipelineRun.objects.filter(pk=run.pk)
    try:
        with begin_run(
            name,
            organization=run.pipeline.organization.code,
            run_id=run.pk,
            trigger=run.trigger_type,
            triggered_by=run.triggered_by_reference,
            attempt=run.attempt,
            started_at=run.started_at,
        ) as current:
            # Before publishing: a small run may end before this function does.
            row.update(trace_id=current.trace_id, links=links.to_json(current.links))
            errback = fail_run.s(run_id=str(run.pk), pipeline_name=name)
            result = flow_of(run).apply_async(link_error=errback)
    except OperationalError as error:
        finish(run.pk, Status.FAILED, error=f"The broker can't be reached: {error}")
        logger.exception("run_not_published", extra={"run_id": str(run.pk), "pipeline": name})
        return
    row.update(task_ids=_task_ids(result))


def _task_ids(result: AsyncResult | GroupResult | None) -> list[str]:
    """Return the ids of the tasks that lead to `result`: what a cancel has to revoke."""
    ids: list[str] = []
    while result is not None:
        if isinstance(result, GroupResult):
            ids.extend(child.id for child in result.children)
        else:
            ids.append(result.id)
        result = result.parent
    return ids


def mark_running(run_id: str | UUID) -> bool:
    """Set a pending run to running; say whether the run is active at all."""
    status = PipelineRun.objects.values_list("status", flat=True).get(pk=run_id)
    if status == Status.PENDING:
        return bool(
            PipelineRun.objects.filter(pk=run_id, status__in=PipelineRun.ACTIVE).update(
                status=Status.RUNNING
            )
        )
    return status == Status.RUNNING


def finish(run_id: str | UUID, status: str, *, error: str = "") -> bool:
    """End a run, and put it into the outbox; return False when it had ended before."""
    finished_at = timezone.now()
    with transaction.atomic():
        won = PipelineRun.objects.filter(pk=run_id, status__in=PipelineRun.ACTIVE).update(
            status=status, finished_at=finished_at, error=error
        )
        if not won:
            logger.debug("run_had_ended_before", extra={"run_id": str(run_id), "status": status})
            return False
        run = PipelineRun.objects.select_related("pipeline__organization").get(pk=run_id)
        RunOutbox.objects.create(
            run=run,
            pipeline_name=run.pipeline.name,
            organization=run.pipeline.organization.code,
            status=status,
            trigger_type=run.trigger_type,
            started_at=run.started_at,
            finished_at=finished_at,
        )
    return True


def cancel(run: PipelineRun, *, reason: str) -> bool:
    """End a run as cancelled and stop its tasks: waiting ones are dropped, running ones killed."""
    if not finish(run.pk, Status.CANCELLED, error=reason):
        return False
    running = TaskRun.objects.filter(run=run, status=TaskRun.Status.RUNNING)
    task_ids = {*run.task_ids, *running.values_list("task_id", flat=True)}
    current_app.control.revoke(sorted(task_ids), terminate=True, signal="SIGTERM")
    return True


def end_overdue() -> int:
    """End the runs that nobody finished in time as lost, and return how many."""
    deadline = timezone.now() - timedelta(seconds=settings.RUN_DEADLINE_SECONDS)
    overdue = PipelineRun.objects.filter(status__in=PipelineRun.ACTIVE, started_at__lt=deadline)
    error = f"Nobody finished the run within {settings.RUN_DEADLINE_SECONDS} s."
    return sum(finish(pk, Status.LOST, error=error) for pk in overdue.values_list("pk", flat=True))
