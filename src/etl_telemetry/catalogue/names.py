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


class QueryStatus(StrEnum):
    """How a database query, or an attempt to connect, ended."""

    SUCCESS = "success"
    ERROR = "error"


class TransactionStatus(StrEnum):
    """How a database transaction ended."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"


class ConnectionState(StrEnum):
    """What a database connection of this process does now."""

    IN_USE = "in_use"
    IN_TRANSACTION = "in_transaction"
    IDLE = "idle"


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


class QueuePhase(StrEnum):
    """Where a message spent the time before its task began."""

    ETA = "eta"
    RETRY = "retry"
    BROKER = "broker"
    PREFETCH = "prefetch"


class CanvasKind(StrEnum):
    """Which part of a canvas a task is."""

    CHAIN = "chain"
    GROUP = "group"
    CHORD = "chord"
    CHORD_BODY = "chord_body"
    MAP = "map"
    STARMAP = "starmap"
    ERRBACK = "errback"


class LinkReason(StrEnum):
    """Why a task has a trace of its own, linked to its publish."""

    BEAT = "beat"
    ETA = "eta"
    FAN_OUT = "fan_out"


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
TASK_RETRY_NUMBER = "task.retry.number"
TASK_RETRY_WAIT = "task.retry.wait"
TASK_ETA = "task.eta"
TASK_PRIORITY = "task.priority"
TASK_POOL = "task.pool"
TASK_REDELIVERED = "task.redelivered"
TASK_LINK_REASON = "task.link.reason"
TASK_WAIT_PREFIX = "task.queue.wait."
"""Prefix of the seconds by `QueuePhase`: `task.queue.wait.broker`."""
TASK_CLOCK_SKEW = "task.queue.clock_skew"
CANVAS_KIND = "celery.canvas.kind"
CANVAS_ROOT_ID = "celery.canvas.root_id"
CANVAS_PARENT_ID = "celery.canvas.parent_id"
CANVAS_GROUP_ID = "celery.canvas.group_id"
CANVAS_GROUP_INDEX = "celery.canvas.group_index"
CANVAS_TASK = "celery.canvas.task"
CANVAS_SIZE = "celery.canvas.size"
PHASE = "phase"
WORKER_NAME = "worker_name"
WORKER_PID = "worker_pid"
QUEUE_NAME = "queue.name"
DATABASE_TYPE = "database.type"
DATABASE_ALIAS = "database.alias"
STATE = "state"
VERSION = "version"
ENVIRONMENT = "environment"
BUILD_DATE = "build_date"
REASON = "reason"
ARGUMENT_PREFIX = "etl_telemetry.argument."
"""Prefix of recorded arguments (`record_args`): `etl_telemetry.argument.rows`."""
OBSERVER_SOURCE = "observer.source"
SCHEDULE_NAME = "schedule.name"

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

# On alerts that a monitoring system sent.
ALERT_NAME = "alert.name"
ALERT_STATUS = "alert.status"
ALERT_SEVERITY = "alert.severity"
ALERT_SUMMARY = "alert.summary"
ALERT_FINGERPRINT = "alert.fingerprint"
ALERT_RECEIVER = "alert.receiver"
ALERT_STARTS_AT = "alert.starts_at"
ALERT_ENDS_AT = "alert.ends_at"
ALERT_TRACE_ID = "alert.trace_id"

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
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
HOST_NAME = "host.name"
# Semantic conventions for messaging (development upstream).
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_CLIENT_ID = "messaging.client.id"

# Semantic conventions for HTTP (stable).
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
HTTP_ROUTE = "http.route"
NETWORK_PROTOCOL_VERSION = "network.protocol.version"
SERVER_ADDRESS = "server.address"
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_SCHEME = "url.scheme"
USER_AGENT_ORIGINAL = "user_agent.original"
USER_ID = "user.id"
# Semantic conventions for databases (stable).
DB_NAMESPACE = "db.namespace"
DB_OPERATION_BATCH_SIZE = "db.operation.batch.size"
DB_OPERATION_NAME = "db.operation.name"
DB_QUERY_TEXT = "db.query.text"
DB_SYSTEM_NAME = "db.system.name"
SERVER_PORT = "server.port"
# What a request, a task or a step asked the database.
DB_QUERY_COUNT = "db.query.count"
DB_QUERY_DURATION = "db.query.duration"
DB_REPEATED_STATEMENT = "db.query.repeated.text"
DB_REPEATED_COUNT = "db.query.repeated.count"

# --- Carriers and scopes ----------------------------------------------------

SCOPE = "etl_telemetry"
"""Instrumentation scope of our spans and metrics."""
OBSERVER_SCOPE = "etl_telemetry.observer"
"""Instrumentation scope of what the observer reports, under its own instance id."""
AUDIT_SCOPE = "etl_telemetry.audit"
"""Logger name, and so the scope, of audit events."""
RUN_HEADER = "etl_telemetry_run"
"""Message header that carries a run from task to task (versioned JSON)."""
MESSAGE_HEADER = "etl_telemetry_message"
"""Message header that tells when, why and as part of what a task was published (versioned JSON)."""
RUN_VARIABLE = "ETL_PIPELINE_RUN"
"""Environment variable that carries a run to a child process (as `RUN_HEADER`)."""
ACTOR_HEADER = "etl_telemetry_actor"
"""Message header that carries who acts from task to task (versioned JSON)."""
RUN_TRACE_STATE = ("etl", "run")
"""Key and value in the W3C trace state of every span of a run's trace: gateways keep these."""
