"""Read the ledger: what really happened, by pipeline. Telemetry is compared with this."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count

from apps.pipelines.models import PipelineRun, TaskRun
from etl_telemetry.django import audit, ledger

COUNTS = ("read", "processed", "rejected", "skipped")
Nested = dict[str, Any]


def dump(*, with_runs: bool = False) -> Nested:
    """Return the ledger as plain dictionaries.

    - `runs`: pipeline -> final status -> number;
    - `tasks`: pipeline -> task type -> final status -> number of deliveries;
    - `rows`: pipeline -> step -> read, processed, rejected, skipped, and their reasons;
    - `unfinished`: what is still under way: the figures are final when all are 0;
    - `run_list` with `with_runs`: one entry per run, oldest first.
    """
    result = {"runs": _runs(), "tasks": _tasks(), "rows": _rows(), "unfinished": _unfinished()}
    if with_runs:
        result["run_list"] = _run_list()
    return result


def _runs() -> Nested:
    result: Nested = defaultdict(dict)
    ended = PipelineRun.objects.exclude(status__in=PipelineRun.ACTIVE)
    grouped = ended.values_list("pipeline__name", "status").order_by()
    for pipeline, status, number in grouped.annotate(number=Count("id")):
        result[pipeline][status] = number
    return _sorted(result)


def _tasks() -> Nested:
    result: Nested = defaultdict(lambda: defaultdict(dict))
    grouped = TaskRun.objects.values_list("pipeline_name", "task_type", "status").order_by()
    for pipeline, task_type, status, number in grouped.annotate(number=Count("id")):
        result[pipeline][task_type][status] = number
    return _sorted(result)


def _rows() -> Nested:
    result: Nested = {}
    for pipeline, metrics in TaskRun.objects.values_list("pipeline_name", "metrics").iterator():
        for step, counts in metrics.get("steps", {}).items():
            total = result.setdefault(pipeline, {}).setdefault(
                step, {**dict.fromkeys(COUNTS, 0), "reasons": {}}
            )
            for name in COUNTS:
                total[name] += counts[name]
            for reason, rows in counts["reasons"].items():
                total["reasons"][reason] = total["reasons"].get(reason, 0) + rows
    return _sorted(result)


def _unfinished() -> dict[str, int]:
    return {
        "runs": PipelineRun.objects.filter(status__in=PipelineRun.ACTIVE).count(),
        "tasks": TaskRun.objects.filter(status=TaskRun.Status.RUNNING).count(),
        "unreported_runs": ledger.waiting(),
        "unreported_events": audit.waiting(),
    }


def _run_list() -> list[Nested]:
    runs = PipelineRun.objects.select_related("pipeline__organization", "triggered_by")
    return [run_as_dict(run) for run in runs.order_by("started_at")]


def run_as_dict(run: PipelineRun) -> Nested:
    """Return what the API and the ledger tell of a run."""
    return {
        "id": str(run.pk),
        "pipeline": run.pipeline.name,
        "organization": run.pipeline.organization.code,
        "status": run.status,
        "trigger": run.trigger_type,
        "triggered_by": run.triggered_by.get_username() if run.triggered_by else None,
        "attempt": run.attempt,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "seconds": run.seconds,
        "error": run.error,
        "trace_id": run.trace_id,
    }


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value
