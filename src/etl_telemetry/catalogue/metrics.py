"""Every metric: kind, unit, labels, buckets, name in Prometheus; and the bounds of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from etl_telemetry.catalogue.names import (
    BUILD_DATE,
    CONNECTOR_TYPE,
    DATABASE_TYPE,
    ENVIRONMENT,
    OPERATION,
    ORGANIZATION,
    PHASE,
    PIPELINE_NAME,
    QUEUE_NAME,
    REASON,
    STATUS,
    STEP_TYPE,
    TASK_TYPE,
    VERSION,
)

Kind = Literal["counter", "histogram", "gauge", "updowncounter"]
Stability = Literal["stable", "development"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue."""

    name: str
    """OpenTelemetry name."""
    kind: Kind
    """Instrument kind. Gauges are set; up-down counters add up over processes and may fall."""
    unit: str
    """UCUM unit; `{x}` counts things and vanishes in Prometheus."""
    description: str
    """One sentence for people."""
    attributes: tuple[str, ...]
    """Every label it carries, no other."""
    prometheus: str
    """Name in Prometheus after its own translation."""
    buckets: tuple[float, ...] | None = None
    """Explicit upper bounds of a histogram, in `unit`; None for other kinds."""
    stability: Stability = "stable"
    """`development` may still change within a minor version."""


RUN_BUCKETS = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
TASK_BUCKETS = (0.01, 0.05, 0.1, 0.5, *RUN_BUCKETS)
CONNECTOR_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip

