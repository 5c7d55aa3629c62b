"""Every name that leaves the process, declared once.

Metrics, spans, attributes, log fields and events, audit events: with type, unit,
bound and stability. The reference documentation, dashboards, alert rules and
Collector configurations are generated from this file or checked against it.

Names follow the OpenTelemetry semantic conventions where one exists. `status`,
`organization` and `operation` are bare on metrics, for the sake of the queries
that users already have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

# --- Values -----------------------------------------------------------------


class RunStatus(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class TaskStatus(StrEnum):
    """How one delivery of a task ended."""

    SUCCESS = "success"
    FAILED = "failed"
    RETRIED = "retried"
    REVOKED = "revoked"
    LOST = "lost"


class ConnectorStatus(StrEnum):
    """How a connector operation ended."""

    SUCCESS = "success"
    ERROR = "error"


class DropReason(StrEnum):
    """Why something did not leave the process as it was given."""

    INVALID_VALUE = "invalid_value"
    TRUNCATED = "truncated"
    UNKNOWN_STATUS = "unknown_status"
    LABEL_OVERFLOW = "label_overflow"
    INTERNAL_ERROR = "internal_error"
    NOT_DELIVERED = "not_delivered"
    QUEUE_FULL = "queue_full"
    ENCODING = "encoding"


OTHER = "other"
"""The value of a label past its bound."""
UNKNOWN = "unknown"
"""The value of a label that nobody named."""

# --- Attribute keys ---------------------------------------------------------

# On metrics.
STATUS = "status"
ORGANIZATION = "organization"
OPERATION = "operation"
# On spans and log records the same facts are namespaced.
PIPELINE_NAME = "pipeline.name"
PIPELINE_STATUS = "pipeline.status"
PIPELINE_RUN_ID = "pipeline.run.id"
PIPELINE_RUN_TRIGGER = "pipeline.run.trigger"
PIPELINE_RUN_TRIGGERED_BY = "pipeline.run.triggered_by"
PIPELINE_RUN_ATTEMPT = "pipeline.run.attempt"
PIPELINE_ORGANIZATION = "pipeline.organization"
PIPELINE_RUN_ROWS_READ = "pipeline.run.rows.read"
PIPELINE_RUN_ROWS_PROCESSED = "pipeline.run.rows.processed"
PIPELINE_RUN_ROWS_REJECTED = "pipeline.run.rows.rejected"
PIPELINE_RUN_ROWS_SKIPPED = "pipeline.run.rows.skipped"
STEP_TYPE = "step.type"
ROWS_READ = "step.rows.read"
ROWS_PROCESSED = "step.rows.processed"
ROWS_REJECTED = "step.rows.rejected"
ROWS_SKIPPED = "step.rows.skipped"
CONNECTOR_TYPE = "connector.type"
CONNECTOR_OPERATION = "connector.operation"
CONNECTOR_STATUS = "connector.status"
TASK_TYPE = "task.type"
TASK_STATUS = "task.status"
TASK_ID = "task.id"
TASK_NAME = "task.name"
TASK_DURATION = "task.duration"
TASK_RETRY_REASON = "task.retry.reason"
TASK_RESULT_SIZE = "task.result.size"
WORKER_NAME = "worker_name"
WORKER_PID = "worker_pid"
QUEUE_NAME = "queue.name"
DATABASE_TYPE = "database.type"
VERSION = "version"
ENVIRONMENT = "environment"
BUILD_DATE = "build_date"
REASON = "reason"
ARGUMENT_PREFIX = "etl_telemetry.argument."
"""Prefix of recorded arguments (`record_args`): `etl_telemetry.argument.rows`."""

# On audit events.
AUDIT_ACTOR = "audit.actor"
AUDIT_ORGANIZATION = "audit.organization"
AUDIT_RESOURCE_TYPE = "audit.resource.type"
AUDIT_RESOURCE_ID = "audit.resource.id"
AUDIT_OUTCOME = "audit.outcome"
AUDIT_DETAILS = "audit.details"

# Semantic conventions (stable; copied, since incubating modules move).
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
CODE_FUNCTION_NAME = "code.function.name"
CODE_FILE_PATH = "code.file.path"
CODE_LINE_NUMBER = "code.line.number"
DEPLOYMENT_ENVIRONMENT_NAME = "deployment.environment.name"
SERVICE_INSTANCE_ID = "service.instance.id"
OTEL_EVENT_NAME = "otel.event.name"
# Semantic conventions for messaging (development upstream).
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"

# --- Carriers and scopes ----------------------------------------------------

SCOPE = "etl_telemetry"
"""Instrumentation scope of our spans and metrics."""
AUDIT_SCOPE = "etl_telemetry.audit"
"""Logger name, and so the scope, of audit events."""
RUN_HEADER = "etl_telemetry_run"
"""Message header that carries a run from task to task (versioned JSON)."""

# --- Metrics ----------------------------------------------------------------

Kind = Literal["counter", "histogram", "gauge"]
Stability = Literal["stable", "development"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the catalogue."""

    name: str
    """OpenTelemetry name."""
    kind: Kind
    """Instrument kind. Gauges are set, not added to."""
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
            QUEUE_SIZE, PLATFORM_INFO, LAST_SUCCESS, DROPS,
        )
    }
)  # fmt: skip
"""Every metric by its OpenTelemetry name."""

