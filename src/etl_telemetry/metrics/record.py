"""The recorders. None raises: what is wrong in a call is coerced or dropped, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from etl_telemetry import guard, values
from etl_telemetry.catalogue import (
    ACTIVE_PIPELINE_RUNS,
    BUILD_DATE,
    CONNECTOR_OPERATION_DURATION,
    CONNECTOR_OPERATIONS,
    CONNECTOR_TYPE,
    DATABASE_CONNECTIONS,
    DATABASE_TYPE,
    ENVIRONMENT,
    ERROR_TYPE,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    HTTP_SERVER_DURATION,
    LAST_SUCCESS,
    OPERATION,
    ORGANIZATION,
    PHASE,
    PIPELINE_EXECUTION_DURATION,
    PIPELINE_EXECUTIONS,
    PIPELINE_NAME,
    PLATFORM_INFO,
    QUEUE_NAME,
    QUEUE_SIZE,
    QUEUE_WAIT,
    ROWS,
    STATUS,
    STEP_TYPE,
    TASK_EXECUTION_DURATION,
    TASK_EXECUTIONS,
    TASK_TYPE,
    URL_SCHEME,
    VERSION,
    ConnectorStatus,
    DropReason,
    Metric,
    RunStatus,
    TaskStatus,
)
from etl_telemetry.metrics.instruments import counter, gauge, histogram
from etl_telemetry.metrics.labels import bounded, status_of

MAX_SECONDS = 1e9
"""Longest duration, some 31 years: one absurd value would spoil a histogram's sum for good."""
MAX_ROWS = 10**12
"""Most rows of one call: sums must stay far from the 64 bits that OTLP gives them."""

Seconds = float | timedelta


def record_pipeline_execution(
    pipeline: str, organization: str, status: RunStatus | str, duration: Seconds | None = None
) -> None:
    """Count one run that ended, and how many seconds it took.

    A duration that is negative or not a number is left out, and the run is
    counted. An unknown status is counted as ``unknown``.

    >>> record_pipeline_execution("daily", "acme", "success", 12.5)
    """
    with guard.absorb("record_pipeline_execution"):
        labels = run_labels(pipeline, organization, status)
        counter(PIPELINE_EXECUTIONS.name).add(1, labels)
        observe(PIPELINE_EXECUTION_DURATION, duration, labels)


def run_labels(pipeline: object, organization: object, status: object) -> dict[str, str]:
    """Return the labels of the series that a run belongs to."""
    return {
        PIPELINE_NAME: bounded(PIPELINE_NAME, pipeline),
        STATUS: status_of(status, RunStatus),
        ORGANIZATION: bounded(ORGANIZATION, organization),
    }


def record_task_execution(
    task_type: str, pipeline: str, status: TaskStatus | str, duration: Seconds | None = None
) -> None:
    """Count one delivery of a task that ended, and how many seconds it ran.

    >>> record_task_execution("extract", "daily", "retried", 0.8)
    """
    with guard.absorb("record_task_execution"):
        timed = {
            TASK_TYPE: bounded(TASK_TYPE, task_type),
            STATUS: status_of(status, TaskStatus),
        }
        counter(TASK_EXECUTIONS.name).add(
            1, {**timed, PIPELINE_NAME: bounded(PIPELINE_NAME, pipeline)}
        )
        observe(TASK_EXECUTION_DURATION, duration, timed)


def record_connector_operation(
    connector_type: str,
    operation: str,
    status: ConnectorStatus | str,
    duration: Seconds | None = None,
) -> None:
    """Count one connector operation that ended, and how many seconds it took.

    >>> record_connector_operation("http", "fetch", "error", 0.2)
    """
    with guard.absorb("record_connector_operation"):
        labels = {
            CONNECTOR_TYPE: bounded(CONNECTOR_TYPE, connector_type),
            OPERATION: bounded(OPERATION, operation),
            STATUS: status_of(status, ConnectorStatus),
        }
        counter(CONNECTOR_OPERATIONS.name).add(1, labels)
        observe(CONNECTOR_OPERATION_DURATION, duration, labels)


def record_rows(
    pipeline: str,
    step_type: str,
    *,
    processed: int = 0,
    read: int = 0,
    rejected: int = 0,
    skipped: int = 0,
) -> None:
    """Count rows of a step: put out, taken in, refused as wrong, left out on purpose.

    A number that is not a whole one from 0 to 10**12 is left out; the others count.

    >>> record_rows("daily", "load", read=10, processed=9, rejected=1)
    """
    given = {"processed": processed, "read": read, "rejected": rejected, "skipped": skipped}
    with guard.absorb("record_rows"):
        labels = {
            PIPELINE_NAME: bounded(PIPELINE_NAME, pipeline),
            STEP_TYPE: bounded(STEP_TYPE, step_type),
        }
        for word, value in given.items():
            number = rows(value, word=word)
            if number:
                counter(ROWS[word].name).add(number, labels)


def rows(value: object, *, word: str) -> int | None:
    """Return a number of rows that can be added to a sum, or None and count the mistake."""
    number: int | None = None
    with guard.absorb("reading a number of rows", reason=DropReason.INVALID_VALUE):
        number = values.count(value)
    if number is None or number > MAX_ROWS:
        _wrong(f"{word} rows must be a whole number from 0 to 10**12: they were not counted")
        return None
    return number


