"""Every metric: kind, unit, labels, buckets, name in Prometheus; and the bounds of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from etl_telemetry.catalogue.names import (
    BUILD_DATE,
    CONNECTOR_TYPE,
    DATABASE_ALIAS,
    DATABASE_TYPE,
    ENVIRONMENT,
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    OBSERVER_SOURCE,
    OPERATION,
    ORGANIZATION,
    PHASE,
    PIPELINE_NAME,
    QUEUE_NAME,
    REASON,
    SCHEDULE_NAME,
    STATE,
    STATUS,
    STEP_TYPE,
    TASK_TYPE,
    URL_SCHEME,
    VERSION,
    WORKER_NAME,
)

Kind = Literal["counter", "histogram", "gauge", "updowncounter"]
Stability = Literal["stable", "development"]
OverProcesses = Literal["last", "sum", "max", "newest"]


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
    """Every label it can carry, no other."""
    prometheus: str
    """Name in Prometheus after its own translation."""
    buckets: tuple[float, ...] | None = None
    """Explicit upper bounds of a histogram, in `unit`; None for other kinds."""
    optional: tuple[str, ...] = ()
    """Those of `attributes` that are left out where they do not apply."""
    stability: Stability = "stable"
    """`development` may still change within a minor version."""
    over_processes: OverProcesses = "last"
    """What a gauge of several processes is as one series. `last`: what one that lives set last.
    `sum`, `max`: of what each sees whenever it looks. `newest`: the largest ever set, which
    outlives its process."""
    ends_at_zero: bool = False
    """Whether each process tells all that it has again and again: a 0 is told once, then gone."""


RUN_BUCKETS = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
TASK_BUCKETS = (0.01, 0.05, 0.1, 0.5, *RUN_BUCKETS)
CONNECTOR_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip

# From a look into a cache to a report.
QUERY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# The semantic conventions' advice.
HTTP_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
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
ACTIVE_RUN_AGE = Metric(
    "pipeline.active_run.age", "gauge", "s",
    "Age of the oldest run of a pipeline that is pending or running now, read from the run table.",
    (PIPELINE_NAME, ORGANIZATION), "pipeline_active_run_age_seconds", stability="development",
)  # fmt: skip
AUDIT_WAITING = Metric(
    "audit.events.waiting", "gauge", "{event}",
    "Audit events that were committed and are not delivered to their stream yet.",
    (DATABASE_ALIAS,), "audit_events_waiting", stability="development",
)  # fmt: skip
LAST_SUCCESS = Metric(
    "pipeline.last_success.timestamp", "gauge", "s",
    "Unix time at which a run of the pipeline last succeeded.",
    (PIPELINE_NAME, ORGANIZATION), "pipeline_last_success_timestamp_seconds",
    over_processes="newest",
)  # fmt: skip
HTTP_SERVER_DURATION = Metric(
    "http.server.request.duration", "histogram", "s",
    "Time from a request to the last byte of its response, for every outcome.",
    (HTTP_REQUEST_METHOD, HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE, URL_SCHEME, ERROR_TYPE),
    "http_server_request_duration_seconds", HTTP_BUCKETS,
    optional=(HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE, ERROR_TYPE),
)  # fmt: skip
DATABASE_QUERY_DURATION = Metric(
    "database.query.duration", "histogram", "s",
    "Time that one query of Django took until the database answered.",
    (DATABASE_ALIAS, OPERATION, STATUS), "database_query_duration_seconds", QUERY_BUCKETS,
)  # fmt: skip
DATABASE_ROWS = Metric(
    "database.rows", "counter", "{row}",
    "Rows that queries of Django returned or changed, where the driver knows.",
    (DATABASE_ALIAS, OPERATION), "database_rows_total",
)  # fmt: skip
DATABASE_CONNECT_DURATION = Metric(
    "database.connect.duration", "histogram", "s",
    "Time that Django took to get a connection, from the server or the pool.",
    (DATABASE_ALIAS, STATUS), "database_connect_duration_seconds", QUERY_BUCKETS,
)  # fmt: skip
DATABASE_TRANSACTIONS = Metric(
    "database.transactions", "counter", "{transaction}",
    "Transactions of Django that ended.",
    (DATABASE_ALIAS, STATUS), "database_transactions_total",
)  # fmt: skip
DATABASE_CLIENT_CONNECTIONS = Metric(
    "database.client.connections", "gauge", "{connection}",
    "Connections that Django holds open now in this process.",
    (DATABASE_ALIAS, STATE), "database_client_connections",
    over_processes="sum",
)  # fmt: skip
DATABASE_POOL_CONNECTIONS = Metric(
    "database.pool.connections", "gauge", "{connection}",
    "Connections of Django's pool in this process now: in_use, idle.",
    (DATABASE_ALIAS, STATE), "database_pool_connections",
    over_processes="sum",
)  # fmt: skip
DATABASE_POOL_WAITING = Metric(
    "database.pool.waiting", "gauge", "{request}",
    "Threads that wait for a connection of the pool now.",
    (DATABASE_ALIAS,), "database_pool_waiting",
    over_processes="sum",
)  # fmt: skip
DATABASE_SERVER_CONNECTIONS = Metric(
    "database.server.connections", "gauge", "{connection}",
    "Connections that the database server has now, by their state there.",
    (DATABASE_ALIAS, STATE), "database_server_connections",
)  # fmt: skip
DATABASE_CONNECTION_LIMIT = Metric(
    "database.server.connections.limit", "gauge", "{connection}",
    "Connections that the database server allows (PostgreSQL: max_connections).",
    (DATABASE_ALIAS,), "database_server_connections_limit",
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
    ends_at_zero=True,
)  # fmt: skip
STEP_ROWS_EXPECTED = Metric(
    "step.rows.expected", "updowncounter", "{row}",
    "Rows that steps that run now will do in all, where they said so.",
    (PIPELINE_NAME, STEP_TYPE), "step_rows_expected",
    ends_at_zero=True,
)  # fmt: skip
STEP_HEARTBEAT_AGE = Metric(
    "step.heartbeat.age", "gauge", "s",
    "Time since the last sign of life of a step that runs now, of the most silent one.",
    (PIPELINE_NAME, STEP_TYPE), "step_heartbeat_age_seconds",
    over_processes="max", ends_at_zero=True,
)  # fmt: skip
DROPS = Metric(
    "telemetry.drops", "counter", "{item}",
    "Values, spans, records and points that did not leave the process as given.",
    (REASON,), "telemetry_drops_total", stability="development",
)  # fmt: skip
OBSERVER_READINGS = Metric(
    "observer.readings", "counter", "{reading}",
    "Readings of the observer's sources, by whether they could be read.",
    (OBSERVER_SOURCE, STATUS), "observer_readings_total", stability="development",
)  # fmt: skip
QUEUE_OLDEST_AGE = Metric(
    "celery.queue.oldest_message.age", "gauge", "s",
    "Age of the message that has waited longest in a queue; without telemetry at its publisher, "
    "since the observer first saw it there (Redis), or not told (RabbitMQ).",
    (QUEUE_NAME,), "celery_queue_oldest_message_age_seconds", stability="development",
)  # fmt: skip
QUEUE_CONSUMERS = Metric(
    "celery.queue.consumers", "gauge", "{consumer}",
    "Workers that take messages from a queue: as an AMQP broker tells, else as those that answer.",
    (QUEUE_NAME,), "celery_queue_consumers", stability="development",
)  # fmt: skip
UNACKED = Metric(
    "celery.messages.unacked", "gauge", "{message}",
    "Messages that workers have taken from Redis or RabbitMQ and not acknowledged yet, of all "
    "queues.",
    (), "celery_messages_unacked", stability="development",
)  # fmt: skip
WORKER_UP = Metric(
    "celery.worker.up", "gauge", "",
    "1 for a worker that answers, 0 for one that has stopped to within the last 15 minutes.",
    (WORKER_NAME,), "celery_worker_up", stability="development",
)  # fmt: skip
WORKER_POOL_SIZE = Metric(
    "celery.worker.pool.size", "gauge", "{slot}",
    "Tasks that a worker can run at a time, told by the worker.",
    (WORKER_NAME,), "celery_worker_pool_size", stability="development",
)  # fmt: skip
WORKER_ACTIVE = Metric(
    "celery.worker.tasks.active", "gauge", "{task}",
    "Tasks that a worker is running, told by the worker.",
    (WORKER_NAME,), "celery_worker_tasks_active", stability="development",
)  # fmt: skip
WORKER_PREFETCHED = Metric(
    "celery.worker.tasks.prefetched", "gauge", "{task}",
    "Tasks that a worker has taken and not begun, those with an ETA included; told by the worker.",
    (WORKER_NAME,), "celery_worker_tasks_prefetched", stability="development",
)  # fmt: skip
BEAT_MISSED = Metric(
    "celery.beat.missed", "counter", "{run}",
    "Times at which a schedule was due and nothing was sent within the tolerance.",
    (SCHEDULE_NAME,), "celery_beat_missed_total", stability="development",
)  # fmt: skip
BEAT_NEXT_DUE = Metric(
    "celery.beat.next_due.timestamp", "gauge", "s",
    "Unix time at which a schedule is due next; in the past where it is late.",
    (SCHEDULE_NAME,), "celery_beat_next_due_timestamp_seconds", stability="development",
)  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            PIPELINE_EXECUTIONS, PIPELINE_EXECUTION_DURATION, TASK_EXECUTIONS,
            TASK_EXECUTION_DURATION, ACTIVE_PIPELINE_RUNS, *ROWS.values(),
            DATABASE_CONNECTIONS, CONNECTOR_OPERATIONS, CONNECTOR_OPERATION_DURATION,
            QUEUE_SIZE, PLATFORM_INFO, LAST_SUCCESS, ACTIVE_RUN_AGE, AUDIT_WAITING,
            HTTP_SERVER_DURATION,
            DATABASE_QUERY_DURATION, DATABASE_ROWS, DATABASE_CONNECT_DURATION,
            DATABASE_TRANSACTIONS, DATABASE_CLIENT_CONNECTIONS, DATABASE_POOL_CONNECTIONS,
            DATABASE_POOL_WAITING, DATABASE_SERVER_CONNECTIONS, DATABASE_CONNECTION_LIMIT, DROPS,
            OBSERVER_READINGS, QUEUE_OLDEST_AGE, QUEUE_CONSUMERS, UNACKED, WORKER_UP,
            WORKER_POOL_SIZE, WORKER_ACTIVE, WORKER_PREFETCHED, BEAT_MISSED, BEAT_NEXT_DUE,
            QUEUE_WAIT,
            STEP_ROWS_DONE, STEP_ROWS_EXPECTED, STEP_HEARTBEAT_AGE,
        )
    }
)  # fmt: skip
"""Every metric by its OpenTelemetry name."""

BOUNDS: Mapping[str, int] = MappingProxyType(
    {
        PIPELINE_NAME: 2_000, ORGANIZATION: 50, STEP_TYPE: 50, TASK_TYPE: 50,
        CONNECTOR_TYPE: 50, OPERATION: 50, QUEUE_NAME: 200, DATABASE_TYPE: 20,
        HTTP_ROUTE: 1_000, ERROR_TYPE: 200, DATABASE_ALIAS: 50,
        OBSERVER_SOURCE: 50, WORKER_NAME: 500, SCHEDULE_NAME: 1_000,
        PHASE: 10,
    }
)  # fmt: skip
"""Default number of different values of a label; past it the value is `other`."""