BOUNDS: Mapping[str, int] = MappingProxyType(
    {
        PIPELINE_NAME: 2_000, ORGANIZATION: 50, STEP_TYPE: 50, TASK_TYPE: 50,
        CONNECTOR_TYPE: 50, OPERATION: 50, QUEUE_NAME: 200, DATABASE_TYPE: 20,
    }
)  # fmt: skip
"""Default number of different values of a label; past it the value is `other`."""

# --- Spans ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """One kind of span of the catalogue."""

    name: str
    """Span name; `{key}` stands for the value of that attribute."""
    kind: str
    """OpenTelemetry span kind."""
    description: str
    """One sentence for people."""
    attributes: tuple[str, ...]
    """Attributes it can carry."""


RUN_SPAN = Span(
    "pipeline run {pipeline.name}", "internal",
    "One run, from its true begin to its true end: the root of its trace.",
    (
        PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_RUN_ID, PIPELINE_STATUS,
        PIPELINE_RUN_TRIGGER, PIPELINE_RUN_TRIGGERED_BY, PIPELINE_RUN_ATTEMPT, ERROR_TYPE,
        PIPELINE_RUN_ROWS_READ, PIPELINE_RUN_ROWS_PROCESSED,
        PIPELINE_RUN_ROWS_REJECTED, PIPELINE_RUN_ROWS_SKIPPED,
    ),
)  # fmt: skip
STEP_SPAN = Span(
    "step {step.type}", "internal", "One step of a run.",
    (
        STEP_TYPE, PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_RUN_ID,
        ROWS_READ, ROWS_PROCESSED, ROWS_REJECTED, ROWS_SKIPPED, ERROR_TYPE,
    ),
)  # fmt: skip
CONNECTOR_SPAN = Span(
    "connector {connector.operation}", "internal", "One operation of a connector.",
    (
        CONNECTOR_TYPE, CONNECTOR_OPERATION, CONNECTOR_STATUS,
        PIPELINE_NAME, PIPELINE_RUN_ID, ERROR_TYPE,
    ),
)  # fmt: skip
FUNCTION_SPAN = Span(
    "{code.function.name}",
    "internal",
    "One call of a function decorated with `@traced`.",
    (CODE_FUNCTION_NAME, CODE_FILE_PATH, CODE_LINE_NUMBER, ERROR_TYPE),
)

PUBLISH_SPAN = Span(
    "apply_async/{task.name}", "producer", "One publish of a task, also where the broker refuses.",
    (
        TASK_NAME, MESSAGING_SYSTEM, MESSAGING_OPERATION_TYPE, MESSAGING_OPERATION_NAME,
        MESSAGING_MESSAGE_ID, MESSAGING_DESTINATION_NAME, ERROR_TYPE,
    ),
)  # fmt: skip

SPANS: tuple[Span, ...] = (RUN_SPAN, STEP_SPAN, CONNECTOR_SPAN, FUNCTION_SPAN, PUBLISH_SPAN)

# --- Logs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One log record that this library writes itself; its name is its message."""

    name: str
    """Static snake_case name: the message, and the OpenTelemetry event name."""
    level: str
    """Level of the standard logging module."""
    description: str
    """One sentence for people."""
    fields: tuple[str, ...]
    """Fields it can carry."""


_RUN_FIELDS = (PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_RUN_ID)
_TASK_FIELDS = (TASK_ID, TASK_NAME, TASK_TYPE, *_RUN_FIELDS)

