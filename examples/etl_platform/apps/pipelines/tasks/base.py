"""What all tasks of a run have in common."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task
from celery.exceptions import Retry
from celery.utils.time import get_exponential_backoff_interval
from django.db.utils import OperationalError

from apps.connectors.errors import RateLimited, SourceUnavailable
from apps.pipelines import deliveries, services
from apps.pipelines.models import PipelineRun, TaskRun

logger = logging.getLogger(__name__)
MAX_LOST = 3
"""Deliveries of one task that may die before the task is taken for the cause."""


class WorkerKiller(RuntimeError):
    """The task has killed its worker too often."""


class RunTask(Task):
    """A task of a run: retried when that may help, and skipped when the run has ended.

    A source that asks to come back later is obeyed: the task is retried after the time
    that the source named, and its worker is free until then.
    """

    abstract = True
    max_retries = 5

    def __call__(self, *args: Any, run_id: str, **kwargs: Any) -> Any:
        """Run the task; what it fails with is kept before its error callback can ask for it."""
        try:
            return self._attempt(*args, run_id=run_id, **kwargs)
        except Retry:
            raise
        except Exception as error:
            deliveries.keep_error(error)
            raise

    def _attempt(self, *args: Any, run_id: str, **kwargs: Any) -> Any:
        try:
            if not services.mark_running(run_id):
                logger.info("task_of_ended_run_skipped", extra={"run_id": run_id})
                return None
            self._refuse_to_kill_workers()
            return self.run(*args, run_id=run_id, **kwargs)
        except RateLimited as error:
            raise self.retry(exc=error, countdown=error.retry_after) from error
        except (SourceUnavailable, OperationalError) as error:
            wait = get_exponential_backoff_interval(
                factor=1, retries=self.request.retries, maximum=30, full_jitter=True
            )
            raise self.retry(exc=error, countdown=wait) from error

    def lost_deliveries(self) -> int:
        """Return how many deliveries of this task have died with their worker."""
        lost = TaskRun.objects.filter(task_id=self.request.id, status=TaskRun.Status.LOST)
        return lost.count() if self.request.id else 0

    def _refuse_to_kill_workers(self) -> None:
        if self.lost_deliveries() >= MAX_LOST:
            raise WorkerKiller(f"{self.name} killed its worker {MAX_LOST} times in a row.")


def open_run(run_id: str) -> PipelineRun:
    """Return the run with its pipeline, organization and source."""
    return PipelineRun.objects.select_related("pipeline__organization", "pipeline__source").get(
        pk=run_id
    )
