"""ETL overview: what a team looks at first, with the six panels that it had before."""

from __future__ import annotations

from etl_telemetry.ops.dashboards.choices import (
    ENV,
    ENVIRONMENT,
    FAILED,
    ORGANIZATION,
    PIPELINE,
    RECORD_RUN,
    RUN,
    STEP,
    percentiles,
    quantile,
    rate,
    rise,
    share,
)
from etl_telemetry.ops.dashboards.model import Column, Dashboard, Metrics, Panel, Records, Row
from etl_telemetry.ops.thresholds import Thresholds

_RUNS = "pipeline_executions_total"
_DURATION = "pipeline_execution_duration_seconds"
_NO_RUNS = "No runs"
_WHOSE = (Column("pipeline_name", "Pipeline"), Column("organization", "Organization"))


def board(limits: Thresholds) -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        uid="etl-overview",
        title="ETL platform: overview",
        description="Do the pipelines run, succeed, and keep up?",
        variables=(ENVIRONMENT, ORGANIZATION, PIPELINE),
        rows=(
            Row("Now", (*_now(limits), *_active(limits))),
            Row("Runs", _runs()),
            Row("Data and shared state", (*_state(limits), *_ages(limits))),
            Row("What goes wrong", _failures(limits)),
            Row("Connectors", _connectors()),
        ),
    )


def _now(limits: Thresholds) -> tuple[Panel, ...]:
    where = f'{RUN}, status="success"'
    ended = f"sum({rise(_RUNS, RUN)})"
    return (
        Panel(
            "Pipeline success rate",
            "Runs that succeeded, of all that ended in the time shown; one that was cancelled has "
            "not succeeded. Without runs there is no rate.",
            (Metrics(share(f"sum({rise(_RUNS, where)})", ended)),),
            "value", "percentunit", empty=_NO_RUNS, width=4, height=5, now=True, decimals=1,
            limits=((0.0, "red"), (1 - limits.failure_ratio, "orange"),
                    (limits.slo_success, "green")),
        ),
        Panel(
            "Runs that ended",
            "By status, in the time shown. Prometheus estimates up to its edges: numbers are "
            "rounded.",
            (Metrics(f"round(sum by (status) ({rise(_RUNS, RUN)}))", "{{status}}"),),
            "levels", empty=_NO_RUNS, width=8, height=5, now=True,
        ),
    )  # fmt: skip


def _active(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Active pipeline runs",
            "Runs that are pending or running, of all pipelines, read from the run table. "
            "No data: nobody reads it (ObserverSilent).",
            (Metrics("sum(max by (deployment_environment_name) "
                     f"(active_pipeline_runs{{{ENV}}}))"),),
            "value", limits=((limits.active_runs, "red"),), width=4, height=5,
        ),
        Panel(
            "Oldest active run",
            "Age of the run that has been pending or running for the longest time.",
            (Metrics(f"max(pipeline_active_run_age_seconds{{{RUN}}})"),),
            "value", "s", limits=((limits.long_run_hours * 3600, "red"),), width=4, height=5,
            empty="No active run, or nobody reads",
        ),
        Panel(
            "Last reading",
            "Time since somebody read runs, queues and connections: how old what is shown can be.",
            (Metrics(f"time() - max(timestamp(active_pipeline_runs{{{ENV}}}))"),),
            "value", "s", limits=((limits.silent_seconds, "red"),), width=4, height=5, now=True,
            empty="Nobody reads", decimals=0,
        ),
    )  # fmt: skip


def _runs() -> tuple[Panel, ...]:
    return (
        Panel(
            "Pipeline execution rate",
            "Runs that ended a minute, by pipeline and status.",
            (Metrics(f"60 * sum by (pipeline_name, status) ({rate(_RUNS, RUN)})",
                     "{{pipeline_name}} {{status}}"),),
            unit="suffix: runs/min",
        ),
        Panel(
            "Success rate over time",
            "Share of the runs that succeeded, of those that ended in each interval. A gap: none "
            "ended.",
            (Metrics(share(f"""sum({rate(_RUNS, f'{RUN}, status="success"')})""",
                           f"sum({rate(_RUNS, RUN)})"), "success rate"),),
            unit="percentunit", empty=_NO_RUNS,
        ),
        Panel(
            "Run duration",
            "From the begin to the end of a run, whatever its status: half, 5 % and 1 % of the "
            "runs took longer. A point leads to the trace of a run.",
            tuple(Metrics(expr, name) for expr, name in percentiles(_DURATION, RUN)),
            unit="s", empty=_NO_RUNS,
        ),
        Panel(
            "Duration by pipeline",
            "95 % of the runs of a pipeline took less.",
            (Metrics(quantile(0.95, _DURATION, RUN, "pipeline_name"), "{{pipeline_name}}"),),
            unit="s", empty=_NO_RUNS,
        ),
    )  # fmt: skip


