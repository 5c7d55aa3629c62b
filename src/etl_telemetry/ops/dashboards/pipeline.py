"""Pipeline detail: one pipeline, its runs, steps, rows, records and traces."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import (
    ENVIRONMENT,
    FAILED,
    ONE_PIPELINE,
    ONE_RUN,
    ONE_STEP,
    ORGANIZATION,
    RECORD_RUN,
    SERVICE,
    percentiles,
    rate,
    rise,
    share,
)
from etl_telemetry.ops.dashboards.model import Dashboard, Metrics, Panel, Records, Row, Traces
from etl_telemetry.ops.thresholds import Thresholds

_RUNS = "pipeline_executions_total"
_DURATION = "pipeline_execution_duration_seconds"
_TASKS = "task_executions_total"
_ROWS = ("read", "processed", "rejected", "skipped")
_NO_RUNS = "No runs"


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid="etl-pipeline",
        title="ETL platform: pipeline",
        description="What one pipeline does, and where it goes wrong.",
        variables=(ENVIRONMENT, ORGANIZATION, ONE_PIPELINE, SERVICE),
        since="now-6h",
        rows=(
            Row("Runs", (*_runs(limits), *_over_time())),
            Row("Steps and rows", (*_rows(limits), *_counting(limits))),
            Row("Tasks", _tasks()),
            Row("Records and traces", _records()),
        ),
    )


def _runs(limits: Thresholds) -> tuple[Panel, ...]:
    where = f'{ONE_RUN}, status="success"'
    return (
        Panel(
            "Success rate",
            "Runs that succeeded, of all that ended in the time shown.",
            (Metrics(share(f"sum({rise(_RUNS, where)})", f"sum({rise(_RUNS, ONE_RUN)})")),),
            "value", "percentunit", empty=_NO_RUNS, width=6, height=5, now=True, decimals=1,
            limits=((0.0, "red"), (1 - limits.failure_ratio, "orange"),
                    (limits.slo_success, "green")),
        ),
        Panel(
            "Runs that ended",
            "By status, in the time shown, rounded.",
            (Metrics(f"round(sum by (status) ({rise(_RUNS, ONE_RUN)}))", "{{status}}"),),
            "levels", empty=_NO_RUNS, width=6, height=5, now=True,
        ),
        Panel(
            "Since the last success",
            "How old the pipeline's data is.",
            (Metrics(f"time() - max(pipeline_last_success_timestamp_seconds{{{ONE_RUN}}})"),),
            "value", "s", empty="It has never succeeded, or nobody reads", width=6, height=5,
            limits=((limits.freshness_hours * 3600, "red"),), now=True,
        ),
        Panel(
            "Active run",
            "Age of its oldest run that is pending or running.",
            (Metrics(f"max(pipeline_active_run_age_seconds{{{ONE_RUN}}})"),),
            "value", "s", empty="No active run, or nobody reads", width=6, height=5,
            limits=((limits.long_run_hours * 3600, "red"),),
        ),
    )  # fmt: skip


def _over_time() -> tuple[Panel, ...]:
    return (
        Panel(
            "Runs by status",
            "Runs that ended a minute.",
            (Metrics(f"60 * sum by (status) ({rate(_RUNS, ONE_RUN)})", "{{status}}"),),
            unit="suffix: runs/min", width=8,
        ),
        Panel(
            "Duration",
            "Half, 5 % and 1 % of the runs took longer. A point leads to the trace of a run.",
            tuple(Metrics(expr, name) for expr, name in percentiles(_DURATION, ONE_RUN)),
            unit="s", empty=_NO_RUNS, width=8,
        ),
        Panel(
            "Durations",
            "How many runs took how long.",
            (Metrics(f"sum by (le) ({rise(_DURATION + '_bucket', ONE_RUN, '$__rate_interval')})"),),
            "heat", "s", empty=_NO_RUNS, width=8,
        ),
    )  # fmt: skip


def _rows(limits: Thresholds) -> tuple[Panel, ...]:
    by = "sum by (step_type)"
    kinds = {kind: f"{by} ({rise(f'data_rows_{kind}_total', ONE_STEP)})" for kind in _ROWS}
    return (
        Panel(
            "Rows",
            "In the time shown, by step: read is processed, rejected and skipped together.",
            tuple(Metrics(f"round({expr})", f"{{{{step_type}}}} {kind}")
                  for kind, expr in kinds.items()),
            "levels", empty="No rows", width=8, now=True,
        ),
        Panel(
            "Rows a second",
            "What each step put out.",
            (Metrics(f"{by} ({rate('data_rows_processed_total', ONE_STEP)})", "{{step_type}}"),),
            unit="suffix: rows/s", width=8,
        ),
        Panel(
            "Rejected rows",
            "Share of the rows read that a step refused as wrong.",
            (Metrics(share(f"{by} ({rate('data_rows_rejected_total', ONE_STEP)})",
                           f"{by} ({rate('data_rows_read_total', ONE_STEP)})"), "{{step_type}}"),),
            unit="percentunit", limits=((limits.rejected_ratio, "red"),), empty="No rows read",
            width=8,
        ),
    )  # fmt: skip


def _counting(limits: Thresholds) -> tuple[Panel, ...]:
    by = "sum by (step_type)"
    read, *others = (f"{by} ({rise(f'data_rows_{kind}_total', ONE_STEP)})" for kind in _ROWS)
    counted = " + ".join(f"({each} or 0 * {read})" for each in others)
    return (
        Panel(
            "Rows unaccounted for",
            "Read, and neither processed nor rejected nor skipped, in the time shown: not 0 is a "
            "mistake in how the step counts (RowsMismatch).",
            (Metrics(f"round({read} - ({counted}))", "{{step_type}}"),),
            "value", empty="No rows read", width=8, height=6, now=True,
            limits=((0.5, "red"),),
        ),
        Panel(
            "Progress of steps that run",
            "Rows done so far, and rows expected where the step said how many.",
            (Metrics(f"{by} (step_rows_done{{{ONE_STEP}}})", "{{step_type}} done"),
             Metrics(f"{by} (step_rows_expected{{{ONE_STEP}}})", "{{step_type}} expected")),
            unit="suffix: rows", empty="No step runs", width=8, height=6,
        ),
        Panel(
            "Sign of life",
            "Time since a step that runs last added rows or sent a heartbeat.",
            (Metrics(f"max by (step_type) (step_heartbeat_age_seconds{{{ONE_STEP}}})",
                     "{{step_type}}"),),
            unit="s", limits=((limits.stalled_minutes * 60, "red"),), empty="No step runs",
            width=8, height=6,
        ),
    )  # fmt: skip


def _tasks() -> tuple[Panel, ...]:
    ended = f'{ONE_STEP}, status!~"retried|revoked"'
    return (
        Panel(
            "Deliveries",
            "Deliveries of tasks that ended a second, by type and status.",
            (Metrics(f"sum by (task_type, status) ({rate(_TASKS, ONE_STEP)})",
                     "{{task_type}} {{status}}"),),
            unit="ops", empty="No deliveries",
        ),
        Panel(
            "Failed and lost deliveries",
            "Share of the deliveries that ended; a retry is none yet.",
            (Metrics(share(
                f"sum by (task_type) ({rate(_TASKS, f'{ONE_STEP}, {FAILED}')})",
                f"sum by (task_type) ({rate(_TASKS, ended)})",
            ), "{{task_type}}"),),
            unit="percentunit", empty="No deliveries",
        ),
    )  # fmt: skip


def _records() -> tuple[Panel, ...]:
    return (
        Panel(
            "Records",
            "Everything that its runs logged. Each record leads to its trace.",
            (Records(RECORD_RUN),),
            "records", width=14, height=10, empty="No records",
        ),
        Panel(
            "Traces of runs",
            "The latest runs, from their true begin to their true end.",
            (Traces({"pipeline.name": "$pipeline"}, operation="pipeline run $pipeline"),),
            "table", width=10, height=10, empty="No traces",
        ),
    )  # fmt: skip
