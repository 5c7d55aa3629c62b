"""Keep a `TaskRun` row of every delivery of every task, whatever becomes of it.

A delivery is one hand-over of a task's message to a worker. A retry is a new delivery of
the same task, and so is a message that comes back after its worker was killed. These rows
are the ground truth that telemetry is compared with, so nothing here asks telemetry.

- `task_prerun` (worker child): the row is created as running. A row of the same task that
  is still running belongs to a delivery whose worker died: it is lost.
- `task_postrun` (worker child): success, failed or retried, with the rows by step.
- `task_failure` (worker's main process, for a child that died or ran out of time).
- `task_revoked` (worker's main process): dropped before it ran, or terminated.
"""

from __future__ import annotations

import sys
from typing import Any

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import current_task, signals
from celery.app.task import Context, Task
from django.db import connection
from django.utils import timezone

from apps.pipelines.models import PipelineRun, TaskRun
from nyc.tally import Tally

Status = TaskRun.Status
STATES = {"SUCCESS": Status.SUCCESS, "IGNORED": Status.SUCCESS, "RETRY": Status.RETRIED}
"""What Celery's states are called here; whatever else a task ends in has failed."""
TYPES = ("extract", "transform", "load")

ROW = "delivery_row"
"""Celery makes a request object for each delivery; the delivery's row hangs on it."""


def connect() -> None:
    """Start to keep rows, in workers and wherever else tasks run."""
    signals.task_prerun.connect(_begin, dispatch_uid="deliveries")
    signals.task_postrun.connect(_end, dispatch_uid="deliveries")
    signals.task_failure.connect(_fail_from_outside, dispatch_uid="deliveries")
    signals.task_revoked.connect(_revoke, dispatch_uid="deliveries")


def type_of(task_name: str) -> str:
    """Return the task type: what the function's name begins with.

    >>> type_of("apps.pipelines.tasks.flights.load_flights")
    'load'
    """
    first = task_name.rpartition(".")[2].partition("_")[0]
    return first if first in TYPES else "other"


def keep_rows(step_type: str, tally: Tally) -> None:
    """Remember what a step of the current delivery did; saved when the delivery ends."""
    delivery = getattr(current_task.request, ROW, None) if current_task else None
    if delivery is not None:
        delivery.metrics.setdefault("steps", {})[step_type] = tally.as_json()


def keep_error(error: BaseException) -> None:
    """Save what the current delivery fails with, before Celery publishes its error callback."""
    delivery = getattr(current_task.request, ROW, None) if current_task else None
    if delivery is not None:
        _running(delivery.task_id).filter(pk=delivery.pk).update(error=_text(error))


def _new(task_name: str, task_id: str, request: Context, kwargs: dict[str, Any]) -> TaskRun:
    run_id = kwargs.get("run_id")
    runs = PipelineRun.objects.select_related("pipeline")
    run = runs.filter(pk=run_id).first() if run_id else None
    return TaskRun(
        run=run,
        pipeline_name=run.pipeline.name if run else kwargs.get("pipeline_name", "unknown"),
        task_id=task_id,
        task_name=task_name,
        task_type=type_of(task_name),
        attempt=getattr(request, "retries", 0) or 0,
        worker=getattr(request, "hostname", "") or "",
    )


def _running(task_id: str) -> Any:
    return TaskRun.objects.filter(task_id=task_id, status=Status.RUNNING)


def _begin(task_id: str, task: Task, kwargs: dict[str, Any], **_: Any) -> None:
    error = "The worker died; the message was delivered again."
    delivery = _new(task.name, task_id, task.request, kwargs)
    before = _running(task_id).filter(attempt=delivery.attempt)
    before.update(status=Status.LOST, finished_at=timezone.now(), error=error)
    delivery.save()
    setattr(task.request, ROW, delivery)


def _end(task: Task, task_id: str, retval: object, state: str | None, **_: Any) -> None:
    delivery = getattr(task.request, ROW, None)
    if delivery is None or (state is None and not isinstance(sys.exception(), Exception)):
        return  # This process is being told to exit: its parent, or the next delivery, knows why.
    # Only if it is still running: the main process may have seen it die meanwhile.
    _running(task_id).filter(pk=delivery.pk).update(
        status=STATES.get(state or "", Status.FAILED),
        finished_at=timezone.now(),
        metrics=delivery.metrics,
        error=_text(retval) if isinstance(retval, BaseException) else "",
    )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


def _fail_from_outside(sender: Task, task_id: str, exception: BaseException, **_: Any) -> None:
    """End the row of a delivery whose child can't do it: it died, or was killed for time."""
    if hasattr(sender.request, ROW):
        return  # We are in the child, and `task_postrun` follows.
    killed = isinstance(exception, (WorkerLostError, TimeLimitExceeded))
    status = Status.LOST if killed else Status.FAILED
    _running(task_id).update(status=status, finished_at=timezone.now(), error=_text(exception))
    connection.close()  # The main process forks: no child may inherit a connection.


def _revoke(sender: Task, request: Any, **_: Any) -> None:
    changed = _running(request.id).update(status=Status.REVOKED, finished_at=timezone.now())
    if not changed:
        delivery = _new(sender.name, request.id, request, getattr(request, "kwargs", None) or {})
        delivery.status = Status.REVOKED
        delivery.finished_at = timezone.now()
        delivery.save()
    connection.close()
