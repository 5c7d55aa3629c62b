"""Logs: context fields, formatters and the `dictConfig` of a project; the standard library only.

- `context`: `log_context`, fields on every record inside a block.
- `records`: what a record tells; `plain`, `errors` and `hosts` are what may leave the process.
- `formatters`, `files`, `config` (`checks`): what `logging_config()` puts together.

How records reach OpenTelemetry is `etl_telemetry.runtime.log_bridge`.
"""

from __future__ import annotations

from etl_telemetry.logs.config import logging_config
from etl_telemetry.logs.context import current_fields, log_context
from etl_telemetry.logs.formatters import JsonFormatter, TextFormatter
from etl_telemetry.logs.records import ContextFilter

__all__ = [
    "ContextFilter",
    "JsonFormatter",
    "TextFormatter",
    "current_fields",
    "log_context",
    "logging_config",
]
