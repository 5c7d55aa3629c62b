"""Every kind of span that this library makes itself."""

from __future__ import annotations

from dataclasses import dataclass

from etl_telemetry.catalogue.names import (
    CANVAS_GROUP_ID,
    CANVAS_GROUP_INDEX,
    CANVAS_KIND,
    CANVAS_PARENT_ID,
    CANVAS_ROOT_ID,
    CANVAS_SIZE,
    CANVAS_TASK,
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
    CONNECTOR_OPERATION,
    CONNECTOR_STATUS,
    CONNECTOR_TYPE,
    DB_NAMESPACE,
    DB_OPERATION_BATCH_SIZE,
    DB_OPERATION_NAME,
    DB_QUERY_COUNT,
    DB_QUERY_DURATION,
    DB_QUERY_TEXT,
    DB_REPEATED_COUNT,
    DB_REPEATED_STATEMENT,
    DB_SYSTEM_NAME,
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    MESSAGING_CLIENT_ID,
    MESSAGING_DESTINATION_NAME,
    MESSAGING_MESSAGE_ID,
    MESSAGING_OPERATION_NAME,
    MESSAGING_OPERATION_TYPE,
    MESSAGING_SYSTEM,
    NETWORK_PROTOCOL_VERSION,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ATTEMPT,
    PIPELINE_RUN_ID,
    PIPELINE_RUN_ROWS_PROCESSED,
    PIPELINE_RUN_ROWS_READ,
    PIPELINE_RUN_ROWS_REJECTED,
    PIPELINE_RUN_ROWS_SKIPPED,
    PIPELINE_RUN_TRIGGER,
    PIPELINE_RUN_TRIGGERED_BY,
    PIPELINE_STATUS,
    ROWS_PROCESSED,
    ROWS_READ,
    ROWS_REJECTED,
    ROWS_SKIPPED,
    SERVER_ADDRESS,
    SERVER_PORT,
    STEP_TYPE,
    TASK_CLOCK_SKEW,
    TASK_ETA,
    TASK_LINK_REASON,
    TASK_NAME,
    TASK_POOL,
    TASK_PRIORITY,
    TASK_REDELIVERED,
    TASK_RETRY_NUMBER,
    TASK_RETRY_REASON,
    TASK_RETRY_WAIT,
    TASK_STATUS,
    TASK_TYPE,
    TASK_WAIT_PREFIX,
    URL_PATH,
    URL_QUERY,
    URL_SCHEME,
    USER_AGENT_ORIGINAL,
    QueuePhase,
)


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


_QUERIES = (DB_QUERY_COUNT, DB_QUERY_DURATION, DB_REPEATED_STATEMENT, DB_REPEATED_COUNT)

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
        ROWS_READ, ROWS_PROCESSED, ROWS_REJECTED, ROWS_SKIPPED, *_QUERIES, ERROR_TYPE,
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
        TASK_RETRY_NUMBER, TASK_ETA, TASK_PRIORITY, TASK_LINK_REASON,
        CANVAS_KIND, CANVAS_ROOT_ID, CANVAS_PARENT_ID, CANVAS_GROUP_ID, CANVAS_GROUP_INDEX,
    ),
)  # fmt: skip
DELIVERY_SPAN = Span(
    "run/{task.name}", "consumer", "One delivery of a task, from its begin to its end in a worker.",
    (
        TASK_NAME, TASK_TYPE, TASK_STATUS, TASK_POOL, TASK_REDELIVERED, TASK_ETA, TASK_PRIORITY,
        TASK_RETRY_NUMBER, TASK_RETRY_REASON, TASK_RETRY_WAIT, TASK_LINK_REASON,
        *(f"{TASK_WAIT_PREFIX}{phase}" for phase in QueuePhase), TASK_CLOCK_SKEW,
        MESSAGING_SYSTEM, MESSAGING_OPERATION_TYPE, MESSAGING_OPERATION_NAME,
        MESSAGING_MESSAGE_ID, MESSAGING_DESTINATION_NAME, MESSAGING_CLIENT_ID,
        CANVAS_KIND, CANVAS_ROOT_ID, CANVAS_PARENT_ID, CANVAS_GROUP_ID, CANVAS_GROUP_INDEX,
        CANVAS_TASK, CANVAS_SIZE, PIPELINE_NAME, PIPELINE_ORGANIZATION, PIPELINE_RUN_ID, *_QUERIES,
        ERROR_TYPE,
    ),
)  # fmt: skip
CHORD_SPAN = Span(
    "chord {task.name}", "internal",
    "The publish of a chord outside of any trace: it holds the tasks of the header together.",
    (TASK_NAME, CANVAS_GROUP_ID, ERROR_TYPE),
)  # fmt: skip

REQUEST_SPAN = Span(
    "{http.request.method} {http.route}", "server",
    "One request to Django, to the last byte of its response.",
    (
        HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE,
        URL_SCHEME, URL_PATH, URL_QUERY, SERVER_ADDRESS, NETWORK_PROTOCOL_VERSION,
        USER_AGENT_ORIGINAL, *_QUERIES, ERROR_TYPE,
    ),
)  # fmt: skip

QUERY_SPAN = Span(
    "{db.operation.name}", "client",
    "One statement that no instrumentor of a driver sees: COPY, server-side cursors, SQLite.",
    (
        DB_SYSTEM_NAME, DB_NAMESPACE, DB_OPERATION_NAME, DB_OPERATION_BATCH_SIZE, DB_QUERY_TEXT,
        SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE,
    ),
)  # fmt: skip

SPANS: tuple[Span, ...] = (
    RUN_SPAN, STEP_SPAN, CONNECTOR_SPAN, FUNCTION_SPAN, PUBLISH_SPAN, DELIVERY_SPAN, CHORD_SPAN,
    REQUEST_SPAN, QUERY_SPAN,
)  # fmt: skip