def record_active_runs(count: int) -> None:
    """Report how many runs are pending or running now, read from the run table.

    >>> record_active_runs(3)
    """
    with guard.absorb("record_active_runs"):
        _set(ACTIVE_PIPELINE_RUNS, count, {})


def record_queue_sizes(sizes: Mapping[str, int]) -> None:
    """Report how many messages wait in each queue now, read from the broker.

    A queue that is not named any more keeps its last value: a synchronous gauge
    cannot end a series. The observer does, with a no-recorded-value point.

    >>> record_queue_sizes({"celery": 12})
    """
    with guard.absorb("record_queue_sizes", reason=DropReason.INVALID_VALUE):
        for queue, size in sizes.items():
            _set(QUEUE_SIZE, size, {QUEUE_NAME: bounded(QUEUE_NAME, queue)})


def record_database_connections(connections: Mapping[str, int]) -> None:
    """Report how many connections are open now by type of database.

    A type that is not named any more keeps its last value, as with queue sizes.

    >>> record_database_connections({"postgresql": 9})
    """
    with guard.absorb("record_database_connections", reason=DropReason.INVALID_VALUE):
        for database, number in connections.items():
            _set(DATABASE_CONNECTIONS, number, {DATABASE_TYPE: bounded(DATABASE_TYPE, database)})


def record_last_success(pipeline: str, organization: str, timestamp: float | datetime) -> None:
    """Report when a run of a pipeline last succeeded: Unix seconds, or an aware datetime.

    >>> record_last_success("daily", "acme", 1_760_000_000)
    """
    with guard.absorb("record_last_success", reason=DropReason.INVALID_VALUE):
        moment = timestamp.timestamp() if isinstance(timestamp, datetime) else timestamp
        number = values.seconds(moment)
        if number is None:
            _wrong("the time of the last success must be Unix seconds or an aware datetime")
            return
        labels = {
            PIPELINE_NAME: bounded(PIPELINE_NAME, pipeline),
            ORGANIZATION: bounded(ORGANIZATION, organization),
        }
        gauge(LAST_SUCCESS.name).set(number, labels)


def record_queue_wait(queue: str, phase: str, duration: Seconds) -> None:
    """Count how many seconds a message spent in one phase before its task began.

    >>> record_queue_wait("celery", "broker", 0.2)
    """
    with guard.absorb("record_queue_wait"):
        labels = {QUEUE_NAME: bounded(QUEUE_NAME, queue), PHASE: bounded(PHASE, phase)}
        observe(QUEUE_WAIT, duration, labels)


def record_platform_info(version: str, environment: str, build_date: str) -> None:
    """Report what runs: the value is always 1, the labels tell.

    >>> record_platform_info("1.4.0", "production", "2026-01-31")
    """
    with guard.absorb("record_platform_info"):
        _set(
            PLATFORM_INFO,
            1,
            {
                VERSION: bounded(VERSION, version),
                ENVIRONMENT: bounded(ENVIRONMENT, environment),
                BUILD_DATE: bounded(BUILD_DATE, build_date),
            },
        )


def record_http_request(
    method: str,
    route: str | None,
    status_code: int | None,
    duration: Seconds,
    *,
    scheme: str,
    error_type: str | None = None,
) -> None:
    """Measure one request that Django answered, or could not answer.

    Args:
        method: One of the known methods, else ``_OTHER``.
        route: Template of its path; None where no route matched.
        status_code: Status of the response; None where there was none.
        duration: Seconds to the last byte.
        scheme: ``http`` or ``https``.
        error_type: Type of the error that ended it, or None.

    >>> record_http_request("GET", "flights/<str:carrier>/", 200, 0.05, scheme="https")
    """
    with guard.absorb("record_http_request"):
        labels: dict[str, str | int] = {HTTP_REQUEST_METHOD: method, URL_SCHEME: scheme}
        if route is not None:
            labels[HTTP_ROUTE] = bounded(HTTP_ROUTE, route)
        if status_code is not None:
            labels[HTTP_RESPONSE_STATUS_CODE] = status_code
        if error_type is not None:
            labels[ERROR_TYPE] = bounded(ERROR_TYPE, error_type)
        observe(HTTP_SERVER_DURATION, duration, labels)


def observe(metric: Metric, duration: object, labels: Mapping[str, str | int]) -> None:
    """Record a duration, or leave a wrong one out and count that; None is no duration."""
    if duration is None:
        return
    if isinstance(duration, timedelta):
        duration = duration.total_seconds()
    number = values.seconds(duration)
    if number is None or number > MAX_SECONDS:
        _wrong(f"{metric.name} must be a finite number of seconds >= 0: it was left out")
        return
    histogram(metric.name).record(number, labels)


def _set(metric: Metric, value: object, labels: dict[str, str]) -> None:
    number = values.count(value)
    if number is None:
        _wrong(f"{metric.name} must be a whole number >= 0: it was left out")
        return
    gauge(metric.name).set(number, labels)


def _wrong(detail: str) -> None:
    guard.drop(DropReason.INVALID_VALUE, detail=detail)
