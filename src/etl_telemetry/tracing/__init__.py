"""Spans: `@traced`, `span()`, and how exceptions and finished spans are recorded."""

from etl_telemetry.tracing.decorator import traced
from etl_telemetry.tracing.exceptions import record_exception, type_name
from etl_telemetry.tracing.finished import FinishedSpan, emit, emit_child
from etl_telemetry.tracing.place import Place
from etl_telemetry.tracing.scope import Scope, span
from etl_telemetry.tracing.settings import configure, tracer

__all__ = [
    "FinishedSpan",
    "Place",
    "Scope",
    "configure",
    "emit",
    "emit_child",
    "record_exception",
    "span",
    "traced",
    "tracer",
    "type_name",
]
