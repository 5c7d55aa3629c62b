"""The data views: all log records, those of errors, and audit events."""

from __future__ import annotations

from etl_telemetry.ops.kibana.model import DataView

LOGS = DataView(
    "etl-logs", "logs-*,-logs-etl.audit.*", "ETL: log records", ("etl-logs", "etl-errors")
)
ERRORS = DataView("etl-errors", "logs-etl.errors.*", "ETL: errors", ("etl-errors",))
AUDIT = DataView("etl-audit", "logs-etl.audit.*", "ETL: audit events", ("etl-audit",))

VIEWS = (LOGS, ERRORS, AUDIT)