PIPELINE_EXECUTIONS = Metric(
    "pipeline.executions", "counter", "{execution}",
    "Runs that ended, by status.",
    (PIPELINE_NAME, STATUS, ORGANIZATION), "pipeline_executions_total",
)  # fmt: skip
PIPELINE_EXECUTION_DURATION = Metric(
    "pipeline.execution.duration", "histogram", "s",
    "Time from the begin to the end of a run, for every status.",
    (PIPELINE_NAME, ORGANIZATION, STATUS), "pipeline_execution_duration_seconds", RUN_BUCKETS,
)  # fmt: skip
TASK_EXECUTIONS = Metric(
    "task.executions", "counter", "{execution}",
    "Deliveries of tasks that ended, by status.",
    (TASK_TYPE, STATUS, PIPELINE_NAME), "task_executions_total",
)  # fmt: skip
TASK_EXECUTION_DURATION = Metric(
    "task.execution.duration", "histogram", "s",
    "Time that one delivery of a task ran, for every status.",
    (TASK_TYPE, STATUS), "task_execution_duration_seconds", TASK_BUCKETS,
)  # fmt: skip
ACTIVE_PIPELINE_RUNS = Metric(
    "active_pipeline_runs", "gauge", "",
    "Runs that are pending or running now, read from the run table.",
    (), "active_pipeline_runs",
)  # fmt: skip
ROWS = {
    "processed": Metric(
        "data.rows.processed", "counter", "{row}", "Rows that a step put out.",
        (PIPELINE_NAME, STEP_TYPE), "data_rows_processed_total",
    ),
    "read": Metric(
        "data.rows.read", "counter", "{row}",
        "Rows that a step took in: processed + rejected + skipped.",
        (PIPELINE_NAME, STEP_TYPE), "data_rows_read_total",
    ),
    "rejected": Metric(
        "data.rows.rejected", "counter", "{row}", "Rows that a step refused as wrong.",
        (PIPELINE_NAME, STEP_TYPE), "data_rows_rejected_total",
    ),
    "skipped": Metric(
        "data.rows.skipped", "counter", "{row}", "Rows that a step left out on purpose.",
        (PIPELINE_NAME, STEP_TYPE), "data_rows_skipped_total",
    ),
}  # fmt: skip
DATABASE_CONNECTIONS = Metric(
    "database.connections.active", "gauge", "{connection}",
    "Connections open now, read from the database server.",
    (DATABASE_TYPE,), "database_connections_active",
)  # fmt: skip
CONNECTOR_OPERATIONS = Metric(
    "connector.operations", "counter", "{operation}",
    "Connector operations that ended, by status.",
    (CONNECTOR_TYPE, OPERATION, STATUS), "connector_operations_total",
)  # fmt: skip
CONNECTOR_OPERATION_DURATION = Metric(
    "connector.operation.duration", "histogram", "s",
    "Time that one connector operation took, for every status.",
    (CONNECTOR_TYPE, OPERATION, STATUS), "connector_operation_duration_seconds",
    CONNECTOR_BUCKETS,
)  # fmt: skip
QUEUE_SIZE = Metric(
    "celery.queue.size", "gauge", "{message}",
    "Messages that wait in a queue now, read from the broker.",
    (QUEUE_NAME,), "celery_queue_size",
)  # fmt: skip
PLATFORM_INFO = Metric(
    "etl_platform_info", "gauge", "", "Always 1; its labels tell what runs.",
    (VERSION, ENVIRONMENT, BUILD_DATE), "etl_platform_info",
)  # fmt: skip
LAST_SUCCESS = Metric(
    "pipeline.last_success.timestamp", "gauge", "s",
    "Unix time at which a run of the pipeline last succeeded.",
    (PIPELINE_NAME, ORGANIZATION), "pipeline_last_success_timestamp_seconds",
)  # fmt: skip
QUEUE_WAIT = Metric(
    "task.queue.wait", "histogram", "s",
    "Time between the publish of a task and its begin: wanted (eta, retry), in the broker, and "
    "prefetched by a worker.",
    (QUEUE_NAME, PHASE), "task_queue_wait_seconds", TASK_BUCKETS,
)  # fmt: skip
STEP_ROWS_DONE = Metric(
    "step.rows.done", "updowncounter", "{row}",
    "Rows that steps that run now have done so far.",
    (PIPELINE_NAME, STEP_TYPE), "step_rows_done",
)  # fmt: skip
STEP_ROWS_EXPECTED = Metric(
    "step.rows.expected", "updowncounter", "{row}",
    "Rows that steps that run now will do in all, where they said so.",
    (PIPELINE_NAME, STEP_TYPE), "step_rows_expected",
)  # fmt: skip
STEP_HEARTBEAT_AGE = Metric(
    "step.heartbeat.age", "gauge", "s",
    "Time since the last sign of life of a step that runs now, of the most silent one.",
    (PIPELINE_NAME, STEP_TYPE), "step_heartbeat_age_seconds",
)  # fmt: skip
DROPS = Metric(
    "telemetry.drops", "counter", "{item}",
    "Values, spans, records and points that did not leave the process as given.",
    (REASON,), "telemetry_drops_total", stability="development",
)  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            PIPELINE_EXECUTIONS, PIPELINE_EXECUTION_DURATION, TASK_EXECUTIONS,
            TASK_EXECUTION_DURATION, ACTIVE_PIPELINE_RUNS, *ROWS.values(),
            DATABASE_CONNECTIONS, CONNECTOR_OPERATIONS, CONNECTOR_OPERATION_DURATION,
            QUEUE_SIZE, PLATFORM_INFO, LAST_SUCCESS, DROPS, QUEUE_WAIT,
            STEP_ROWS_DONE, STEP_ROWS_EXPECTED, STEP_HEARTBEAT_AGE,
        )
    }
)  # fmt: skip
"""Every metric by its OpenTelemetry name."""

BOUNDS: Mapping[str, int] = MappingProxyType(
    {
        PIPELINE_NAME: 2_000, ORGANIZATION: 50, STEP_TYPE: 50, TASK_TYPE: 50,
        CONNECTOR_TYPE: 50, OPERATION: 50, QUEUE_NAME: 200, DATABASE_TYPE: 20, PHASE: 10,
    }
)  # fmt: skip
"""Default number of different values of a label; past it the value is `other`."""
