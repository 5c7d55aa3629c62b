"""Every log event of this library, and the fields of every record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from etl_telemetry.catalogue.names import (
    ALERT_ENDS_AT,
    ALERT_FINGERPRINT,
    ALERT_NAME,
    ALERT_RECEIVER,
    ALERT_SEVERITY,
    ALERT_STARTS_AT,
    ALERT_STATUS,
    ALERT_SUMMARY,
    ALERT_TRACE_ID,
    AUDIT_BLOCK_DIGEST,
    AUDIT_BLOCK_NUMBER,
    AUDIT_BLOCK_ROWS,
    AUDIT_DATABASE,
    AUDIT_EVENT,
    AUDIT_ROW_ID,
    DB_QUERY_COUNT,
    DB_QUERY_DURATION,
    DB_REPEATED_COUNT,
    DB_REPEATED_STATEMENT,
    ERROR_TYPE,
    EXCEPTION_MESSAGE,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    OBSERVER_SOURCE,
    PIPELINE_NAME,
    PIPELINE_ORGANIZATION,
    PIPELINE_RUN_ID,
    PIPELINE_RUN_TRIGGER,
    PIPELINE_STATUS,
    REASON,
    ROWS_PROCESSED,
    ROWS_READ,
    ROWS_REJECTED,
    ROWS_SKIPPED,
    STEP_TYPE,
    TASK_DURATION,
    TASK_ID,
    TASK_NAME,
    TASK_RESULT_SIZE,
    TASK_RETRY_REASON,
    TASK_STATUS,
    TASK_TYPE,
    USER_ID,
    WORKER_NAME,
    WORKER_PID,
)


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
_REQUEST_FIELDS = (
    HTTP_ROUTE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, "duration", DB_QUERY_COUNT,
    DB_QUERY_DURATION, DB_REPEATED_STATEMENT, DB_REPEATED_COUNT, USER_ID, PIPELINE_RUN_ID,
)  # fmt: skip
_ALERT_FIELDS = (
    ALERT_NAME, ALERT_STATUS, ALERT_SEVERITY, ALERT_SUMMARY, ALERT_FINGERPRINT, ALERT_RECEIVER,
    ALERT_STARTS_AT, ALERT_ENDS_AT, ALERT_TRACE_ID, *_RUN_FIELDS,
)  # fmt: skip

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
            LogEvent("task_failed", "ERROR",
                     "A delivery of a task failed; with the exception and its traceback.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, ERROR_TYPE, EXCEPTION_MESSAGE)),
            LogEvent("task_retried", "WARNING", "A delivery of a task asked for a retry.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, TASK_RETRY_REASON)),
            LogEvent("task_revoked", "WARNING", "A task was revoked or terminated.",
                     (*_TASK_FIELDS, TASK_STATUS)),
            LogEvent("task_rejected", "WARNING",
                     "A task refused its message for good; it counts as `failed`.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, ERROR_TYPE, EXCEPTION_MESSAGE)),
            LogEvent("task_unknown", "ERROR",
                     "A message named a task that the worker does not have; it was discarded.",
                     (TASK_ID, TASK_NAME)),
            LogEvent("message_rejected", "ERROR",
                     "A worker could not make sense of a message and refused it.", (ERROR_TYPE,)),
            LogEvent("task_lost", "ERROR", "A delivery of a task ended with its process.",
                     (*_TASK_FIELDS, TASK_STATUS, TASK_DURATION, ERROR_TYPE, EXCEPTION_MESSAGE)),
            LogEvent("worker_ready", "INFO", "A Celery worker accepts tasks.",
                     (WORKER_NAME, WORKER_PID)),
            LogEvent("worker_shutdown", "INFO", "A Celery worker ended.",
                     (WORKER_NAME, WORKER_PID)),
            LogEvent("slow_request", "WARNING",
                     "A request took longer than its route may.", _REQUEST_FIELDS),
            LogEvent("high_query_count", "WARNING",
                     "A request sent more database queries than its route may.",
                     _REQUEST_FIELDS),
            LogEvent("instrumentation_already_active", "INFO",
                     "Another product instrumented these libraries first and keeps them.",
                     ("owners",)),
            LogEvent("instrumentation_extra_missing", "WARNING",
                     "A framework is in use and its extra is not installed: no spans of it.",
                     ("extra",)),
            LogEvent("semantic_conventions_read_too_early", "WARNING",
                     "An instrumentor had chosen the old names before set-up.",
                     ("variable", "value")),
            LogEvent("propagator_not_installed", "WARNING",
                     "A propagator was named that no installed package knows.",
                     ("propagator",)),
            LogEvent("configuration_warning", "WARNING",
                     "A value of the configuration is ignored.", ("detail",)),
            LogEvent("telemetry_set_up_elsewhere", "WARNING",
                     "Another distribution had set these providers first and keeps them.",
                     ("signals",)),
            LogEvent("telemetry_already_set_up", "DEBUG",
                     "A later set-up call brought options, which are ignored.", ("ignored",)),
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
            LogEvent("observer_leads", "INFO", "This observer is the one that reports.", ()),
            LogEvent("observer_waits", "INFO",
                     "Another observer reports, or nobody can tell: this one does not.", ()),
            LogEvent("observer_lead_failed", "WARNING",
                     "The observer could not ask who leads; once until the reason changes.",
                     (REASON,)),
            LogEvent("observer_source_failed", "WARNING",
                     "A source cannot be read and its series ended; once until it recovers.",
                     (OBSERVER_SOURCE, REASON)),
            LogEvent("observer_source_recovered", "INFO", "A source can be read again.",
                     (OBSERVER_SOURCE,)),
            LogEvent("alert_firing", "WARNING", "An alert began; once for each.", _ALERT_FIELDS),
            LogEvent("alert_resolved", "INFO", "An alert ended; once for each.", _ALERT_FIELDS),
            LogEvent("alerts_left_out", "WARNING",
                     "Alertmanager left alerts out of a delivery (`max_alerts`).",
                     (ALERT_RECEIVER, "count")),
            LogEvent("alerts_not_stored", "WARNING",
                     "Alerts could not be stored; Alertmanager was asked to come again.",
                     (ERROR_TYPE,)),
            LogEvent("alert_tokens_unreadable", "WARNING",
                     "The file with the webhook's tokens cannot be read: none of it is valid.",
                     (ERROR_TYPE,)),
            LogEvent("ledger_not_ready", "WARNING",
                     "The ledger's tables lack in a database: runs that end are found later.",
                     ("database",)),
            LogEvent("ledger_not_delivered", "WARNING",
                     "Ended runs could not be exported: they stay in the outbox.",
                     ("database", "runs")),
            LogEvent("ledger_runs_found", "INFO",
                     "Runs had ended without a word to the ledger, and were put into its outbox.",
                     ("database", "runs")),
            LogEvent("ledger_run_refused", "INFO",
                     "A run that ended before the ledger began was saved again: not counted.",
                     _RUN_FIELDS),
            LogEvent("pipeline_run_overdue", "WARNING",
                     "Nobody had finished a run in time: it was ended.",
                     (*_RUN_FIELDS, PIPELINE_STATUS)),
            LogEvent("audit_head", "INFO",
                     "Audit events were chained: this is the digest of all so far.",
                     (AUDIT_DATABASE, AUDIT_BLOCK_NUMBER, AUDIT_BLOCK_DIGEST, AUDIT_BLOCK_ROWS)),
            LogEvent("audit_row_forged", "ERROR",
                     "A row of the audit table was not written by this application.",
                     (AUDIT_DATABASE, AUDIT_ROW_ID)),
            LogEvent("audit_not_drained", "ERROR",
                     "Audit events wait in the table: nobody runs manage.py audit_drain.",
                     (AUDIT_DATABASE,)),
            LogEvent("audit_event_not_kept", "ERROR",
                     "An automatic audit event had no place: the audit table is not migrated yet.",
                     (AUDIT_EVENT, ERROR_TYPE)),
        )
    }
)  # fmt: skip

LOG_FIELDS: tuple[str, ...] = (
    "timestamp", "level", "logger", "message", "module", "function", "line", "process_id",
    "thread_id", "environment", "service", "version", "exception", "trace_id", "span_id",
)  # fmt: skip
"""Fields of every JSON record; context fields and `extra` come beside them."""
