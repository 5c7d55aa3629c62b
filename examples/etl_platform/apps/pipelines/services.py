"""Start, publish and cancel runs.

The life of a run:

1. `trigger()` creates the row in the caller's transaction. Only when that commits,
   the run begins and its first task is published: a request that fails leaves nothing.
2. The first task sets the row to running.
3. `etl_telemetry.django.ledger.finish_run()` ends it: in the last task, in the error
   callback, or here. The first finisher wins, and what ended is counted exactly once,
   by `manage.py telemetry_observer`. Runs that nobody ends are ended there, too.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from uuid import UUID

from celery import current_app
from celery.result import AsyncResult, GroupResult
from django.db import transaction
from kombu.exceptions import OperationalError

from apps.accounts.models import User
from apps.pipelines.models import Pipeline, PipelineRun, TaskRun
from etl_telemetry import audit, begin_run
from etl_telemetry.django.ledger import finish_run

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
        row.update(trace_id=current.trace_id)
        errback = fail_run.s(run_id=str(run.pk), pipeline_name=name)
        try:
            result = flow_of(run).apply_async(link_error=errback)
        except OperationalError as error:
            finish_run(run, Status.FAILED, error=f"The broker can't be reached: {error}")
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


def cancel(run: PipelineRun, *, reason: str) -> bool:
    """End a run as cancelled and stop its tasks: waiting ones are dropped, running ones killed."""
    with transaction.atomic():
        if not finish_run(run, Status.CANCELLED, error=reason):
            return False
        # That it ended is audited by itself; that somebody wanted it is ours to say.
        audit.record(
            "pipeline_execution_cancelled",
            resource={"type": "pipeline_run", "id": run.pk},
            organization=run.pipeline.organization.code,
            details={"reason": reason},
        )
    running = TaskRun.objects.filter(run=run, status=TaskRun.Status.RUNNING)
    task_ids = {*run.task_ids, *running.values_list("task_id", flat=True)}
    current_app.control.revoke(sorted(task_ids), terminate=True, signal="SIGTERM")
    return True
