"""OpenTelemetry-first instrumentation for ETL platforms on Django and Celery.

Importing this package loads no SDK, no Django and no Celery, reads no environment
and starts nothing. Without `setup_telemetry()` every call but `audit.record` is a
cheap no-op.
"""

from __future__ import annotations

from etl_telemetry import audit, metrics
from etl_telemetry.errors import (
    AuditError,
    ConfigurationError,
    MissingExtraError,
    TelemetryError,
)
from etl_telemetry.logs import log_context, logging_config
from etl_telemetry.pipelines import (
    begin_run,
    child_environment,
    connector_operation,
    continue_trace,
    current_run,
    finish_run,
    in_child,
    pipeline_run,
    step,
)
from etl_telemetry.setup import Telemetry, setup_telemetry
from etl_telemetry.tracing import span, traced

__all__ = [
    "AuditError",
    "ConfigurationError",
    "MissingExtraError",
    "Telemetry",
    "TelemetryError",
    "audit",
    "begin_run",
    "child_environment",
    "connector_operation",
    "continue_trace",
    "current_run",
    "finish_run",
    "in_child",
    "log_context",
    "logging_config",
    "metrics",
    "pipeline_run",
    "setup_telemetry",
    "span",
    "step",
    "traced",
]
