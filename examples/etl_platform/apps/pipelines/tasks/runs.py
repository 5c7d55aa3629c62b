"""Tasks about runs: the schedule starts one, an error ends one, an incident keeps one busy."""

from __future__ import annotations

import time

from celery import shared_task

from apps.pipelines import services, staging
from apps.pipelines.models import Pipeline, PipelineRun, TaskRun
from apps.pipelines.steps import counted_step
from apps.pipelines.tasks.base import RunTask
from etl_telemetry.django.ledger import finish_run


@shared_task
def start_scheduled_run(*, pipeline_name: str) -> str | None:
    """Start a run because its time has come: what beat calls."""
    pipeline = Pipeline.objects.filter(name=pipeline_name, is_active=True).first()
    if pipeline is None:
        return None
    return str(services.trigger(pipeline, trigger_type=PipelineRun.Trigger.SCHEDULE).pk)


@shared_task
def fail_run(task_id: str, *, run_id: str, pipeline_name: str) -> None:
    """End a run as failed: the error callback of all of its tasks."""
    told = TaskRun.objects.filter(run_id=run_id).exclude(error="")
    failed = told.filter(status__in=(TaskRun.Status.RUNNING, TaskRun.Status.FAILED)).last()
    error = (
        f"{failed.task_name}: {failed.error}"
        if failed
        else f"Task {task_id} failed without a word: its worker died, or its time was up."
    )
    finish_run(run_id, PipelineRun.Status.FAILED, error=error)
    staging.discard(run_id)


@shared_task(base=RunTask, bind=True)
def hold(self: RunTask, *, run_id: str, pipeline_name: str, seconds: float) -> None:
    """Keep a worker busy, once: what the incidents kill or revoke. Ends its run."""
    with counted_step("hold") as tally:
        left = 0 if self.lost_deliveries() else seconds
        tally.expect(int(left))
        end = time.monotonic() + left
        while (left := end - time.monotonic()) > 0:
            tally.is_alive()
            time.sleep(min(left, 1))
    finish_run(run_id, PipelineRun.Status.SUCCESS)


@shared_task(base=RunTask)
def query_slowly(*, run_id: str, pipeline_name: str, seconds: float) -> None:
    """Run an SQL statement that takes its time. Ends its run."""
    from apps.warehouse.slow import slow_query

    with counted_step("query") as tally:
        tally.read = tally.processed = slow_query(seconds)
    finish_run(run_id, PipelineRun.Status.SUCCESS)


@shared_task
def wait_in_line() -> None:
    """Do nothing: what fills the queue."""
