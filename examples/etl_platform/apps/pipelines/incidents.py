"""Things that go wrong on purpose. Each function does it and says what it did."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction

from apps.pipelines import services, staging, workers
from apps.pipelines.models import Pipeline, PipelineRun
from apps.pipelines.tasks.runs import wait_in_line
from apps.pipelines.workers import IncidentError
from nyc import landing

VICTIM = Pipeline.Kind.FLIGHTS
BROKEN = Pipeline.Kind.FLEET
"""Pipelines of this kind fail anyway: the vendor has renamed a column."""
FAILURES = 6
"""Enough for PipelineFailureRate, which wants five runs."""
MESSAGES = 1_500
"""Enough for HighQueueSize, which wants more than 1,000."""
WAITING = 2
"""Runs that wait behind those that keep the workers busy."""
ONE_DAY = {"since": "2013-01-01", "until": "2013-01-01"}
"""Options of a short run."""
BUSY_SECONDS = 230
"""How long the workers take nothing of the full queue: less than a task's time limit."""


def kill_worker() -> str:
    """Kill a pool child in the middle of a task; the task is delivered again."""
    run = _start({"hold": 20})
    task = workers.running_task_of(run)
    workers.must_be_ours(task)
    os.kill(task.process, signal.SIGKILL)
    return (
        f"killed process {task.process} of {task.worker} in {task.name} [{task.task_id}], "
        f"run {run.pk}. The message is delivered again; the first delivery is lost."
    )


def revoke() -> str:
    """Cancel a run while its task is executed: the task is revoked and terminated."""
    run = _start({"hold": 60})
    task = workers.running_task_of(run)
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
    for _ in range(runs):
        _start(ONE_DAY)
    return f"triggered {runs} runs of {_pipeline()}"


def slow_sql() -> str:
    """Run an SQL statement that takes five seconds."""
    run = _start({"slow_sql": 5})
    return f"run {run.pk} keeps the database busy for 5 s"


def stop_worker() -> str:
    """Stop a worker, as if somebody had forgotten to start it again."""
    name = workers.stop_one()
    return f"stopped {name}. Until it is started again, what is published waits."


def fail_pipeline() -> str:
    """Run a pipeline that fails, often enough for an alert."""
    broken = _pipeline(BROKEN)
    for _ in range(FAILURES):
        _start({}, broken)
    return f"triggered {FAILURES} runs of {broken}, which fail"


def fill_queue() -> str:
    """Keep the workers busy, and publish more messages than a queue should have."""
    busy = _keep_busy(workers.slots())
    for _ in range(MESSAGES):
        wait_in_line.delay()
    held = f"the workers are busy for {BUSY_SECONDS} s" if busy else "there is no worker"
    return f"published {MESSAGES} messages, and {held}"


def busy() -> str:
    """Keep the workers busy, and start runs that have to wait for one; `relief` ends it."""
    held = _keep_busy(workers.slots_in_time())
    for _ in range(WAITING):
        _start(ONE_DAY)
    return f"{held} runs keep the workers busy for {BUSY_SECONDS} s, and {WAITING} runs wait"


def relief() -> str:
    """Cancel the runs that keep the workers busy."""
    held = PipelineRun.objects.filter(status__in=PipelineRun.ACTIVE, options__has_key="hold")
    cancelled = sum(services.cancel(run, reason="Cancelled by an operator.") for run in held)
    return f"cancelled {cancelled} runs that kept the workers busy"


INCIDENTS: dict[str, Callable[[], str]] = {
    "kill_worker": kill_worker,
    "revoke": revoke,
    "schema": schema,
    "flood": flood,
    "slow_sql": slow_sql,
    "stop_worker": stop_worker,
    "fail_pipeline": fail_pipeline,
    "fill_queue": fill_queue,
    "busy": busy,
    "relief": relief,
}


def _pipeline(kind: str = VICTIM) -> Pipeline:
    pipeline = Pipeline.objects.filter(kind=kind).order_by("name").last()
    if pipeline is None:
        raise IncidentError("There are no pipelines yet. Fix: manage.py seed")
    return pipeline


def _keep_busy(slots: int) -> int:
    for _ in range(slots):
        _start({"hold": BUSY_SECONDS})
    return slots


def _start(options: dict[str, Any], pipeline: Pipeline | None = None) -> PipelineRun:
    with transaction.atomic():
        run = services.trigger(
            pipeline or _pipeline(), trigger_type=PipelineRun.Trigger.COMMAND, options=options
        )
    run.refresh_from_db()
    return run
