"""Keys of attributes, values of statuses, names of scopes and carriers."""

from __future__ import annotations

from enum import StrEnum


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
# On the log events about the audit table.
AUDIT_EVENT = "audit.event"
AUDIT_DATABASE = "audit.database"
AUDIT_BLOCK_NUMBER = "audit.block.number"
AUDIT_BLOCK_DIGEST = "audit.block.digest"
AUDIT_BLOCK_ROWS = "audit.block.rows"
AUDIT_ROW_ID = "audit.row.id"

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
LOG_RECORD_UID = "log.record.uid"
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
ACTOR_HEADER = "etl_telemetry_actor"
"""Message header that carries who acts from task to task (versioned JSON)."""
RUN_TRACE_STATE = ("etl", "run")
"""Key and value in the W3C trace state of every span of a run's trace: gateways keep these."""
