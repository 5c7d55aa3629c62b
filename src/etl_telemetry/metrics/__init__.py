"""Low-level recorders: one function for each thing that the catalogue counts.

Instruments are made once per process, from the catalogue, through the API's
global meter provider. Label values are coerced to text and bounded before they
are written, so that no caller can flood a backend with series.
"""

from etl_telemetry.metrics.database import (
    record_database_connect,
    record_database_query,
    record_database_transaction,
)
from etl_telemetry.metrics.labels import LabelBound, configure, label, limit_of, status_of
from etl_telemetry.metrics.rebuild import begin_of, goes_on, rebuild_pipeline_executions, settled
from etl_telemetry.metrics.record import (
    record_active_runs,
    record_connector_operation,
    record_database_connections,
    record_http_request,
    record_last_success,
    record_pipeline_execution,
    record_platform_info,
    record_queue_sizes,
    record_queue_wait,
    record_rows,
    record_task_execution,
)
from etl_telemetry.metrics.totals import (
    RunTotal,
    prolong_run_totals,
    publish_run_totals,
    withdraw_run_totals,
)

__all__ = [
    "LabelBound",
    "RunTotal",
    "begin_of",
    "configure",
    "goes_on",
    "label",
    "limit_of",
    "prolong_run_totals",
    "publish_run_totals",
    "rebuild_pipeline_executions",
    "record_active_runs",
    "record_connector_operation",
    "record_database_connect",
    "record_database_connections",
    "record_database_query",
    "record_database_transaction",
    "record_http_request",
    "record_last_success",
    "record_pipeline_execution",
    "record_platform_info",
    "record_queue_sizes",
    "record_queue_wait",
    "record_rows",
    "record_task_execution",
    "settled",
    "status_of",
    "withdraw_run_totals",
]