LOG_EVENTS: Mapping[str, LogEvent] = MappingProxyType(
    {
        event.name: event
        for event in (
            LogEvent("pipeline_run_started", "INFO", "A run began.",
                     (*_RUN_FIELDS, PIPELINE_RUN_TRIGGER)),
            LogEvent("pipeline_run_finished", "INFO", "A run ended and was counted.",
                     (*_RUN_FIELDS, PIPELINE_STATUS, "duration", ERROR_TYPE)),
            LogEvent("pipeline_run_already_finished", "DEBUG",
                     "A second finish of a run changed nothing.", _RUN_FIELDS),
            LogEvent("rows_mismatch", "WARNING",
                     "A step read other than processed + rejected + skipped.",
                     (STEP_TYPE, *_RUN_FIELDS, ROWS_READ, ROWS_PROCESSED, ROWS_REJECTED,
                      ROWS_SKIPPED)),
            LogEvent("task_started", "INFO", "A delivery of a task began.", _TASK_FIELDS),
            LogEvent("task_completed", "INFO", "A delivery of a task succeeded.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, TASK_RESULT_SIZE)),
            LogEvent("task_failed", "ERROR", "A delivery of a task failed.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, ERROR_TYPE, EXCEPTION_MESSAGE)),
            LogEvent("task_retried", "WARNING", "A delivery of a task asked for a retry.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, TASK_RETRY_REASON)),
            LogEvent("task_revoked", "WARNING", "A task was revoked or terminated.",
                     (*_TASK_FIELDS, TASK_STATUS)),
            LogEvent("worker_ready", "INFO", "A Celery worker accepts tasks.",
                     (WORKER_NAME, WORKER_PID)),
            LogEvent("worker_shutdown", "INFO", "A Celery worker ended.",
                     (WORKER_NAME, WORKER_PID)),
            LogEvent("instrumentation_already_active", "INFO",
                     "Another product instrumented these libraries first and keeps them.",
                     ("owners",)),
            LogEvent("semantic_conventions_read_too_early", "WARNING",
                     "An instrumentor had chosen the old names before set-up.",
                     ("variable", "value")),
            LogEvent("propagator_not_installed", "WARNING",
                     "A propagator was named that no installed package knows.",
                     ("propagator",)),
            LogEvent("log_bridge_not_attached", "WARNING",
                     "Another OpenTelemetry handler on the root logger exports the records.",
                     ("where",)),
            LogEvent("telemetry_dropped", "WARNING",
                     "A value was dropped, cut or changed; once per line of the application.",
                     (REASON, "detail", "caller")),
            LogEvent("telemetry_internal_error", "WARNING",
                     "An error of this library was caught; once per place.",
                     ("where", "error_type")),
            LogEvent("telemetry_not_delivered", "WARNING",
                     "The process ended before its telemetry could be delivered.",
                     ("signals", "deadline")),
        )
    }
)  # fmt: skip

LOG_FIELDS: tuple[str, ...] = (
    "timestamp", "level", "logger", "message", "module", "function", "line", "process_id",
    "thread_id", "environment", "service", "version", "exception", "trace_id", "span_id",
)  # fmt: skip
"""Fields of every JSON record; context fields and `extra` come beside them."""

# --- Audit ------------------------------------------------------------------

AUDIT_EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "user_login": "A user signed in.",
        "user_logout": "A user signed out.",
        "user_login_failed": "A sign-in failed.",
        "pipeline_created": "A pipeline was created.",
        "pipeline_updated": "A pipeline was changed.",
        "pipeline_deleted": "A pipeline was deleted.",
        "pipeline_execution_started": "A run began.",
        "pipeline_execution_finished": "A run ended.",
        "permission_changed": "A permission was granted or taken.",
        "connector_created": "A connector was created.",
        "connector_updated": "A connector was changed.",
        "connector_deleted": "A connector was deleted.",
    }
)
"""Audit events by name; any other snake_case name is allowed too."""

AUDIT_FIELDS: tuple[str, ...] = (
    AUDIT_ACTOR, AUDIT_ORGANIZATION, AUDIT_RESOURCE_TYPE, AUDIT_RESOURCE_ID, AUDIT_OUTCOME,
    AUDIT_DETAILS,
)  # fmt: skip
"""Fields of every audit event; its name is the message, its trace comes from the record."""
