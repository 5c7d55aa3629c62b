"""Test kit: what the code under test would have exported, in memory, as plain values.

`pytest_plugin` gives the fixture `telemetry`; `capture()` is the same without pytest.
"""

from __future__ import annotations

from etl_telemetry.testing.capture import Captured, CaptureError, capture
from etl_telemetry.testing.metrics import HistogramValue, Metrics
from etl_telemetry.testing.records import AuditEvent, Event, LogRecord, Span
from etl_telemetry.testing.sequences import AuditEvents, Logs, Spans

__all__ = [
    "AuditEvent",
    "AuditEvents",
    "CaptureError",
    "Captured",
    "Event",
    "HistogramValue",
    "LogRecord",
    "Logs",
    "Metrics",
    "Span",
    "Spans",
    "capture",
]
