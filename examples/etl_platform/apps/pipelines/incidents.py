"""Things that go wrong on purpose. Each function does it and says what it did."""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import transaction

from apps.pipelines import services, staging
from apps.pipelines.models import Pipeline, PipelineRun
from nyc import landing

PATIENCE = 30.0
"""Seconds to wait for a worker to take a task."""
VICTIM = Pipeline.Kind.FLIGHTS


class IncidentError(RuntimeError):
    """The incident can't be staged."""


@dataclass(frozen=True, slots=True)
class Running:
    """A task that a worker is executing."""

    task_id: str
    name: str
    process: int
    """The pool child's process id."""
    worker: str


def kill_worker() -> str:
    """Kill a pool child in the middle of a task; the task is delivered again."""
    run = _start({"hold": 20})
    task = _running_task_of(run)
    _must_be_ours(task)
    os.kill(task.process, signal.SIGKILL)
    return (
        f"killed process {task.process} of {task.worker} in {task.name} [{task.task_id}], "
        f"run {run.pk}. The message is delivered again; the first delivery is lost."
    )


def revoke() -> str:
    """Cancel a run while its task is executed: the task is revoked and terminated."""
    run = _start({"hold": 60})
    task = _running_task_of(run)
    services.cancel(run, reason="Cancelled by an operator.")
    return f"cancelled run {run.pk} and terminated {task.name} [{task.task_id}]"


def schema() -> str:
    """Rename a column of a healthy source, and run its pipeline; `repair` renames it back."""
    pipeline = _pipeline()
    path = landing.prepare(settings.DATA_DIR) / pipeline.source.options["path"]
    old, new = landing.RENAMED_COLUMN
    header, _, rows = path.read_text(encoding="utf-8").partition("\n")
    is_broken = new in header
    with staging.replacing(path) as stream:
        stream.write(
            f"{header.replace(new, old) if is_broken else header.replace(old, new)}\n{rows}"
        )
    if is_broken:
        return f"repaired {path}"
    run = _start({})
    return f"renamed {old} to {new} in {path}, run {run.pk} fails. Once more repairs it."


def flood(*, runs: int = 200) -> str:
    """Trigger far more runs than the workers can take."""
    options = {"since": "2013-01-01", "until": "2013-01-01"}
    for _ in range(runs):
        _start(options)
    return f"triggered {runs} runs of {_pipeline()}"


def slow_sql() -> str:
    """Run an SQL statement that takes five seconds."""
    run = _start({"slow_sql": 5})
    return f"run {run.pk} keeps the database busy for 5 s"


INCIDENTS: dict[str, Callable[[], str]] = {
    "kill_worker": kill_worker,
    "revoke": revoke,
    "schema": schema,
    "flood": flood,
    "slow_sql": slow_sql,
}


def _pipeline() -> Pipeline:
    pipeline = Pipeline.objects.filter(kind=VICTIM).order_by("name").last()
    if pipeline is None:
        raise IncidentError("There are no pipelines yet. Fix: manage.py seed")
    return pipeline


def _start(options: dict[str, Any]) -> PipelineRun:
    with transaction.atomic():
        run = services.trigger(
            _pipeline(), trigger_type=PipelineRun.Trigger.COMMAND, options=options
        )
    run.refresh_from_db()
    return run


def _running_task_of(run: PipelineRun) -> Running:
    """Wait until a worker executes a task of the run."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for worker, tasks in (current_app.control.inspect(timeout=1).active() or {}).items():
            for task in tasks:
                if task["kwargs"].get("run_id") == str(run.pk) and task["worker_pid"]:
                    return Running(task["id"], task["name"], task["worker_pid"], worker)
        time.sleep(0.2)
    raise IncidentError(
        f"No worker took a task of run {run.pk} within {PATIENCE:g} s. Is one running? "
        "celery -A etl_platform worker --pool prefork --concurrency 2"
    )


def _must_be_ours(task: Running) -> None:
    """Make sure that the process is a child of a worker on this host."""
    stats = current_app.control.inspect([task.worker], timeout=2).stats() or {}
    children = stats.get(task.worker, {}).get("pool", {}).get("processes", ())
    host = platform.node()
    if task.process not in children or task.worker.partition("@")[2] != host:
        raise IncidentError(
            f"Process {task.process} is not a pool child of a worker on this host "
            f"(worker {task.worker}, this host is {host}). "
            "Run the incident where the worker runs, with the prefork pool."
        )