def _state(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Data processing rate",
            "Rows that steps put out a second, by pipeline and step.",
            (Metrics("sum by (pipeline_name, step_type) "
                     f"({rate('data_rows_processed_total', STEP)})",
                     "{{pipeline_name}} {{step_type}}"),),
            unit="suffix: rows/s",
        ),
        Panel(
            "Queue sizes",
            "Messages that wait in each queue, read from the broker.",
            (Metrics(f"max by (queue_name) (celery_queue_size{{{ENV}}})", "{{queue_name}}"),),
            unit="suffix: messages", limits=((limits.queue_size, "red"),), width=6,
        ),
        Panel(
            "Database connections",
            "Connections open at the database server, read there.",
            (Metrics(f"max by (database_type) (database_connections_active{{{ENV}}})",
                     "{{database_type}}"),),
            limits=((limits.database_connections, "red"),), width=6,
        ),
    )  # fmt: skip


def _ages(limits: Thresholds) -> tuple[Panel, ...]:
    return (
        Panel(
            "Freshness",
            "Time since the last success of each pipeline: how old its data is. The 20 oldest.",
            (Metrics("topk(20, time() - max by (organization, pipeline_name) "
                     f"(pipeline_last_success_timestamp_seconds{{{RUN}}}))"),),
            "table", columns=(*_WHOSE, Column("Value", "Age", "s", (
                (limits.freshness_hours * 3600 / 2, "orange"),
                (limits.freshness_hours * 3600, "red")))),
            sort="Age", empty="No pipeline has succeeded",
        ),
        Panel(
            "Active runs by pipeline",
            "Age of the oldest run of each pipeline that is pending or running.",
            (Metrics("topk(20, max by (organization, pipeline_name) "
                     f"(pipeline_active_run_age_seconds{{{RUN}}}))"),),
            "table", columns=(*_WHOSE, Column("Value", "Age", "s", (
                (limits.long_run_minutes * 60, "orange"), (limits.long_run_hours * 3600, "red")))),
            sort="Age", empty="No active run, or nobody reads",
        ),
    )  # fmt: skip


def _failures(limits: Thresholds) -> tuple[Panel, ...]:
    rejected, read = "data_rows_rejected_total", "data_rows_read_total"
    finished = f"event_name:pipeline_run_finished AND {RECORD_RUN}"
    return (
        Panel(
            "Top failures",
            "Pipelines with the most runs that failed or were lost, in the time shown.",
            (Metrics(f"topk(10, round(sum by (organization, pipeline_name) "
                     f"({rise(_RUNS, f'{RUN}, {FAILED}')})) > 0)"),),
            "table", columns=(*_WHOSE, Column("Value", "Failed runs")), sort="Failed runs",
            empty="No failed run is known", width=8,
        ),
        Panel(
            "Why runs fail",
            "Failed runs by the type of their error, from their log records.",
            (Records(f"{finished} AND attributes.pipeline.status:failed",
                     by=("attributes.error.type",)),),
            "table", columns=(Column("attributes.error.type", "Error"), Column("Count", "Runs")),
            sort="Runs", empty="No failed run is known", width=8,
        ),
        Panel(
            "Rejected rows",
            "Share of the rows read that a step refused as wrong.",
            (Metrics(share(f"sum by (pipeline_name, step_type) ({rate(rejected, STEP)})",
                           f"sum by (pipeline_name, step_type) ({rate(read, STEP)})"),
                     "{{pipeline_name}} {{step_type}}"),),
            unit="percentunit", limits=((limits.rejected_ratio, "red"),), empty="No rows read",
            width=8,
        ),
        Panel(
            "Latest failed runs",
            "Log records of runs that failed, were lost or cancelled. Each leads to its trace.",
            (Records(f"{finished} AND NOT attributes.pipeline.status:success"),),
            "records", width=24, empty="No failed run is known",
        ),
    )  # fmt: skip


def _connectors() -> tuple[Panel, ...]:
    counted, took = "connector_operations_total", "connector_operation_duration_seconds"
    labels = "connector_type, operation"
    return (
        Panel(
            "Connector operations",
            "Operations a second, by connector, operation and status.",
            (Metrics(f"sum by ({labels}, status) ({rate(counted, ENV)})",
                     "{{connector_type}} {{operation}} {{status}}"),),
            unit="ops", width=8,
        ),
        Panel(
            "Connector errors",
            "Share of the operations that ended with an error.",
            (Metrics(share(f"""sum by ({labels}) ({rate(counted, f'{ENV}, status="error"')})""",
                           f"sum by ({labels}) ({rate(counted, ENV)})"),
                     "{{connector_type}} {{operation}}"),),
            unit="percentunit", width=8, empty="No operations",
        ),
        Panel(
            "Connector duration",
            "95 % of the operations took less. A point leads to a trace.",
            (Metrics(quantile(0.95, took, ENV, labels), "{{connector_type}} {{operation}}"),),
            unit="s", width=8, empty="No operations",
        ),
    )  # fmt: skip
